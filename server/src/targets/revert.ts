import { fromHex, toHex } from '../core/payload/sha256.ts';
import { refusalOf, runSwitch, tidy } from './apply.ts';
import type { SwitchOptions } from './helper.ts';
import { STATE } from './record.ts';
import type { TargetEvent } from './types.ts';
import { Refusal, type Visit } from './visit.ts';

/**
 * Takes the topmost patch back. Its memory stays mapped: the program may hold pointers into it, and the same payload may be
 * applied again. Patches below are refused, since the ones above were made and tested on top of them.
 */
export async function revertPatch(
  visit: Visit,
  id: string | undefined,
  options: SwitchOptions | undefined,
  signal: AbortSignal | undefined,
): Promise<TargetEvent> {
  await visit.claim();
  const modules = await visit.modules();
  let patches = await visit.patches();
  if (await visit.repair(patches)) patches = await visit.patches();
  const applied = patches.filter((one) => one.state === STATE.applied);
  const top = applied.at(-1);
  if (!top) throw new Refusal('not-applied', id ? `Patch ${id} is not applied.` : 'No patch is applied.');
  if (id !== undefined && top.record.id !== id) {
    if (!applied.some((one) => one.record.id === id)) throw new Refusal('not-applied', `Patch ${id} is not applied.`);
    const above = applied.slice(applied.findIndex((one) => one.record.id === id) + 1).map((one) => one.record.id);
    throw new Refusal(
      'not-top',
      `Patch ${id} is below ${above.join(', ')}: revert ${above.length === 1 ? 'that' : 'those'} first.`,
    );
  }
  // Functions that run their old code already: another tool was at work at the same time, or was killed.
  const isOld = (index: number): boolean => toHex(top.bytes[index]!) === top.record.functions[index]!.previous;
  for (const [index, one] of top.record.functions.entries())
    if (!isOld(index) && toHex(top.bytes[index]!) !== one.jump)
      throw new Refusal(
        'old-code-differs',
        `The jump of ${one.name} was overwritten by somebody else; it cannot be taken back safely.`,
      );
  const [code, size] = top.record.code;
  const ranges = tidy([{ low: Number(code) - 1, high: Number(code) + size, name: `the new code of ${top.record.id}` }]);
  const pokes = top.record.functions
    .filter((_, index) => !isOld(index))
    .map((one) => ({
      address: Number(one.jumpAddress),
      before: fromHex(one.jump)!,
      after: fromHex(one.previous)!,
    }));
  const answer = await runSwitch(
    visit,
    ranges,
    pokes,
    top.address,
    [STATE.applied, STATE.reverting, STATE.reverted],
    options,
    signal,
  );
  if (!answer.ok) throw refusalOf(answer, ranges, modules, top.record.id);
  return {
    kind: 'reverted',
    id: top.record.id,
    stopMicroseconds: Math.round(answer.stopNs / 1000),
    longestStopMicroseconds: Math.round(answer.longestNs / 1000),
    attempts: answer.tries,
  };
}
