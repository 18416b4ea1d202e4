import { specialKind } from './kinds.ts';

/**
 * Static locals that macros of Linux and Xen make for themselves: flags of WARN_ONCE, printk_once and DO_ONCE, rate limits of messages, classes of
 * locks, tags of allocations. Nobody can give them other names, and a function has one for each use of the macro. A wrong one says a message
 * once more or less; kpatch and klp-build take fresh ones in any case.
 */
const MACRO =
  /^(__already_done|__warned|__print_once|___?done|___?once_key|__key|_rs|_alloc_tag|______f|_entry(_ptr)?)$/;

/** Whether a static local of a function is one that a macro made for its own bookkeeping: by its name, or by the section of debug sites that it is in. */
export const isMacroStatic = (name: string, section: string): boolean =>
  MACRO.test(name) || specialKind(section)?.kind === 'debug-site';
