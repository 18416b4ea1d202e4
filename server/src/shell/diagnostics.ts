import { isAbsolute, resolve } from 'node:path';
import type { CompileError } from './types.ts';

const MAX_ERRORS = 200;
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal colours are control characters.
const COLOURS = /\u001b\[[0-9;]*[mK]|\u001b\]8;;[^\u0007\u001b]*(?:\u0007|\u001b\\)/g;
const MESSAGE = /^(.+?):(\d+):(?:(\d+):)? (fatal error|error|warning|note|Error|Warning|Fatal error): (.*)$/;

/** How paths in a compiler's output lead back to the user's files. */
export interface PathsBack {
  /** Working directory of the command, as the user's build has it. */
  readonly directory: string;
  /** The user's path for a path in a mirror; the same path where it is not in one. */
  readonly unmap: (path: string) => string;
}

/** Text of a compiler's output without colours and with the user's own paths in place of scratch paths. */
export function cleanLog(output: string, back: PathsBack): string {
  return back.unmap(output.replace(COLOURS, ''));
}

/**
 * Reads gcc's and clang's messages (`file:line:column: error: text`), and the assembler's (`file:line: Error: text`).
 * At most 200; notes belong to the message before them and are kept as entries of their own.
 */
export function parseDiagnostics(output: string, back: PathsBack): CompileError[] {
  const errors: CompileError[] = [];
  for (const raw of output.replace(COLOURS, '').split('\n')) {
    const found = MESSAGE.exec(raw);
    if (!found || errors.length >= MAX_ERRORS) continue;
    const [, path, line, column, kind, message] = found;
    if (path!.startsWith('{standard input}')) continue;
    const unmapped = back.unmap(path!);
    const word = kind!.toLowerCase();
    errors.push({
      at: {
        file: isAbsolute(unmapped) ? resolve(unmapped) : back.unmap(resolve(back.directory, unmapped)),
        line: Number(line),
        ...(column === undefined ? {} : { column: Number(column) }),
      },
      severity: word.includes('error') ? 'error' : word === 'warning' ? 'warning' : 'note',
      message: message!,
    });
  }
  return errors;
}
