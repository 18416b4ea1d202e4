import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

/** Files that name each other without end stop here (libiberty's own limit is 2000). */
const MAX_FILES = 200;
/** A file of arguments larger than this is none. */
const MAX_BYTES = 4 << 20;

/**
 * Splits the text of a response file as gcc (libiberty's buildargv) and clang (GNU command lines) do: white space separates, single and
 * double quotes hold together, a backslash takes the next character as it is, inside quotes too. Nothing else is special.
 */
export function splitResponse(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === '\\') {
      at++;
      word = (word ?? '') + (text[at] ?? '');
    } else if (quote !== '') {
      if (char === quote) quote = '';
      else word += char;
    } else if (char === "'" || char === '"') {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + char;
  }
  if (word !== undefined) words.push(word);
  return words;
}

/**
 * Puts the contents of response files (`@FILE`, relative to the working directory) in their place, those inside them too. What cannot
 * be read stays as it is, as compilers do: an argument may begin with `@`.
 */
export async function expandResponseFiles(args: readonly string[], directory: string): Promise<readonly string[]> {
  if (!args.some((arg) => arg.length > 1 && arg.startsWith('@'))) return args;
  let files = 0;
  const expand = async (list: readonly string[]): Promise<string[]> => {
    const out: string[] = [];
    for (const arg of list) {
      const text =
        arg.length > 1 && arg.startsWith('@') && files < MAX_FILES
          ? await readFile(resolve(directory, arg.slice(1)), 'utf8').catch(() => undefined)
          : undefined;
      if (text === undefined || text.length > MAX_BYTES) out.push(arg);
      else {
        files++;
        out.push(...(await expand(splitResponse(text))));
      }
    }
    return out;
  };
  return expand(args);
}
