import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';

const use = `
struct node *head;
int first(void) { return head ? head->value : 0; }
void push(struct node *n) { n->next = head; head = n; }
`;

hazard('a field added at the end', {
  base: `
struct node {
  struct node *next;
  long value;
};
${use}`,
  next: `
struct node {
  struct node *next;
  long value;
  long stamp;
//^^^ struct-grown blocker
};
${use}`,
  check: ({ findings }) => {
    assert.equal(findings[0]?.evidence.baseSize, 16);
    assert.equal(findings[0]?.evidence.nextSize, 24);
    assert.match(findings[0]!.message, /16 bytes: patched code would write past their end/);
    assert.match(findings[0]!.message, /8 bytes too small/);
    assert.deepEqual(findings[0]!.evidence.allocatedBy, undefined);
  },
});

hazard('a global of that type has a finding of its own, which names the cause', {
  base: `
struct stats { int hits; };
struct stats stats;
struct wide { char c[3]; };
void hit(void) { stats.hits++; }
`,
  next: `
struct stats { int hits; int misses; };
//^^^ struct-grown blocker
struct stats stats;
//^^^ data-size-changed blocker
struct wide { char c[3]; };
void hit(void) { stats.hits++; stats.misses--; }
`,
  check: ({ findings }) => {
    const grown = findings.find(({ code }) => code === 'struct-grown')!;
    assert.ok(grown.related.some(({ message }) => message.startsWith('stats holds it')));
    assert.match(grown.message, /4 bytes too small: stats \(global\)/);
    const size = findings.find(({ code }) => code === 'data-size-changed')!;
    assert.match(size.message, /That follows from the change of struct stats/);
    assert.deepEqual([size.related[0]?.message, size.related[0]?.at?.line], ['follows from struct stats', 1]);
  },
});

hazard('a new struct is nothing, and a pointer to it in a function is not either', {
  base: `
extern int rnd(int);
int size(int n) { return rnd(n) + 1; }
`,
  next: `
extern int rnd(int);
struct fresh { int a; int b; };
int size(int n) { n = rnd(n); struct fresh f[2] = { { n, 1 }, { 2, n } }; return f[n & 1].a + f[n & 1].b; }
`,
});

hazard('near miss: the last array shrinks as much as the new field takes', {
  base: `
struct node { long value; char spare[16]; };
struct node *head;
int first(void) { return head->value + head->spare[3]; }
`,
  next: `
struct node { long value; char spare[8]; long stamp; };
//^^^ struct-padding-used review
struct node *head;
int first(void) { return head->value + head->spare[3] + head->stamp; }
`,
});

const shelf = (field: string): string => `
#include <stdlib.h>
extern void *zmalloc(unsigned long);
extern void *scratch_alloc(unsigned long);
struct box {
  struct box *next;
  long weight;
  int kind;
${field}
};
struct box *shelf;
struct box *box_new(long weight) { struct box *b = malloc(sizeof *b); if (b) b->weight = weight; return b; }
struct box *box_array(unsigned n) { return calloc(n, sizeof(struct box)); }
struct box *box_tail(unsigned n) { return zmalloc(sizeof(struct box) + n); }
void *other(void) { return scratch_alloc(24); }
void drop(struct box *b) { free(b); shelf = 0; }
`;

hazard('where the type is allocated: sizes that follow it, not equal ones', {
  base: shelf(''),
  next: shelf('  long stamp;\n//^^^ struct-grown blocker'),
  check: ({ findings }) => {
    assert.deepEqual([...(findings[0]!.evidence.allocatedBy as string[])].sort(), [
      'box_array: calloc',
      'box_new: malloc',
      'box_tail: zmalloc',
    ]);
    const place = findings[0]!.related.find(({ message }) => message.startsWith('box_new() may allocate it'));
    assert.equal(place?.at?.line, 11);
  },
});

const packets = (field: string): string => `
struct pkt { int len; char data[60];${field} };
extern void *slab(const char *, unsigned long);
extern void *mmap(void *, unsigned long, int, int, int, long);
extern struct pkt *pool_get(void *, unsigned long);
extern int tx(void *, unsigned long);
extern void *memset(void *, int, unsigned long);
static void *cache;
void start(void) { cache = slab("pkt", sizeof(struct pkt)); }
struct pkt *fetch(void *pool) { return pool_get(pool, sizeof(struct pkt)); }
struct pkt *map(void) { return mmap(0, sizeof(struct pkt), 3, 2, -1, 0); }
int send(struct pkt *p) { return tx(p, sizeof *p); }
void wipe(struct pkt *p) { memset(p, 0, sizeof *p); tx(p, 1); }
void *other(void) { return slab("other", 64); }
`;

hazard('allocators of any name, by what they and their callers return; not what only gets the size', {
  base: packets(''),
  next: packets(' long stamp;').replace('};\nextern', '};\n//^^^ struct-grown blocker\nextern'),
  check: ({ findings }) =>
    assert.deepEqual([...(findings[0]!.evidence.allocatedBy as string[])].sort(), [
      'fetch: pool_get',
      'map: mmap',
      'start: slab',
    ]),
});

hazard('a union that grew, and its member that did', {
  base: `
union value { int number; char text[4]; };
union value *all;
int number(int i) { return all[i].number; }
`,
  next: `
union value { int number; char text[8]; };
//^^^ struct-layout blocker
//^^^ struct-grown blocker
union value *all;
int number(int i) { return all[i].number; }
`,
});

hazard('a union that grew by a new alternative', {
  base: `
union value { int number; char text[4]; };
union value *all;
int number(int i) { return all[i].number; }
`,
  next: `
union value { int number; char text[4]; long wide; };
//^^^ struct-grown blocker
union value *all;
int number(int i) { return all[i].number; }
`,
});

hazard('a field in a hole and one at the end are two facts', {
  base: `
struct item { char kind; long id; };
struct item *items;
long id(int i) { return items[i].id; }
`,
  next: `
struct item { char kind; char fresh; long id; long more; };
//^^^ struct-grown blocker
//^^^ struct-padding-used review
struct item *items;
long id(int i) { return items[i].id; }
`,
});
