// Texts that the extension shows: those in `l10n.t('…')` of the editor's side and of the language server. `node scripts/lib/l10n.mjs`
// writes those that l10n/bundle.l10n.LANGUAGE.json lacks into it (with the text itself, to be translated) and drops those that are gone.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const repository = join(import.meta.dirname, '..', '..');
/** Folders whose texts are shown in the editor. */
const FOLDERS = ['client/src', 'server/src/lsp'];
/** Single files beside them. */
const FILES = ['server/src/main.ts', 'server/src/session.ts', 'server/src/session/spread.ts'];

/** All `.ts` files below a folder. */
export function sources(folder) {
  return readdirSync(join(repository, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

/**
 * Texts of `l10n.t(…)` and `say(…)` in a source. A first argument that is no plain string throws: it could never be looked up in a bundle.
 *
 * @param {string} text
 * @param {string} file for the message
 */
export function textsOf(text, file) {
  const found = [];
  for (const match of text.matchAll(/(?<!\w)(?:l10n\.t|#say)\(\s*(?=(.))/gs)) {
    const rest = text.slice(match.index + match[0].length);
    if (/^(text|params|args)\b/.test(rest) || /^text: string/.test(rest)) continue;
    const literal = /^(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")/.exec(rest)?.[0];
    if (!literal || /^\s*\+/.test(rest.slice(literal.length)))
      throw new Error(`${file}: l10n.t takes one plain string first, not ${rest.slice(0, 60)}`);
    // A JavaScript string without escapes of numbers is a JSON string, but for its quotes.
    const inner = literal
      .slice(1, -1)
      .replace(/\\'/g, "'")
      .replace(/(?<!\\)"/g, '\\"');
    found.push(JSON.parse(`"${inner}"`));
  }
  return found;
}

/** Every text that a bundle has to hold, sorted. */
export function allTexts() {
  const files = [...FOLDERS.flatMap(sources), ...FILES.map((name) => join(repository, name))];
  return [...new Set(files.flatMap((file) => textsOf(readFileSync(file, 'utf8'), file)))].sort();
}

/** Path of a language's bundle. */
export const bundlePath = (language) => join(repository, 'l10n', `bundle.l10n.${language}.json`);

if (process.argv[1] === import.meta.filename)
  for (const name of readdirSync(join(repository, 'l10n'))) {
    const language = /^bundle\.l10n\.([\w-]+)\.json$/.exec(name)?.[1];
    if (!language) continue;
    const known = JSON.parse(readFileSync(bundlePath(language), 'utf8'));
    const bundle = Object.fromEntries(allTexts().map((text) => [text, known[text] ?? text]));
    writeFileSync(bundlePath(language), `${JSON.stringify(bundle, undefined, 2)}\n`);
    const open = Object.keys(bundle).filter((text) => known[text] === undefined);
    console.log(`${language}: ${Object.keys(bundle).length} texts, ${open.length} to be translated`);
    for (const text of open) console.log(`  ${text}`);
  }
