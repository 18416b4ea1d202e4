import assert from 'node:assert/strict';
import { DEFAULT_ARGS } from '../../support/cc.ts';
import { hazard } from '../../support/markers.ts';

const REPORT = '\n//^^^ lock-semantics review';
const HEAD = `struct lock { int v; };
extern void mutex_lock(struct lock *); extern void mutex_unlock(struct lock *); extern int mutex_trylock(struct lock *);
extern int work(int), check(int), emit(int); extern void note(void *); extern void abort(void) __attribute__((noreturn));
struct port { int id; struct lock io; long pad[3]; struct lock cfg; struct port *up; int q; };
extern struct port *find(int); extern struct lock tx, rx;
`;
const port = (body: string, mark = '', params = 'struct port *p, int x'): string => `${HEAD}int run(${params}) {${mark}
  ${body}
}
`;
const pair = (a: string, b: string, work = 'x = work(x);'): string =>
  `mutex_lock(${a});\n mutex_lock(${b});\n ${work}\n mutex_unlock(${b});\n mutex_unlock(${a});\n return x;`;

hazard('lock-semantics: two members in another order', {
  base: port(pair('&p->io', '&p->cfg')),
  next: port(pair('&p->cfg', '&p->io'), REPORT),
  check: ({ findings }) => {
    const found = findings.find(({ code }) => code === 'lock-semantics');
    assert.deepEqual(found?.evidence.next, [
      'mutex_lock(p->cfg)',
      'mutex_lock(p->io)',
      'mutex_unlock(p->io)',
      'mutex_unlock(p->cfg)',
    ]);
  },
});
hazard('lock-semantics: another member is taken', {
  base: port(pair('&p->io', '&p->up->io')),
  next: port(pair('&p->io', '&p->up->cfg'), REPORT),
});
hazard('lock-semantics: two parameters in another order', {
  base: port(pair('&p->io', '&o->io'), '', 'struct port *p, struct port *o, int x'),
  next: port(pair('&o->io', '&p->io'), REPORT, 'struct port *p, struct port *o, int x'),
});
hazard('lock-semantics: members behind a result', {
  base: port(`struct port *f = find(x);\n ${pair('&f->io', '&f->cfg')}`),
  next: port(`struct port *f = find(x);\n ${pair('&f->cfg', '&f->io')}`, REPORT),
});
for (const flags of [['-fPIC'], ['-fno-pie', '-mcmodel=kernel'], ['-fpie']])
  hazard(`lock-semantics: locks of another unit in another order, ${flags.join(' ')}`, {
    args: [...DEFAULT_ARGS, ...flags],
    base: port(pair('&tx', '&rx')),
    next: port(pair('&rx', '&tx'), REPORT),
  });

hazard('lock-semantics: AArch64, objects and members in another order', {
  compilers: ['aarch64-linux-gnu-gcc'],
  base: port(`${pair('&tx', '&rx').replace('return x;', '')}${pair('&p->io', '&p->up->cfg')}`),
  next: port(`${pair('&tx', '&rx').replace('return x;', '')}${pair('&p->up->cfg', '&p->io')}`, REPORT),
});
hazard('lock-semantics: AArch64, near miss, the same locks', {
  compilers: ['aarch64-linux-gnu-gcc'],
  base: port(`${pair('&tx', '&rx').replace('return x;', '')}${pair('&p->io', '&p->up->cfg')}`),
  next: port(
    `${pair('&tx', '&rx', 'x = work(x + 1);').replace('return x;', '')}${pair('&p->io', '&p->up->cfg', 'note(&x);')}`,
  ),
});

const busy = (value: number): string =>
  `int a = check(x), b = check(x + 1), c = check(x + 2), d = check(x + 3), e = check(x + 4), f = check(x + 5);
 mutex_lock(&p->cfg);\n a += work(a + b) + work(c) * d;\n mutex_unlock(&p->cfg);
 if (e > ${value}) note(&p->io);
 mutex_lock(&p->io);\n a += work(f) + c * d * e + b;\n mutex_unlock(&p->io);\n return a + b + f;`;
hazard('lock-semantics: near miss, the same members in other registers and stack slots', {
  base: port(busy(3)),
  next: port(
    busy(4).replace('int a', 'int z = check(77), y = check(78); int a').replace('a + b + f', 'a + b + f + y * z'),
  ),
});
hazard('lock-semantics: near miss, a member in front of the locks', {
  ignore: ['struct-layout', 'struct-grown', 'struct-padding-used', 'type-changed-same-size'],
  base: port(pair('&p->io', '&p->cfg')),
  next: port(pair('&p->io', '&p->cfg', 'x = work(x + 1);')).replace('int id;', 'long more[2]; int id;'),
});
hazard('lock-semantics: near miss, a renamed member and parameter', {
  ignore: ['type-changed-same-size', 'struct-layout', 'struct-padding-used'],
  base: port(pair('&p->io', '&p->cfg')),
  next: port(pair('&o->first', '&o->cfg', 'x = work(x + 1);'), '', 'struct port *o, int x').replace(
    'lock io',
    'lock first',
  ),
});
hazard('lock-semantics: near miss, a walk along a list', {
  base: port('for (; p; p = p->up) {\n mutex_lock(&p->io);\n x = work(x);\n mutex_unlock(&p->io);\n }\n return x;'),
  next: port(
    'for (; p && x != 3; p = p->up) {\n mutex_lock(&p->io);\n x = work(x + 1);\n mutex_unlock(&p->io);\n }\n return x + 1;',
  ),
});
hazard('lock-semantics: near miss, a lock on the stack at another place', {
  base: port(
    'struct lock l = { x }; struct port *f = find(1);\n mutex_lock(&l);\n note(&l);\n mutex_unlock(&l);\n return f->q;',
  ),
  next: port(
    'long more[9] = { x }; note(more); struct lock l = { x }; struct port *f = find(1);\n mutex_lock(&l);\n note(&l);\n mutex_unlock(&l);\n return f->q;',
  ),
});
hazard('lock-semantics: near miss, no argument, and something else in the register', {
  base: port('rcu_read_lock();\n x = work(p->q);\n rcu_read_unlock();\n return x;').replace(
    'struct port {',
    'extern void rcu_read_lock(void), rcu_read_unlock(void);\nstruct port {',
  ),
  next: port('note(&p->cfg); p = p->up;\n rcu_read_lock();\n x = work(p->q);\n rcu_read_unlock();\n return x;').replace(
    'struct port {',
    'extern void rcu_read_lock(void), rcu_read_unlock(void);\nstruct port {',
  ),
});

const account = (how: string, inner = 'mutex_lock(&tx);\n x = work(x);\n mutex_unlock(&tx);'): string => `${HEAD}
static ${how} int account(struct port *p, int x) { ${inner}\n p->q++; return x; }
int first(struct port *p, int x) { return account(p, x) + 1; }
int second(struct port *p, int x) {
  mutex_lock(&p->io);
  x = account(p->up, x + 1) * 2;
  mutex_unlock(&p->io); return x; }
int (*keep)(struct port *, int) = account;
`;
const OUT = '__attribute__((noinline))';
const IN = 'inline __attribute__((always_inline))';
const member = 'mutex_lock(&p->cfg);\n x = work(x);\n mutex_unlock(&p->cfg);';
for (const inner of [undefined, member]) {
  const what = inner ? 'of a member' : 'of an object';
  const ignore = ['inline-decision-flip', 'inline-widened', 'function-removed', 'fnptr-identity', 'line-only-change'];
  hazard(`lock-semantics: near miss, a function with a lock ${what} is inlined now`, {
    ignore,
    base: account(OUT, inner),
    next: account(IN, inner),
  });
  hazard(`lock-semantics: near miss, a function with a lock ${what} is no longer inlined`, {
    ignore,
    base: account(IN, inner),
    next: account(OUT, inner),
  });
}
hazard('lock-semantics: inlined now, and with another lock', {
  ignore: ['inline-decision-flip', 'inline-widened', 'function-removed', 'fnptr-identity', 'line-only-change'],
  base: account(OUT, member),
  next: account(IN, member.replaceAll('cfg', 'io'))
    .replace('{ mutex', `{${REPORT}\n mutex`)
    .replace('int first(struct port *p, int x) {', `int first(struct port *p, int x) {${REPORT}\n`)
    .replace('int second(struct port *p, int x) {', `int second(struct port *p, int x) {${REPORT}`),
});

const named = (call: string, mark = ''): string => `${HEAD}
extern void downgrade_write(void *), percpu_down_read(void *), percpu_up_read(void *), freezer_lock(void *), down_write_killable(void *);
extern int ev_lock_count(void); extern void lock_init(void *), free_lock(void *), lock_stats(void *);
int run(struct port *p, int x) {${mark}
  ${call} return work(x); }
`;
for (const call of ['downgrade_write', 'percpu_down_read', 'percpu_up_read', 'freezer_lock', 'down_write_killable'])
  hazard(`lock-semantics: ${call} is called now`, { base: named(''), next: named(`${call}(&p->io);`, REPORT) });
hazard('lock-semantics: near miss, questions and management whose names have a lock in them', {
  base: named(''),
  next: named('x += ev_lock_count(); lock_init(&p->io); free_lock(&p->cfg); lock_stats(&p->io);'),
});

const ways = (body: string, mark = '', head = ''): string => port(body, mark).replace('int run(', `${head}int run(`);
const classic = (before: string, inside: string, after = ''): string =>
  `int r = -1;\n${before} mutex_lock(&p->io);\n mutex_lock(&p->cfg);\n ${inside}\nout: __attribute__((unused));\n mutex_unlock(&p->cfg);\n mutex_unlock(&p->io);\n ${after}\n return r;`;
const checked = classic('', 'if (check(x)) goto out;\n r = work(x);');
const changed = (title: string, next: string, ...expected: string[]): void =>
  hazard(`lock-semantics: ${title}`, {
    base: ways(checked),
    next: ways(next, REPORT),
    check: ({ findings }) => {
      const found = findings.find(({ code }) => code === 'lock-semantics')?.evidence.ways;
      assert.deepEqual(found, expected);
    },
  });
changed(
  'a return that keeps both locks',
  checked.replace('goto out', 'return r'),
  'a way out keeps p->io, which it did not before',
  'a way out keeps p->cfg, which it did not before',
);
changed(
  'a check in front of the locks',
  classic('if (check(x)) return r;', 'r = work(x);'),
  'check() was called with a lock held, and is called without one now',
);
changed(
  'work behind the release',
  classic('', 'r = check(x);\n if (r) goto out;', 'if (!r) r = work(x);'),
  'work() was called with a lock held, and is called without one now',
);
changed(
  'a call of another function that keeps both',
  checked.replace('goto out', 'return emit(x)'),
  'a way out keeps p->io, which it did not before',
  'a way out keeps p->cfg, which it did not before',
);
const quiet = (title: string, before: string, after: string, head = ''): void =>
  hazard(`lock-semantics: near miss, ${title}`, { base: ways(before, '', head), next: ways(after, '', head) });
quiet('one more return before the locks', checked, checked.replace('int r = -1;', 'int r = -1; if (x > 9) return 3;'));
quiet(
  'one more check that releases',
  checked,
  checked.replace('r = work(x);', 'if (x == 77) goto out;\n r = work(x);'),
);
quiet(
  'the end of the program with the locks held',
  checked,
  checked.replace('r = work(x);', 'if (x == 77) abort();\n r = work(x);'),
);
const maybe = (n: number): string =>
  `if (x > 3) mutex_lock(&p->io);\n p->q += work(x) + ${n};\n if (p->q == 3 && ${n} > 1) emit(x);\n if (x > 3) mutex_unlock(&p->io);\n return p->q;`;
quiet('a lock that is taken and released under the same condition', maybe(1), maybe(2));
const tried = (n: number): string =>
  `if (!mutex_trylock(&p->io)) return ${n};\n p->q += work(x + ${n});\n mutex_unlock(&p->io);\n return p->q;`;
quiet('a lock that is tried', tried(1), tried(2));
const locks = (n: number): string =>
  `mutex_lock(&p->io);\n if (check(x)) { mutex_unlock(&p->io); return -1; }\n return x + ${n};`;
quiet('a function that is made to return with the lock', locks(1), locks(2));
quiet(
  'a release in another function of the unit',
  checked,
  checked.replace('goto out', 'return let_go(p, r)'),
  '__attribute__((noinline)) static int let_go(struct port *p, int r) { mutex_unlock(&p->cfg); mutex_unlock(&p->io); return r * p->q; }\nint use_it(struct port *p) { return let_go(p, 1); }\n',
);
quiet(
  'one more message outside of the locks',
  checked,
  checked.replace('int r = -1;', 'int r = -1; if (x > 99) note(p);'),
);
