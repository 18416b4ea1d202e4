import type { Finding } from '../findings/types.ts';
import { refusal } from './refusal.ts';
import { baselineText, type XenBaseline } from './xen-baseline.ts';
import { HOOKS, MAX_PAYLOAD } from './xen-format.ts';
import type { XenPlan, XenUnit } from './xen-pieces.ts';
import { type Hypervisor, replacedNames } from './xen-symbols.ts';

/** Base objects that are not what the hypervisor was built from, function by function. */
export function baselineFindings(
  units: readonly XenUnit[],
  baselines: readonly XenBaseline[],
  all: XenBaseline,
): Finding[] {
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

/** What a payload over the limit could be split into. */
export function tooLarge(plan: XenPlan, units: readonly XenUnit[], size: number, keepDebug: boolean): Finding {
  const shares = units
    .map(({ unit }, index) => ({
      name: unit.pair.provenance.unit,
      bytes: plan.pieces
        .filter((piece) => piece.unit === index)
        .reduce((sum, piece) => sum + piece.end - piece.start, 0),
    }))
    .sort((a, b) => b.bytes - a.bytes);
  const what = shares.slice(0, 5).map(({ name, bytes }) => `${name} (${bytes} bytes)`);
  const debug = keepDebug ? 'Its debug information counts too: leave it out. ' : '';
  const way =
    units.length > 1
      ? `Units that could go into a payload of their own: ${what.join(', ')}. Two payloads are not one step: between them the hypervisor runs with half of the change.`
      : 'It is one unit, which cannot be split: make new data smaller, or allocate it in a load hook.';
  return refusal(
    'payload-too-large',
    'payload',
    `The payload has ${size} bytes, and Xen takes at most ${MAX_PAYLOAD}. ${debug}${way}`,
    { size, limit: MAX_PAYLOAD, units: what },
  );
}

/** Findings about the payload as a whole. */
export function payloadNotes(units: readonly XenUnit[], plan: XenPlan, hypervisor: Hypervisor): Finding[] {
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
  for (const [index, { unit, replaced, home }] of units.entries()) {
    for (const one of replaced) {
      const piece = plan.pieces[plan.pieceOf(index, one)]!;
      const alternatives = plan.pieces.filter(
        (other) =>
          other.table?.kind.kind === 'alternative' &&
          other.relocations.some(({ to }) => to.kind === 'piece' && plan.pieces[to.piece] === piece),
      );
      // The comparison has said so already, with the features.
      const known = unit.findings.some(
        ({ code, symbol, from }) => code === 'cpu-dependent-code' && symbol === one.next.name && from !== 'payload',
      );
      if (alternatives.length > 0 && !known)
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
          `${by.map((payload) => payload.id).join(', ')} already replaced ${one.base.name}: this patch goes on top, its code runs instead of that one's, and it has to be reverted first. What that patch changed in ${one.base.name} is lost unless the sources hold that change too.`,
          { patches: by.map((payload) => payload.id) },
        );
    }
  }
  return notes;
}
