import { keptLine } from '../diff/edits.ts';
import { baseName } from '../diff/line-text.ts';
import { plainName } from '../diff/signatures.ts';
import type { SourceEdits } from '../diff/types.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { ObjectModel } from '../object.ts';
import { isMacroStatic } from '../special/index.ts';
import { finding, replacedFunctions, revertHunk } from './support.ts';
import type { Finding, Hazard } from './types.ts';

/**
 * `static-local-ambiguous`: a function has several static locals of one name (in different blocks), and another number of them than before:
 * which of the running copies each one means cannot be told. Not where all that can have a running copy are declared on lines with nothing edited
 * beside them, nor for what macros make for their own bookkeeping.
 */
export const staticLocalAmbiguous: Hazard = {
  codes: ['static-local-ambiguous'],
  find: (input) => {
    const before = statics(input.pair.base);
    const after = statics(input.pair.next);
    const replaced = new Set(replacedFunctions(input).map(({ name }) => plainName(name)));
    const findings: Finding[] = [];
    for (const [key, base] of before) {
      const next = after.get(key);
      if (!next || base.count === next.count || Math.max(base.count, next.count) < 2) continue;
      if (!replaced.has(base.scope) || isMacroStatic(base.name, base.section) || isSettled(base, next, input.edits))
        continue;
      findings.push(
        finding({
          code: 'static-local-ambiguous',
          severity: 'blocker',
          symbol: base.name,
          at: next.at,
          message: `${base.scope}() had ${base.count} static variable${base.count === 1 ? '' : 's'} called ${base.name} and has ${next.count} now: which running copy each one means cannot be told, and taking the wrong one corrupts its state. Give the new ones names of their own.`,
          evidence: { function: base.scope, baseCount: base.count, nextCount: next.count },
          related: base.at ? [{ at: base.at, message: 'before' }] : [],
          fixes: revertHunk(next.at, base.name),
        }),
      );
    }
    return findings;
  },
};

interface Statics {
  readonly scope: string;
  readonly name: string;
  readonly section: string;
  count: number;
  at?: SourceLocation;
  readonly decls: SourceLocation[];
}

/** Each variable of the side that has fewer of them is declared where nobody edited anything: the pairing went by those lines. */
function isSettled(base: Statics, next: Statics, edits: SourceEdits | undefined): boolean {
  if (!edits) return false;
  const key = (file: string, line: number) => `${baseName(file)}:${line}`;
  const after = new Set(next.decls.map(({ file, line }) => key(file, line)));
  const kept = new Set<string>();
  for (const { file, line } of base.decls) {
    const to = keptLine(edits, file, line);
    if (to !== undefined && after.has(key(file, to))) kept.add(key(file, to));
  }
  return after.size === next.count && kept.size === Math.min(base.count, next.count);
}

function statics({ dwarf, elf }: ObjectModel): Map<string, Statics> {
  const map = new Map<string, Statics>();
  const places = new Set<string>();
  for (const { scope, name, decl, place } of dwarf.variables) {
    if (scope === undefined || !place) continue;
    // One variable shows once for each inlined copy of its function.
    const where = `${place.section}:${place.offset}`;
    if (places.has(where)) continue;
    places.add(where);
    const key = `${scope}/${name}`;
    const entry = map.get(key) ?? {
      scope,
      name,
      section: elf.sections[place.section]?.name ?? '',
      count: 0,
      decls: [],
    };
    entry.count++;
    if (decl) {
      entry.at = decl;
      entry.decls.push(decl);
    }
    map.set(key, entry);
  }
  return map;
}
