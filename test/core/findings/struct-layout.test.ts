import assert from 'node:assert/strict';
import { CASE_COMPILERS } from '../../support/cc.ts';
import { hazard } from '../../support/markers.ts';

const users = (mark = ''): string => `
static struct conn conns[8];${mark}
int conn_port(int i) { return conns[i].port; }
void conn_set(int i, int fd, short port) { conns[i].fd = fd; conns[i].port = port; }
`;

hazard('a field inserted before others moves them', {
  base: `
struct conn {
  int fd;
  short port;
  char name[16];
};
${users()}`,
  next: `
struct conn {
  int fd;
  int flags;
//^^^ struct-layout blocker
//^^^ struct-grown blocker
  short port;
  char name[16];
};
${users('\n//^^^ data-size-changed blocker')}`,
  check: ({ findings, diff, verdict }) => {
    const finding = findings.find(({ code }) => code === 'struct-layout');
    const grown = findings.find(({ code }) => code === 'struct-grown');
    assert.match(grown!.message, /24 to 28 bytes.*4 bytes too small: conns \(static\)/);
    assert.equal(verdict, 'blocked');
    assert.equal(finding?.symbol, 'struct conn');
    assert.match(finding!.message, /24 → 28 bytes.*flags is new at offset 4 \(4 bytes\), which moves port and name\./);
    assert.deepEqual(finding!.evidence.pushed, ['port', 'name']);
    assert.deepEqual(
      finding!.evidence.outlivesBy,
      ['variable conns', 'function conn_set can be called from other units'].slice(0, 1),
    );
    assert.ok(finding!.related.some(({ message }) => /in the running program is 24 bytes/.test(message)));
    assert.ok(finding!.related.some(({ message }) => message.startsWith('conns holds it')));
    assert.equal(
      diff.types.find(({ name }) => name === 'conn')?.members.find(({ path }) => path === 'port')?.what,
      'moved',
    );
  },
});

hazard('two fields of one type that change places are told by their names', {
  base: `
struct range { int low; int high; };
static struct range window;
int inside(int x) { return x >= window.low && x < window.high; }
void widen(void) { window.low--; window.high++; }
`,
  next: `
struct range { int high; int low; };
//^^^ struct-layout blocker
static struct range window;
int inside(int x) { return x >= window.low && x < window.high; }
void widen(void) { window.low--; window.high++; }
`,
});

hazard('an embedded struct is reported once, at the cause, and names what contains it', {
  base: `
struct inner { char kind; int a; int b; };
struct outer { struct inner in[2]; long tail; };
struct box { struct outer o; int more; };
struct box *boxes;
long tail(int i) { return boxes[i].o.tail + boxes[i].o.in[1].b; }
`,
  next: `
struct inner { char kind; int a; int c; int b; };
//^^^ struct-layout blocker
//^^^ struct-grown blocker
struct outer { struct inner in[2]; long tail; };
struct box { struct outer o; int more; };
struct box *boxes;
long tail(int i) { return boxes[i].o.tail + boxes[i].o.in[1].b; }
`,
  check: ({ diff, findings }) => {
    const finding = findings.find(({ code }) => code === 'struct-layout')!;
    assert.deepEqual([...(finding.evidence.embeddedIn as string[])].sort(), ['struct box', 'struct outer']);
    assert.match(finding.message, /struct (outer and struct box|box and struct outer) contain it/);
    const causes = Object.fromEntries(diff.types.map((type) => [type.label, type.causes]));
    assert.deepEqual(causes, { 'struct inner': [], 'struct outer': ['struct inner'], 'struct box': ['struct outer'] });
  },
});

hazard('a field that moves inside a nested struct without a name', {
  base: `
struct packet { int len; struct { short src; short dst; } port; union { int whole; char parts[4]; }; };
int whole(struct packet *p) { return p->whole + p->port.dst + p->port.src; }
`,
  next: `
struct packet { int len; struct { short dst; short src; } port; union { int whole; char parts[4]; }; };
//^^^ struct-layout blocker
int whole(struct packet *p) { return p->whole + p->port.dst * 2 + p->port.src; }
`,
  check: ({ diff }) => {
    assert.deepEqual(
      diff.types.find(({ name }) => name === 'packet')?.members.map(({ path, what }) => `${path} ${what}`),
      ['port.dst moved', 'port.src moved'],
    );
  },
});

hazard('bit-fields', {
  base: `
struct flags { unsigned open : 1; unsigned mode : 3; unsigned rest : 4; };
struct flags state;
int mode(void) { return state.mode; }
void reset(void) { state.mode = 0; state.rest = 1; }
`,
  next: `
struct flags { unsigned open : 1; unsigned mode : 4; unsigned rest : 3; };
//^^^ struct-layout blocker
struct flags state;
int mode(void) { return state.mode; }
void reset(void) { state.mode = 0; state.rest = 1; }
`,
});

hazard('the type of a typedef: the fields of that type follow it', {
  base: `
typedef unsigned int stamp_t;
struct job { int id; stamp_t start; int prio; };
struct job *first;
int prio(void) { return first->prio; }
`,
  next: `
typedef unsigned long stamp_t;
//^^^ struct-layout blocker
struct job { int id; stamp_t start; int prio; };
struct job *first;
int prio(void) { return first->prio; }
`,
});

hazard('the element of a flexible array', {
  base: `
struct list { int count; int items[]; };
int sum(struct list *l) { int s = 0; for (int i = 0; i < l->count; i++) s += l->items[i]; return s; }
`,
  next: `
struct list { int count; short items[]; };
//^^^ struct-layout blocker
int sum(struct list *l) { int s = 0; for (int i = 0; i < l->count; i++) s += l->items[i]; return s; }
`,
});

hazard('a field removed without moving another asks for a review', {
  base: `
struct item { short a; short old; int b; };
struct item items[4];
int total(int i) { return items[i].a + items[i].b + items[i].old; }
`,
  next: `
struct item { short a; int b; };
//^^^ struct-layout review
struct item items[4];
int total(int i) { return items[i].a + items[i].b; }
`,
});

hazard('renamed fields, typedefs, qualifiers, comments and another order of declarations are nothing', {
  base: `
typedef unsigned int u32;
struct point { int x; u32 y; };
struct other { const char *text; struct point *at; };
struct other *others;
int x(void) { return others->at->x; }
`,
  next: `
typedef unsigned int uint;
struct other;
/* a comment that moves everything */
struct point { int column; volatile uint y; };
struct other { char *const text; struct point *at; };
struct other *others;
int x(void) { return others->at->column; }
`,
});

hazard(
  'near miss: a pointer to a changed struct is not a change of the struct that holds it; automatic variables do not outlive the patch',
  {
    base: `
extern int rnd(void);
struct tmp { int a; int b; };
int work(int n) {
  struct tmp t[4];
  for (int i = 0; i < 4; i++) { t[i].a = rnd(); t[i].b = rnd(); }
  int sum = 0;
  for (int i = 0; i < 4; i++) sum += t[(i + n) & 3].a * t[(i * n) & 3].b;
  return sum;
}
`,
    next: `
extern int rnd(void);
struct tmp { int a; int extra; int b; };
int work(int n) {
  struct tmp t[4];
  for (int i = 0; i < 4; i++) { t[i].a = rnd(); t[i].b = rnd(); t[i].extra = rnd(); }
  int sum = 0;
  for (int i = 0; i < 4; i++) sum += t[(i + n) & 3].a * t[(i * n) & 3].b + t[n & 3].extra;
  return sum;
}
`,
    check: ({ diff, verdict }) => {
      assert.equal(diff.types.find(({ name }) => name === 'tmp')?.confined, true);
      assert.equal(verdict, 'patchable');
    },
  },
);

hazard('near miss of that: its address goes to a function of another unit', {
  base: `
struct tmp { int a; int b; };
extern int fill(struct tmp *t);
int work(int n) { struct tmp t = { n, 1 }; fill(&t); return t.a + t.b; }
`,
  next: `
struct tmp { int a; int extra; int b; };
//^^^ struct-layout blocker
//^^^ struct-grown blocker
extern int fill(struct tmp *t);
int work(int n) { struct tmp t = { n, 0, 1 }; fill(&t); return t.a + t.b; }
`,
});

const SLOTS = (field: string) => `
void *slot_get(void);
${field}
static __attribute__((noinline)) void use(struct job *p) { struct job *q = slot_get(); if (q) p->n += q->n; }
int tick(int v) { struct job j; j.id = v; j.n = v + 1; use(&j); return j.n; }
`;

hazard('near miss of that: a pointer variable of the same type as a parameter leads to an instance made elsewhere', {
  base: SLOTS(`struct job {
  int id;
  int n;
};`),
  next: SLOTS(`struct job {
  int id;
  int flags;
//^^^ struct-layout blocker
//^^^ struct-grown blocker
  int n;
};`),
});

const PASSED = (field: string, inline: string) => `
int rnd(void);
struct job { int id; ${field}volatile int n; };
static ${inline} void use(struct job *p) { p->n += rnd() + p->id; }
int tick(int v) { struct job j; j.id = v; j.n = rnd(); use(&j); use(&j); return j.n; }
`;

for (const [inline, compilers] of [
  ['__attribute__((noinline))', CASE_COMPILERS],
  // clang leaves only the last field, at the same place: tick() does not change, so it stays.
  ['inline __attribute__((always_inline))', ['gcc-11', 'gcc-12']],
] as const)
  hazard(`near miss: an automatic variable whose address goes to a function of the patch only: ${inline}`, {
    base: PASSED('', inline),
    next: PASSED('int flags; ', inline),
    compilers,
  });
