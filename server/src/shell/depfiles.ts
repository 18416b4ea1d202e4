import { readFile } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import type { CompileCommand } from './types.ts';

/**
 * Reads the prerequisites of a dependency file as gcc and clang write it: make syntax, with `\ ` for a blank, `\#`, `$$`,
 * and lines continued by a backslash. Phony rules of -MP (a target without prerequisites) add nothing.
 * @returns absolute paths, relative ones taken from `directory`; in order, without repetition.
 */
export function parseDepfile(text: string, directory: string): string[] {
  const paths = new Set<string>();
  for (const rule of text.replace(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    const colon = /:(?=\s|$)/.exec(rule);
    if (!colon) continue;
    for (const word of makeWords(rule.slice(colon.index + 1))) paths.add(resolve(directory, word));
  }
  return [...paths];
}

function makeWords(text: string): string[] {
  const words: string[] = [];
  let word = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    const next = text[at + 1];
    if (char === '\\' && next !== undefined && ' \t#:'.includes(next)) {
      word += next;
      at++;
    } else if (char === '$' && next === '$') {
      word += '$';
      at++;
    } else if (char === ' ' || char === '\t') {
      if (word !== '') words.push(word);
      word = '';
    } else {
      word += char;
    }
  }
  if (word !== '') words.push(word);
  return words;
}

/** Places where builds leave the dependency file of an object: `x.d`, `x.o.d`, `.x.o.d`, automake's `.deps/x.Po`, Kbuild's `.x.o.cmd`. */
function depfilesBeside(command: CompileCommand): string[] {
  const places: string[] = [];
  const args = command.arguments;
  args.forEach((arg, index) => {
    if (arg === '-MF' && args[index + 1] !== undefined) places.push(resolve(command.directory, args[index + 1]!));
    const passed = /^-Wp,-MM?D,([^,]+)/.exec(arg);
    if (passed) places.push(resolve(command.directory, passed[1]!));
  });
  const output = command.output;
  if (output !== undefined) {
    const folder = dirname(output);
    const name = output.slice(folder.length + 1);
    const stem = name.slice(0, name.length - extname(name).length);
    for (const file of [`${stem}.d`, `${name}.d`, `.${name}.d`, `.${stem}.d`]) places.push(join(folder, file));
    places.push(join(folder, '.deps', `${stem}.Po`), join(folder, '.deps', `${stem}.d`));
  }
  return [...new Set(places)];
}

/**
 * What the last real build of the object read, from the dependency file that it left; undefined where there is none that
 * names the source.
 */
export async function knownDependencies(command: CompileCommand): Promise<string[] | undefined> {
  if (command.origin.endsWith('.cmd')) {
    const text = await readFile(command.origin, 'utf8').catch(() => '');
    const listed = /^deps_\S+\s*:=((?:[^\n]*\\\n)*[^\n]*)/m.exec(text);
    if (listed) {
      const words = makeWords(listed[1]!.replace(/\\\n/g, ' ')).filter((word) => !word.startsWith('$('));
      return [...new Set([command.file, ...words.map((word) => resolve(command.directory, word))])];
    }
  }
  for (const place of depfilesBeside(command)) {
    const text = await readFile(place, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const paths = parseDepfile(text, command.directory);
    if (paths.includes(command.file)) return paths;
  }
  return undefined;
}
