import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CASE_COMPILERS, hasTool } from '../../support/cc.ts';
import { diffSources, editsBetween, summary } from '../diff/support.ts';

// The macros by which kernels and programs put line numbers into code, in the shapes of their sources. Moved alone they are no change; each has
// near misses that the filter must not hide: another callee, constant, field, condition or text.
const ARGS = ['-O2', '-g', '-fno-pic', '-mcmodel=kernel', '-ffunction-sections', '-fdata-sections', '-w'];
const HEAD = `
struct s { int a, b; struct s *next; }; int ext(int); int ext2(int);
void warn_slowpath_fmt(const char *file, int line, unsigned taint, const char *fmt, ...);
void __might_sleep(const char *file, int line); void __might_resched(const char *file, int line, unsigned offsets);
void lockdep_rcu_suspicious(const char *file, const int line, const char *s); int debug_lockdep_rcu_enabled(void); int rcu_read_lock_held(void);
void __assert_fail(const char *, const char *, unsigned, const char *) __attribute__((noreturn));
void spin_lock_debug(void *, const char *, int); void *zalloc_at(unsigned long, const char *, int); void log_at(int level, const char *file, int line, const char *fmt, ...);
#define WARN_slow(c, f...) ({ int r_ = !!(c); if (__builtin_expect(r_, 0)) warn_slowpath_fmt(__FILE__, __LINE__, 9, f); r_; })
#define WARN_trap(c) ({ int r_ = !!(c); if (__builtin_expect(r_, 0)) asm volatile("1: ud2\\n.pushsection __bug_table,\\"aw\\"\\n2: .long 1b-.\\n.long %c0-.\\n.word %c1\\n.word %c2\\n.org 2b+12\\n.popsection" : : "i"(__FILE__), "i"(__LINE__), "i"(0x903)); r_; })
#define might_sleep() do { __might_sleep(__FILE__, __LINE__); } while (0)
#define might_resched() do { __might_resched(__FILE__, __LINE__, 0); } while (0)
#define RCU_LOCKDEP_WARN(c, s) do { static int once_; if (debug_lockdep_rcu_enabled() && !once_ && (c)) { once_ = 1; lockdep_rcu_suspicious(__FILE__, __LINE__, s); } } while (0)
#define ASSERT(e) do { if (__builtin_expect(!(e), 0)) __assert_fail(#e, __FILE__, __LINE__, __func__); } while (0)
#define XEN_ASSERT(p) do { if (__builtin_expect(!(p), 0)) { asm volatile("1: ud2\\n.pushsection .bug_frames.3,\\"a\\"\\n2: .long (1b-2b)+%c0\\n.long (%c1-2b)+%c2\\n.long 0\\n.long (%c3-2b)\\n.popsection" : : "i"((__LINE__ >> 7) << 24), "i"(__FILE__), "i"((__LINE__ & 127) << 24), "i"(#p)); __builtin_unreachable(); } } while (0)
#define zalloc(n) zalloc_at(n, __FILE__, __LINE__)
void at_fn(const char *fn, int line, int v);
#define JOURNAL(v) at_fn(__func__, __LINE__, (v))
#define LOG(level, f...) log_at(level, __FILE__, __LINE__, f)
`;

interface Shape {
  readonly name: string;
  readonly body: string;
  /** Where the number is in a table beside the code, the code itself does not change at all. */
  readonly table?: boolean;
  /** The same with something changed besides: [from, to]. */
  readonly misses: readonly (readonly [string, string])[];
}

const CALLEE = ['ext(p->a)', 'ext2(p->a)'] as const;
const FIELD = ['ext(p->a)', 'ext(p->b)'] as const;
const CONSTANT = ['+ 70', '+ 71'] as const;
const BESIDE = [CALLEE, FIELD, CONSTANT];

const SHAPES: readonly Shape[] = [
  {
    name: 'WARN with a text',
    body: 'WARN_slow(p->a > 40, "bad %d", p->a);',
    misses: [...BESIDE, ['> 40', '> 41'], ['bad %d', 'Bad %d'], ['%d", p->a', '%d", p->b']],
  },
  {
    name: 'WARN as a trap with an entry in the bug table',
    body: 'if (WARN_trap(p->a > 40)) return 3;',
    table: true,
    misses: [...BESIDE, ['> 40', '> 41'], ['return 3;', 'return 4;'], ['p->a > 40', 'p->b > 40']],
  },
  { name: 'might_sleep', body: 'might_sleep();', misses: [...BESIDE, ['might_sleep', 'might_resched']] },
  {
    name: "a call with the function's name, of several lines",
    body: 'JOURNAL(\n    p->a);',
    misses: [
      ...BESIDE,
      ['JOURNAL(\n    p->a)', 'JOURNAL(\n    p->b)'],
      ['JOURNAL(\n    p->a)', 'at_fn("f", 70, p->a)'],
    ],
  },
  {
    name: 'two calls made at one place, to which the other jumps',
    body: 'if (p->b == 5) { p->b = ext(6); might_sleep(); } else if (p->b == 9) { p->b = ext2(6);\n might_sleep(); }',
    misses: [...BESIDE, ['ext2(6)', 'ext2(7)']],
  },
  { name: 'might_resched', body: 'might_resched();', misses: BESIDE },
  {
    name: "lockdep's warning of RCU",
    body: 'RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "no lock");',
    misses: [...BESIDE, ['"no lock"', '"No lock"'], ['!rcu_read_lock_held()', 'rcu_read_lock_held()']],
  },
  {
    name: 'lockdep through an argument',
    body: 'spin_lock_debug(p, __FILE__, __LINE__);',
    misses: [...BESIDE, ['debug(p,', 'debug(p->next,']],
  },
  { name: 'ASSERT', body: 'ASSERT(p->a > 40);', misses: [...BESIDE, ['> 40', '> 41']] },
  {
    name: 'ASSERT of Xen',
    body: 'XEN_ASSERT(p->a > 40);',
    table: true,
    misses: [...BESIDE, ['p->a > 40', 'p->b > 40']],
  },
  {
    name: 'an allocator that is told its caller',
    body: 'p->next = zalloc(sizeof(*p));',
    misses: [...BESIDE, ['sizeof(*p)', 'sizeof(*p) + 1'], ['p->next =', 'p->next->next =']],
  },
  { name: 'a logger', body: 'LOG(7, "at %d", p->a);', misses: [...BESIDE, ['LOG(7', 'LOG(8']] },
  {
    name: 'two in one function',
    body: 'might_sleep(); ASSERT(p->b > 7); LOG(7, "at %d", p->a);',
    misses: [...BESIDE, ['> 7', '> 8']],
  },
];

const source = (body: string) =>
  `${HEAD}\nint f(struct s *p)\n{\n  ${body.replaceAll('; ', ';\n  ')}\n  return ext(p->a) + 70;\n}\nint g(int x) { return ext2(x); }\n`;
/** Lines more above the function; enough to lead over 255, where the number takes other bytes, in one of two. */
const shifted = (text: string, lines: number) => text.replace('\nint f(', `${'/* more */\n'.repeat(lines)}\nint f(`);

for (const compiler of CASE_COMPILERS) {
  for (const shape of SHAPES) {
    const skip = !hasTool(compiler) && `${compiler} is not installed`;
    test(`${shape.name}: lines only [${compiler}]`, { skip }, async () => {
      const base = source(shape.body);
      for (const lines of [1, 240]) {
        const next = shifted(base, lines);
        const diff = await diffSources(base, next, { compiler, args: ARGS }, editsBetween(base, next));
        assert.deepEqual(summary(diff), shape.table ? [] : ['f changed line-only']);
      }
    });
    test(`${shape.name}: near misses [${compiler}]`, { skip }, async () => {
      const base = source(shape.body);
      for (const [from, to] of shape.misses) {
        const [head, body] = base.split('\nint f(') as [string, string];
        const edited = `${head}\nint f(${body.replace(from, to)}`;
        assert.notEqual(edited, base, from);
        const next = shifted(edited, 1);
        const diff = await diffSources(base, next, { compiler, args: ARGS }, editsBetween(base, next));
        assert.deepEqual(summary(diff), ['f changed'], `${from} → ${to}`);
      }
    });
  }
}

// Names of lock classes in data: Linux's DEFINE_TIMER and DECLARE_DELAYED_WORK with lockdep.
const timer = (before: string, init = 'TIMER(tick)'): string => `
#define STR_(x) #x
#define STR(x) STR_(x)
struct timer { void (*function)(void); const char *name; int n; }; void tick(void); void tock(void);
#define TIMER(f) { f, __FILE__ ":" STR(__LINE__), 3 }
${before}static struct timer t = ${init};
struct timer *get(void) { t.n++; return &t; }
`;

const TIMERS: readonly (readonly [name: string, base: string, next: string, changes: readonly string[]])[] = [
  ['moved', timer(''), timer('\n\n\n'), []],
  ['another function', timer(''), timer('\n', 'TIMER(tock)'), ['t changed references']],
  [
    'a number that is no line',
    timer('', '{ tick, "unit.c:900", 3 }'),
    timer('\n', '{ tick, "unit.c:901", 3 }'),
    ['t changed references'],
  ],
  ['another file', timer(''), timer('\n', '{ tick, "other.c:" STR(__LINE__), 3 }'), ['t changed references']],
  ['another line than its own', timer('\n'), timer('', '{ tick, "/src/unit.c:9", 3 }'), ['t changed references']],
  ['another value', timer(''), timer('\n').replace('), 3 }', '), 4 }'), ['t changed contents']],
];

for (const [name, base, next, changes] of TIMERS) {
  for (const compiler of CASE_COMPILERS) {
    test(`line in the text of a variable: ${name} [${compiler}]`, { skip: !hasTool(compiler) }, async () => {
      assert.deepEqual(summary(await diffSources(base, next, { compiler, args: ARGS })), changes);
    });
  }
}
