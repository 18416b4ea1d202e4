import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { readDwarf } from '../core/dwarf/index.ts';
import { readElf } from '../core/elf/index.ts';
import type { ElfFile } from '../core/elf/types.ts';
import type { Finding } from '../core/findings/types.ts';
import type { CompileCommand } from './types.ts';

/** Who made an object, as the object itself says. */
export interface Producer {
  /** Compiler and version, e.g. `GNU C17 12.2.0`, or the text of `.comment`. */
  readonly compiler: string;
  /** Code-generating options that gcc records in DW_AT_producer; undefined where it recorded none. */
  readonly options: readonly string[] | undefined;
}

/** Options that this program adds, or that say nothing of the code. */
const IGNORED =
  /^-g|^-f(function|data)-sections$|^-fno-canonical-system-headers$|^-f(file|debug|macro)-prefix-map|^-fdiagnostics|^-dump|^-fprofile-note/;

/** The text of `.comment`: NUL-terminated strings, one for each compiler that took part. */
function commentOf(elf: ElfFile): string {
  const section = elf.sections.find(({ name }) => name === '.comment');
  if (!section) return '';
  const texts = Buffer.from(section.data)
    .toString('latin1')
    .split('\0')
    .filter((text) => text !== '');
  return [...new Set(texts)].sort().join('; ');
}

/** Reads who made an object: `.comment` for the compiler, DWARF's producer for the options. Undefined where neither tells. */
export function producerOf(bytes: Uint8Array): Producer | undefined {
  const { elf } = readElf(bytes);
  // A linked file carries the marks of every object in it, the C runtime's too.
  if (elf?.kind !== 'rel') return undefined;
  const comment = commentOf(elf);
  const dwarf = readDwarf(elf).units[0]?.producer ?? '';
  const words = dwarf.split(' ').filter((word) => word !== '');
  const options = words.filter((word) => word.startsWith('-'));
  const compiler = comment || words.filter((word) => !word.startsWith('-')).join(' ');
  if (compiler === '') return undefined;
  return { compiler, options: options.length > 0 ? options.filter((word) => !IGNORED.test(word)).sort() : undefined };
}

/**
 * Compares the object of the real build with the one that was built here from the same command.
 * @returns a blocking finding where another compiler, version or set of options made the real one; undefined where they agree
 *   or where nothing is known
 */
export async function checkProducer(command: CompileCommand, rebuilt: Uint8Array): Promise<Finding | undefined> {
  if (command.output === undefined) return undefined;
  const info = await stat(command.output).catch(() => undefined);
  if (!info?.isFile() || info.size > 256 << 20) return undefined;
  const real = producerOf(new Uint8Array(await readFile(command.output)));
  const ours = producerOf(rebuilt);
  if (!real || !ours) return undefined;
  const file = basename(command.file);
  const finding = (message: string, evidence: Finding['evidence']): Finding => ({
    code: 'compiler-mismatch',
    severity: 'blocker',
    symbol: file,
    message,
    at: { file: command.file, line: 1 },
    evidence,
    related: [],
    fixes: [],
  });
  if (real.compiler !== ours.compiler) {
    return finding(
      `${file} was built with ${real.compiler}, but \`${command.arguments[0]}\` is now ${ours.compiler}: the rebuilt original is not the code that runs. ` +
        'Install the compiler that built the program, or rebuild and restart the program with the present one, and record the build again.',
      { built: real.compiler, now: ours.compiler, object: command.output },
    );
  }
  if (real.options && ours.options) {
    const missing = real.options.filter((option) => !ours.options!.includes(option));
    const added = ours.options.filter((option) => !real.options!.includes(option));
    if (missing.length > 0 || added.length > 0) {
      return finding(
        `${file} was built with other options than its recorded command has (${[...missing.map((option) => `built with ${option}`), ...added.map((option) => `recorded with ${option}`)].join(', ')}): ` +
          'the rebuilt original is not the code that runs. Record the build again with `livepatch record -- make`, or rebuild and restart the program.',
        { builtWith: missing, recordedWith: added, object: command.output },
      );
    }
  }
  return undefined;
}
