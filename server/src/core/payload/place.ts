import { type Body, placesOf } from '../asm/places.ts';
import { relocationsIn } from '../asm/targets.ts';
import type { ElfFile } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { compareToLinked } from './baseline.ts';
import { fileOf, type Home, homesIn, linkedSymbol, sharedSymbol } from './home.ts';
import type { PlannedUnit } from './plan.ts';
import { refusal } from './refusal.ts';
import type { Replacement, Selection } from './select.ts';
import type { LinkedModule, PatchUnit, PlanOptions } from './types.ts';

/** What became of the units: where they are part of the linked files, and what does not concern the files that are patched. */
export interface Placement {
  readonly planned: readonly PlannedUnit[];
  /** Functions of units that are part of other linked files, or that are in the patch already. */
  readonly leftOut: readonly { readonly name: string; readonly why: string }[];
  readonly refusals: readonly Finding[];
}

/** A unit with the functions to redirect. */
export interface SelectedUnit {
  readonly unit: PatchUnit;
  readonly selection: Selection;
}

/**
 * Finds the linked file, and the place in it, that each unit is part of. Names come first; where they fit several places (sources of one name,
 * one source compiled for several programs) the code decides. With `options.modules`, units of other files are left aside. No function is
 * redirected twice: of two units that both claim it, the one goes that fits the linked file less.
 * @param moved names that units defined and define no longer
 */
export function placeUnits(
  units: readonly SelectedUnit[],
  modules: readonly LinkedModule[],
  options: PlanOptions,
  moved: ReadonlySet<string>,
): Placement {
  const planned: PlannedUnit[] = [];
  const leftOut: { name: string; why: string }[] = [];
  const refusals: Finding[] = [];
  const fresh: PatchUnit[] = [];
  for (const { unit, selection } of units) {
    if (unit.pair.provenance.added) {
      fresh.push(unit);
      continue;
    }
    const home = findHome(unit, selection, modules, options);
    // A unit that has nothing but new data and is in no linked file of ours lends nothing: who needs it is told.
    if ('code' in home && selection.replaced.length === 0 && !unit.diff.functions.some((one) => one.status === 'new'))
      continue;
    if ('code' in home) refusals.push(home);
    else if ('elsewhere' in home) leftOut.push(...named(selection.replaced, `it is part of ${home.elsewhere}`));
    else planned.push({ unit, replaced: selection.replaced, home });
  }
  const once = withoutTwins(planned);
  // Sources that the program was built without are where those are that use them.
  const main = once.planned.find((one) => one.replaced.length > 0)?.home.module;
  const lent: PlannedUnit[] = [];
  for (const unit of main ? fresh : []) {
    const twice = definedTwice(unit.pair.next.elf, main!.elf, moved);
    if (twice === undefined) lent.push({ unit, replaced: [], home: { module: main!, group: undefined, found: 0 } });
    else
      leftOut.push({
        name: unit.pair.provenance.unit,
        why: `it defines ${twice}, which ${main!.path} has already: it is part of another program`,
      });
  }
  return {
    planned: [...once.planned, ...lent],
    leftOut: [...leftOut, ...once.leftOut],
    refusals: [...refusals, ...once.refusals],
  };
}

const named = (list: readonly Replacement[], why: string) => list.map((one) => ({ name: one.base.name, why }));

function findHome(
  unit: PatchUnit,
  selection: Selection,
  modules: readonly LinkedModule[],
  options: PlanOptions,
): Home | Finding | { readonly elsewhere: string } {
  const { elf } = unit.pair.base;
  const name = unit.pair.provenance.unit;
  const byId = new Map<string, Home[]>();
  const elsewhere: Home[] = [];
  for (const module of modules) {
    const id = module.elf.buildId ?? '';
    const homes = homesIn(elf, module);
    if (options.modules && !options.modules.includes(id)) elsewhere.push(...homes);
    // Copies and links of one file have one build id.
    else if (homes.length > 0 && !byId.has(id)) byId.set(id, homes);
  }
  const fits = (home: Home) => differing(unit, selection, home).length === 0;
  const other = elsewhere.length > 0 && ![...byId.values()].flat().some(fits) ? elsewhere.find(fits) : undefined;
  if (other) return { elsewhere: `${other.module.path}, which this patch is not for` };
  if (byId.size === 0)
    return refusal(
      'symbol-unresolved',
      name,
      `No linked file has the functions of ${fileOf(elf) || name}. Build the program first, or name it in "binaries" of livepatch.json; a stripped program needs its unstripped file there.`,
      { looked: modules.map((module) => module.path) },
    );
  if (byId.size > 1) {
    const holding = best(
      [...byId].filter(([, homes]) => homes.some(fits)),
      ([, homes]) => Math.max(...homes.map((home) => likeness(elf, home))),
    );
    if (holding.length === 1) return inModule(unit, selection, holding[0]![1]);
    const paths = [...byId.values()].map((homes) => homes[0]!.module.path);
    return refusal(
      'symbol-ambiguous',
      name,
      `${name} is part of several linked files: ${paths.join(', ')}. Say which of them is to be patched: livepatch build --binary FILE, or --pid of the process that runs it (in livepatch.json: "binaries", or a target).`,
      { files: paths },
    );
  }
  return inModule(unit, selection, [...byId.values()][0]!);
}

/** The place in one linked file. */
function inModule(unit: PatchUnit, selection: Selection, homes: readonly Home[]): Home | Finding {
  const { elf } = unit.pair.base;
  const { module } = homes[0]!;
  if (module.elf.buildId === undefined)
    return refusal(
      'build-id-mismatch',
      module.path,
      `${module.path} has no build id, so that a running copy of it cannot be told from another build. Link with -Wl,--build-id.`,
    );
  if (homes.length === 1) return homes[0]!;
  const fitting = homes.filter((home) => differing(unit, selection, home).length === 0);
  const closest = best(fitting, (home) => likeness(elf, home));
  if (closest.length === 1) return closest[0]!;
  return refusal(
    'symbol-ambiguous',
    unit.pair.provenance.unit,
    `${module.path} has ${homes.length} objects named ${fileOf(elf)} with the same local symbols, and the code ${fitting.length === 0 ? 'is in none of them' : 'does not tell them apart'}.`,
  );
}

/** Those with the highest score. */
function best<T>(list: readonly T[], score: (one: T) => number): T[] {
  if (list.length < 2) return [...list];
  const scored = list.map((one) => ({ one, value: score(one) }));
  const highest = Math.max(...scored.map(({ value }) => value));
  return scored.filter(({ value }) => value === highest).map(({ one }) => one);
}

/** Functions to redirect whose old code is not what the linked file holds at this place. */
function differing(unit: PatchUnit, selection: Selection, home: Home): string[] {
  const { elf } = unit.pair.base;
  const places = placesOf(elf);
  return selection.replaced.filter((one) => !holds(elf, places.bodyOf(one.base), home)).map((one) => one.base.name);
}

function holds(base: ElfFile, body: Body | undefined, home: Home): boolean {
  const linked = body && linkedSymbol(home, body.symbols[0]!);
  return linked !== undefined && compareToLinked(base, body!, home, linked).same;
}

/** A global of an object that cannot be linked into a file, since that has one of this name: a test with its own `main` and its own versions of functions. */
function definedTwice(object: ElfFile, linked: ElfFile, moved: ReadonlySet<string>): string | undefined {
  return object.symbols.find(
    ({ name, bind, place, type }) =>
      bind === 'global' &&
      typeof place === 'number' &&
      (type === 'func' || type === 'object') &&
      !moved.has(name) &&
      ((shared) => shared !== undefined && shared.bind !== 'weak' && typeof shared.place === 'number')(
        sharedSymbol(linked, name),
      ),
  )?.name;
}

/** Whether a linked file was built from an object, as it is: it holds functions of it, and none otherwise. */
export function isPartOf(object: ElfFile, module: LinkedModule): boolean {
  const { bodies } = placesOf(object);
  return homesIn(object, module).some((home) => {
    const linked = bodies.filter((body) => linkedSymbol(home, body.symbols[0]!) !== undefined);
    return linked.length > 0 && linked.every((body) => holds(object, body, home));
  });
}

/** Share of all functions of a unit that a linked file holds as they are, from 0 to 1. */
function likeness(base: ElfFile, home: Home): number {
  const { bodies } = placesOf(base);
  return bodies.filter((body) => holds(base, body, home)).length / Math.max(1, bodies.length);
}

/** Takes out what several units would redirect: one source that is compiled for several programs, of which one is patched. */
function withoutTwins(planned: readonly PlannedUnit[]): Placement {
  const claims = new Map<string, { unit: PlannedUnit; one: Replacement }[]>();
  for (const unit of planned) {
    for (const one of unit.replaced) {
      const linked = linkedSymbol(unit.home, one.base);
      if (!linked) continue;
      const key = `${unit.home.module.elf.buildId}:${linked.value}`;
      claims.set(key, [...(claims.get(key) ?? []), { unit, one }]);
    }
  }
  const dropped = new Map<Replacement, string>();
  const refusals: Finding[] = [];
  for (const claim of claims.values()) {
    if (claim.length < 2) continue;
    const [first, ...rest] = best(claim, ({ unit }) => likeness(unit.unit.pair.base.elf, unit.home));
    const { name } = first!.one.base;
    if (
      rest.some(
        ({ unit, one }) =>
          !sameCode(first!.unit.unit.pair.next.elf, first!.one.body, unit.unit.pair.next.elf, one.body),
      )
    )
      refusals.push(
        refusal(
          'symbol-ambiguous',
          name,
          `${name} is compiled more than once (${claim.map(({ unit }) => unit.unit.pair.provenance.unit).join(', ')}), with the same old code and different new code: which of them ${first!.unit.home.module.path} is made of cannot be told. Give a build folder (-p) that has only the commands of that program.`,
          {},
          first!.one.change?.at,
        ),
      );
    for (const { one } of claim)
      if (one !== first!.one) dropped.set(one, `${first!.unit.unit.pair.provenance.unit} has it already`);
  }
  if (dropped.size === 0) return { planned, leftOut: [], refusals };
  const leftOut: { name: string; why: string }[] = [];
  const kept = planned.flatMap((unit) => {
    const replaced = unit.replaced.filter((one) => !dropped.has(one));
    for (const one of unit.replaced)
      if (dropped.has(one)) leftOut.push({ name: one.base.name, why: dropped.get(one)! });
    return replaced.length > 0 || unit.replaced.length === 0 ? [{ ...unit, replaced }] : [];
  });
  return { planned: kept, leftOut, refusals };
}

/** The same bytes, and references to the same names at the same places. */
function sameCode(a: ElfFile, aBody: Body, b: ElfFile, bBody: Body): boolean {
  return codeKey(a, aBody) === codeKey(b, bBody);
}

function codeKey(elf: ElfFile, body: Body): string {
  const bytes = elf.sections[body.section]!.data.subarray(body.start, body.start + body.size);
  const references = relocationsIn(elf.relocationsOf(body.section), body.start, body.start + body.size).map((one) => {
    const symbol = elf.symbols[one.symbol];
    return [one.offset - body.start, one.type, symbol?.name, one.addend].join();
  });
  return [Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''), ...references].join('\n');
}
