import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAnalyser } from '../../server/src/analyse.ts';
import { createSession } from '../../server/src/session.ts';
import { openBaseline } from '../../server/src/shell/baseline.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { sha256 } from '../../server/src/shell/hashes.ts';
import { Mirror } from '../../server/src/shell/mirror.ts';
import { run } from '../../server/src/shell/runner.ts';
import { Semaphore } from '../../server/src/shell/semaphore.ts';
import { ObjectStore } from '../../server/src/shell/store.ts';
import { Project, sh } from './project.ts';

const yes = () => true;
const base = { directory: '/', timeout: 20_000, isTrusted: yes };

test('a run: status, outputs, input, limits, signals, missing programs and folders', async () => {
  const ok = await run({ ...base, arguments: ['sh', '-c', 'cat; echo err >&2; exit 3'], input: Buffer.from('in\n') });
  assert.ok(ok.kind === 'exited');
  assert.deepEqual([ok.status, ok.stdout.toString(), ok.stderr.toString(), ok.cut], [3, 'in\n', 'err\n', false]);
  const long = await run({ ...base, arguments: ['sh', '-c', 'head -c 300000 /dev/zero'], outputLimit: 1000 });
  assert.ok(long.kind === 'exited' && long.stdout.length === 1000 && long.cut);
  const killed = await run({ ...base, arguments: ['sh', '-c', 'kill -SEGV $$'] });
  assert.ok(killed.kind === 'exited' && killed.signal === 'SIGSEGV' && killed.status === 139);
  assert.equal((await run({ ...base, arguments: ['no-such-program-here'] })).kind, 'missing');
  const folder = await run({ ...base, arguments: ['true'], directory: '/no/such/folder' });
  assert.ok(folder.kind === 'failed' && folder.message.includes('/no/such/folder'));
  assert.equal((await run({ ...base, arguments: ['true'], isTrusted: () => false })).kind, 'untrusted');
  const literal = await run({ ...base, arguments: ['printf', '%s', '$(id); `id` "x" *'] });
  assert.ok(literal.kind === 'exited' && literal.stdout.toString() === '$(id); `id` "x" *', 'no shell in between');
});

/** True while the process runs: one that ended and was not collected yet does not. */
async function alive(pid: number): Promise<boolean> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').then(
      (text) => text.slice(text.lastIndexOf(')') + 2)[0],
      () => 'gone',
    );
    if (state === 'gone' || state === 'Z' || state === 'X') return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

test('time-out and cancel end the whole group; a grandchild that keeps the pipe open does not hold the run up', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-run-'));
  try {
    const script = `sleep 50 & echo $! > ${folder}/a; sleep 50 & echo $! > ${folder}/b; wait`;
    const pids = () => ['a', 'b'].map((name) => Number(sh(folder, 'cat', name)));
    const slow = await run({ ...base, arguments: ['sh', '-c', script], timeout: 400 });
    assert.equal(slow.kind, 'timeout');
    assert.deepEqual(await Promise.all(pids().map(alive)), [false, false]);
    const controller = new AbortController();
    const cancelled = run({ ...base, arguments: ['sh', '-c', script], signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    assert.equal((await cancelled).kind, 'cancelled');
    assert.deepEqual(await Promise.all(pids().map(alive)), [false, false]);
    assert.equal((await run({ ...base, arguments: ['true'], signal: controller.signal })).kind, 'cancelled');

    const started = performance.now();
    const left = await run({ ...base, arguments: ['sh', '-c', `setsid sleep 3 & echo $! > ${folder}/a; echo out`] });
    assert.ok(left.kind === 'exited' && left.stdout.toString() === 'out\n');
    assert.ok(performance.now() - started < 2500);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a program that ends takes its compilers along', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-orphan-'));
  try {
    const runner = join(import.meta.dirname, '../../server/src/shell/runner.ts');
    const code = `import { run } from ${JSON.stringify(runner)};
      run({ arguments: ['sh', '-c', 'echo $$ > ${folder}/pid; sleep 40'], directory: '/', timeout: 60000, isTrusted: () => true });
      setTimeout(() => process.exit(0), 700);`;
    writeFileSync(join(folder, 'x.mts'), code);
    const done = spawnSync(process.execPath, ['--import', import.meta.resolve('tsx'), join(folder, 'x.mts')], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    assert.equal(done.status, 0, done.stderr);
    assert.equal(await alive(Number(sh(folder, 'cat', 'pid'))), false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('slots: never more at once, the urgent first, a cancelled wait is forgotten', async () => {
  const slots = new Semaphore(2);
  const first = (await slots.take(0))!;
  const second = (await slots.take(0))!;
  const order: string[] = [];
  const controller = new AbortController();
  const waits = [
    slots.take(0).then((release) => {
      order.push('low');
      release!();
    }),
    slots.take(5).then((release) => {
      order.push('high');
      release!();
    }),
    slots.take(9, controller.signal).then((release) => order.push(release ? 'wrong' : 'cancelled')),
  ];
  controller.abort();
  first();
  first();
  second();
  await Promise.all(waits);
  assert.deepEqual(order, ['cancelled', 'high', 'low']);
});

test('the store keeps to its limit, the oldest go first, and a used object is not old', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-store-'));
  try {
    const store = new ObjectStore(folder, 1);
    const object = (seed: number) => new Uint8Array(Buffer.alloc(200_000, seed));
    const hashOf = async (path: string) => `hash of ${path}`;
    const sources = [{ path: '/a.c', hash: 'hash of /a.c' }];
    const age = (seed: number, minutes: number) => {
      const time = new Date(Date.now() - minutes * 60_000);
      for (const name of readdirSync(join(folder, 'objects'))) {
        if (name === `${sha256(object(seed))}.o`) utimesSync(join(folder, 'objects', name), time, time);
      }
    };
    for (let seed = 1; seed <= 4; seed++) {
      assert.equal(await store.keep(`key ${seed}`, { object: object(seed), sources }), undefined);
      age(seed, 100 - seed);
    }
    assert.deepEqual((await store.find('key 1', hashOf))?.object, object(1), 'used: young again');
    for (let seed = 5; seed <= 6; seed++) await store.keep(`key ${seed}`, { object: object(seed), sources });
    const size = readdirSync(join(folder, 'objects')).reduce(
      (sum, name) => sum + statSync(join(folder, 'objects', name)).size,
      0,
    );
    assert.ok(size <= 1 << 20, `${size} bytes`);
    const there = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(async (seed) => (await store.find(`key ${seed}`, hashOf)) !== undefined),
    );
    assert.deepEqual([there[0], there[1], there[5]], [true, false, true]);
    assert.equal(await store.find('key 6', async () => 'other contents'), undefined);
    assert.equal(await store.find('unknown', hashOf), undefined);
    const off = new ObjectStore(folder, 0);
    await off.keep('key 7', { object: object(7), sources });
    assert.equal(await off.find('key 7', hashOf), undefined);
    assert.ok((await store.clear()) > 0);
    assert.equal(await store.find('key 6', hashOf), undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Every path of a tree with what it reads as. */
function snapshot(folder: string): Record<string, string> {
  return Object.fromEntries(
    sh(folder, 'find', '-L', '.', '-type', 'f', '-not', '-path', './.git/*')
      .trim()
      .split('\n')
      .sort()
      .map((path) => [path, sh(folder, 'cat', path)]),
  );
}

test('the mirror follows the tree: new, deleted, replaced files, links, folders that become files', async () => {
  const project = new Project({ 'a.c': 'a', 'd/b.h': 'b', 'd/e/c.h': 'c', 'gone/x.h': 'x' });
  try {
    symlinkSync('d/b.h', project.path('rel.h'));
    symlinkSync(project.path('a.c'), project.path('abs.c'));
    symlinkSync('d', project.path('dirlink'));
    writeFileSync(join(project.top, 'outside.h'), 'outside');
    project.commit();
    const { config } = await loadConfig(project.root);
    const baseline = await openBaseline(config, join(project.top, 's'), yes);
    const original = snapshot(project.root);
    const mirror = await Mirror.create(join(project.top, 'm'));
    await mirror.addTree(project.root, true);
    const check = async (expected: Record<string, string>) => {
      await mirror.sync(await baseline.differing());
      assert.deepEqual(snapshot(mirror.map(project.root)!), expected);
    };
    await check(original);
    assert.equal(
      sh(mirror.map(project.root)!, 'cat', '../outside.h'),
      'outside',
      'the neighbours of the tree are found',
    );
    project.write('a.c', 'A');
    project.write('d/e/c.h', 'C');
    rmSync(project.path('gone'), { recursive: true });
    rmSync(project.path('d/b.h'));
    mkdirSync(project.path('d/b.h'));
    project.write('d/b.h/now-a-folder', 'z');
    await check(original);
    project.write('generated.h', 'g');
    await check({ ...original, './generated.h': 'g' });
    project.git('add', 'generated.h');
    await check(original);
    project.git('reset', '-q');
    rmSync(project.path('generated.h'));
    rmSync(project.path('d/b.h'), { recursive: true });
    project.git('checkout', '-q', '.');
    project.write('fresh/dir/y.h', 'y');
    await check({ ...original, './fresh/dir/y.h': 'y' });
    rmSync(project.path('dirlink'));
    symlinkSync('fresh', project.path('dirlink'));
    await check({ ...original, './fresh/dir/y.h': 'y' });
    project.git('checkout', '-q', '.');
    project.write('untracked.h', 'u');
    symlinkSync('untracked.h', project.path('becomes.h'));
    await check({ ...original, './fresh/dir/y.h': 'y', './untracked.h': 'u', './becomes.h': 'u' });
    rmSync(project.path('becomes.h'));
    project.write('becomes.h', 'plain');
    project.write('node_modules/nan/nan.h', 'n');
    const more = { './untracked.h': 'u', './becomes.h': 'plain', './node_modules/nan/nan.h': 'n' };
    await check({ ...original, './fresh/dir/y.h': 'y', ...more });
  } finally {
    project.remove();
  }
});

test('the baseline gives what a checkout would write: line ends converted, names with blanks and accents', async () => {
  const project = new Project({
    '.gitattributes': '*.crlf text eol=crlf\n',
    'a.crlf': 'one\r\n',
    'b c.h': 'two\n',
    'ä.h': 'three\n',
  });
  try {
    project.commit();
    const { config } = await loadConfig(project.root);
    const baseline = await openBaseline(config, join(project.top, 's'), yes);
    assert.equal((await baseline.differing()).size, 0);
    for (const name of ['a.crlf', 'b c.h', 'ä.h']) project.write(name, 'edited\n');
    const texts = Object.fromEntries(
      [...(await baseline.differing())].map(([path, value]) => [
        path.slice(project.root.length + 1),
        typeof value === 'object' && 'content' in value ? Buffer.from(value.content).toString() : value,
      ]),
    );
    assert.deepEqual(texts, { 'a.crlf': 'one\r\n', 'b c.h': 'two\n', 'ä.h': 'three\n' });
    assert.deepEqual([await baseline.has(project.path('ä.h')), await baseline.has(project.path('x.h'))], [true, false]);
  } finally {
    project.remove();
  }
});

test('a full disk is told, with a way out; the compiler is not blamed', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-full-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', folder]).status === 0;
  const project = new Project({
    'a.c': `#include <stdio.h>\n${Array.from({ length: 400 }, (_, i) => `int f${i}(int x) { return printf("%d ${i}", x); }`).join('\n')}\n`,
  });
  try {
    project.commands([{ file: 'a.c', arguments: ['./cc', '-O2', '-c', 'a.c', '-o', 'a.o'] }]);
    // Without the right to mount, a limit on the size of files stands in for the disk's.
    project.write('cc', mounted ? '#!/bin/sh\nexec gcc "$@"\n' : '#!/bin/sh\nulimit -f 16\nexec gcc -pipe "$@"\n');
    chmodSync(project.path('cc'), 0o755);
    project.commit();
    context.diagnostic(mounted ? 'a full tmpfs' : 'a limit on the size of files');
    const { config } = await loadConfig(project.root);
    const session = await createSession(config, {
      analyser: await createAnalyser(),
      cacheDir: mounted ? folder : project.cache,
    });
    session.saved(project.path('a.c'));
    await session.idle();
    const [state] = session.units();
    assert.equal(state!.phase, 'failed');
    assert.match(state!.message!, /disk is full.*Free some space.*XDG_CACHE_HOME/s);
    await session.dispose();
    if (mounted) assert.deepEqual(readdirSync(join(folder, 'sessions')), []);
  } finally {
    if (mounted) spawnSync('umount', [folder]);
    rmSync(folder, { recursive: true, force: true });
    project.remove();
  }
});
