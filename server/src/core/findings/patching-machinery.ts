import { plainName } from '../diff/signatures.ts';
import { finding, leaveOut, replacedFunctions } from './support.ts';
import type { Hazard, TargetKind } from './types.ts';

/**
 * Functions that run while a patch is put in place, by target. A process is stopped from outside by ptrace and its own code does nothing for the patch, so
 * it has none.
 */
const machinery: Readonly<Record<TargetKind, RegExp | undefined>> = {
  process: undefined,
  // Xen: the processors meet in check_for_livepatch_work with interrupts off and NMIs caught, and the code is written by arch_livepatch_apply.
  xen: /^(check_for_livepatch_work|do_livepatch_work|livepatch_(do_action|spin|schedule_work|op|symbols_\w+|elf_\w+)|arch_livepatch_\w+|is_patch|apply_payload|revert_payload|modify_wp|do_nmi|handle_nmi|nmi_\w*callback|mask_nmi_callback|set_nmi_callback|unset_nmi_callback|register_guest_nmi_callback|stop_machine_run|stopmachine_\w+|apply_alternatives|apply_alternatives_nocheck|_apply_alternatives|text_poke|tasklet_schedule_on_cpu|reset_stack_and_jump\w*|search_exception_table|do_bug_frame|unregister_virtual_region|register_virtual_region|write_cr0|enable_nmis)$/,
  // Linux: ftrace redirects, int3 guards the text that is written, the unwinder decides whether a task may change over.
  linux:
    /^(klp_\w+|ftrace_\w+|arch_ftrace_\w+|__ftrace_\w+|prepare_ftrace_return|function_trace_\w+|stop_machine\w*|multi_cpu_stop|cpu_stop\w*|cpu_stopper_\w+|text_poke\w*|smp_text_poke\w*|text_gen_insn|poke_int3_handler|do_int3\w*|exc_int3|do_nmi|exc_nmi|default_do_nmi|nmi_handle|nmi_enter|nmi_exit|stack_trace_save_tsk_reliable|arch_stack_walk_reliable|__?unwind_(start|next_frame|get_return_address)|unwind_\w+|orc_find|ptrace_(stop|attach|check_attach|freeze_traced|unfreeze_traced)|rcu_(dynticks|nmi)\w*|sched_(show_task|klp\w*)|__schedule|exit_to_user_mode_(loop|prepare)|apply_relocate_add|apply_relocations|do_init_module|module_finalize|load_module)$/,
};

/** `patching-machinery`: the function would be replaced by code that needs the function. */
export const patchingMachinery: Hazard = {
  codes: ['patching-machinery'],
  find: (input) => {
    const names = machinery[input.target];
    if (!names) return [];
    return replacedFunctions(input)
      .filter((fn) => names.test(plainName(fn.name)))
      .map((fn) =>
        finding({
          code: 'patching-machinery',
          severity: 'blocker',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() runs while ${input.target === 'xen' ? 'the hypervisor' : 'the kernel'} puts a patch in place: it could be entered half replaced, and a revert would need the function that it takes out. Take this part of the change back, or reboot with it.`,
          evidence: { target: input.target },
          fixes: [leaveOut(fn.name)],
        }),
      );
  },
};
