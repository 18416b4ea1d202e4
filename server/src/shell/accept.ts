import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Accepted, acceptedSymbol, evidenceHash } from '../core/findings/accept.ts';
import type { Finding } from '../core/findings/types.ts';
import { CONFIG_FILE, loadConfig } from './config.ts';
import { parseJson } from './jsonPlaces.ts';

/** Entry for findings of one code and symbol, of all units that have it. */
export function acceptedEntry(findings: readonly Finding[], reason: string): Accepted {
  const first = findings[0]!;
  const evidence = [...new Set(findings.map(evidenceHash))].sort();
  return { code: first.code, symbol: acceptedSymbol(first), reason: reason.trim(), evidence };
}

/**
 * The text of livepatch.json with the list of accepted findings replaced; the rest, comments included, stays as it is. An empty list takes the
 * member out where it was alone in being there, else leaves `[]`.
 * @throws Error where the text is not a JSON object
 */
export function withAccepted(text: string, accepted: readonly Accepted[]): string {
  const source = text.trim() === '' ? '{}\n' : text;
  const root = parseJson(source);
  if (!root.members) throw new Error(`${CONFIG_FILE} is not a JSON object.`);
  const indent = /\n([ \t]+)"/.exec(source)?.[1] ?? '  ';
  const list =
    accepted.length === 0 ? '[]' : JSON.stringify(accepted, undefined, indent).replaceAll('\n', `\n${indent}`);
  const member = root.members.find(({ key }) => key === 'accepted');
  if (member) return source.slice(0, member.node.offset) + list + source.slice(member.node.end);
  const last = root.members.at(-1);
  const close = root.end - 1;
  if (!last) return `${source.slice(0, close).trimEnd()}\n${indent}"accepted": ${list}\n${source.slice(close)}`;
  // Between the last member and the brace there may be a comment, which stays where it is.
  const tail = source.slice(last.node.end, close).trimEnd();
  return `${source.slice(0, last.node.end)},${tail}\n${indent}"accepted": ${list}\n${source.slice(close)}`;
}

/**
 * Writes the acceptance of findings (of one code and symbol) into livepatch.json, which is made where it is missing. An older
 * acceptance of the same code and symbol is replaced.
 * @param reason undefined: takes the acceptance back
 * @returns path of the file
 */
export async function writeAcceptance(
  root: string,
  about: { readonly code: string; readonly symbol: string },
  findings: readonly Finding[],
  reason: string | undefined,
): Promise<string> {
  const path = join(root, CONFIG_FILE);
  const text = existsSync(path) ? await readFile(path, 'utf8') : '';
  // As the file is now: somebody else may have accepted another one meanwhile.
  const known = (await loadConfig(root)).config.accepted ?? [];
  const others = known.filter(({ code, symbol }) => code !== about.code || symbol !== about.symbol);
  const entries = reason === undefined ? others : [...others, acceptedEntry(findings, reason)];
  const next = withAccepted(text, entries);
  // In one step: the session and the editor watch the file.
  const scratch = `${path}.new`;
  await writeFile(scratch, next);
  await rename(scratch, path);
  return path;
}
