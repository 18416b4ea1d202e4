import { plainName } from '../diff/signatures.ts';
import type { FunctionChange } from '../diff/types.ts';
import { flowOf } from './flow.ts';
import { finding, replacedFunctions } from './support.ts';
import type { Hazard, HazardInput, TargetKind } from './types.ts';

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
      const why = reason(input, fn);
      if (!why) return [];
      return [
        finding({
          code: 'always-on-stack',
          severity: 'review',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() may never be left: ${why}. The patch is only applied while no thread is inside of it, so applying may be refused every time, and a call that is under way would go on with the old code. Move the changed part into a function that is called from it and returns, and patch that.`,
          evidence: { reason: why },
        }),
      ];
    }),
};

function reason(input: HazardInput, fn: FunctionChange): string | undefined {
  const name = plainName(fn.name);
  const { base } = input.pair;
  if (resident[input.target].has(name)) {
    return name === 'main'
      ? 'the first thread stays in main as long as the program runs'
      : `some thread or processor is always inside of ${name}`;
  }
  if (!fn.base || /\.cold(\.\d+)?$/.test(fn.name)) return undefined;
  const { leaves, loops } = flowOf(base, fn.base);
  if (!leaves && loops) return 'it loops without a way out';
  const noreturn = base.dwarf.functions.some((f) => f.noreturn && (f.linkageName ?? f.name) === name);
  if (noreturn || !leaves) return 'it does not return';
  return undefined;
}
