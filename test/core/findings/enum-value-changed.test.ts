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
