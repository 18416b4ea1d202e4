import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';

const use = `
enum state current;
int busy(void) { return current == BUSY; }
void stop(void) { current = STOPPED; }
`;

hazard('an enumerator inserted before others', {
  base: `enum state { IDLE, BUSY, STOPPED };${use}`,
  next: `enum state { IDLE, WAITING, BUSY, STOPPED };
//^^^ enum-value-changed blocker${use}`,
  check: ({ findings }) => {
    assert.deepEqual(findings[0]?.evidence.changed, ['BUSY 1 → 2', 'STOPPED 2 → 3']);
    assert.equal(findings[0]?.symbol, 'enum state');
  },
});

hazard('an enumerator added at the end is nothing', {
  base: `enum state { IDLE, BUSY, STOPPED };${use}`,
  next: `enum state { IDLE, BUSY, STOPPED, WAITING };${use}
int waiting(void) { return current == WAITING; }
`,
  ignore: ['new-global'],
});

hazard('one that is removed asks for a review', {
  base: `enum state { IDLE, BUSY, STOPPED, DEAD };${use}`,
  next: `enum state { IDLE, BUSY, STOPPED };
//^^^ enum-value-changed review${use}`,
});

hazard('near miss: only the count of the others grows', {
  base: `enum state { IDLE, BUSY, STOPPED, STATE_MAX };${use}
int valid(int s) { return s >= 0 && s < STATE_MAX; }
`,
  next: `enum state { IDLE, BUSY, STOPPED, WAITING, STATE_MAX };
//^^^ enum-value-changed review${use}
int valid(int s) { return s >= 0 && s < STATE_MAX; }
`,
});

hazard('near miss: a nameless constant that nothing stores, and nameless states that may be in an int', {
  base: `
enum { LIMIT = 10 };
enum { IDLE, BUSY, STOPPED };
extern int state;
int over(int x) { return x > LIMIT ? 100 : x * 7; }
int busy(void) { return state == BUSY ? 5 : 17; }
`,
  next: `
enum { LIMIT = 20 };
//^^^ enum-value-changed review
enum { IDLE, WAITING, BUSY, STOPPED };
//^^^ enum-value-changed blocker
extern int state;
int over(int x) { return x > LIMIT ? 100 : x * 7; }
int busy(void) { return state == BUSY ? 5 : 17; }
`,
});

const values = (list: string, more: string): string => `enum { ${list} };${more}
struct conn { int state; };
struct conn *conns;
int step(int i) { return conns[i].state == LAST ? 5 : conns[i].state & 1; }
`;
const blocker = '\n//^^^ enum-value-changed blocker';
const review = '\n//^^^ enum-value-changed review';

for (const [title, was, is, last] of [
  ['flags', 'F_OPEN = 1, F_DIRTY = 2, F_LOCKED = 4', 'F_OPEN = 1, F_DIRTY = 4, F_LOCKED = 8', 'F_LOCKED'],
  ['flags behind a zero', 'F_NONE = 0, F_OPEN = 1, F_DIRTY = 2', 'F_NONE = 0, F_OPEN = 1, F_DIRTY = 4', 'F_DIRTY'],
  [
    'states with gaps',
    'REPL_NONE, REPL_ON = 10, REPL_SYNC = 20',
    'REPL_NONE, REPL_ON = 10, REPL_SYNC = 30',
    'REPL_SYNC',
  ],
] as const)
  hazard(`values of a nameless enum that an int holds: ${title}`, {
    base: values(was, '').replace('LAST', last),
    next: values(is, blocker).replace('LAST', last),
    check: ({ findings }) => assert.doesNotMatch(findings[0]?.message ?? '', /arrays/),
  });

for (const [was, is, last] of [
  ['BUF_SIZE = 4096, LINE_ALIGN = 64', 'BUF_SIZE = 8192, LINE_ALIGN = 64', 'BUF_SIZE'],
  ['RING_MIN = 3, RING_LIMIT = 64', 'RING_MIN = 3, RING_LIMIT = 128', 'RING_LIMIT'],
] as const)
  hazard(`near miss: constants of their own in a nameless enum: ${is}`, {
    base: values(was, '').replace('LAST', last),
    next: values(is, review).replace('LAST', last),
    check: ({ findings }) => assert.doesNotMatch(findings[0]?.message ?? '', /arrays/),
  });

const event = (list: string, mark = '', more = ''): string => `enum event { ${list} };${mark}
struct queue { unsigned char kind[8]; enum event last; };
struct queue *queue;${more}
int post(int i) { queue->kind[i & 7] = EV_LAST; return queue->last == EV_LAST; }
`;

for (const [title, was, is] of [
  [
    'the last one, that another number was given',
    'EV_OPEN = 1, EV_CLOSE, EV_LAST',
    'EV_OPEN = 1, EV_CLOSE, EV_LAST = 9',
  ],
  ['the last one, in front of which one was put', 'EV_OPEN, EV_CLOSE, EV_LAST', 'EV_OPEN, EV_CLOSE, EV_WAIT, EV_LAST'],
  ['a count that does not count', 'EV_OPEN, EV_LAST, EV_MAX = 20', 'EV_OPEN, EV_LAST, EV_MAX = 30'],
] as const)
  hazard(`a name of an end does not make a count: ${title}`, {
    base: event(was),
    next: event(is, blocker),
    check: ({ findings }) => assert.doesNotMatch(findings[0]?.message ?? '', /arrays/),
  });

for (const [title, was, is, size] of [
  [
    'the last one, by which an array is sized',
    'EV_OPEN, EV_CLOSE, EV_LAST',
    'EV_OPEN, EV_CLOSE, EV_WAIT, EV_LAST',
    'EV_LAST',
  ],
  [
    'another name of the last one',
    'EV_OPEN, EV_CLOSE, EV_LAST = EV_CLOSE',
    'EV_OPEN, EV_CLOSE, EV_WAIT, EV_LAST = EV_WAIT',
    '4',
  ],
  [
    'a count, and the one before it',
    'EV_OPEN, EV_CLOSE, __EV_MAX, EV_LAST = __EV_MAX - 1',
    'EV_OPEN, EV_CLOSE, EV_WAIT, __EV_MAX, EV_LAST = __EV_MAX - 1',
    '4',
  ],
] as const)
  hazard(`near miss: it does count the others: ${title}`, {
    base: event(was, '', `\nint sizes[${size}];\nint size(int i) { return sizes[i]; }`),
    next: event(is, review, `\nint sizes[${size}];\nint size(int i) { return sizes[i]; }`),
    ignore: ['data-size-changed'],
    check: ({ findings }) =>
      assert.match(findings.find(({ code }) => code === 'enum-value-changed')?.message ?? '', /arrays/),
  });
