import { scannerFor } from '../asm/machine.ts';
import { type Body, isNobits, placesOf } from '../asm/places.ts';
import { KIND } from '../asm/scan.ts';
import type { ElfSymbol } from '../elf/types.ts';
import { type NewRelocation, type NewSection, type NewSymbol, writeElf } from '../elf/write.ts';
import type { Finding } from '../findings/types.ts';
import { compareToLinked } from './baseline.ts';
import { bytesAt, fileOf, linkedSymbol } from './home.ts';
import { encodeManifest, isPatchId, MANIFEST_SECTION } from './manifest.ts';
import { placeUnits, type SelectedUnit } from './place.ts';
import { makePlan, type Plan, type PlannedUnit } from './plan.ts';
import { hexAddress, refusal } from './refusal.ts';
import { hasNews, isColdPartOf, removedNames, selectFunctions } from './select.ts';
import { sha256Hex } from './sha256.ts';
import type { BuildPayloadOutcome, LinkedModule, Manifest, PatchUnit, PlanOptions, ReplacedFunction } from './types.ts';
import { JUMP_SIZE, jumpOffset } from './x86.ts';

const X86_64 = 62;

/**
 * Builds a process payload (docs/process-payload.md) from compared units and the linked files that they are part of. Refuses
 * with findings: blockers that are not overridden, a base that is not what the linked file holds, functions that cannot be
 * redirected, symbols that cannot be found.
 */
export function buildProcessPayload(
  units: readonly PatchUnit[],
  modules: readonly LinkedModule[],
  options: PlanOptions,
): BuildPayloadOutcome {
  if (!isPatchId(options.id))
    return refused([
      refusal('patch-id', options.id, 'A patch id is 1 to 63 letters, digits, dots, dashes and underscores.'),
    ]);
  const standing = units.flatMap((unit) => unit.findings.filter((finding) => stands(finding, options)));
  if (standing.length > 0) return refused(standing);
  const selections = units.map((unit) => selectFunctions(unit, options));
  const chosen: SelectedUnit[] = [];
  const refusals: Finding[] = [];
  for (const [index, unit] of units.entries()) {
    const selection = selections[index]!;
    if (selection.replaced.length === 0 && !hasNews(unit)) continue;
    if (unit.pair.next.elf.machine !== X86_64 || unit.pair.base.elf.machine !== X86_64) {
      refusals.push(
        refusal('endianness-or-class', unit.pair.provenance.unit, 'Process patches are made for x86-64 objects only.'),
      );
      continue;
    }
    chosen.push({ unit, selection });
  }
  const moved = removedNames(units);
  const placement = placeUnits(chosen, modules, options, moved);
  refusals.push(...placement.refusals);
  if (refusals.length > 0) return refused(unique(refusals));
  const planned = [...placement.planned];
  const leftOut = [...selections.flatMap((one) => one.leftOut), ...placement.leftOut];
  if (planned.every((one) => one.replaced.length === 0)) return refused([nothingToDo(units, leftOut)]);
  const split = severalFiles(planned, options.id);
  if (split) return refused([split]);
  // Units that replace nothing only lend definitions: they count as part of the patched file.
  const main = planned.find((one) => one.replaced.length > 0)!.home;
  for (const [i, one] of planned.entries())
    if (one.replaced.length === 0 && one.home.module !== main.module)
      planned[i] = { ...one, home: { ...one.home, module: main.module } };

  const plan = makePlan(planned, moved);
  const replaces: ReplacedFunction[] = [];
  const names = pieceNames(plan);
  for (const [index, unit] of planned.entries()) {
    for (const one of unit.replaced) {
      const made = replacedFunction(unit, one, names[plan.pieceOf(index, one)]!);
      if ('code' in made) refusals.push(made);
      else replaces.push(made);
    }
  }
  refusals.push(...plan.refusals);
  if (refusals.length > 0) return refused(unique(refusals));
  const manifest = makeManifest(planned, modules, plan, replaces, leftOut, options);
  return { kind: 'payload', payload: { bytes: write(plan, names, manifest), manifest } };
}

/** An edit that reaches into several linked files, with what has to go into which payload. */
function severalFiles(planned: readonly PlannedUnit[], id: string): Finding | undefined {
  const byFile = new Map<string, { path: string; names: string[] }>();
  for (const { replaced, home } of planned) {
    if (replaced.length === 0) continue;
    const { path, elf } = home.module;
    const one = byFile.get(elf.buildId!) ?? { path, names: [] };
    one.names.push(...replaced.map(({ base }) => base.name));
    byFile.set(elf.buildId!, one);
  }
  if (byFile.size <= 1) return undefined;
  const files = [...byFile.values()];
  const lists = files.map(({ path, names }) => `${path}: ${names.join(', ')}`).join('; ');
  return refusal(
    'not-atomic',
    id,
    `The edit reaches into ${files.length} linked files, and one payload patches one of them (${lists}). Build one payload for each, leaving out the functions of the others. They are then switched one after the other: in between, and for good should the second be refused, the program runs new code in one file with old code in the other. Do so only where each half is right with the old version of the other.`,
    Object.fromEntries(files.map(({ path, names }) => [path, names])),
  );
}

const refused = (refusals: readonly Finding[]): BuildPayloadOutcome => ({ kind: 'refused', refusals });

const unique = (findings: readonly Finding[]): Finding[] => [
  ...new Map(findings.map((one) => [`${one.code}\0${one.symbol}\0${one.message}`, one])).values(),
];

/** A blocker without a written reason, about something that is in the patch. */
function stands(finding: Finding, options: PlanOptions): boolean {
  if (finding.severity !== 'blocker' || options.leaveOut.includes(finding.symbol)) return false;
  const reason = options.overrides[`${finding.code}:${finding.symbol}`] ?? options.overrides[finding.code];
  return reason === undefined || reason.trim() === '';
}

function nothingToDo(units: readonly PatchUnit[], leftOut: Manifest['leftOut']): Finding {
  const what =
    leftOut.length > 0
      ? leftOut.map(({ name, why }) => `${name} is left out (${why})`).join(', ')
      : units.some(hasNews)
        ? 'what is new is used by no function that changed'
        : 'no machine code changed';
  return refusal(
    'nothing-to-patch',
    units.map((one) => one.pair.provenance.unit).join(', '),
    `There is nothing to put into a patch: ${what}.`,
  );
}

/** Facts about one function in the linked file, or why it cannot be redirected. */
function replacedFunction(
  planned: PlannedUnit,
  one: PlannedUnit['replaced'][number],
  replacement: string,
): ReplacedFunction | Finding {
  const { unit, home } = planned;
  const base = unit.pair.base.elf;
  const { name } = one.base;
  const at = one.change?.at;
  const linked = linkedSymbol(home, one.base);
  const code = linked && bytesAt(home.module.elf, linked.value, linked.size);
  if (!linked || !code)
    return refusal(
      'symbol-unresolved',
      name,
      `${home.module.path} has no function ${name}: it cannot be redirected.`,
      {},
      at,
    );
  if (linked.type === 'ifunc')
    return refusal(
      'forbidden-relocation',
      name,
      `${name} is chosen at start-up (IFUNC): redirecting its resolver has no effect any more.`,
      {},
      at,
    );
  const places = placesOf(base);
  const body = places.bodyOf(one.base);
  const compared = body && compareToLinked(base, body, home, linked);
  if (!compared?.same)
    return refusal(
      'baseline-differs',
      name,
      `${name} of the baseline is not what ${home.module.path} holds${compared ? `: ${compared.why} at byte ${compared.at}` : ''}. Take the revision that the program was built from as baseline, and the same compiler and options.`,
      compared ? { offset: compared.at, difference: compared.why } : {},
      at,
    );
  const jumpAt = jumpOffset(code);
  if (jumpAt === undefined)
    return refusal(
      'func-too-small',
      name,
      `${name} is ${code.length} bytes long and the jump to the new code needs ${JUMP_SIZE}. Change its callers instead.`,
      { size: code.length, needed: JUMP_SIZE },
      at,
    );
  const into = jumpInto(code, jumpAt);
  if (into !== undefined)
    return refusal(
      'func-too-small',
      name,
      `${name} jumps back to its byte ${into}, inside of the ${JUMP_SIZE} bytes that the redirect overwrites. Change its callers instead.`,
      { target: into },
      at,
    );
  return {
    name,
    file: one.base.bind === 'local' ? fileOf(base) : '',
    module: home.module.elf.buildId!,
    address: hexAddress(linked.value),
    size: linked.size,
    oldCode: sha256Hex(code),
    replacement,
    newSize: one.body.size,
    jumpAt,
    parts: [...coldParts(planned, places.bodies, name), ...tailPart(body!, linked)],
  };
}

/** Offset of a direct jump's target that the redirect would cut in two. */
function jumpInto(code: Uint8Array, jumpAt: number): number | undefined {
  const scan = scannerFor(X86_64)!.scan(code);
  for (let i = 0; i < scan.count; i++) {
    if (scan.kind[i] !== KIND.branch && scan.kind[i] !== KIND.jump) continue;
    const target = scan.target[i]!;
    if (target > jumpAt && target < jumpAt + JUMP_SIZE) return target;
  }
  return undefined;
}

function coldParts(planned: PlannedUnit, bodies: readonly Body[], name: string): ReplacedFunction['parts'] {
  return bodies
    .flatMap((body) => body.symbols.filter((symbol) => isColdPartOf(symbol.name, name)))
    .flatMap((symbol) => {
      const linked = linkedSymbol(planned.home, symbol);
      return linked ? [{ name: symbol.name, address: hexAddress(linked.value), size: linked.size }] : [];
    });
}

/** What inline assembly put behind the function's end: threads may stand there as well. */
const tailPart = (body: Body, linked: ElfSymbol): ReplacedFunction['parts'] =>
  body.tail === undefined
    ? []
    : [{ name: `${linked.name}.tail`, address: hexAddress(linked.value + BigInt(linked.size)), size: body.tail }];

/** Names of the payload's own symbols: the source's, made unique with the unit's number where several have one name. */
function pieceNames(plan: Plan): string[] {
  const taken = new Set<string>();
  return plan.pieces.map((piece) => {
    let name = piece.name;
    for (let count = 2; taken.has(name); count++) name = `${piece.name}@${count}`;
    taken.add(name);
    return name;
  });
}

function makeManifest(
  planned: readonly PlannedUnit[],
  modules: readonly LinkedModule[],
  plan: Plan,
  replaces: readonly ReplacedFunction[],
  leftOut: Manifest['leftOut'],
  options: PlanOptions,
): Manifest {
  const patched = new Map(planned.map(({ home }) => [home.module.elf.buildId!, home.module]));
  // A linked file of the project that an import comes from has to be the same build as well.
  const open = new Set(plan.imports.filter((one) => one.address === undefined).map((one) => one.name));
  const imported = modules.filter(
    ({ elf }) =>
      elf.buildId !== undefined &&
      elf.soname !== undefined &&
      !patched.has(elf.buildId) &&
      planned.some(({ home }) => home.module.elf.needed.includes(elf.soname!)) &&
      elf.dynamicSymbols.some((symbol) => symbol.place !== 'undef' && open.has(symbol.name)),
  );
  const base = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
  return {
    schema: 1,
    id: options.id,
    description: options.description,
    created: options.created,
    target: 'process',
    units: planned.map(({ unit }) => ({
      unit: unit.pair.provenance.unit,
      compiler: unit.pair.provenance.compiler,
      command: unit.pair.provenance.nextCommand,
      baseline: unit.pair.provenance.baseline,
    })),
    modules: [
      ...[...patched].map(([buildId, module]) => ({ buildId, name: base(module.path), role: 'patched' as const })),
      ...imported.map(({ path, elf }) => ({ buildId: elf.buildId!, name: base(path), role: 'imported' as const })),
    ],
    replaces,
    adds: plan.pieces
      .filter((piece) => piece.added && piece.kind !== 'constant')
      .map((piece) => ({
        name: piece.name,
        size: piece.end - piece.start,
        kind: piece.kind === 'function' ? ('function' as const) : ('data' as const),
      })),
    imports: plan.imports.map(({ weak: _, ...one }) => one),
    leftOut,
    findings: planned.flatMap(({ unit }) =>
      unit.findings.map(({ code, severity, symbol, message }) => ({ code, severity, symbol, message })),
    ),
    overrides: options.overrides,
  };
}

function write(plan: Plan, names: readonly string[], manifest: Manifest): Uint8Array {
  const sections: NewSection[] = [];
  const symbols: NewSymbol[] = [];
  const relocations: NewRelocation[] = [];
  for (const [index, piece] of plan.pieces.entries()) {
    const nobits = isNobits(piece.section);
    const size = piece.end - piece.start;
    sections.push({
      name: piece.section.name,
      type: piece.section.type,
      // Groups are dissolved, and merging across units would only lose track of who uses what.
      flags: piece.section.flags & 0x7,
      align: piece.align,
      data: nobits ? new Uint8Array(0) : piece.section.data.subarray(piece.start, piece.end),
      size,
    });
    symbols.push({
      name: names[index]!,
      bind: 'local',
      type: piece.kind === 'function' ? 'func' : piece.kind === 'data' ? 'object' : 'notype',
      section: index,
      value: 0,
      size,
    });
  }
  const importIndex = new Map<string, number>();
  for (const one of plan.imports) {
    importIndex.set(one.name, symbols.length);
    symbols.push({
      name: one.name,
      bind: one.weak ? 'weak' : 'global',
      type: 'notype',
      section: 'undef',
      value: 0,
      size: 0,
    });
  }
  for (const [index, piece] of plan.pieces.entries())
    for (const one of piece.relocations)
      relocations.push({
        section: index,
        offset: one.offset,
        type: one.type,
        symbol: one.to.kind === 'piece' ? one.to.piece : importIndex.get(one.to.name)!,
        addend: one.addend,
      });
  sections.push({ name: MANIFEST_SECTION, type: 1, flags: 0, align: 1, data: encodeManifest(manifest) });
  return writeElf({ machine: X86_64, sections, symbols, relocations });
}
