import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';

hazard('a parameter added to a function that other units can call', {
  base: `
extern int rnd(int);
int scale(int x) { return rnd(x) * 3; }
int twice(int x) { return scale(x) + scale(x + 1); }
`,
  next: `
extern int rnd(int);
int scale(int x, int by) { return rnd(x) * by; }
//^^^ signature-changed blocker
int twice(int x) { return scale(x, 3) + scale(x + 1, 3); }
`,
  ignore: ['inline-widened'],
  check: ({ findings }) => {
    const finding = findings.find(({ code }) => code === 'signature-changed');
    assert.equal(finding?.evidence.base, 'int scale(int x)');
    assert.equal(finding?.evidence.next, 'int scale(int x, int by)');
    assert.ok(
      finding?.related.some(({ message }) => message === 'twice() calls it') ||
        finding?.evidence.unpatchedCallers !== undefined,
    );
  },
});

hazard('a static function whose address is kept in a table', {
  base: `
extern int rnd(int);
static int handler(int x) { return rnd(x) + 1; }
int (*const handlers[])() = { handler, rnd };
`,
  next: `
extern int rnd(int);
static int handler(long x) { return rnd(x) + (x > 1); }
//^^^ signature-changed blocker
int (*const handlers[])() = { handler, rnd };
`,
});

hazard('a static function whose every caller is in the patch', {
  base: `
extern int rnd(int);
static __attribute__((noinline)) int scale(int x) { return rnd(x) * 3; }
int twice(int x) { return scale(x) + scale(x + 1); }
`,
  next: `
extern int rnd(int);
static __attribute__((noinline)) int scale(int x, int by) { return rnd(x) * by; }
int twice(int x) { return scale(x, x) + scale(x + 1, 4); }
`,
});

hazard('near miss: other names, qualifiers and typedefs of the same types', {
  base: `
typedef int number;
extern int rnd(int);
int scale(number x, const char *why) { return rnd(x) * 3 + why[0]; }
`,
  next: `
extern int rnd(int);
int scale(const int value, char *reason) { return rnd(value) * 4 + reason[0]; }
`,
});

const weigh = (parameters: string, more = '', mark = '', type = 'int'): string => `
extern int rnd(int);
struct item { int n; };
struct crate { long n; };
${type} weigh(${parameters}) { return rnd(1) * 3${more}; }${mark}
`;
const note = '\n//^^^ signature-changed note';
const review = '\n//^^^ signature-changed review';

for (const [title, was, is] of [
  ['another sign', 'int a', 'unsigned a'],
  ['a pointer to something else', 'struct item *a', 'void *a'],
  ['a long for a pointer', 'void *a', 'long a'],
  ['an ellipsis that is not used', 'int a', 'int a, ...'],
] as const)
  hazard(`callers pass the same, and the code that takes it is the same: ${title}`, {
    base: weigh(was),
    next: weigh(is, '', note),
  });

hazard('callers pass the same, and the code takes it for something else', {
  base: weigh('int a, struct item *b', ' + (a > 2) + b->n'),
  next: weigh('unsigned a, struct crate *b', ' + (a > 2) + b->n', review),
  check: ({ findings }) => assert.match(findings[0]?.message ?? '', /pass the same bits/),
});

hazard('a result that nobody knew of is a review', {
  base: weigh('int a', '', '', 'void').replace('return', ''),
  next: weigh('int a', ' + a', review),
});

for (const [title, was, is, type] of [
  ['a wider one', 'int a', 'long a', 'int'],
  ['a small one of another sign', 'signed char a', 'unsigned char a', 'int'],
  ['a floating point one', 'int a', 'float a', 'int'],
  ['a result of another width', 'int a', 'int a', 'long'],
] as const)
  hazard(`near miss: callers that stay pass something else: ${title}`, {
    base: weigh(was, ' + (a > 2)'),
    next: weigh(is, ' + (a > 2)', '\n//^^^ signature-changed blocker', type),
  });

hazard('near miss: an ellipsis that the code reads', {
  base: weigh('int a', ' + a'),
  next: weigh('int a, ...', ' + a', '\n//^^^ signature-changed blocker').replace(
    'return',
    '__builtin_va_list l; __builtin_va_start(l, a); a += __builtin_va_arg(l, int); return',
  ),
  ignore: ['varargs-or-jumptable'],
});

hazard('an ellipsis of a function that is inlined elsewhere is seen with every compiler', {
  base: `${weigh('int a')}int twice(int x) { return weigh(x) + weigh(x + 1); }\n`,
  next: `${weigh('int a, ...', '', note)}int twice(int x) { return weigh(x) + weigh(x + 1); }\n`,
});
