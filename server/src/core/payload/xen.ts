import { readElf } from '../elf/index.ts';
import type { Finding } from '../findings/types.ts';
import { isPatchId } from './manifest.ts';
import { refusal } from './refusal.ts';
import { hasNews, type Selection, selectFunctions } from './select.ts';
import { fromHex, toHex } from './sha256.ts';
import type { PatchUnit, PlanOptions } from './types.ts';
import { compareWithXen, sumBaselines } from './xen-baseline.ts';
import { checkXenPayload } from './xen-check.ts';
import { functionEntries } from './xen-functions.ts';
import { xenHome } from './xen-home.ts';
import { linkXen } from './xen-link.ts';
import { makeManifest, type XenManifest, type XenOptions } from './xen-manifest.ts';
import { baselineFindings, payloadNotes, tooLarge } from './xen-notes.ts';
import type { XenUnit } from './xen-pieces.ts';
import { placed } from './xen-places.ts';
import { planXen } from './xen-plan.ts';
import { type Hypervisor, versionOf, xenSymbols } from './xen-symbols.ts';

export { readXenManifest, type XenManifest, type XenOptions } from './xen-manifest.ts';

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

const refusedFor = (units: readonly PatchUnit[], refusals: readonly Finding[]): XenOutcome => ({
  kind: 'refused',
  refusals: [
    ...new Map(placed(refusals, units).map((one) => [`${one.code}\0${one.symbol}\0${one.message}`, one])).values(),
  ],
});

/** A blocker without a written reason, about something that is in the patch. What an earlier attempt at a payload said is found out anew. */
function stands(finding: Finding, options: PlanOptions): boolean {
  if (finding.from === 'payload') return false;
  if (finding.severity !== 'blocker' || options.leaveOut.includes(finding.symbol)) return false;
  const reason = options.overrides[`${finding.code}:${finding.symbol}`] ?? options.overrides[finding.code];
  return reason === undefined || reason.trim() === '';
}

/**
 * Builds a payload for Xen out of compared units and the xen-syms that runs. Refuses with findings: blockers that are not
 * overridden, base objects that are not what runs, and whatever the hypervisor would refuse at load.
 */
export function buildXenPayload(units: readonly PatchUnit[], hypervisor: Hypervisor, options: XenOptions): XenOutcome {
  const refused = (refusals: readonly Finding[]): XenOutcome => refusedFor(units, refusals);
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
  if (hypervisor.running !== undefined && hypervisor.running !== hypervisor.elf.buildId)
    return refused([
      refusal(
        'build-id-mismatch',
        hypervisor.path,
        `${hypervisor.path} has build id ${hypervisor.elf.buildId}, and the hypervisor that runs has ${hypervisor.running}: a payload made from the one does not fit the other. Name the xen-syms of what runs ("syms" of the target in livepatch.json), or boot what was built.`,
        { found: hypervisor.elf.buildId ?? '', running: hypervisor.running },
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
    // Hooks are new data.
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
  const notes = placed(payloadNotes(used, plan, hypervisor), units);
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
      // Tells two builds of one name apart: what runs is looked up by it.
      ...(options.created ? [`created=${options.created}`] : []),
      `functions=${functions
        .map((entry) => entry.name)
        .join(',')
        .slice(0, 2000)}`,
      ...(options.description ? [`description=${options.description.replaceAll(/[\0;\n]/g, ' ').slice(0, 200)}`] : []),
    ],
    ...(options.keepDebug ? { debug: used } : {}),
    manifest: new TextEncoder().encode(`${JSON.stringify(manifest, null, 1)}\n`),
  });
  const { elf, problems } = readElf(bytes);
  if (!elf) return refused(problems.map((problem) => refusal('payload-malformed', problem.area, problem.message)));
  const failures = checkXenPayload(elf, hypervisor, version);
  if (failures.length > 0)
    return refused(
      failures.map((finding) =>
        finding.code === 'payload-too-large' ? tooLarge(plan, used, bytes.length, options.keepDebug === true) : finding,
      ),
    );
  return { kind: 'payload', bytes, buildId: toHex(buildId), manifest, notes };
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
