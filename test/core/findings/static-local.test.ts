import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { hazard } from '../../support/markers.ts';
import { editsBetween } from '../diff/support.ts';

hazard('static-local-new', {
  base: `
extern void log_it(int);
void tick(int x) { log_it(x); }
`,
  next: `
extern void log_it(int);
void tick(int x) {
  static int ticks;
//^^^ static-local-new note
  log_it(x + ticks++);
}
`,
  check: ({ verdict }) => assert.equal(verdict, 'patchable'),
});

hazard('static-local-new: near misses, a constant one and an automatic one', {
  base: `
extern void log_it(int);
void tick(int x) { log_it(x); }
`,
  next: `
extern void log_it(int);
void tick(int x) {
  static const int steps[4] = { 1, 5, 9, 2 };
  int more = 3;
  log_it(steps[x & 3] + more);
}
`,
});

hazard('static-local-removed', {
  base: `
extern void log_it(int);
void tick(int x) {
  static int ticks;
  log_it(x + ticks++);
}
`,
  next: `
extern void log_it(int);
void tick(int x) {
//^^^ static-local-removed review
  log_it(x);
}
`,
});

hazard('static-local-resized', {
  base: `
char *buffer(void) { static char text[16]; return text; }
`,
  next: `
char *buffer(void) { static char text[64]; text[0] = 0; return text; }
//^^^ static-local-resized blocker
`,
  check: ({ findings }) => {
    assert.deepEqual([findings[0]?.evidence.baseSize, findings[0]?.evidence.nextSize], [16, 64]);
    assert.match(findings[0]!.message, /text in buffer\(\) went from 16 to 64/);
  },
});

hazard('static-local-resized: near miss, another static before it renumbers it', {
  base: `
int two(void) { static int count = 1; return count++; }
`,
  next: `
int one(void) { static int count = 1; return ++count; }
//^^^ static-local-new note
int two(void) { static int count = 1; return count += 2; }
`,
});

hazard('static-local-ambiguous', {
  base: `
extern void log_it(int *);
void tick(int x) {
  if (x) { static int n; log_it(&n); }
  log_it(&x);
}
`,
  next: `
extern void log_it(int *);
void tick(int x) {
  if (x) { static int n; log_it(&n); }
  else { static int n; log_it(&n); }
//^^^ static-local-ambiguous blocker
  log_it(&x);
}
`,
  ignore: ['static-local-new'],
});

hazard('static-local-ambiguous: near miss, as many of one name as before', {
  base: `
extern void log_it(int *);
void tick(int x) {
  if (x) { static int n; log_it(&n); }
  else { static int n; log_it(&n); }
}
`,
  next: `
extern void log_it(int *);
void tick(int x) {
  if (x > 3) { static int n; log_it(&n); }
  else { static int n; log_it(&n); }
}
`,
});

const blocks = (above: string, call = 'log_it(&n);') => `
extern void log_it(int *);
void tick(int x) {
${above}  if (x) {
    static int n;
    ${call}
  }
  log_it(&x);
}
`;
const MORE = '  if (x > 7) {\n    static int n;\n    log_it(&n);\n  }\n';

for (const compiler of CASE_COMPILERS) {
  test(`static-local-ambiguous: near miss, lines that nobody edited tell which is which [${compiler}]`, {
    skip: !hasTool(compiler) && `${compiler} is not installed`,
  }, async () => {
    const { load, compare } = await createAnalyser();
    const object = (text: string) => load(compile(text, { compiler })).object!;
    const compared = (from: string, to: string, known: boolean) => {
      const provenance = { unit: 'unit.c', baseCommand: [], nextCommand: [], compiler, baseline: 'test' };
      const edits = known ? editsBetween(from, to) : undefined;
      const { diff, findings } = compare(object(from), object(to), provenance, edits);
      return { diff, codes: findings.map(({ code }) => code) };
    };
    const settled = compared(blocks(''), blocks(MORE), true);
    assert.ok(!settled.codes.includes('static-local-ambiguous'), settled.codes.join());
    assert.deepEqual(
      settled.diff.data.map(({ status, at }) => `${status} ${at?.line}`),
      ['new 5'],
    );
    const back = compared(blocks(MORE), blocks(''), true);
    assert.ok(!back.codes.includes('static-local-ambiguous'), back.codes.join());
    assert.deepEqual(
      back.diff.data.map(({ status, at }) => `${status} ${at?.line}`),
      ['removed 5'],
    );
    // Edits that are not known, or beside the declaration: a line of this text could be either.
    assert.ok(compared(blocks(''), blocks(MORE), false).codes.includes('static-local-ambiguous'));
    assert.ok(compared(blocks(''), blocks(MORE, 'log_it(&n + 1);'), true).codes.includes('static-local-ambiguous'));
  });
}

hazard('static-local-shared: a function inlined into a changed one and into one that stays', {
  base: `
extern void log_it(int);
static inline __attribute__((always_inline)) int next_id(void) { static int id; return ++id; }
void changed(int x) { log_it(next_id() + x); }
void stays(int x) { log_it(next_id() - x); }
`,
  next: `
extern void log_it(int);
static inline __attribute__((always_inline)) int next_id(void) { static int id; return ++id; }
void changed(int x) { log_it(next_id() + x); log_it(next_id()); }
//^^^ static-local-shared review
void stays(int x) { log_it(next_id() - x); }
`,
});

const warnsOnce = (more: string): string => `
extern void log_it(int);
static inline __attribute__((always_inline)) int checked(int v) {
  static _Bool warned __attribute__((section(".data.once")));
  if (v > 7 && !warned) { warned = 1; log_it(-1); }
  return v;
}
void changed(int x) { log_it(checked(x)); ${more} }
void stays(int x) { log_it(checked(x) - 3); }
`;
hazard('static-local-shared: near miss, a flag of a message that is printed once', {
  base: warnsOnce(''),
  next: warnsOnce('log_it(checked(x + 1));'),
});

hazard('static-local-shared: near miss, only functions of the patch use it', {
  base: `
extern void log_it(int);
static inline __attribute__((always_inline)) int next_id(void) { static int id; return ++id; }
void changed(int x) { log_it(next_id() + x); }
void stays(int x) { log_it(x); }
`,
  next: `
extern void log_it(int);
static inline __attribute__((always_inline)) int next_id(void) { static int id; return ++id; }
void changed(int x) { log_it(next_id() + x * 3); }
void stays(int x) { log_it(x); }
`,
});

hazard('static-local-shared: near miss, the inlined code is as it was in both', {
  base: `
extern void log_it(int);
static inline __attribute__((always_inline)) int next_id(void) { static int id; return ++id; }
void changed(int x) { log_it(next_id() + x); }
void stays(int x) { log_it(next_id() - x); }
`,
  next: `
extern void log_it(int);
static inline __attribute__((always_inline)) int next_id(void) { static int id; return ++id; }
void changed(int x) { log_it(next_id() + x * 3); }
void stays(int x) { log_it(next_id() - x); }
`,
});
