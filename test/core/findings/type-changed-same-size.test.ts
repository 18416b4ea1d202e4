import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';

const code = `
struct account *accounts;
int overdrawn(int i) { return accounts[i].balance < 10; }
`;

hazard('signedness of a field', {
  base: `struct account { long id; unsigned int balance; };${code}`,
  next: `struct account { long id; int balance; };
//^^^ type-changed-same-size review${code}`,
  check: ({ findings }) => assert.match(findings[0]?.message ?? '', /balance has another type \(unsigned int → int\)/),
});

hazard('an integer that becomes a pointer, and what a pointer leads to', {
  base: `struct item { long link; int *values; };
struct item *items;
int value(void) { return items->values[1] + (items->link != 0); }
`,
  next: `struct item { struct item *link; short *values; };
//^^^ type-changed-same-size review
struct item *items;
int value(void) { return items->values[1] + (items->link != 0); }
`,
});

hazard('other spellings of one type are nothing', {
  base: `struct account { unsigned long id; int balance; char *owner; };${code}`,
  next: `typedef int money; struct account { long unsigned int id; signed balance; const char *owner; };${code}`,
});

hazard('near miss: a renamed tag with the same contents behind a pointer', {
  base: `struct owner { int id; };
struct account { struct owner *owner; int balance; };${code}
int owner(int i) { return accounts[i].owner->id; }
`,
  next: `struct person { int id; };
struct account { struct person *owner; int balance; };${code}
int owner(int i) { return accounts[i].owner->id; }
`,
});

const pool = (bomb: string, call: string): string => `struct pool { int size; ${bomb} };
struct pool *pools;
int grow(int i) { if (pools[i].size < 0) ${call}; return pools[i].size; }
`;

hazard('near miss: the prototype of a pointer to a function is written down', {
  base: pool('void (*bomb)();', 'pools[i].bomb("short", i)'),
  next: pool('void (*bomb)(const char *, int);', 'pools[i].bomb("short", i)'),
  args: ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-w'],
  // Without a prototype the caller says how many vector registers hold arguments.
  compilers: ['gcc-12', 'clang-14'],
});

hazard('a pointer to a function with other parameters', {
  base: pool('void (*bomb)(const char *, long *);', 'pools[i].bomb("short", 0)'),
  next: pool('void (*bomb)(const char *, int);', 'pools[i].bomb("short", 0)').replace(
    '\n',
    '\n//^^^ type-changed-same-size review\n',
  ),
  check: ({ findings }) =>
    assert.match(findings[0]?.message ?? '', /stored functions take long (int )?\* as argument 2, new code passes int/),
});

const message = (data: string): string => `struct message { int kind; int data${data}; };
struct message *last;
int first(int i) { return last->data[i] + last->kind; }
`;

for (const [was, is] of [
  ['[0]', '[]'],
  ['[]', '[0]'],
] as const)
  hazard(`near miss: an array at the end of a struct is ${is} instead of ${was}`, {
    base: message(was),
    next: message(is),
  });

hazard('a pointer to a function with one parameter more', {
  base: pool('void (*bomb)(int);', 'pools[i].bomb(3)'),
  next: pool('void (*bomb)(int, long);', 'pools[i].bomb(3, 4)').replace(
    '\n',
    '\n//^^^ type-changed-same-size review\n',
  ),
  check: ({ findings }) =>
    assert.match(findings[0]?.message ?? '', /stored functions take 1 argument, new code passes 2\)/),
});

hazard('a typedef says what it stands for now', {
  base: `typedef unsigned int money; extern money owed; int debt(void) { return owed < 10; }\nmoney limit = 4;\n`,
  next: `typedef int money; extern money owed; int debt(void) { return owed < 10; }
//^^^ type-changed-same-size review
money limit = 4;
`,
  check: ({ findings }) => assert.match(findings[0]?.message ?? '', /^money: unsigned int → int\. /),
});

/** `kept` stays as it is, so that the variable is one that lives. */
const total = (declaration: string, value: string, more = ''): string => `${declaration}
int kept(void) { return *(volatile short *)&total; }
void set(const void *from) { __builtin_memcpy((void *)&total, from, sizeof total); }
int add(int i) { return ${value} > 5 ? ${value}${more} : i; }
`;

for (const [title, was, is, value, words] of [
  ['another sign', 'static unsigned total;', 'static int total;', 'total', 'unsigned int → int'],
  ['other elements behind a pointer', 'static char *total;', 'static int *total;', 'total[i]', 'char * → int *'],
  ['floating point', 'static int total;', 'static float total;', 'total', 'int → float'],
  ['floating point elements', 'static int total[4];', 'static float total[4];', 'total[i & 3]', 'int [4] → float [4]'],
  ['all units see it', 'unsigned int total = 3;', 'int total = 3;', 'total', 'unsigned int → int'],
  ['of another unit', 'extern unsigned int total;', 'extern int total;', 'total', 'unsigned int → int'],
  ['of a thread', 'static __thread unsigned total;', 'static __thread int total;', 'total', 'unsigned int → int'],
] as const)
  hazard(`a variable of another type: ${title}`, {
    base: total(was, value),
    // Clang does not write down the type of what is only declared.
    ...(was.startsWith('extern') && { compilers: ['gcc-12'] }),
    next: total(`${is}\n//^^^ type-changed-same-size review`, value, ' + 1'),
    check: ({ findings: [found] }) => {
      assert.equal(found?.symbol, 'total');
      assert.ok(
        found.message.startsWith(`The variable total has another type: ${words}. add() of the patch`),
        found.message,
      );
      assert.match(found.message, /code outside the patch goes on/);
    },
  });

hazard('a variable of another type that only the patch uses, and one without a name for its type', {
  base: `
struct a { int n; }; struct b { unsigned n; };
static unsigned int total;
static struct a *first;
int add(int i) { total += i; if (total > 5) first = first + 1; return first->n < 3; }
`,
  next: `
struct a { int n; }; struct b { unsigned n; };
static int total;
//^^^ type-changed-same-size review
static struct b *first;
//^^^ type-changed-same-size review
int add(int i) { total += i; if (total > 5) first = first + 1; return first->n < 3; }
`,
  check: ({ findings }) => assert.doesNotMatch(findings[0]?.message ?? '', /code outside/),
});

const nextId = (type: string, mark = '') => `
int next_id(int i) {
  static ${type} seq = 10;${mark}
  seq += i;
  return seq > 100 ? 0 : seq;
}
`;
hazard('a static local of another type', {
  base: nextId('int'),
  next: nextId('unsigned', '\n//^^^ type-changed-same-size review'),
  check: ({ findings }) =>
    assert.match(
      findings[0]?.message ?? '',
      /^The variable seq in next_id\(\) has another type: int → unsigned int\. next_id\(\) /,
    ),
});

hazard('a variable of another type that no function of the patch uses is a note', {
  base: `static int total; int *where(void) { return &total; }\nint one(void) { return 1; }\n`,
  next: `static unsigned total; int *where(void) { return (int *)&total; }
//^^^ type-changed-same-size note
int one(void) { return 2; }
`,
});

hazard('near miss: a variable is spelled otherwise, is const, leads somewhere now, or to a struct of another name', {
  base: `
struct a { int n; };
static unsigned long total; static const int steps[2] = { 1, 2 }; static void *list; static char *name; static struct a *first;
long add(int i) { total += steps[i & 1]; list = name; if (i) first = list; return total + name[i] + (long)first; }
void set(char *p) { name = p; }
`,
  next: `
struct b { int n; };
typedef unsigned long count;
static count total; static const unsigned steps[2] = { 1, 2 }; static struct b *list; static const char *name; static struct b *first;
long add(int i) { total += steps[i & 1]; list = (void *)name; if (i) first = (void *)list; return total + name[i] + (long)first + 1; }
void set(char *p) { name = p; }
`,
});
