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
  },
});

hazard('a global of that type is part of the same finding', {
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
struct wide { char c[3]; };
void hit(void) { stats.hits++; stats.misses--; }
`,
  check: ({ findings }) => {
    assert.ok(findings[0]?.related.some(({ message }) => message.startsWith('stats holds it')));
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
//^^^ struct-layout blocker
struct node *head;
int first(void) { return head->value + head->spare[3] + head->stamp; }
`,
});
