/** A program with everything that functions do to debug information: inlining in layers, cold parts, clones, local statics, thread-locals. */
export const PROGRAM = `
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "shared.h"

struct item { int key; long value; struct item *next; };
typedef int (*compare_fn)(const void *, const void *);

extern int outside_int;
extern const char outside_text[];
int global_counter = 3;
static int file_static = 4;
static const int constant_table[] = {1, 2, 3, 5, 8};
__thread int thread_counter = 7;
static __thread long thread_static;
int common_like;
static struct item list_head;

__attribute__((noreturn)) void give_up(const char *why);
int declared_only(int a, long b, const struct item *c);

static inline int leaf(int x) {
  static int leaf_calls;
  leaf_calls++;
  return x * 3 + leaf_calls;
}

static inline int middle(int x, int y) {
  int sum = leaf(x);
  for (int i = 0; i < y; i++)
    sum += leaf(i ^ sum);
  return sum;
}

__attribute__((noinline)) static int specialised(int mode, int *p) {
  switch (mode) {
    case 1: return *p + outside_int;
    case 2: return *p * global_counter;
    default: return puts("other") + *p;
  }
}

int top(int a, int b) {
  struct item local = {a, b, &list_head};
  int total = middle(a, b);
  if (total < 0) {
    struct rare { char text[8]; } rare = {"rare"};
    printf("%s %d\\n", rare.text, total);
    give_up(rare.text);
  }
  total += specialised(1, &a) + in_header(b);
  if (local.next->value) total += (int)local.value;
  return total + constant_table[a & 3];
}

int counts(int n) {
  static int calls = 10;
  static const char *names[4] = {"a", "b", "c", "d"};
  {
    static long calls_inner = 5;
    calls_inner += n;
    thread_static += calls_inner;
  }
  return ++calls + (int)strlen(names[n & 3]) + file_static++ + thread_counter++;
}

static __attribute__((noinline)) int format(char *out, size_t size, const char *text, ...) {
  va_list args;
  va_start(args, text);
  int n = vsnprintf(out, size, text, args);
  va_end(args);
  return n;
}

void give_up(const char *why) {
  char text[64];
  format(text, sizeof text, "%s %d", why, common_like);
  puts(text);
  exit(1);
}

unsigned long long wide(unsigned char a, short b, float c, double d, struct item e, compare_fn f, int g[4], char *const h) {
  struct item *found = f(&e, h) ? &list_head : NULL;
  return a + b + (unsigned)c + (unsigned)d + e.key + g[2] + (found != NULL);
}

int main(int argc, char **argv) {
  return top(argc, 3) + counts(argc) + declared_only(argc, 2, &list_head) + (int)wide(1, 2, 3, 4, list_head, 0, &argc, argv[0]) + outside_text[0];
}
`;

export const SHARED_HEADER = `
static inline int in_header(int v) {
  static int seen;
  if (v > 100)
    return v - 100;
  seen += v;
  return seen;
}
`;
