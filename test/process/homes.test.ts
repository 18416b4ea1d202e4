import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';

const part = (text: string): string => `
#include <stdio.h>
static char line[64];
const char *answer(const char *question) { snprintf(line, sizeof line, "${text} %s", question); return line; }
`;

describe('sources of one name in several programs', () => {
  ensureHelper();
  const programs: Program[] = [];
  const make = (sources: Record<string, string>): Program => {
    const program = new Program(sources);
    programs.push(program);
    return program;
  };
  after(() => {
    for (const program of programs) program.dispose();
  });

  it('the code tells which of them a unit is part of', async () => {
    const ours = make({ 'main.c': ASKING_MAIN, 'part.c': part('ours') });
    const theirs = make({
      'main.c': ASKING_MAIN,
      'part.c': part('theirs').replace('"theirs', 'question[0] ? "their" : "'),
    });
    for (const modules_ of [
      [ours.module(), theirs.module()],
      [theirs.module(), ours.module()],
    ]) {
      const outcome = await ours.build({ 'part.c': part('new') }, { modules_ });
      assert.equal(outcome.kind, 'payload', JSON.stringify(outcome));
      if (outcome.kind !== 'payload') return;
      assert.deepEqual(
        [...new Set(outcome.payload.manifest.replaces.map((one) => one.module))],
        [ours.module().elf.buildId],
      );
    }
  });

  it('the same code in both: refused, and the build ids decide', async () => {
    const ours = make({ 'main.c': ASKING_MAIN, 'part.c': part('same') });
    const theirs = make({ 'main.c': `${ASKING_MAIN}int more;\n`, 'part.c': part('same') });
    const modules_ = [ours.module(), theirs.module()];
    const edit = { 'part.c': part('same').replace('return line', 'line[0] = 0; return line') };
    const refused = await ours.build(edit, { modules_ });
    assert.equal(refused.kind === 'refused' && refused.refusals[0]?.code, 'symbol-ambiguous');
    const chosen = await ours.build(edit, { modules_, modules: [theirs.module().elf.buildId!] });
    assert.deepEqual(chosen.kind === 'payload' && chosen.payload.manifest.replaces.map((one) => one.module), [
      theirs.module().elf.buildId,
    ]);
  });
});
