/**
 * Inline assembly that writes entries of special sections as kernels' headers do, by the layouts of their structures. `ALT14` is Linux 6.3 and
 * later, `ALT13` Linux up to 5.12, `ALT12` in between, `XALT` Xen.
 */
export const MACROS = `
#define STR_(x) #x
#define STR(x) STR_(x)
#define ALT_(head, tail, old, new) \\
  "661:\\n " old "\\n662:\\n.pushsection .altinstructions,\\"a\\"\\n.long 661b-.\\n.long 663f-.\\n" head "\\n" tail \\
  "\\n.popsection\\n.pushsection .altinstr_replacement,\\"ax\\"\\n663: " new "\\n664:\\n.popsection\\n"
#define ALT14(old, new, feature) ALT_(".4byte " STR(feature), ".byte 662b-661b\\n.byte 664f-663f", old, new)
#define ALT13(old, new, feature) ALT_(".word " STR(feature), ".byte 662b-661b\\n.byte 664f-663f\\n.byte 0", old, new)
#define ALT12(old, new, feature) ALT_(".word " STR(feature), ".byte 662b-661b\\n.byte 664f-663f", old, new)
#define XALT(old, new, feature) ALT_(".word " STR(feature), ".byte 662b-661b\\n.byte 664f-663f\\n.byte 0\\n.byte 0", old, new)
#define EX12(from, to, type) ".pushsection __ex_table,\\"a\\"\\n.balign 4\\n.long " from "-.\\n.long " to "-.\\n.long " STR(type) "\\n.popsection\\n"
#define EX12H(from, to, handler) ".pushsection __ex_table,\\"a\\"\\n.balign 4\\n.long " from "-.\\n.long " to "-.\\n.long " handler "-.\\n.popsection\\n"
#define EX8(from, to) ".pushsection __ex_table,\\"a\\"\\n.balign 4\\n.long " from "-.\\n.long " to "-.\\n.popsection\\n"
#define XEX(from, to) ".pushsection .ex_table,\\"a\\"\\n.balign 4\\n.long " from "-.\\n.long " to "-.\\n.popsection\\n"
#define WARN_FLAGS(flags) asm volatile("1: ud2\\n.pushsection __bug_table,\\"aw\\"\\n2: .long 1b-.\\n.long %c0-.\\n.word %c1\\n.word %c2\\n.org 2b+12\\n.popsection" : : "i"(__FILE__), "i"(__LINE__), "i"(flags))
#define WARN() WARN_FLAGS(0x901)
#define XBUG() asm volatile("1: ud2\\n.pushsection .bug_frames.1,\\"a\\"\\n2: .long (1b-2b)+%c0\\n.long (%c1-2b)+%c2\\n.popsection" : : "i"((__LINE__ >> 7) << 24), "i"(__FILE__), "i"((__LINE__ & 127) << 24))
#define LOCK ".pushsection .smp_locks,\\"a\\"\\n.balign 4\\n.long 671f-.\\n.popsection\\n671: lock; "
#define RETSITE ".pushsection .return_sites,\\"a\\"\\n.long 699f-.\\n.popsection\\n699: "
struct key { int enabled; void *entries; };
#define BRANCH(key, flag) ({ __label__ yes; int r_ = 0; asm goto("1: .byte 0x0f,0x1f,0x44,0x00,0x00\\n.pushsection __jump_table,\\"aw\\"\\n.balign 8\\n.long 1b-.\\n.long %l[yes]-.\\n.quad %c0+%c1-.\\n.popsection" : : "i"(key), "i"(flag) : : yes); if (0) { yes: r_ = 1; } r_; })
#define CALL_STATIC(name) asm volatile("1: call __SCT__" #name "\\n.pushsection .static_call_sites,\\"aw\\"\\n.long 1b-.\\n.long __SCK__" #name "-.\\n.popsection" : : : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11")
extern int ext(int);
extern int printk(const char *, ...);
`;
