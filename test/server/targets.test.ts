import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { findHazards } from '../../server/src/core/findings/catalogue.ts';
import type { Finding } from '../../server/src/core/findings/types.ts';
import { buildPatch } from '../../server/src/patch.ts';
import { createSession } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project, sh } from './project.ts';

// What is a hazard for one kind of target and none for another.
const BASE = `
extern int rnd(int);
int answer(void) { return 0; }
__attribute__((section(".init.text"))) int at_boot(int x) { return rnd(x); }
int arch_livepatch_quiesce(int x) { return rnd(x); }
int plain(int x) { return rnd(x); }
struct shared { int a, b; };
int use(struct shared *s) { return rnd(s->a); }
`;
const NEXT = BASE.replace('return 0;', 'return 1;')
  .replace('at_boot(int x) { return rnd(x); }', 'at_boot(int x) { return rnd(x) + 1; }')
  .replace('quiesce(int x) { return rnd(x); }', 'quiesce(int x) { return rnd(x) + 1; }')
  .replace('plain(int x) { return rnd(x); }', 'plain(int x) { return rnd(x) + 1; }')
  .replace('{ int a, b; }', '{ int z, a, b; }');

const PROCESS = { name: 'daemon', kind: 'process', executable: 'build/daemon' };
const XEN = { name: 'machine', kind: 'xen', ssh: 'root@nowhere.invalid', syms: 'xen-syms' };
const projects: Project[] = [];
after(() => {
  for (const project of projects) project.remove();
});

/** A unit, built and under version control, with these targets. */
function made(targets: readonly object[]): Project {
  const project = new Project({ 'unit.c': BASE, 'livepatch.json': JSON.stringify({ targets }) });
  projects.push(project);
  // As Xen is built for control-flow enforcement: functions begin with endbr64.
  const args = ['gcc', '-O2', '-fcf-protection=branch', '-c', 'unit.c', '-o', 'unit.o'];
  sh(project.root, ...args);
  project.commands([{ file: 'unit.c', arguments: args }]);
  project.commit();
  return project;
}

/** Findings of the edit, as a session with these targets tells them. */
async function session(targets: readonly object[]) {
  const project = made(targets);
  const { config, problems } = await loadConfig(project.root);
  assert.deepEqual(problems, []);
  const opened = await createSession(config, { cacheDir: project.cache });
  project.write('unit.c', NEXT);
  opened.saved(project.path('unit.c'));
  await opened.idle();
  const findings = () => opened.units()[0]?.result?.findings ?? [];
  return { project, opened, config, findings };
}

const has = (findings: readonly Finding[], code: string, symbol: string): Finding | undefined =>
  findings.find((each) => each.code === code && each.symbol === symbol);

test('a target of kind xen: what Xen could not take is found on save', async () => {
  const { opened, findings } = await session([XEN]);
  const small = has(findings(), 'func-too-small', 'answer');
  assert.deepEqual(small?.evidence, { size: 7, needed: 9, endbr64: true });
  assert.equal(has(findings(), 'patching-machinery', 'arch_livepatch_quiesce')?.severity, 'blocker');
  assert.match(has(findings(), 'init-code-changed', 'at_boot')?.message ?? '', /its memory was freed/);
  assert.ok(
    findings().every(({ targets }) => targets === undefined),
    'one kind is not named',
  );
  await opened.dispose();
});

test('without a target, and with a process, none of it', async () => {
  for (const targets of [[], [PROCESS]]) {
    const { opened, findings } = await session(targets);
    assert.equal(has(findings(), 'func-too-small', 'answer'), undefined);
    assert.equal(has(findings(), 'patching-machinery', 'arch_livepatch_quiesce'), undefined);
    assert.ok(has(findings(), 'struct-layout', 'struct shared'), 'what holds for any program is there');
    await opened.dispose();
  }
});

test('several kinds: the union; what holds for one only is named, and stands in the way of that one only', async () => {
  const { opened, config, findings, project } = await session([PROCESS, XEN]);
  const small = has(findings(), 'func-too-small', 'answer');
  assert.match(small?.message ?? '', /^For Xen: /);
  assert.deepEqual(small?.targets, ['xen']);
  const layout = findings().filter(({ code, symbol }) => code === 'struct-layout' && symbol === 'struct shared');
  assert.equal(layout.length, 1, 'said once');
  assert.equal(layout[0]?.targets, undefined);
  // The same list as the rules give for each kind by itself.
  const result = opened.units()[0]!.result!;
  const single = (['process', 'xen'] as const).flatMap((target) =>
    findHazards({ pair: result.pair, diff: result.diff, edits: result.edits, target }),
  );
  const keys = (list: readonly Finding[]) => [...new Set(list.map(({ code, symbol }) => `${code} ${symbol}`))].sort();
  assert.deepEqual(keys(findings()), keys(single));

  const refusals = async (targets: typeof config.targets): Promise<string[]> => {
    const outcome = await buildPatch(opened.units(), { ...config, targets });
    return outcome.kind === 'refused' ? outcome.refusals.map(({ code, symbol }) => `${code} ${symbol}`) : [];
  };
  const forProcess = await refusals(config.targets.filter(({ kind }) => kind === 'process'));
  assert.ok(forProcess.includes('struct-layout struct shared'), forProcess.join());
  assert.ok(!forProcess.includes('func-too-small answer'), forProcess.join());

  // Another kind in livepatch.json: the comparisons at hand are judged anew, without an edit.
  project.write('livepatch.json', JSON.stringify({ targets: [PROCESS] }));
  for (let waited = 0; has(findings(), 'func-too-small', 'answer') && waited < 200; waited++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    await opened.idle();
  }
  assert.equal(has(findings(), 'func-too-small', 'answer'), undefined);
  await opened.dispose();
});
