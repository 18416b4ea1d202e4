import { hazard } from '../../support/markers.ts';

const code = `
struct account *accounts;
int overdrawn(int i) { return accounts[i].balance < 10; }
`;

hazard('signedness of a field', {
  base: `struct account { long id; unsigned int balance; };${code}`,
  next: `struct account { long id; int balance; };
//^^^ type-changed-same-size review${code}`,
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
