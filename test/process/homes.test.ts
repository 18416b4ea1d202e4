import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { createAnalyser } from '../../server/src/analyse.ts';
import { buildProcessPayload } from '../../server/src/core/payload/process.ts';
import type { PatchUnit } from '../../server/src/core/payload/types.ts';
import { ASKING_MAIN, ensureHelper, Program } from './program.ts';

const part = (text: string): string => `
#include <stdio.h>
static char line[64];
const char *answer(const char *question) { snprintf(line, sizeof line, "${text} %s", question); return line; }
`;

const OPTIONS = {
  leaveOut: [],
  keepLineOnly: false,
  overrides: {},
  id: 'test-patch',
  description: '',
  created: '2026-01-01T00:00:00Z',
};

async function unitOf(program: Program, name: string, base: string, next: string): Promise<PatchUnit> {
  const analyser = await createAnalyser();
  const load = (text: string) => analyser.load(program.object(name, text)).object!;
  const provenance = { unit: name, baseCommand: [], nextCommand: [], compiler: 'gcc', baseline: 'test' };
  return analyser.compare(load(base), load(next), provenance);
}

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

  it('one source compiled for two programs: its function is redirected once, with the unit that fits better', async () => {
    const extra = 'int server_only(int x) { return x + 1; }\n';
    const ours = make({ 'main.c': ASKING_MAIN, 'part.c': part('same') });
    const server = make({ 'main.c': ASKING_MAIN, 'part.c': `${part('same')}${extra}` });
    const edit = (text: string): string => text.replace('return line', 'line[0] = 89; return line');
    const unit = await unitOf(ours, 'part.c', part('same'), edit(part('same')));
    const serverUnit = await unitOf(server, 'part.c', `${part('same')}${extra}`, edit(`${part('same')}${extra}`));
    const modules = [ours.module(), server.module()];
    const ids = modules.map(({ elf }) => elf.buildId!);
    for (const units of [
      [unit, serverUnit],
      [serverUnit, unit],
    ]) {
      for (const [index, id] of ids.entries()) {
        const outcome = buildProcessPayload(units, modules, { ...OPTIONS, modules: [id] });
        assert.ok(outcome.kind === 'payload', JSON.stringify(outcome));
        const { replaces, leftOut, units: used } = outcome.payload.manifest;
        assert.deepEqual(
          replaces.map((one) => `${one.name} ${one.module === id}`),
          ['answer true'],
        );
        assert.equal(used.length, 1);
        assert.match(leftOut.map(({ why }) => why).join(), index === 1 ? /has it already/ : /has it already|part of/);
      }
    }
    // The same old code, but not the same new code: nothing tells which one is meant.
    const different = await unitOf(
      ours,
      'part.c',
      part('same'),
      part('same').replace('return line', 'return line + 1'),
    );
    const refused = buildProcessPayload([unit, different], modules.slice(0, 1), OPTIONS);
    assert.equal(refused.kind === 'refused' && refused.refusals[0]?.code, 'symbol-ambiguous');
  });

  it('units of other programs are left aside, and the process tells which program is meant', async () => {
    const old =
      'const char *answer(const char *question) { static int len; return question[0] ? question + len : "ours"; }\n';
    const ours = make({ 'main.c': ASKING_MAIN, 'part.c': old });
    const theirs = make({ 'main.c': ASKING_MAIN, 'part.c': part('theirs') });
    const units = [
      await unitOf(ours, 'part.c', old, old.replace('question + len', 'question + ++len')),
      await unitOf(theirs, 'part.c', part('theirs'), part('newer')),
    ];
    const modules = [ours.module(), theirs.module()];
    const outcome = buildProcessPayload(units, modules, { ...OPTIONS, modules: [theirs.module().elf.buildId!] });
    assert.ok(outcome.kind === 'payload', JSON.stringify(outcome));
    const running = theirs.start();
    await running.line();
    assert.equal((await running.target().apply(outcome.payload.bytes)).kind, 'applied');
    assert.equal(await running.ask('a'), 'newer a');
    assert.equal((await running.target().revert(undefined)).kind, 'reverted');
    assert.equal(await running.ask('a'), 'theirs a');
    await running.end();
  });
});
