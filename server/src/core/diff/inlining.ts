import { RELOCATED } from '../asm/scan.ts';
import { functionAt } from '../asm/source.ts';
import type { DwarfFunction, InlinedCall } from '../dwarf/types.ts';
import type { BodyChange } from './functions.ts';
import type { Side } from './meaning.ts';
import { cloneStem } from './pair-keys.ts';
import type { InlineChange, Reason } from './types.ts';

/**
 * Where inlining carried a change into a caller (`widened`), and where the compiler decided differently about inlining than
 * before (`now-inlined`, `no-longer-inlined`), in the functions that differ.
 */
export function diffInlining(
  base: Side,
  next: Side,
  changes: readonly BodyChange[],
  reasonsOf: (change: BodyChange) => readonly Reason[],
): InlineChange[] {
  const out: InlineChange[] = [];
  for (const change of changes) {
    if (!change.base || !change.next) continue;
    const before = inlinedIn(functionOf(base, change.base));
    const after = inlinedIn(functionOf(next, change.next));
    for (const reason of reasonsOf(change)) {
      if (reason.kind !== 'inlined-callee') continue;
      const call = after.get(reason.detail) ?? before.get(reason.detail);
      out.push(inlineChange(reason.detail, change.name, 'widened', call));
    }
    const calledBefore = calleesOf(base, change.base);
    const calledAfter = calleesOf(next, change.next);
    for (const [callee, call] of after) {
      if (!before.has(callee) && calledBefore.has(callee))
        out.push(inlineChange(callee, change.name, 'now-inlined', call));
    }
    for (const [callee, call] of before) {
      if (!after.has(callee) && calledAfter.has(callee))
        out.push(inlineChange(callee, change.name, 'no-longer-inlined', call));
    }
  }
  return out;
}

function inlineChange(
  callee: string,
  caller: string,
  what: InlineChange['what'],
  call: InlinedCall | undefined,
): InlineChange {
  return { callee, caller, what, ...(call?.call ? { at: call.call } : {}) };
}

function functionOf(side: Side, body: { section: number; start: number }): DwarfFunction | undefined {
  return functionAt(side.object, body.section, body.start);
}

function inlinedIn(of: DwarfFunction | undefined): ReadonlyMap<string, InlinedCall> {
  const map = new Map<string, InlinedCall>();
  for (const call of of?.inlined ?? []) if (!map.has(call.name)) map.set(call.name, call);
  return map;
}

/** Names of the functions that a body refers to or calls directly, clones under their own function's name. */
function calleesOf(side: Side, body: { section: number; start: number; size: number }): ReadonlySet<string> {
  const names = new Set<string>();
  const add = (name: string | undefined) => {
    if (name) names.add(cloneStem(name).split('.')[0]!);
  };
  for (const relocation of side.elf.relocationsOf(body.section)) {
    if (relocation.offset < body.start || relocation.offset >= body.start + body.size) continue;
    const symbol = side.elf.symbols[relocation.symbol];
    if (!symbol) continue;
    if (symbol.type !== 'section') add(symbol.name);
    else if (typeof symbol.place === 'number') {
      add(
        side.places.locate(symbol.place, symbol.offset + relocation.addend + (side.elf.machine === 62 ? 4 : 0))?.symbol
          .name,
      );
    }
  }
  const found = side.places.bodiesIn(body.section).find((one) => one.start === body.start);
  const scan = found ? side.scanOf(found)?.scan : undefined;
  for (let i = 0; scan && i < scan.count; i++) {
    const target = scan.target[i]!;
    if (scan.relSize[i]! > 0 && target !== RELOCATED && (target < 0 || target >= body.size))
      add(side.places.locate(body.section, body.start + target)?.symbol.name);
  }
  return names;
}
