import { stampOf } from './compiler.ts';
import { sha256 } from './hashes.ts';
import type { StoredSource } from './store.ts';
import type { CompileCommand } from './types.ts';

/** What the compiler gets to see of a unit. */
export interface Preprocessed {
  readonly hash: string;
  /** Absolute paths of what it was read from. */
  readonly dependencies: readonly string[];
}

/** Directives with which the assembler or the compiler itself reads a file: of that the preprocessor's text says nothing. */
const READING_LATER = ['incbin', '.include', '#embed', '# embed', '#pragma clang module', '#import'] as const;

/** The text of a unit with its hash; undefined where an object of it depends on files that are not in it. */
export function preprocessed(text: Buffer, dependencies: readonly string[]): Preprocessed | undefined {
  if (READING_LATER.some((word) => text.includes(word))) return undefined;
  return { hash: sha256(text), dependencies };
}

/**
 * Key of an edited object. The contents of all files that were read are compared as well (`ObjectStore`), but do not suffice: a header that is new in a folder that is
 * searched earlier, or that `__has_include` asks for, changes the text and none of them. The text does not suffice either: debug information has columns, which it
 * does not keep.
 * @param key of the unit's command and compiler
 */
export async function editedKey(key: string, text: Preprocessed, command: CompileCommand): Promise<string> {
  const steps = await Promise.all((command.after ?? []).map(([program = '']) => stampOf(program, command.directory)));
  return JSON.stringify(['edited', key, text.hash, ...steps]);
}

/** Whether two lists name the same files. */
export function sameFiles(sources: readonly StoredSource[], paths: readonly string[]): boolean {
  const one = new Set(sources.map(({ path }) => path));
  return one.size === new Set(paths).size && paths.every((path) => one.has(path));
}
