import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Comparison, createAnalyser } from '../../../server/src/analyse.ts';
import type { SourceEdits } from '../../../server/src/core/diff/types.ts';
import { offerFixes } from '../../../server/src/core/findings/fixes/index.ts';
import { applyChanges } from '../../../server/src/core/findings/fixes/text.ts';
import type { OfferedFix } from '../../../server/src/core/findings/fixes/types.ts';
import type { TargetKind } from '../../../server/src/core/findings/types.ts';
import { diffLines } from '../../../server/src/shell/lineDiff.ts';
import { compile, hasTool } from '../../support/cc.ts';

// Each way out is tried: its edit is applied to the sources, they are compiled again, and the finding is gone or has become what the title says.

type Files = Readonly<Record<string, string>>;

const analyser = createAnalyser();
const UNIT = 'unit.c';

interface Setting {
  readonly target?: TargetKind;
  /** Headers of the target, and others that nobody edits. */
  readonly more?: Files;
  readonly compiler?: string;
}

async function compare(base: Files, next: Files, { target, more, compiler }: Setting): Promise<Comparison> {
  const { load, compare } = await analyser;
  const object = (files: Files) => {
    const { [UNIT]: source, ...others } = { ...more, ...files };
    const loaded = load(
      compile(source!, {
        name: UNIT,
        files: others,
        compiler: compiler ?? 'gcc',
        extra: ['-Wall', '-Werror', '-Wno-unused-function', '-I.'],
      }),
    );
    assert.ok(loaded.object, JSON.stringify(loaded.problems));
    return loaded.object;
  };
  const provenance = { unit: `/src/${UNIT}`, baseCommand: [], nextCommand: [], compiler: 'gcc', baseline: 'test' };
  return compare(object(base), object(next), provenance, editsOf(base, next), target && [target]);
}

function editsOf(base: Files, next: Files): SourceEdits {
  const files = Object.keys(next).filter((name) => base[name] !== next[name]);
  return new Map(files.map((name) => [`/src/${name}`, diffLines(base[name] ?? '', next[name]!)]));
}

interface Tried {
  readonly before: Comparison;
  readonly offered: readonly OfferedFix[];
  /** Texts with the chosen fix applied, and what is said of them. */
  readonly files: Files;
  readonly after: Comparison;
}

/** Applies the fix with this title for a finding, and compares again. */
async function tried(base: Files, next: Files, code: string, title: RegExp, setting: Setting = {}): Promise<Tried> {
  const before = await compare(base, next, setting);
  const offered = offers(before, base, next, code, setting);
  const fix = offered.find((one) => title.test(one.title));
  assert.ok(fix, `offered: ${offered.map((one) => one.title).join('; ')}`);
  const files = Object.fromEntries(
    Object.entries(next).map(([name, text]) => [
      name,
      applyChanges(
        text,
        fix.changes.filter(({ file }) => file === `/src/${name}`),
      ),
    ]),
  );
  return { before, offered, files, after: await compare(base, files, setting) };
}

function offers(
  comparison: Comparison,
  base: Files,
  next: Files,
  code: string,
  { target }: Setting = {},
): readonly OfferedFix[] {
  const finding = comparison.findings.find((one) => one.code === code);
  assert.ok(finding, `found: ${comparison.findings.map((one) => one.code).join(', ')}`);
  const lines = (files: Files) => (file: string) => files[file.replace('/src/', '')]?.split('\n');
  return offerFixes({
    finding,
    pair: comparison.pair,
    diff: comparison.diff,
    target: target ?? 'process',
    unit: `/src/${UNIT}`,
    edits: editsOf(base, next),
    now: lines(next),
    base: lines(base),
  });
}

const codes = ({ findings }: Comparison): string[] => findings.map(({ code }) => code).sort();

const header = (fields: string): string => `#ifndef COUNTER_H
#define COUNTER_H

/* Counts { things. */
struct counter {
	int id;		/* which one */
	void *owner;
	char kind;	// one letter
	long total;
${fields}};

extern struct counter counters[16];
void count(struct counter *c, int by);
#endif
`;
const source = (use: string): string => `#include <string.h>
#include "counter.h"

struct counter counters[16];

void count(struct counter *c, int by)
{
	c->total += by;
${use}	if (c->total > 1000)
		memset(c, 0, sizeof(*c));
}
`;
const plain: Files = { 'counter.h': header(''), [UNIT]: source('') };

describe('quick fixes: each is applied, compiled and compared again', () => {
  it('padding: one field into the hole that fits, the type as it was', async () => {
    const next = { 'counter.h': header('\tint hits;\t/* new */\n'), [UNIT]: source('\tc->hits++;\n') };
    const { before, after, files, offered } = await tried(
      plain,
      next,
      'struct-grown',
      /^Use padding of struct counter/,
    );
    assert.ok(codes(before).includes('struct-grown'));
    assert.match(offered[0]!.title, /put hits behind id/);
    assert.match(files['counter.h']!, /int id;\t\t\/\* which one \*\/\n\tint hits;\t\/\* new \*\/\n\tvoid \*owner;/);
    assert.deepEqual(codes(after), ['struct-padding-used']);
    assert.equal(after.diff.types[0]?.nextSize, after.diff.types[0]?.baseSize);
  });

  it('padding: a field in the middle that moved others, and two of different size', async () => {
    const next = {
      'counter.h': header('').replace('\tint id;', '\tshort low;\n\tint hits;\n\tint id;'),
      [UNIT]: source('\tc->hits += c->low;\n'),
    };
    const { before, after } = await tried(plain, next, 'struct-layout', /^Use padding/);
    assert.ok(codes(before).includes('struct-layout'));
    assert.deepEqual(codes(after), ['struct-padding-used']);
  });

  it('padding: not offered where nothing fits, where the alignment does not, and where a field shares its line', async () => {
    for (const field of [
      '\tlong hits;\n',
      '\tchar hits[8];\n',
      '\tint hits, misses;\n',
      '\tint hits : 3;\n',
      '\tint (*hits)(void);\n',
    ]) {
      const next = { 'counter.h': header(field), [UNIT]: source('\tmemset(&c->total, 0, sizeof(*c) - 24);\n') };
      const comparison = await compare(plain, next, {});
      const code = codes(comparison).find((one) => one === 'struct-grown' || one === 'struct-layout');
      const titles = code ? offers(comparison, plain, next, code).map(({ title }) => title) : [];
      assert.equal(
        titles.some((title) => /padding/.test(title)),
        false,
        `${field}: ${titles.join('; ')}`,
      );
    }
  });

  it('side table of a process: the type stays as it was, the uses ask the table', async () => {
    const next = {
      'counter.h': header('\tunsigned long hits;\n'),
      [UNIT]: source(
        '\tif (c[0].hits++ > 3 && counters[by & 15].hits)\n\t\tc->total = (long)(c->hits * 2); /* hits */\n',
      ),
    };
    const { after, files } = await tried(plain, next, 'struct-grown', /^Keep hits of struct counter in a side table/);
    assert.match(
      files[UNIT]!,
      /if \(\(\*counter_hits\(&c\[0\]\)\)\+\+ > 3 && \(\*counter_hits\(&counters\[by & 15\]\)\)\)/,
    );
    assert.doesNotMatch(files['counter.h']!, /hits;/);
    assert.deepEqual(
      after.diff.types.filter(({ status }) => status === 'changed'),
      [],
    );
    assert.deepEqual([...new Set(codes(after))], ['new-global']);
  });

  it('side table: a struct of the source file itself, and a field that is a pointer', async () => {
    const one = (field: string, use: string): Files => ({
      [UNIT]: `#include <string.h>\nstruct node {\n\tstruct node *next;\n\tint value;\n\tint more;\n${field}};\nstruct node *first;\nvoid add(struct node *n)\n{\n${use}\tn->next = first;\n\tfirst = n;\n}\n`,
    });
    const { after, files } = await tried(
      one('', ''),
      one('\tstruct node *prev;\n', '\tif (first)\n\t\tfirst->prev = n;\n'),
      'struct-grown',
      /^Keep prev of struct node/,
    );
    assert.match(files[UNIT]!, /\tstruct node \*value;\n/);
    assert.match(files[UNIT]!, /\(\*node_prev\(first\)\) = n;/);
    assert.deepEqual([...new Set(codes(after))], ['new-global']);
  });

  it('side table: not offered where a use is not of a form that can be replaced, or another type has such a field', async () => {
    const field = '\tunsigned long hits;\n';
    for (const [head, use] of [
      [header(field), '\tstruct counter fresh = { .hits = 3 };\n\tmemcpy(c, &fresh, sizeof(fresh));\n'],
      [
        `struct other { int hits; };\n${header(field)}`,
        '\tstruct other o = { by };\n\tc->hits += o.hits;\n\tmemcpy(c, &o, sizeof(o));\n',
      ],
    ] as const) {
      const next = { 'counter.h': head, [UNIT]: source(use) };
      const comparison = await compare(plain, next, {});
      const titles = offers(comparison, plain, next, 'struct-grown').map(({ title }) => title);
      assert.equal(
        titles.some((title) => /^Keep hits/.test(title)),
        false,
        titles.join('; '),
      );
    }
  });

  // The declarations that the skeletons use, as the target's own headers have them.
  const linux: Files = {
    'linux/livepatch.h': `#pragma once
typedef unsigned int gfp_t;
typedef unsigned long size_t;
#define GFP_ATOMIC ((gfp_t)0x820u)
#define NULL ((void *)0)
typedef int (*klp_shadow_ctor_t)(void *obj, void *shadow_data, void *ctor_data);
typedef void (*klp_shadow_dtor_t)(void *obj, void *shadow_data);
void *klp_shadow_get_or_alloc(void *obj, unsigned long id, size_t size, gfp_t gfp_flags, klp_shadow_ctor_t ctor, void *ctor_data);
void klp_shadow_free(void *obj, unsigned long id, klp_shadow_dtor_t dtor);
`,
  };
  const xen: Files = {
    'xen/lib.h': '#pragma once\n#define NULL ((void *)0)\n',
    'xen/spinlock.h':
      '#pragma once\ntypedef struct { int v; } spinlock_t;\n#define DEFINE_SPINLOCK(l) spinlock_t l = { 0 }\nvoid spin_lock(spinlock_t *lock);\nvoid spin_unlock(spinlock_t *lock);\n',
    'xen/xmalloc.h':
      '#pragma once\nvoid *_xzalloc(unsigned long size, unsigned long align);\n#define xzalloc(type) ((type *)_xzalloc(sizeof(type), __alignof__(type)))\nvoid xfree(void *p);\n',
  };
  for (const [target, more, title, primitive] of [
    ['linux', linux, /in a shadow variable$/, /klp_shadow_get_or_alloc\(\(void \*\)of, COUNTER_HITS_SHADOW/],
    ['xen', xen, /in a side table keyed by the instance$/, /DEFINE_SPINLOCK\(counter_hits_lock\)/],
  ] as const) {
    it(`${target}: in its own primitives`, async () => {
      const next = {
        'counter.h': header('\tunsigned int hits;\n\tlong more;\n').replace('\tlong more;\n', ''),
        [UNIT]: source('\tc->hits++;\n'),
      };
      const { after, files } = await tried(plain, next, 'struct-grown', title, { target, more });
      assert.match(files[UNIT]!, primitive);
      assert.deepEqual(
        after.diff.types.filter(({ status }) => status === 'changed'),
        [],
      );
      assert.equal(
        codes(after).some((code) => code.startsWith('struct-')),
        false,
      );
    });
  }

  it('noinline: the decision stays as it was', { skip: !hasTool('gcc-12') && 'gcc-12 is not installed' }, async () => {
    const unit = (body: string): Files => ({
      [UNIT]: `int rnd(int);\nstatic int helper(int x)\n{\n${body}\treturn rnd(x) + 1;\n}\nint run(int x) { return helper(x) + helper(x + 1) + helper(x + 2) + helper(x * 7); }\n`,
    });
    const long = Array.from({ length: 12 }, (_, i) => `\tx += rnd(x * ${i + 3}) ^ rnd(${i});\n`).join('');
    const setting = { compiler: 'gcc-12' };
    const { before, after } = await tried(
      unit(long),
      unit(''),
      'inline-decision-flip',
      /^Declare helper as noinline/,
      setting,
    );
    assert.deepEqual(before.diff.functions.map(({ name }) => name).sort(), ['helper', 'run']);
    assert.deepEqual(codes(after), []);
    assert.deepEqual(
      after.diff.functions.map(({ name }) => name),
      ['helper'],
    );
  });

  it('an inlining decision in a function that was edited itself is no finding', {
    skip: !hasTool('gcc-12') && 'gcc-12 is not installed',
  }, async () => {
    const unit = (body: string, by: number): Files => ({
      [UNIT]: `int rnd(int);\nstatic int helper(int x)\n{\n${body}\treturn rnd(x) + 1;\n}\nint run(int x)\n{\n\treturn helper(x) + helper(x + 1) + helper(x + 2) + helper(x * 7) + ${by};\n}\n`,
    });
    const long = Array.from({ length: 12 }, (_, i) => `\tx += rnd(x * ${i + 3}) ^ rnd(${i});\n`).join('');
    const flip = async (by: number) =>
      (await compare(unit(long, 1), unit('', by), { compiler: 'gcc-12' })).findings.find(
        ({ code }) => code === 'inline-decision-flip',
      )?.severity;
    assert.deepEqual([await flip(1), await flip(2)], ['review', undefined]);
  });

  it('nor one in a function that holds another edited function; two decisions are no reason for each other', {
    skip: !hasTool('gcc-12') && 'gcc-12 is not installed',
  }, async () => {
    // Not the same text in both: gcc makes one of functions that are equal.
    const body = (name: string, text: string): string =>
      `static int ${name}(int x)\n{\n${text}\treturn rnd(x) + ${name.length};\n}\n`;
    const unit = (helper: string, other: string, limit: number): Files => ({
      [UNIT]: `int rnd(int);\n${body('helper', helper)}${body('other', other)}static inline __attribute__((always_inline)) int clamp(int x)\n{\n\treturn x > ${limit} ? ${limit} : x;\n}\nint run(int x)\n{\n\treturn helper(x) + helper(x + 1) + other(x) + other(x + 1) + clamp(x);\n}\n`,
    });
    const long = Array.from({ length: 12 }, (_, i) => `\tx += rnd(x * ${i + 3}) ^ rnd(${i});\n`).join('');
    const flips = async (other: string, limit: number) =>
      (await compare(unit(long, long, 100), unit('', other, limit), { compiler: 'gcc-12' })).findings
        .filter(({ code }) => code === 'inline-decision-flip')
        .map(({ symbol }) => symbol);
    assert.deepEqual(await flips(long, 100), ['helper']);
    assert.deepEqual(await flips(long, 200), []);
    assert.deepEqual((await flips('', 100)).sort(), ['helper', 'other']);
  });

  it('take back: the hunk of the finding alone', async () => {
    const next = {
      'counter.h': header('\tunsigned long hits;\n').replace('which one', 'which'),
      [UNIT]: source('').replace('1000', '2000'),
    };
    const { files, after } = await tried(plain, next, 'struct-grown', /^Take back the change of struct counter/);
    assert.equal(files['counter.h'], header('').replace('which one', 'which'));
    assert.equal(files[UNIT], next[UNIT]);
    assert.deepEqual(codes(after), []);
    assert.deepEqual(
      after.diff.functions.map(({ name }) => name),
      ['count'],
    );
  });

  it('take back: at the end of a file without a last line feed, and lines that were deleted', async () => {
    const base = { [UNIT]: 'int limit = 1;\nint f(int x) { return x * 2; }\nint zero = 3;' };
    const next = { [UNIT]: 'int f(int x) { return x * 2; }\nint zero = 4;' };
    const { files } = await tried(base, next, 'data-init-changed', /^Take back the change of zero/);
    assert.equal(files[UNIT], 'int f(int x) { return x * 2; }\nint zero = 3;');
  });
});
