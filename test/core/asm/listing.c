struct item { int id; long weight; };
extern int limit, puts(const char *), printf(const char *, ...);
extern __thread int depth;
extern void take(struct item *);
static int counter;
static int table[8];
int shared;

static inline int clamp(int v)
{
  return v > limit ? limit : v;
}

static __attribute__((noinline)) int bump(int by)
{
  static int calls;
  calls++;
  counter += by;
  return counter + calls;
}

int first(int a)
{
  if (a > 3)
    a = bump(a) + clamp(a);
  table[a & 7] = 5;
  return table[(a + 1) & 7];
}

const char *name(int kind)
{
  switch (kind) {
  case 0: return "zero";
  case 1: return "one\n";
  case 2: puts("two"); return "2";
  case 3: shared = 17; return "a \"quoted\" one";
  case 4: return name(bump(kind));
  }
  printf("%s: %d at %d\n", __func__, kind, depth);
  return 0;
}

double scale(double x)
{
  return x * 3.25 + 1.5;
}

void give(void)
{
  struct item i = {1, 2};
  take(&i);
  depth++;
}

int pick(int x)
{
  switch (x) { case 1: return 34; case 2: return 67; case 3: return 12; case 4: return 99; case 5: return 3; }
  return 0;
}
