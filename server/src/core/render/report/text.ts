/** Text of names, paths and messages made harmless for each form: they come from object files and may hold anything. */

/** Control characters, and marks that change the direction of what follows, as visible escapes. Line breaks become spaces. */
export function visible(text: string): string {
  let safe = '';
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (character === '\n' || character === '\t' || character === '\r') safe += ' ';
    else if (isHidden(code))
      safe += code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
    else safe += character;
  }
  return safe;
}

/** Controls, zero-width and direction marks, lone surrogates, and what XML and HTML have no place for. */
const isHidden = (code: number): boolean =>
  code < 0x20 ||
  (code >= 0x7f && code < 0xa0) ||
  (code >= 0x200b && code <= 0x200f) ||
  (code >= 0x202a && code <= 0x202e) ||
  (code >= 0x2060 && code <= 0x206f) ||
  (code >= 0xd800 && code <= 0xdfff) ||
  code === 0xfeff ||
  (code & 0xfffe) === 0xfffe;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for HTML and SVG, also within attributes in quotes. */
export const html = (text: string): string => visible(text).replace(/[&<>"']/g, (character) => ENTITIES[character]!);

/** The same for several lines in a <pre>. */
export const htmlLines = (text: string): string => text.split('\n').map(html).join('\n');

/** Plain words in Markdown (CommonMark, "Backslash escapes"), also within a table cell. */
export const markdown = (text: string): string =>
  visible(text)
    .replace(/[\\`*_{}[\]<>#|~!&$]/g, '\\$&')
    .replace(/^(\s*)([-+=])/, '$1\\$2')
    .replace(/^(\s*\d+)([.)])(?=\s|$)/, '$1\\$2')
    // Addresses would become links by themselves.
    .replace(/\b(https?|ftp):\/\//gi, '$1\\://')
    .replace(/\bwww\./gi, 'www\\.')
    .replace(/@/g, '\\@');

/** A code span (CommonMark, "Code spans"); `|` is escaped, as table cells want it. */
export function code(text: string): string {
  const shown = visible(text).replace(/\|/g, '\\|');
  if (shown.trim() === '') return shown === '' ? '' : '` `';
  const longest = Math.max(0, ...[...shown.matchAll(/`+/g)].map((run) => run[0].length));
  const fence = '`'.repeat(longest + 1);
  const space = shown.startsWith('`') || shown.endsWith('`') ? ' ' : '';
  return `${fence}${space}${shown}${space}${fence}`;
}

/** A fenced block that nothing in the text can end. */
export function fence(language: string, text: string): string {
  const lines = text.replace(/\n$/, '').split('\n').map(visible);
  const longest = Math.max(2, ...lines.flatMap((line) => [...line.matchAll(/`+/g)].map((run) => run[0].length)));
  const marks = '`'.repeat(longest + 1);
  return `${marks}${language}\n${lines.join('\n')}\n${marks}\n`;
}

/** `1 function`, `2 functions`. */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

/** `812 bytes`, `6.1 KiB`, `2 MiB`. */
export function size(bytes: number): string {
  if (bytes < 1024) return count(bytes, 'byte');
  const [value, unit] = bytes < 1 << 20 ? [bytes / 1024, 'KiB'] : [bytes / (1 << 20), 'MiB'];
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${unit}`;
}

/** An argument vector as a shell would take it. */
export const shell = (args: readonly string[]): string =>
  args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replace(/'/g, `'\\''`)}'`)).join(' ');
