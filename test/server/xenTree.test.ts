import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createSession } from '../../server/src/session.ts';
import { loadConfig, targetKinds } from '../../server/src/shell/config.ts';
import { findXenTree, machineOf } from '../../server/src/shell/xenTree.ts';
import { Project, sh } from './project.ts';

const FILES = {
  'xen/.config': 'CONFIG_LIVEPATCH=y\nCONFIG_DEBUG_INFO=y\n',
  'xen/include/xen/livepatch.h': '#define LIVEPATCH_H 1\n',
  'xen/common/livepatch.c': '#include <xen/livepatch.h>\nint apply(int x)\n{\n    return x + LIVEPATCH_H;\n}\n',
  '.gitignore': '*.o\n*.cmd\nxen-syms\n',
};
const projects: Project[] = [];
after(() => {
  for (const project of projects) project.remove();
});

/** A tree laid out like Xen's, built as Kbuild builds it: make runs in xen/, and each object has its .cmd file. */
function tree(files: Readonly<Record<string, string>> = FILES): Project {
  const project = new Project(files, 'xen-4.17');
  projects.push(project);
  const line = 'gcc -O2 -g -Iinclude -c common/livepatch.c -o common/livepatch.o';
  sh(project.path('xen'), ...line.split(' '));
  project.write('xen/common/.livepatch.o.cmd', `cmd_common/livepatch.o := ${line}\n`);
  sh(project.path('xen'), 'ld', '-r', 'common/livepatch.o', '-o', 'xen-syms');
  project.commit();
  return project;
}

test('a Xen tree needs no livepatch.json: commands, kind of target and xen-syms are found, from its top and from xen/', async () => {
  const project = tree();
  for (const root of [project.root, project.path('xen')]) {
    const { config, problems } = await loadConfig(root);
    assert.deepEqual(problems, []);
    assert.equal(config.buildDir, project.path('xen'));
    assert.deepEqual(targetKinds(config), ['xen']);
    assert.equal(config.targets[0]?.syms, project.path('xen/xen-syms'));
    const session = await createSession(config, { cacheDir: project.cache, watch: false });
    const path = project.path('xen/common/livepatch.c');
    const text = project.read('xen/common/livepatch.c');
    project.write('xen/common/livepatch.c', text.replace('x + ', 'x - '));
    session.saved(path);
    await session.idle();
    assert.deepEqual(
      session.units().map(({ phase, result }) => [phase, result?.diff.functions.map(({ name }) => name)]),
      [['ready', ['apply']]],
    );
    await session.dispose();
    project.write('xen/common/livepatch.c', text);
  }
});

test('what livepatch.json says goes before what is found', async () => {
  const project = tree();
  project.write('livepatch.json', JSON.stringify({ targets: [{ name: 'lab', kind: 'xen', ssh: 'root@lab' }] }));
  const { config } = await loadConfig(project.root);
  assert.deepEqual(config.targets, [{ name: 'lab', kind: 'xen', ssh: 'root@lab' }]);
  assert.equal(config.buildDir, project.path('xen'));
  project.write('livepatch.json', JSON.stringify({ targets: [] }));
  assert.deepEqual((await loadConfig(project.root)).config.targets, []);
});

test('a tree that is not built, or built without live patching, is told with what to do', async () => {
  const plain = tree({ ...FILES, 'xen/.config': 'CONFIG_DEBUG_INFO=y\n# CONFIG_LIVEPATCH is not set\n' });
  const { problems } = await loadConfig(plain.root);
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /without CONFIG_LIVEPATCH: set EXPERT, LIVEPATCH/);
  rmSync(plain.path('xen/xen-syms'));
  assert.match((await loadConfig(plain.root)).problems[0]!, /is not built: .*make -C/);
  assert.equal(findXenTree(tmpdir()), undefined, 'any other folder is no Xen tree');
});

test('the machine of a tree is the one that was made of it; a name that another tree has is not taken', () => {
  const cache = realpathSync(mkdtempSync(join(tmpdir(), 'lpa-cache-')));
  try {
    const built = '/src/xen-4.17/xen';
    assert.equal(machineOf(built, cache), 'xen');
    const machine = (name: string, of: string) => {
      mkdirSync(join(cache, 'vm', name), { recursive: true });
      writeFileSync(join(cache, 'vm', name, 'vm.json'), JSON.stringify({ name, tree: of }));
    };
    machine('xen', '/src/other');
    assert.equal(machineOf(built, cache), 'xen-xen-4.17');
    machine('mine', '/src/xen-4.17');
    assert.equal(machineOf(built, cache), 'mine');
  } finally {
    rmSync(cache, { recursive: true });
  }
});
