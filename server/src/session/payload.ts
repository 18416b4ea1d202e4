import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding } from '../core/findings/types.ts';
import { buildXenPayload } from '../core/payload/xen.ts';
import { canonical } from '../shell/commandIndex.ts';
import type { Config, UnitState } from '../shell/types.ts';
import { hypervisorOf, NoHypervisor, xenEntry } from '../targets/xen-config.ts';

/** Milliseconds. */
const PATIENCE = 3000;

/** What building says of the patch as a whole, and not of the edit. */
const OF_THE_BUILD = new Set(['nothing-to-patch', 'patch-id', 'edit-not-covered']);

/**
 * What would be wrong with the payload of these units for Xen, found by making it and throwing it away: sizes, relocations, symbols that do not resolve, functions that are
 * not what runs. By unit, without what the comparison says itself. Nothing where patches are not made for Xen, or its xen-syms is not known.
 * @param findings of each unit, as they are told so far
 */
export async function payloadFindings(
  states: readonly UnitState[],
  findings: readonly (readonly Finding[])[],
  config: Config,
): Promise<ReadonlyMap<string, readonly Finding[]>> {
  const found = new Map<string, readonly Finding[]>();
  const entry = xenEntry(config);
  const units = states
    .flatMap(({ result }, at) => (result ? [{ ...result, findings: findings[at] ?? [] }] : []))
    // Assembly is in no payload: what would be wrong with it there is no news.
    .filter((unit) => !unit.findings.some(({ code }) => code === 'hand-written-asm'));
  if (!entry || units.length === 0) return found;
  const asked = hypervisorOf(entry, config).catch((error: unknown) => {
    if (error instanceof NoHypervisor) return undefined;
    throw error;
  });
  // A host that does not answer soon is asked when the patch is built: findings do not wait for it.
  const hypervisor = await Promise.race([asked, sleep(PATIENCE, undefined, { ref: false })]);
  if (!hypervisor) return found;
  const told = new Set(units.flatMap((unit) => unit.findings.map(keyOf)));
  // As if everything that stands were overridden: what the payload itself says is wanted.
  const overrides = Object.fromEntries(
    units.flatMap((unit) =>
      unit.findings.map(({ code, symbol }) => [`${code}:${symbol}`, 'not looked at here'] as const),
    ),
  );
  const plan = { leaveOut: [], keepLineOnly: false, overrides, id: 'check', description: '', created: '' };
  const outcome = buildXenPayload(units, hypervisor, plan);
  const said = outcome.kind === 'refused' ? outcome.refusals : outcome.notes;
  for (const finding of said) {
    if (OF_THE_BUILD.has(finding.code) || told.has(keyOf(finding))) continue;
    const state = ownerOf(states, finding);
    if (state) found.set(state.unit.id, [...(found.get(state.unit.id) ?? []), { ...finding, from: 'payload' }]);
  }
  return found;
}

const keyOf = ({ code, symbol }: Finding): string => `${code}\0${symbol}`;

/** The unit that a finding is shown with: of its place, of its function, of its name; else the first one. */
function ownerOf(states: readonly UnitState[], { at, symbol }: Finding): UnitState | undefined {
  const plain = symbol.slice(symbol.lastIndexOf('#') + 1);
  const file = at && canonical(at.file);
  return (
    states.find(({ unit }) => file !== undefined && canonical(unit.command.file) === file) ??
    states.find(({ result }) => result?.diff.functions.some(({ name }) => name === symbol || name === plain)) ??
    states.find(({ unit }) => symbol.endsWith(basename(unit.command.file))) ??
    states[0]
  );
}
