import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../../server/src/targets/transport/local.ts';
import { openSsh, shellWord } from '../../../server/src/targets/transport/ssh.ts';
import { withLock } from '../../../server/src/vm/cache.ts';
import { withFolders, writeCpio } from '../../../server/src/vm/cpio.ts';
import { listLines, stanzas } from '../../../server/src/vm/debian.ts';
import { clean, deathIn, qemuArguments } from '../../../server/src/vm/qemu.ts';

describe('parts of virtual machines', () => {
  it('an initramfs that cpio reads', async (context) => {
    if ((await run('which', ['cpio'])).status !== 0) return context.skip('cpio is not installed');
    const text = new TextEncoder();
    const archive = writeCpio(
      withFolders([
        { path: 'usr/bin/tool', kind: 'file', mode: 0o755, data: text.encode('twelve bytes') },
        { path: 'init', kind: 'link', mode: 0o777, data: text.encode('/usr/bin/tool') },
      ]),
    );
    const listed = await run('cpio', ['-itv', '--quiet'], { input: archive });
    assert.equal(listed.status, 0, listed.stderr);
    const lines = listed.stdout.trim().split('\n');
    assert.match(lines[0]!, /^drwxr-xr-x.* usr$/);
    assert.match(lines[1]!, /^drwxr-xr-x.* usr\/bin$/);
    assert.match(lines[2]!, /^-rwxr-xr-x.* 12 .* usr\/bin\/tool$/);
    assert.match(lines[3]!, /^lrwxrwxrwx.* init -> \/usr\/bin\/tool$/);
  });

  it('package sources of this release only, with their keys', () => {
    const sources =
      'deb [signed-by=/k.gpg] http://mirror/debian bookworm main contrib # ours\n#deb http://off/ bookworm main\ndeb http://cloud/apt cloud-sdk-bookworm main\ndeb http://mirror/security bookworm-security main';
    assert.deepEqual(listLines(sources, 'bookworm'), [
      'deb [signed-by=/k.gpg] http://mirror/debian bookworm main contrib',
      'deb-src [signed-by=/k.gpg] http://mirror/debian bookworm main contrib',
      'deb http://mirror/security bookworm-security main',
      'deb-src http://mirror/security bookworm-security main',
    ]);
    const more =
      'Types: deb\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nEnabled: no\nURIs: http://off\nSuites: bookworm\n\nTypes: deb\nURIs: http://other\nSuites: nodistro\n';
    assert.deepEqual(stanzas(more, 'bookworm'), [
      'Types: deb deb-src\nURIs: http://mirror/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg',
    ]);
  });

  it('words for the shell on the other side', async () => {
    for (const word of ['plain', "it's", '$(reboot)', 'a b', '', '*', 'x\ny', '"; rm -rf /']) {
      const echoed = await run('sh', ['-c', `printf %s ${shellWord(word)}`]);
      assert.equal(echoed.stdout, word);
    }
    assert.throws(() => openSsh({ destination: '-oProxyCommand=reboot' }), /no ssh destination/);
    assert.throws(() => openSsh({ destination: 'a b' }), /no ssh destination/);
  });

  it('deaths on the console', () => {
    assert.match(
      deathIn('(XEN) ****\n(XEN) Panic on CPU 0:\n(XEN) Xen BUG at common/x.c:12\n(XEN) ****\n')!,
      /hypervisor panicked: .*Xen BUG at common\/x\.c:12/,
    );
    assert.match(deathIn('[ 1.0] Kernel panic - not syncing: Attempted to kill init!')!, /kernel panicked/);
    assert.equal(deathIn('(XEN) Xen version 4.17\nBooting'), undefined);
    assert.equal(clean('\u001b[2J\u001b[1;1Ha\r\nb\u0000'), 'a\nb');
  });

  it('paths with commas reach QEMU whole', () => {
    const args = qemuArguments({
      kernel: 'xen',
      append: '',
      modules: [
        { path: '/a,b', args: 'console=hvc0,x' },
        { path: '/c', args: '' },
      ],
      accelerator: 'tcg',
      cpu: 'qemu64',
      cpus: 1,
      memoryMiB: 512,
      sshPort: 22,
      consoleLog: '/l,og',
      consoleSocket: '/s',
    });
    assert.equal(args[args.indexOf('-initrd') + 1], '/a,,b console=hvc0,,x,/c');
    assert.ok(args.some((arg) => arg.includes('logfile=/l,,og,')));
  });

  it('a program that runs too long, prints too much, or is cancelled ends with its children', async () => {
    const began = Date.now();
    assert.equal((await run('sh', ['-c', 'sleep 60 & sleep 60'], { seconds: 0.3 })).ended, 'timeout');
    assert.equal(
      (await run('sh', ['-c', 'while :; do echo aaaaaaaaaaaaaaaaaaaaaaaa; done'], { limit: 10_000 })).ended,
      'output',
    );
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 100);
    assert.equal((await run('sleep', ['60'], { signal: stop.signal })).ended, 'cancelled');
    assert.ok(Date.now() - began < 10_000);
    assert.equal((await run('/no/such/program', [])).status, 127);
  });

  it('one process at a time fills the cache; a dead one does not hold it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lpa-lock-'));
    const path = join(folder, 'create.lock');
    try {
      const order: string[] = [];
      const said: string[] = [];
      const work = { say: (text: string) => void said.push(text) };
      const task = (name: string) =>
        withLock(path, 'makes a machine', work, async () => {
          order.push(`${name} begins`);
          await sleep(50);
          order.push(`${name} ends`);
        });
      await Promise.all(['a', 'b', 'c'].map(task));
      assert.equal(order.length, 6);
      for (let n = 0; n < 6; n += 2) assert.equal(order[n]!.replace('begins', 'ends'), order[n + 1]);
      assert.ok(said.some((text) => text === `waiting for process ${process.pid}, which makes a machine`));
      // Somebody who is gone: the id is of a process that began at another time.
      await writeFile(path, `${process.pid} 1`);
      await task('d');
      assert.equal(order.at(-1), 'd ends');
      // Somebody who was killed before it wrote who it is; one that is just being taken is waited for.
      await writeFile(path, '');
      await utimes(path, new Date(), new Date(Date.now() - 11_000));
      await task('killed');
      assert.equal(order.at(-1), 'killed ends');
      await writeFile(path, '');
      const taking = task('taken');
      await sleep(400);
      assert.equal(order.at(-1), 'killed ends');
      await rm(path);
      await taking;
      // What fails lets go; who waits can be cancelled.
      await assert.rejects(
        withLock(path, 'x', work, () => Promise.reject(new Error('no'))),
        /^Error: no$/,
      );
      const stop = new AbortController();
      const held = task('e');
      const waiting = withLock(path, 'x', { ...work, signal: stop.signal }, () => Promise.resolve());
      stop.abort();
      await assert.rejects(waiting, /cancelled/);
      await held;
      assert.deepEqual(await readdir(folder), []);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
