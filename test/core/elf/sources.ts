/** A unit with every kind of symbol and relocation that gcc and clang write on x86-64. */
export const UNIT = `
#include <stdio.h>
#include <string.h>
extern int outside(int);
extern __thread int outside_thread;
extern int weak_outside(void) __attribute__((weak));
int common_array[100];
int initialised = 5;
static int hidden_static;
const char *const names[] = {"one", "two", "three"};
int (*table[])(int) = {outside, 0};
__thread int thread_data = 3;
__thread char thread_bss[24];
static __thread long thread_static = 9;
__attribute__((visibility("hidden"))) int hidden_global = 1;
__attribute__((visibility("protected"))) int protected_function(int a) { return a + 1; }
__attribute__((weak)) int weak_function(void) { return hidden_static; }
int aliased(void) { return 4; }
int alias(void) __attribute__((alias("aliased")));
static int resolver_a(void) { return 1; }
static void *pick(void) { return (void *)resolver_a; }
int chosen(void) __attribute__((ifunc("pick")));
static int quiet(int a) { static int calls; return calls++ + a; }
int work(int a) {
  hidden_static += quiet(a) + thread_static + outside_thread;
  thread_bss[a & 7] = (char)a;
  if (&weak_outside && weak_outside()) puts(names[a & 1]);
  if (__builtin_expect(a < 0, 0)) { printf("%d %s\\n", a, names[2]); __builtin_abort(); }
  switch (a) { case 1: return outside(3); case 2: return initialised; case 3: return common_array[5];
    case 4: return chosen(); case 5: return alias(); case 6: return hidden_global; case 7: return thread_data; }
  return memcmp(names, table, sizeof table);
}
int main(void) { return work(3); }
`;

/** What is needed to link UNIT. */
export const REST = `
int outside(int a) { return a; }
__thread int outside_thread = 2;
`;

/** Section groups, as C++ and some C headers make them; written in assembly to have both kinds. */
export const GROUPS = `
  .section .text.shared,"axG",@progbits,shared_signature,comdat
  .globl shared_signature
shared_signature: ret
  .section .rodata.shared,"aG",@progbits,shared_signature,comdat
  .long 1
  .section .text.plain,"axG",@progbits,plain_group
plain_group: nop
  .quad shared_signature
`;
