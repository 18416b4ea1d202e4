/** What the entries of a special section tell the kernel or the hypervisor about the code. */
export type SpecialKindName =
  | 'alternative'
  | 'bug'
  | 'exception'
  | 'jump-label'
  | 'static-call'
  | 'paravirt'
  | 'smp-lock'
  | 'unwind'
  | 'trace'
  | 'return-site'
  | 'call-site'
  | 'endbr'
  | 'cfi'
  | 'printk'
  | 'debug-site'
  | 'parts'
  | 'discarded';

/** A family of special sections: what is known of it without looking at an object. */
export interface SpecialKind {
  readonly kind: SpecialKindName;
  /** Section names, with the suffixes that builds add. */
  readonly names: RegExp;
  /** Whether tables of that name are Linux's, Xen's or both's. */
  readonly systems: readonly ('linux' | 'xen')[];
  /** Entry sizes in bytes that kernels have had, the newest first. Empty where the section is no list of entries about code. */
  readonly sizes: readonly number[];
  /** Tag of the C struct of an entry: its size in the debug information decides where it is there. */
  readonly struct?: string;
  /** Byte offsets, from the start of an entry, of the relocations that entries of the first size have; for finding the size. */
  readonly pattern?: readonly number[];
  /**
   * True where an entry says something that the code does not say itself, so that another entry means another behaviour. False for lists
   * that a tool derives from the code (return sites, unwind tables) or that are kept for people to read.
   */
  readonly meaning: boolean;
  /** Which loaders apply these tables to a payload (Linux: the module loader; Xen: common/livepatch.c). */
  readonly loadedBy: readonly ('linux' | 'xen')[];
  /** In words, for messages: `an exception table entry`. */
  readonly entry: string;
}

/**
 * Special sections of x86-64 Linux (4.4 to 6.x) and Xen (4.11 to 4.20). Sizes from the sources' structures: `struct alt_instr` (12, 13 and 14
 * bytes), `struct bug_entry` (12; 16 with a format; 8 without file and line), `struct exception_table_entry` (12; 8 up to Linux 4.5, in Xen and arm64 up to 5.15),
 * `struct jump_entry` (16; 24 up to 4.18), `struct static_call_site` (8), `struct paravirt_patch_site` (16).
 */
export const specialKinds: readonly SpecialKind[] = [
  {
    kind: 'alternative',
    names: /^\.altinstructions(\.|$)/,
    systems: ['linux', 'xen'],
    sizes: [14, 12, 13],
    struct: 'alt_instr',
    pattern: [0, 4],
    meaning: true,
    loadedBy: ['linux', 'xen'],
    entry: 'an alternative instruction',
  },
  {
    kind: 'parts',
    names: /^\.(altinstr_replacement|altinstr_aux|fixup)(\.|$)/,
    systems: ['linux', 'xen'],
    sizes: [],
    meaning: false,
    loadedBy: ['linux', 'xen'],
    entry: 'code out of line',
  },
  {
    kind: 'bug',
    names: /^__bug_table(\.|$)/,
    systems: ['linux'],
    sizes: [12, 16, 8],
    struct: 'bug_entry',
    meaning: true,
    loadedBy: ['linux'],
    entry: 'a bug table entry (BUG or WARN)',
  },
  {
    kind: 'bug',
    names: /^\.bug_frames\.[012]$/,
    systems: ['xen'],
    sizes: [8],
    pattern: [0, 4],
    meaning: true,
    loadedBy: ['xen'],
    entry: 'a bug frame (BUG or WARN)',
  },
  {
    kind: 'bug',
    names: /^\.bug_frames\.3$/,
    systems: ['xen'],
    sizes: [16],
    pattern: [0, 4, 12],
    meaning: true,
    loadedBy: ['xen'],
    entry: 'a bug frame (ASSERT)',
  },
  {
    kind: 'exception',
    names: /^__ex_table(\.|$)/,
    systems: ['linux'],
    sizes: [12, 8],
    struct: 'exception_table_entry',
    meaning: true,
    loadedBy: ['linux'],
    entry: 'an exception table entry',
  },
  {
    kind: 'exception',
    names: /^\.ex_table$/,
    systems: ['xen'],
    sizes: [8],
    pattern: [0, 4],
    meaning: true,
    loadedBy: ['xen'],
    entry: 'an exception table entry',
  },
  {
    kind: 'exception',
    names: /^\.ex_table\.pre$/,
    systems: ['xen'],
    sizes: [8],
    pattern: [0, 4],
    meaning: true,
    loadedBy: [],
    entry: 'an entry of the table of places before exceptions',
  },
  {
    kind: 'jump-label',
    names: /^__jump_table(\.|$)/,
    systems: ['linux'],
    sizes: [16, 24],
    struct: 'jump_entry',
    meaning: true,
    loadedBy: ['linux'],
    entry: 'a static branch',
  },
  {
    kind: 'static-call',
    names: /^\.static_call_sites(\.|$)/,
    systems: ['linux'],
    sizes: [8],
    struct: 'static_call_site',
    pattern: [0, 4],
    meaning: true,
    loadedBy: ['linux'],
    entry: 'a static call',
  },
  {
    kind: 'paravirt',
    names: /^\.parainstructions(\.|$)/,
    systems: ['linux'],
    sizes: [16],
    struct: 'paravirt_patch_site',
    meaning: true,
    loadedBy: ['linux'],
    entry: 'a paravirt call',
  },
  {
    kind: 'smp-lock',
    names: /^\.smp_locks(\.|$)/,
    systems: ['linux'],
    sizes: [4],
    meaning: true,
    loadedBy: ['linux'],
    entry: 'a lock prefix',
  },
  {
    kind: 'call-site',
    names: /^\.alt_call_sites(\.|$)/,
    systems: ['xen'],
    sizes: [4],
    meaning: true,
    loadedBy: ['xen'],
    entry: 'an alternative call',
  },
  {
    kind: 'unwind',
    names: /^\.orc_(unwind|unwind_ip|header|lookup)(\.|$)/,
    systems: ['linux'],
    sizes: [],
    meaning: false,
    loadedBy: ['linux'],
    entry: 'unwind data',
  },
  {
    kind: 'trace',
    names: /^__(mcount_loc|patchable_function_entries)(\.|$)/,
    systems: ['linux'],
    sizes: [8],
    meaning: false,
    loadedBy: ['linux'],
    entry: 'a tracing hook',
  },
  {
    kind: 'return-site',
    names: /^\.(return_sites|retpoline_sites)(\.|$)/,
    systems: ['linux'],
    sizes: [4],
    meaning: false,
    loadedBy: ['linux'],
    entry: 'a return or indirect jump to be rewritten',
  },
  {
    kind: 'call-site',
    names: /^\.(call_sites|tail_call_sites)(\.|$)/,
    systems: ['linux'],
    sizes: [4],
    meaning: false,
    loadedBy: ['linux'],
    entry: 'a call to be rewritten',
  },
  {
    kind: 'endbr',
    names: /^\.ibt_endbr_seal(\.|$)/,
    systems: ['linux'],
    sizes: [4],
    meaning: false,
    loadedBy: ['linux'],
    entry: 'an entry that is never jumped to indirectly',
  },
  {
    kind: 'cfi',
    names: /^\.(kcfi_traps|cfi_sites)(\.|$)/,
    systems: ['linux'],
    sizes: [4],
    meaning: false,
    loadedBy: ['linux'],
    entry: 'a check of an indirect call',
  },
  {
    kind: 'printk',
    names: /^\.printk_index(\.|$)/,
    systems: ['linux'],
    sizes: [8],
    meaning: false,
    loadedBy: ['linux'],
    entry: 'an entry of the index of messages',
  },
  {
    kind: 'debug-site',
    names: /^(__dyndbg|__verbose|_ftrace_branch|_ftrace_annotated_branch)(\.|$)/,
    systems: ['linux'],
    sizes: [],
    meaning: false,
    loadedBy: ['linux'],
    entry: 'a debug message that can be switched on',
  },
  {
    kind: 'discarded',
    names: /^\.(discard|llvm_sympart|gnu\.warning)(\.|$)/,
    systems: ['linux', 'xen'],
    sizes: [],
    meaning: false,
    loadedBy: [],
    entry: 'a note for tools of the build',
  },
];

/** Where each function and variable has a section of its own, nearly all names begin so. */
const ordinary = /^\.(text|rodata|data|bss|rela|debug_)/;
const known = new Map<string, SpecialKind | undefined>();

/** The kind of a section, by its name; undefined for sections that are none of these. */
export function specialKind(name: string): SpecialKind | undefined {
  if (ordinary.test(name)) return undefined;
  if (known.has(name)) return known.get(name);
  const kind = specialKinds.find(({ names }) => names.test(name));
  // Names come from hostile files: what is kept stays small.
  if (known.size > 4096) known.clear();
  known.set(name, kind);
  return kind;
}
