import type { SourceLocation } from '../dwarf/types.ts';
import type { Finding } from '../findings/types.ts';
import type { PatchUnit } from './types.ts';

/** `common/kernel.c#twice.isra.0` → `twice`. */
const plain = (name: string): string =>
  name
    .slice(name.lastIndexOf('#') + 1)
    .replace(/\.lp\d+$/, '')
    .replace(/\.(isra|constprop|part|cold|\d+)(\.|$).*$/, '');

/** First line of a change. */
function changed(unit: PatchUnit, name: string | undefined): SourceLocation | undefined {
  const functions = unit.diff.functions.filter((one) => name === undefined || plain(one.name) === name);
  for (const { changedLines, at } of functions) {
    const place = changedLines[0] ?? at;
    if (place) return place;
  }
  return unit.diff.data.find((one) => (name === undefined || plain(one.name) === name) && one.at)?.at;
}

/** Where something of this name is defined in the edited source. */
function defined({ pair: { next } }: PatchUnit, name: string): SourceLocation | undefined {
  const { functions, variables } = next.dwarf;
  return (
    functions.find((one) => (one.linkageName ?? one.name) === name && one.decl)?.decl ??
    variables.find((one) => (one.linkageName ?? one.name) === name && one.decl && !one.declaration)?.decl
  );
}

/** Where the first thing of a section of this name, a hook for instance, is defined in the edited source. */
function inSection({ pair: { next } }: PatchUnit, section: string): SourceLocation | undefined {
  const indices = new Set(next.elf.sectionsNamed(section).map(({ index }) => index));
  return next.dwarf.variables.find(({ place, decl }) => decl && place && indices.has(place.section))?.decl;
}

/**
 * Findings about a payload with the places in the edited source that they speak of: the change that brought what is named, else its
 * definition; for what speaks of the payload as a whole, the first change of its unit.
 */
export function placed(findings: readonly Finding[], units: readonly PatchUnit[]): readonly Finding[] {
  return findings.map((finding) => {
    if (finding.at) return finding;
    const { symbol } = finding;
    const name = plain(symbol);
    const of = (look: (unit: PatchUnit) => SourceLocation | undefined): SourceLocation | undefined => {
      for (const unit of units) {
        const found = look(unit);
        if (found) return found;
      }
      return undefined;
    };
    const at =
      of((unit) => (name === '' ? undefined : changed(unit, name))) ??
      of((unit) => (name === '' ? undefined : defined(unit, name))) ??
      of((unit) => inSection(unit, symbol)) ??
      of((unit) => (unit.pair.provenance.unit === symbol ? changed(unit, undefined) : undefined)) ??
      of((unit) => changed(unit, undefined));
    return at ? { ...finding, at } : finding;
  });
}
