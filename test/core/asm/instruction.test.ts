import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listFunction } from '../../../server/src/core/asm/listing.ts';
import { hoverInstruction, instructionWords } from '../../../server/src/core/render/instruction.ts';
import { objectOf } from '../diff/support.ts';

test('what frequent instructions do', () => {
  assert.match(instructionWords('mov') ?? '', /copies/);
  assert.match(instructionWords('lea') ?? '', /address/);
  assert.match(instructionWords('jne') ?? '', /not equal/);
  assert.match(instructionWords('jb') ?? '', /without sign/);
  assert.match(instructionWords('jl') ?? '', /with sign/);
  assert.match(instructionWords('cmovle') ?? '', /condition/);
  assert.match(instructionWords('lock cmpxchg') ?? '', /expected/);
  assert.match(instructionWords('bl') ?? '', /calls/);
  assert.match(instructionWords('b.ne') ?? '', /not equal/);
  assert.match(instructionWords('blr') ?? '', /calls/);
  assert.equal(instructionWords('vfmaddsubwhatever'), undefined);
});

test('most instructions of real code are known', async () => {
  const object = await objectOf(`
    #include <stdio.h>
    #include <string.h>
    #include <stdlib.h>
    struct s { int a; double d; char text[40]; };
    int work(struct s *list, unsigned long n, const char *key) {
      double sum = 0; int found = 0;
      for (unsigned long i = 0; i < n; i++) {
        if (strncmp(list[i].text, key, sizeof list[i].text) == 0 && list[i].a % 7 > 2) found++;
        sum += list[i].d / (list[i].a + 1);
        list[i].a = (list[i].a << 3) ^ (int)(i >> 2);
        __sync_fetch_and_add(&list[i].a, 1);
      }
      switch (found & 7) { case 0: puts("a"); break; case 1: puts("b"); break; case 2: abort(); case 3: return 1; case 5: puts("c"); }
      printf("%f\\n", sum);
      return found;
    }`);
  const symbol = object.elf.symbols.find((each) => each.name === 'work');
  assert.ok(symbol);
  const rows = listFunction(object, symbol).filter((row) => !row.padding);
  const unknown = rows.filter((row) => instructionWords(row.mnemonic) === undefined).map((row) => row.mnemonic);
  assert.ok(rows.length > 60);
  assert.ok(unknown.length / rows.length < 0.05, unknown.join(' '));
});

test('hover on a call: relocation, callee, whether it is in the patch; on inlined code: from where', async () => {
  const object = await objectOf(`
    extern int puts(const char *);
    extern int table[16];
    __attribute__((noinline)) static int callee(int x) { return puts("x") + x; }
    static inline __attribute__((always_inline)) int inner(int x) { return table[3] * x; }
    int work(int x) { return callee(x) + inner(x) + puts("y"); }`);
  const symbol = object.elf.symbols.find((each) => each.name === 'work');
  assert.ok(symbol);
  const rows = listFunction(object, symbol);
  const statusOf = (name: string) => (name.startsWith('callee') ? ('changed' as const) : undefined);
  const texts = rows.map((row) => hoverInstruction(row, { statusOf, sourceText: 'return callee(x);' }));
  const call = texts.find((text) => /calls `callee/.test(text));
  assert.match(call ?? '', /which is in the patch \(changed\)/);
  const outside = texts.find((text) => /calls `puts`/.test(text));
  assert.match(outside ?? '', /R_X86_64_PLT32/);
  assert.match(outside ?? '', /which is not in the patch/);
  const table = texts.find((text) => /`table \+ 12`/.test(text));
  assert.match(table ?? '', /defined elsewhere/);
  assert.match(table ?? '', /inlined from `inner` at `\w+\.c:6`/);
  assert.match(table ?? '', /\*\*\w+\*\*: /);
  assert.match(table ?? '', /`return callee\(x\);`/);
});
