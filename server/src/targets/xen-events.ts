import type { TargetEvent } from './types.ts';
import type { XenResult } from './xen.ts';

/** Results of actions on a hypervisor as events: what happened there in a sentence, with what the verify command said before and after. */
export interface XenEvents {
  /** `replaced`: what was applied before it and had to go; undefined where it went on top. */
  applied(result: XenResult, functions: number, replaced: readonly string[] | undefined): TargetEvent;
  /** `gone`: unloaded too. */
  reverted(result: XenResult, gone: boolean): TargetEvent;
  uploaded(result: XenResult): TargetEvent;
  unloaded(result: XenResult): TargetEvent;
}

type Done = XenResult & { readonly kind: 'done' };

/** @param name of the target; @param verify the user's command that shows whether a patch took */
export function eventsOf(name: string, verify: string | undefined): XenEvents {
  const seen = ({ verify: said }: Done): string =>
    said ? ` ${verify}: ${said.before || '(nothing)'} → ${said.after || '(nothing)'}` : '';
  const event = (result: XenResult, made: (result: Done) => TargetEvent): TargetEvent => {
    if (result.kind === 'done') return made(result);
    const { kind, reason, message, lines } = result;
    return { kind, reason, message, lines };
  };
  return {
    applied: (result, functions, replaced) =>
      event(result, (done) => {
        const others = (replaced ?? []).filter((id) => id !== done.id);
        const place = replaced === undefined ? '' : ' in place of everything that was applied';
        const count = `${functions} function${functions === 1 ? '' : 's'} replaced`;
        const rest = others.length === 0 ? '' : ` Reverted, and still uploaded: ${others.join(', ')}.`;
        return {
          kind: 'applied',
          id: done.id,
          functions,
          stopMicroseconds: 0,
          attempts: done.attempts ?? 1,
          ...(replaced === undefined ? {} : { replaced: others }),
          message: `${name} runs ${done.id}${place}: ${count}.${rest}${seen(done)}`,
        };
      }),
    reverted: (result, gone) =>
      event(result, (done) => ({
        kind: 'reverted',
        id: done.id,
        stopMicroseconds: 0,
        attempts: done.attempts ?? 1,
        message: `${name} runs the old code again; ${done.id} is ${gone ? 'unloaded' : 'still uploaded'}.${seen(done)}`,
      })),
    uploaded: (result) =>
      event(result, (done) => ({
        kind: 'uploaded',
        id: done.id,
        message: `${name} has ${done.id} and has checked it; it is not applied.`,
      })),
    unloaded: (result) =>
      event(result, (done) => ({ kind: 'unloaded', id: done.id, message: `${done.id} is out of ${name}.` })),
  };
}
