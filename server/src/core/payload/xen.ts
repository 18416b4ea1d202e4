import { readElf } from '../elf/index.ts';
import type { ElfFile } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { bytesAt } from './home.ts';
import { isPatchId } from './manifest.ts';
import { hexAddress, refusal } from './refusal.ts';
import { type Selection, selectFunctions } from './select.ts';
import { fromHex, sha256Hex, toHex } from './sha256.ts';
import type { PatchUnit, PlanOptions } from './types.ts';
import { baselineText, compareWithXen, sumBaselines, type XenBaseline } from './xen-baseline.ts';
import { checkXenPayload } from './xen-check.ts';
import { HOOKS, jumpSize, MAX_PAYLOAD, OPAQUE_SIZE, startsWithEndbr, type XenVersion } from './xen-format.ts';
import { xenHome } from './xen-home.ts';
import { type FunctionEntry, linkXen } from './xen-link.ts';
import { planXen, type XenPlan, type XenUnit } from './xen-plan.ts';
import { tablesOf } from './xen-special.ts';
import { type Hypervisor, replacedNames, versionOf, xenSymbols } from './xen-symbols.ts';

/** Choices of the person who builds a payload for Xen. */
export interface XenOptions extends PlanOptions {
  /** Version of the function table; absent: what the hypervisor wants. */
  readonly version?: XenVersion;
  /** Fill in expectations: Xen then compares the old code before it applies. */
  readonly expectations?: boolean;
  /** Functions, by Xen's name, whose first bytes become NOPs. */
  readonly nops?: readonly { readonly name: string; readonly size: number }[];
}

/** Readable description of a payload for Xen (section `.livepatch.manifest`, JSON). */
export interface XenManifest {
  readonly schema: 1;
  readonly id: string;
  readonly description: string;
  readonly created: string;
  readonly target: 'xen';
  readonly version: XenVersion;
  /** Build ids, hexadecimal: of the hypervisor, and of what it goes on top of. */
  readonly xen: string;
  readonly depends: string;
  readonly units: readonly {
    readonly unit: string;
    readonly compiler: string;
    readonly command: readonly string[];
    readonly baseline: string;
  }[];
  readonly replaces: readonly {
    readonly name: string;
    readonly address: string;
    readonly size: number;
    readonly oldCode: string;
    readonly newSize: number;
  }[];
  readonly nops: readonly { readonly name: string; readonly size: number }[];
  readonly adds: readonly { readonly name: string; readonly size: number; readonly kind: 'function' | 'data' }[];
  readonly imports: readonly string[];
  readonly hooks: readonly { readonly kind: string; readonly name: string }[];
  readonly leftOut: readonly { readonly name: string; readonly why: string }[];
  readonly findings: readonly {
    readonly code: string;
    readonly severity: string;
    readonly symbol: string;
    readonly message: string;
  }[];
  readonly overrides: Readonly<Record<string, string>>;
  /** Functions of the base objects that are the same in the hypervisor. */
  readonly baseline: { readonly checked: number; readonly same: number; readonly text: string };
}

/** A finished payload for Xen, or why there is none. `notes` are findings that the payload itself gives rise to. */
export type XenOutcome =
  | {
      readonly kind: 'payload';
      readonly bytes: Uint8Array;
      readonly buildId: string;
      readonly manifest: XenManifest;
      readonly notes: readonly Finding[];
    }
  | { readonly kind: 'refused'; readonly refusals: readonly Finding[] };

const refused = (refusals: readonly Finding[]): XenOutcome => ({
  kind: 'refused',
  refusals: [...new Map(refusals.map((one) => [`${one.code}\0${one.symbol}\0${one.message}`, one])).values()],
});

/** A blocker without a written reason, about something that is in the patch. */
function stands(finding: Finding, options: PlanOptions): boolean {
  if (finding.severity !== 'blocker' || options.leaveOut.includes(finding.symbol)) return false;
  const reason = options.overrides[`${finding.code}:${finding.symbol}`] ?? options.overrides[finding.code];
  return reason === undefined || reason.trim() === '';
}

/**
 * Builds a payload for Xen out of compared units and the xen-syms that runs. Refuses with findings: blockers that are not
 * overridden, base objects that are not what runs, and whatever the hypervisor would refuse at load.
 */
export function buildXenPayload(units: readonly PatchUnit[], hypervisor: Hypervisor, options: XenOptions): XenOutcome {
  if (!isPatchId(options.id))
    return refused([
      refusal('patch-id', options.id, 'A patch id is 1 to 63 letters, digits, dots, dashes and underscores.'),
    ]);
  const xenId = hypervisor.elf.buildId && fromHex(hypervisor.elf.buildId);
  if (!xenId)
    return refused([
      refusal(
        'build-id-mismatch',
        hypervisor.path,
        `${hypervisor.path} has no build id: it is no xen-syms of a hypervisor with live patching.`,
      ),
    ]);
  const standing = units.flatMap((unit) => unit.findings.filter((finding) => stands(finding, options)));
  if (standing.length > 0) return refused(standing);
  const machine = units.find((unit) => unit.pair.base.elf.machine !== 62 || unit.pair.next.elf.machine !== 62);
  if (machine)
    return refused([
      refusal(
        'endianness-or-class',
        machine.pair.provenance.unit,
        'Payloads for Xen are made for x86-64 objects only.',
      ),
    ]);

  const selections = units.map((unit) => selectFunctions(unit, options));
  const refusals: Finding[] = [];
  const used: XenUnit[] = [];
  units.forEach((unit, index) => {
    const { replaced } = selections[index]!;
    if (replaced.length === 0 && !hasNews(unit)) return;
    const home = xenHome(unit.pair.base.elf, unit.pair.provenance.unit, hypervisor);
    if ('code' in home) refusals.push(home);
    else used.push({ unit, replaced, home });
  });
  const version = options.version ?? versionOf(hypervisor.elf);
  const baselines = used.map(({ unit, home }) => compareWithXen(unit.pair.base.elf, home, hypervisor));
  const baseline = sumBaselines(baselines);
  refusals.push(...baselineFindings(used, baselines, baseline).filter((finding) => stands(finding, options)));

  const plan = planXen(used, xenSymbols(hypervisor));
  refusals.push(...plan.refusals);
  const functions = functionEntries(used, plan, hypervisor, options, refusals);
  const hooks = plan.pieces.filter((piece) => piece.kind === 'hook');
  if (functions.length === 0 && hooks.length === 0) return refused([...refusals, nothing(units, selections)]);
  if (refusals.length > 0) return refused(refusals);

  const top = hypervisor.below.at(-1);
  const depends = top ? top.elf.buildId && fromHex(top.elf.buildId) : xenId;
  if (!depends)
    return refused([
      refusal('build-id-mismatch', top!.id, `The applied patch ${top!.id} has no build id to depend on.`),
    ]);
  const notes = payloadNotes(used, plan, hypervisor);
  const manifest = makeManifest(
    used,
    plan,
    functions,
    hypervisor,
    toHex(depends),
    version,
    baseline,
    notes,
    selections,
    options,
  );
  const { bytes, buildId } = linkXen(plan, {
    version,
    functions,
    xen: xenId,
    depends,
    modinfo: [
      `patch=${options.id}`,
      `functions=${functions
        .map((entry) => entry.name)
        .join(',')
        .slice(0, 2000)}`,
      ...(options.description ? [`description=${options.description.replaceAll(/[\0;\n]/g, ' ').slice(0, 200)}`] : []),
    ],
    manifest: new TextEncoder().encode(`${JSON.stringify(manifest, null, 1)}\n`),
  });
  const { elf, problems } = readElf(bytes);
  if (!elf) return refused(problems.map((problem) => refusal('payload-malformed', problem.area, problem.message)));
  const failures = checkXenPayload(elf, hypervisor, version);
  if (failures.length > 0)
    return refused(
      failures.map((finding) => (finding.code === 'payload-too-large' ? tooLarge(plan, used, bytes.length) : finding)),
    );
  return { kind: 'payload', bytes, buildId: toHex(buildId), manifest, notes };
}

/** New functions or data (hooks are such): the unit lends them to the patch although it replaces nothing. */
function hasNews({ diff }: PatchUnit): boolean {
  return diff.functions.some((one) => one.status === 'new') || diff.data.some((one) => one.status === 'new');
}

function nothing(units: readonly PatchUnit[], selections: readonly Selection[]): Finding {
  const out = selections.flatMap((one) => one.leftOut.map((left) => left.name));
  const what =
    out.length > 0
      ? `${out.join(', ')} ${out.length === 1 ? 'is' : 'are'} left out`
      : 'no machine code changed, and there is no hook';
  return refusal(
    'nothing-to-patch',
    units.map((one) => one.pair.provenance.unit).join(', '),
    `There is nothing to put into a patch: ${what}.`,
  );
}

function baselineFindings(units: readonly XenUnit[], baselines: readonly XenBaseline[], all: XenBaseline): Finding[] {
  return units.flatMap(({ unit }, index) => {
    const { differing, checked, absent } = baselines[index]!;
    const name = unit.pair.provenance.unit;
    if (checked === 0 && absent.length > 0) {
      return [
        refusal(
          'baseline-differs',
          name,
          `The hypervisor has none of the functions of ${name}. Is it built into this configuration?`,
          { functions: absent.slice(0, 20) },
        ),
      ];
    }
    return differing.map(({ name: symbol, why, at }) =>
      refusal(
        'baseline-differs',
        symbol,
        `${symbol} as rebuilt from the baseline is not what the hypervisor runs: ${why}. ${baselineText(all)}. Use the compiler, the options and the sources that the hypervisor was built from.`,
        { unit: name, offset: at, reproduce: baselineText(all) },
      ),
    );
  });
}

function functionEntries(
  units: readonly XenUnit[],
  plan: XenPlan,
  hypervisor: Hypervisor,
  options: XenOptions,
  refusals: Finding[],
): FunctionEntry[] {
  const symbols = xenSymbols(hypervisor);
  const patched = new Set(hypervisor.below.flatMap((payload) => replacedNames(payload.elf)));
  const entries: FunctionEntry[] = [];
  const old = (name: string): { size: number; code: Uint8Array } | undefined => {
    const found = symbols.inXen(name);
    if (found.length === 1 && found[0]!.size > 0)
      return {
        size: found[0]!.size,
        code: bytesAt(hypervisor.elf, found[0]!.address, found[0]!.size) ?? new Uint8Array(),
      };
    if (found.length === 0) {
      // A function that a patch below brought.
      const code = hypervisor.below
        .flatMap((payload) =>
          payload.elf.symbols
            .filter((one) => one.name === name && one.type === 'func')
            .map((one) => ({ one, elf: payload.elf })),
        )
        .at(-1);
      if (code)
        return {
          size: code.one.size,
          code: codeOf(code.elf, code.one.place as number, code.one.offset, code.one.size),
        };
    }
    refusals.push(
      found.length > 1
        ? refusal(
            'symbol-ambiguous',
            name,
            `The hypervisor has ${found.length} functions ${name}, and Xen would patch the first. Build the hypervisor with CONFIG_ENFORCE_UNIQUE_SYMBOLS.`,
            { addresses: found.map((one) => hexAddress(one.address)) },
          )
        : refusal('symbol-unresolved', name, `The hypervisor has no function ${name} that could be replaced.`),
    );
    return undefined;
  };
  units.forEach(({ unit, replaced, home }, index) => {
    for (const one of replaced) {
      const name = home.nameOf(one.base);
      const piece = plan.pieceOf(index, one);
      const was = old(name);
      if (!was) continue;
      const needed = jumpSize(was.code);
      if (was.size < needed) {
        refusals.push(
          refusal(
            'func-too-small',
            one.base.name,
            `${name} has ${was.size} bytes, and the jump to its replacement takes ${needed}${needed === 9 ? ' (5 behind the endbr64)' : ''}. Patch its callers instead.`,
            { size: was.size, needed },
            one.change?.at,
          ),
        );
      }
      const expect =
        options.expectations && !patched.has(name)
          ? expectation(unit, one.base.place as number, one.base.offset, was.code)
          : new Uint8Array();
      entries.push({ name, piece, newSize: one.next.size, oldSize: was.size, expect });
    }
  });
  for (const { name, size } of options.nops ?? []) {
    const was = old(name);
    if (was) entries.push({ name, piece: undefined, newSize: size, oldSize: was.size, expect: new Uint8Array() });
  }
  return entries;
}

function codeOf(elf: ElfFile, section: number, offset: number, size: number): Uint8Array {
  return elf.sections[section]?.data.subarray(offset, offset + size) ?? new Uint8Array();
}

/**
 * The old function's first bytes, as they stand in memory: up to what Xen changes at boot (alternatives), and none where it
 * begins with an endbr64, which Xen may poison.
 */
function expectation(unit: PatchUnit, section: number, offset: number, code: Uint8Array): Uint8Array {
  if (startsWithEndbr(code)) return new Uint8Array();
  let end = Math.min(OPAQUE_SIZE, code.length);
  for (const table of tablesOf(unit.pair.base.elf).tables) {
    if (table.kind !== 'alternative') continue;
    for (const { about } of table.entries)
      if (about.section === section && about.offset >= offset) end = Math.min(end, about.offset - offset);
  }
  return code.slice(0, end);
}

/** What a payload over the limit could be split into. */
function tooLarge(plan: XenPlan, units: readonly XenUnit[], size: number): Finding {
  const shares = units
    .map(({ unit }, index) => ({
      name: unit.pair.provenance.unit,
      bytes: plan.pieces
        .filter((piece) => piece.unit === index)
        .reduce((sum, piece) => sum + piece.end - piece.start, 0),
    }))
    .sort((a, b) => b.bytes - a.bytes);
  const what = shares.slice(0, 5).map(({ name, bytes }) => `${name} (${bytes} bytes)`);
  const way =
    units.length > 1
      ? `Units that could go into a payload of their own: ${what.join(', ')}. Two payloads are not one step: between them the hypervisor runs with half of the change.`
      : 'It is one unit, which cannot be split: make new data smaller, or allocate it in a load hook.';
  return refusal(
    'payload-too-large',
    'payload',
    `The payload has ${size} bytes, and Xen takes at most ${MAX_PAYLOAD}. ${way}`,
    { size, limit: MAX_PAYLOAD, units: what },
  );
}

/** Findings about the payload as a whole. */
function payloadNotes(units: readonly XenUnit[], plan: XenPlan, hypervisor: Hypervisor): Finding[] {
  const notes: Finding[] = [];
  const review = (code: string, symbol: string, message: string, evidence: Finding['evidence'] = {}): void => {
    notes.push({ ...refusal(code, symbol, message, evidence), severity: 'review' });
  };
  const kinds = new Set(plan.pieces.filter((piece) => piece.kind === 'hook').map((piece) => piece.out));
  for (const kind of HOOKS) {
    if (kinds.has(kind.section) && kind.undo && !kinds.has(kind.undo))
      review(
        'hook-without-undo',
        kind.section,
        `There is a hook ${kind.section} and none in ${kind.undo}: what it does stays after a revert. Say so, or write the counterpart.`,
        { missing: kind.undo },
      );
  }
  const writable = plan.pieces.filter((piece) => piece.out === '.data' || piece.out === '.bss');
  if (writable.length > 0) {
    review(
      'hook-not-reappliable',
      writable[0]!.name,
      `The payload has writable data (${writable
        .map((piece) => piece.name)
        .slice(0, 5)
        .join(
          ', ',
        )}): after a revert Xen does not apply it again. Unload it and upload it anew; its data then starts afresh.`,
      { data: writable.map((piece) => piece.name) },
    );
  }
  for (const [index, { replaced, home }] of units.entries()) {
    for (const one of replaced) {
      const piece = plan.pieces[plan.pieceOf(index, one)]!;
      const alternatives = plan.pieces.filter(
        (other) =>
          other.table?.kind === 'alternative' &&
          other.relocations.some(({ to }) => to.kind === 'piece' && plan.pieces[to.piece] === piece),
      );
      if (alternatives.length > 0)
        review(
          'cpu-dependent-code',
          one.base.name,
          `${one.base.name} holds ${alternatives.length} alternatives that Xen chooses by processor: try the patch on each family that you run (livepatch vm matrix).`,
          { alternatives: alternatives.length },
        );
      const by = hypervisor.below.filter((payload) => replacedNames(payload.elf).includes(home.nameOf(one.base)));
      if (by.length > 0)
        review(
          'stack-order',
          one.base.name,
          `${by.map((payload) => payload.id).join(', ')} already replaced ${one.base.name}: this patch goes on top, and has to be reverted first.`,
          { patches: by.map((payload) => payload.id) },
        );
    }
  }
  return notes;
}

function makeManifest(
  units: readonly XenUnit[],
  plan: XenPlan,
  functions: readonly FunctionEntry[],
  hypervisor: Hypervisor,
  depends: string,
  version: XenVersion,
  baseline: XenBaseline,
  notes: readonly Finding[],
  selections: readonly Selection[],
  options: XenOptions,
): XenManifest {
  const symbols = xenSymbols(hypervisor);
  const brief = ({ code, severity, symbol, message }: Finding) => ({ code, severity, symbol, message });
  return {
    schema: 1,
    id: options.id,
    description: options.description,
    created: options.created,
    target: 'xen',
    version,
    xen: hypervisor.elf.buildId ?? '',
    depends,
    units: units.map(({ unit: { pair } }) => ({
      unit: pair.provenance.unit,
      compiler: pair.provenance.compiler,
      command: pair.provenance.nextCommand,
      baseline: pair.provenance.baseline,
    })),
    replaces: functions
      .filter((entry) => entry.piece !== undefined)
      .map((entry) => {
        const address = symbols.inXen(entry.name)[0]?.address ?? 0n;
        return {
          name: entry.name,
          address: hexAddress(address),
          size: entry.oldSize,
          oldCode: sha256Hex(bytesAt(hypervisor.elf, address, entry.oldSize) ?? new Uint8Array()),
          newSize: entry.newSize,
        };
      }),
    nops: functions
      .filter((entry) => entry.piece === undefined)
      .map((entry) => ({ name: entry.name, size: entry.newSize })),
    adds: plan.pieces
      .filter((piece) => piece.added && piece.symbol)
      .map((piece) => ({
        name: piece.symbol!.name,
        size: piece.symbol!.size,
        kind: piece.kind === 'function' ? 'function' : 'data',
      })),
    imports: [...plan.imports].sort(),
    hooks: plan.pieces.filter((piece) => piece.kind === 'hook').map((piece) => ({ kind: piece.out, name: piece.name })),
    leftOut: selections.flatMap((one) => one.leftOut),
    findings: [...units.flatMap(({ unit }) => unit.findings.map(brief)), ...notes.map(brief)],
    overrides: options.overrides,
    baseline: { checked: baseline.checked, same: baseline.same, text: baselineText(baseline) },
  };
}

/** The manifest of a payload for Xen; undefined where it has none or a damaged one. */
export function readXenManifest(elf: ElfFile): XenManifest | undefined {
  const section = elf.sectionsNamed('.livepatch.manifest')[0];
  if (!section || section.size > 8 << 20) return undefined;
  try {
    const value = JSON.parse(new TextDecoder().decode(section.data)) as XenManifest;
    return value.target === 'xen' && value.schema === 1 && Array.isArray(value.replaces) ? value : undefined;
  } catch {
    return undefined;
  }
}
