import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { loadConfig } from '../../server/src/shell/config.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lpa-config-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (text: string) => writeFileSync(join(root, 'livepatch.json'), text);

test('defaults: the build folder is where compile_commands.json is; the baseline is HEAD in a repository', async () => {
  assert.deepEqual((await loadConfig(root)).config, {
    root,
    buildDir: root,
    baseline: { kind: 'start' },
    binaries: [],
    targets: [],
    compileTimeout: 120,
    cacheLimitMiB: 1024,
  });
  mkdirSync(join(root, '.git'));
  mkdirSync(join(root, 'out'));
  writeFileSync(join(root, 'out/compile_commands.json'), '[]');
  const found = (await loadConfig(root)).config;
  assert.equal(found.buildDir, join(root, 'out'));
  assert.deepEqual(found.baseline, { kind: 'git', revision: 'HEAD' });
  mkdirSync(join(root, 'build'));
  writeFileSync(join(root, 'build/compile_commands.json'), '[]');
  assert.equal((await loadConfig(root)).config.buildDir, join(root, 'build'));
});

test('every setting is read, paths become absolute', async () => {
  mkdirSync(join(root, 'orig'));
  mkdirSync(join(root, 'b'));
  write(`{
    // comments are allowed, as in VS Code's own files
    "$schema": "x", "buildDir": "b", "baseline": { "folder": "orig" }, "binaries": ["b/prog"],
    "targets": [{ "name": "p", "pidFile": "run/p.pid" }, { "name": "q", "kind": "process", "executable": "b/prog" }, { "name": "r", "pid": 12 }],
    "compileTimeout": 5, "cacheLimitMiB": 0
  }`);
  const { config, problems } = await loadConfig(root);
  assert.deepEqual(problems, []);
  assert.deepEqual(config, {
    root,
    buildDir: join(root, 'b'),
    baseline: { kind: 'folder', path: join(root, 'orig') },
    binaries: [join(root, 'b/prog')],
    targets: [
      { name: 'p', kind: 'process', pidFile: join(root, 'run/p.pid') },
      { name: 'q', kind: 'process', executable: join(root, 'b/prog') },
      { name: 'r', kind: 'process', pid: 12 },
    ],
    compileTimeout: 5,
    cacheLimitMiB: 0,
  });
});

test('problems come with their place, and the rest still counts', async () => {
  write(
    '{\n  "buildir": "b",\n  "compileTimeout": "long",\n  "targets": [{ "name": "p", "host": 1, "pid": 3 }, { "kind": "vm" }],\n  "baseline": { "git": "v1" }\n}',
  );
  const { config, problems } = await loadConfig(root);
  const file = join(root, 'livepatch.json');
  assert.ok(
    problems.some((text) => text.startsWith(`${file}:2:3: `) && text.includes('`buildir`')),
    problems.join('\n'),
  );
  assert.ok(problems.some((text) => text.startsWith(`${file}:3:21: `) && text.includes('compileTimeout')));
  assert.ok(problems.some((text) => text.startsWith(`${file}:4:30: `) && text.includes('`host`')));
  assert.ok(problems.some((text) => text.includes('needs a `name`')));
  assert.equal(problems.length, 4);
  assert.deepEqual(config.baseline, { kind: 'git', revision: 'v1' });
  assert.deepEqual(config.targets, [{ name: 'p', kind: 'process', pid: 3 }]);
  assert.equal(config.compileTimeout, 120);
});

test('a broken file says where, and the defaults hold', async () => {
  write('{\n  "buildDir": "b"\n  "targets": []\n}');
  const { config, problems } = await loadConfig(root);
  assert.equal(problems.length, 1);
  assert.match(problems[0]!, /line 3, column 3: `,` or `}` was expected/);
  assert.equal(config.buildDir, root);
});

test('the command line wins: -p and --base', async () => {
  mkdirSync(join(root, 'sub/o'), { recursive: true });
  write('{ "buildDir": "nowhere", "baseline": { "git": "v1" } }');
  const { config, problems } = await loadConfig(root, { buildDir: 'o', base: 'v2.0~1', cwd: join(root, 'sub') });
  assert.deepEqual(problems, []);
  assert.equal(config.buildDir, join(root, 'sub/o'));
  assert.deepEqual(config.baseline, { kind: 'git', revision: 'v2.0~1' });
  const folder = (await loadConfig(root, { base: 'o', cwd: join(root, 'sub') })).config.baseline;
  assert.deepEqual(folder, { kind: 'folder', path: join(root, 'sub/o') });
});

test('the schema and the reader know the same keys', async () => {
  const schema = JSON.parse(readFileSync(join(import.meta.dirname, '../../media/livepatch.schema.json'), 'utf8'));
  const values: Record<string, unknown> = {
    $schema: 'x',
    buildDir: '.',
    baseline: { git: 'HEAD' },
    binaries: [],
    targets: [],
    compileTimeout: 1,
    cacheLimitMiB: 1,
    accepted: [],
  };
  assert.deepEqual(Object.keys(schema.properties).sort(), Object.keys(values).sort());
  write(JSON.stringify(values));
  assert.deepEqual((await loadConfig(root)).problems, []);
  const target = (kind: string, but: readonly string[]) => {
    const special: Record<string, unknown> = { pid: 1, kind, expect: true, nops: [{ function: 'x', bytes: 31 }] };
    const keys = Object.keys(schema.properties.targets.items.properties).filter((key) => !but.includes(key));
    return Object.fromEntries(keys.map((key) => [key, special[key] ?? kind]));
  };
  write(JSON.stringify({ targets: [target('process', ['expect', 'nops']), target('xen', ['vm'])] }));
  assert.deepEqual((await loadConfig(root)).problems, []);
  const { items } = schema.properties.targets.items.properties.nops;
  assert.deepEqual(Object.keys(items.properties), ['function', 'bytes']);
});

test('what payloads for Xen are asked to hold: expectations and NOPs', async () => {
  const lab = { name: 'lab', kind: 'xen', ssh: 'root@lab' };
  write(JSON.stringify({ targets: [{ ...lab, expect: true, nops: [{ function: 'common/a.c#f', bytes: 5 }] }] }));
  const { config, problems } = await loadConfig(root);
  assert.deepEqual(problems, []);
  assert.deepEqual(config.targets, [{ ...lab, expect: true, nops: [{ name: 'common/a.c#f', size: 5 }] }]);

  write(
    JSON.stringify({
      targets: [
        { ...lab, expect: 'yes', nops: [{ function: 'f', bytes: 32 }, { bytes: 5 }, { function: 'g', bytes: 1 }, 7] },
        { name: 'p', pid: 1, expect: true, nops: [] },
        { name: 'r', kind: 'xen', vm: 'r', nops: {} },
      ],
    }),
  );
  const wrong = await loadConfig(root);
  assert.deepEqual(
    wrong.problems.map((text) => text.replace(/^.*?:\d+:\d+: /, '')),
    [
      'target `lab`: `expect` must be true or false',
      'an entry of `nops` needs `bytes`, a number from 1 to 31',
      'an entry of `nops` needs a `function`',
      'an entry of `nops` must be an object',
      'an entry of `nops` needs a `function`',
      'an entry of `nops` needs `bytes`, a number from 1 to 31',
      'target `p`: `expect` is for targets of kind xen',
      'target `p`: `nops` is for targets of kind xen',
      'target `r`: `nops` must be a list',
    ],
  );
  assert.deepEqual(wrong.config.targets, [
    { ...lab, nops: [{ name: 'g', size: 1 }] },
    { name: 'p', kind: 'process', pid: 1 },
    { name: 'r', kind: 'xen', vm: 'r' },
  ]);
});
