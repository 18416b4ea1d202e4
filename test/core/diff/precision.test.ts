import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listBody } from '../../../server/src/core/asm/listing.ts';
import { createMeaning } from '../../../server/src/core/diff/meaning.ts';
import { pairSymbols } from '../../../server/src/core/diff/pair.ts';
import { alignRows } from '../../../server/src/core/diff/rows.ts';
import { createSide } from '../../../server/src/core/diff/side.ts';
import { markTables } from '../../../server/src/core/diff/tables.ts';
import { diffLoaded, diffSources, objectOf } from './support.ts';

const TABLES = (value: number) => `int f(int k, int m) {
  int first = 7, second = 9;
  switch (k) {
  case 0: first = 11; break; case 1: first = 29; break; case 2: first = 31; break; case 3: first = 47; break; case 4: first = 53; break;
  }
  switch (m) {
  case 0: second = 41; break; case 1: second = ${value}; break; case 2: second = 13; break; case 3: second = 97; break; case 4: second = 3; break;
  }
  return first * second;
}
`;

test('of two tables that the compiler made of switches, only the use of the changed one is marked', async () => {
  const objects = [await objectOf(TABLES(5)), await objectOf(TABLES(6))] as const;
  assert.deepEqual(
    diffLoaded(...objects).functions.map(({ name }) => name),
    ['f'],
  );
  const [base, next] = [createSide(objects[0]), createSide(objects[1])];
  const meaning = createMeaning(base, next, pairSymbols(...objects));
  const [from, to] = [base.places.bodies[0]!, next.places.bodies[0]!];
  const aligned = alignRows(listBody(objects[0], from), listBody(objects[1], to));
  const marked = markTables(aligned, base, from, next, to, meaning).filter((row) => !row.same);
  const users = aligned.filter((row) => row.base?.references.some(({ kind }) => kind === 'constant'));
  assert.equal(users.length, 2, 'both tables are in use');
  assert.equal(marked.length, 1);
});

const TWO_TYPES = (first: string) => `struct moved { int id; ${first}int port; int mode; };
struct wide { char text[8]; ${first}long tail; };
int port_of(struct moved *m, struct wide *w) { return m->port + (w ? 1 : 0); }
int mode_of(struct moved *m) { return m->mode; }
long tail_of(struct moved *m, struct wide *w) { return m ? w->tail : 0; }
int id_of(struct moved *m, struct wide *w) { return m->id + w->text[2]; }
`;

test('a type is a reason only where its members moved under the code', async () => {
  const diff = await diffSources(TWO_TYPES(''), TWO_TYPES('long extra; '));
  const types = new Map(
    diff.functions.map(({ name, reasons }) => [
      name,
      reasons.filter(({ kind }) => kind === 'header-type').map(({ detail }) => detail),
    ]),
  );
  assert.deepEqual(Object.fromEntries(types), {
    port_of: ['moved.port'],
    mode_of: ['moved.mode'],
    tail_of: ['wide.tail'],
  });
});

test('an enumerator is named where its value is what the code differs in', async () => {
  const source = (first: string) =>
    `enum level { ${first}LOW = 3${first ? ' + 4' : ''}, HIGH = 90 };\nvoid put(int);\nvoid low(enum level l) { if (l != HIGH) put(LOW); }\nvoid high(enum level l) { put(l == HIGH); }\n`;
  const diff = await diffSources(source(''), source('NONE, '));
  assert.deepEqual(
    diff.functions.map(({ name, reasons }) => [name, reasons.find(({ kind }) => kind === 'header-type')?.detail]),
    [['low', 'level.LOW']],
  );
});

test('a nameless constant in front of a named array is itself, not a place before the array', async () => {
  const source = (text: string) =>
    `int say(const char *, int);\nstatic const int table[3] = {7, 8, 9};\nint f(int i) { return say("${text}", i); }\nint g(int i) { return table[i]; }\n`;
  for (const args of [
    ['-O0', '-g', '-fPIC'],
    ['-O2', '-g'],
    ['-O0', '-g', '-fno-pic', '-mcmodel=kernel'],
  ]) {
    for (const [one, other] of [
      ['counter', 'Qounter'],
      ['', 'x'],
      ['abc', ''],
    ] as const) {
      const diff = await diffSources(source(one), source(other), { args });
      assert.deepEqual(
        diff.functions.map(({ name }) => name),
        ['f'],
        `${args.join(' ')}: "${one}" → "${other}"`,
      );
    }
  }
});
