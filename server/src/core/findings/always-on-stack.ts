import { plainName } from '../diff/signatures.ts';
import type { FunctionChange } from '../diff/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { flowOf } from './flow.ts';
import { finding, replacedFunctions } from './support.ts';
import type { Hazard, HazardInput, TargetKind } from './types.ts';
import { waitingLoop } from './waiting-loops.ts';

/** Functions that some thread or processor is always inside of, by target. */
const resident: Readonly<Record<TargetKind, ReadonlySet<string>>> = {
  process: new Set(['main']),
  xen: new Set([
    'schedule',
    'context_switch',
    'idle_loop',
    'startup_cpu_idle_loop',
    'do_softirq',
    '__do_softirq',
    'process_pending_softirqs',
    'do_tasklet',
    'vmx_vmexit_handler',
    'svm_vmexit_handler',
  ]),
  linux: new Set([
    'schedule',
    '__schedule',
    'schedule_timeout',
    'do_idle',
    'cpu_startup_entry',
    'kthread',
    'worker_thread',
    'do_sys_poll',
    'do_poll',
    'do_select',
    'ep_poll',
    'do_epoll_wait',
    'futex_wait',
    'futex_wait_queue',
    'do_wait',
    'rest_init',
    'kthreadd',
    'ksoftirqd',
    'smpboot_thread_fn',
    'rcu_gp_kthread',
  ]),
};

/** `always-on-stack`: the patch waits for the function to be left, which may never happen. */
export const alwaysOnStack: Hazard = {
  codes: ['always-on-stack'],
  find: (input) =>
    replacedFunctions(input).flatMap((fn) => {
      const known = reason(input, fn);
      const loop =
        known === undefined && fn.base && !isCold(fn.name) ? waitingLoop(input.pair.base, fn.base) : undefined;
      const why = known ?? loop?.reason;
      if (why === undefined) return [];
      return [
        finding({
          code: 'always-on-stack',
          severity: 'review',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() may never be left: ${why}. The patch is only applied while no thread is inside of it, so applying may be refused every time, and a call that is under way would go on with the old code. Move the changed part into a function that is called from it and returns, and patch that.`,
          evidence: { reason: why, ...(loop && { call: loop.call }) },
          related: loop?.at
            ? [
                {
                  at: loop.at,
                  message: `${loop.call === 'a pointer' ? 'A call' : `${loop.call}()`} in the loop, before the edit`,
                },
              ]
            : [],
        }),
      ];
    }),
};

const isCold = (name: string): boolean => /\.cold(\.\d+)?$/.test(name);

function reason(input: HazardInput, fn: FunctionChange): string | undefined {
  const name = plainName(fn.name);
  const { base } = input.pair;
  if (resident[input.target].has(name)) {
    return name === 'main'
      ? 'the first thread stays in main as long as the program runs'
      : `some thread or processor is always inside of ${name}`;
  }
  if (!fn.base || isCold(fn.name)) return undefined;
  return staysIn(base, fn.base, 0);
}

/** Calls are followed this deep. */
const maxDepth = 4;

/** How a function, or what it ends in, keeps a thread for good; undefined for one that returns or ends the program. */
function staysIn(object: ObjectModel, symbol: ElfSymbol, depth: number): string | undefined {
  if (flowOf(object, symbol).leaves) return undefined;
  const { loops, last } = flowOf(object, symbol, (callee) => neverReturns(object, callee, depth));
  if (loops) return 'it loops without a way out';
  // It does not come back, but ends the program, the thread or a longer jump: it is on no stack while the program works.
  for (const callee of depth < maxDepth ? last : []) {
    const why = staysIn(object, callee, depth + 1);
    if (why) return `it ends in ${plainName(callee.name)}(), and ${why}`;
  }
  return undefined;
}

const known = new WeakMap<ObjectModel, Map<number, boolean>>();

/** As many functions are looked at for one object; others count as ones that return. */
const maxLooked = 256;

/** Whether a call of a function of the same object does not come back. Each is looked at once. */
function neverReturns(object: ObjectModel, callee: ElfSymbol, depth: number): boolean {
  let answers = known.get(object);
  if (!answers) {
    answers = new Map();
    known.set(object, answers);
  }
  const answer = answers.get(callee.index);
  if (answer !== undefined) return answer;
  if (depth >= maxDepth || answers.size >= maxLooked) return false;
  // Stands for itself where it calls itself.
  answers.set(callee.index, false);
  const dead = !flowOf(object, callee, (next) => neverReturns(object, next, depth + 1)).leaves;
  answers.set(callee.index, dead);
  return dead;
}
