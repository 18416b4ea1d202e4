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
