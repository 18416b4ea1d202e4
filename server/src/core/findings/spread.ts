import type { PatchedUnit } from './reach.ts';
import { finding, isHeader, listed, shortName } from './support.ts';
import type { Finding } from './types.ts';

/** A place where the source of a unit names a macro that an edited header defines. */
export interface MacroUse {
  readonly macro: string;
  /** Source path of the unit, and the first line of it that names the macro, from 1. */
  readonly file: string;
  readonly line: number;
}

/** What is known of an edited header: units that changed because of it, and units that changed, read it and have other edits as well. */
function spreadText(header: string, certain: readonly string[], mixed: readonly string[]): string {
  const one = mixed.length === 1;
  if (mixed.length === 0) return `The edit of ${header} changes the code of ${listed(certain)}`;
  const others = `${listed(mixed)} read${one ? 's' : ''} ${certain.length > 0 ? 'it' : `the edited ${header}`} and changed, and ha${one ? 's' : 've'} other edits too: ${certain.length > 0 ? 'it' : header} need not be why`;
  return certain.length > 0 ? `The edit of ${header} changes the code of ${listed(certain)}; ${others}` : others;
}

/** Units outside of the patch that name an edited macro. */
function leftText(uses: readonly MacroUse[]): string {
  const files = [...new Set(uses.map(({ file }) => shortName(file)))].sort();
  const one = files.length === 1;
  return `${listed(files)} name${one ? 's' : ''} ${listed([...new Set(uses.map(({ macro }) => macro))])} as well and ${one ? 'is' : 'are'} not in the patch: ${one ? 'it goes' : 'they go'} on with the old text of the macro. Compare ${one ? 'it' : 'them'}, too, or rebuild ${one ? 'it' : 'them'} into the patch.`;
}

/** One note for each edited header: which units changed, which only compiled to the same code. At the first unit that changed. */
export function spread(
  patched: readonly PatchedUnit[],
  same: readonly string[],
  macros: ReadonlyMap<string, readonly MacroUse[]>,
): [number, Finding][] {
  const notes: [number, Finding][] = [];
  const headers = new Map<string, number[]>();
  // A finding alone, of a type for instance, is no change of the code.
  const isChanged = ({ diff }: PatchedUnit): boolean => diff.functions.length + diff.data.length > 0;
  const unmovedFiles = patched.filter((unit) => !isChanged(unit)).map(({ file }) => file);
  const allSame = [...same, ...unmovedFiles];
  const known = new Set([...same, ...patched.map(({ file }) => file)]);
  for (const [index, unit] of patched.entries()) {
    if (!isChanged(unit)) continue;
    for (const path of unit.edits.keys()) {
      if (path === unit.file || !isHeader(path)) continue;
      headers.set(path, [...(headers.get(path) ?? []), index]);
    }
  }
  for (const [path, indices] of headers) {
    const uses = macros.get(path) ?? [];
    // Units that were not looked at: the patch leaves them as they are.
    const left = uses.filter(({ file }) => !known.has(file));
    if (indices.length + allSame.length < 2 && left.length === 0) continue;
    // A source that is built twice is named once.
    const namesOf = (of: readonly number[]) => [...new Set(of.map((index) => shortName(patched[index]!.file)))].sort();
    const changed = namesOf(indices);
    // Only where nothing else was edited is this header known to be why the unit's code differs.
    const certain = namesOf(indices.filter((index) => patched[index]!.edits.size === 1));
    const mixed = changed.filter((name) => !certain.includes(name));
    const line = patched[indices[0]!]!.edits.get(path)?.[0]?.nextStart ?? 1;
    // Units that name an edited macro and are not in the patch: the edit does not reach their code.
    const outside = uses.filter(({ file }) => allSame.includes(file));
    const names = [...new Set(outside.map(({ macro }) => macro))];
    const files = [...new Set(outside.map(({ file }) => shortName(file)))];
    const unmoved =
      outside.length === 0
        ? ''
        : ` ${listed(files)} name${files.length === 1 ? 's' : ''} ${listed(names)} and came out the same: the edit makes no difference there, and ${files.length === 1 ? 'it stays' : 'they stay'} out of the patch.`;
    const stay = left.length === 0 ? '' : ` ${leftText(left)}`;
    notes.push([
      indices[0]!,
      finding({
        code: 'header-spread',
        severity: left.length > 0 ? 'review' : 'note',
        symbol: shortName(path),
        at: { file: path, line: Math.max(line, 1) },
        message: `${spreadText(shortName(path), certain, mixed)}${allSame.length > 0 ? `; ${allSame.length} other unit${allSame.length === 1 ? '' : 's'} that ${allSame.length === 1 ? 'was' : 'were'} rebuilt came out the same` : ''}.${changed.length + allSame.length > 1 ? ' All of them are one patch.' : ''}${unmoved}${stay}`,
        evidence: {
          changed,
          ...(mixed.length > 0 && { otherEdits: mixed }),
          same: allSame.map(shortName).sort().slice(0, 64),
          sameCount: allSame.length,
          ...(left.length > 0 && { unpatchedUnits: left.map(({ macro, file }) => `${macro}: ${shortName(file)}`) }),
          ...(outside.length > 0 && { macros: outside.map(({ macro, file }) => `${macro}: ${shortName(file)}`) }),
        },
        related: [...left, ...outside].slice(0, 12).map(({ macro, file, line: at }) => ({
          at: { file, line: at },
          message: `${shortName(file)} names ${macro} here, and is not in the patch`,
        })),
      }),
    ]);
  }
  return notes;
}
