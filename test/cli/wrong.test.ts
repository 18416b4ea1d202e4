import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { compile, hasTool } from '../support/cc.ts';
import { type CliResult, cli, tickerWorkspace } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'lpa-wrong-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const source = (n: number) =>
  `static int g = 1; int f(int x) { return x * ${n} + g; } int main(void) { return f(2); }\n`;
const object = compile(source(3));
const put = (name: string, bytes: Uint8Array | string) => writeFileSync(join(folder, name), bytes);
put('a.o', object);

/** One sentence (and a pointer to the help), status 2, no stack trace, nothing on standard output; `--json` says the same. */
async function refused(args: readonly string[], words: RegExp, cwd = folder): Promise<void> {
  const plain = await cli(args, { cwd });
  const line = args.join(' ');
  assert.equal(plain.status, 2, `${line}: ${plain.out}${plain.err}`);
  assert.match(plain.err, words, line);
  assert.match(plain.err, /^livepatch: /, line);
  assert.doesNotMatch(plain.err, /^\s+at .*:\d+:\d+|unexpected|\bE[A-Z]{4,}:/m, line);
  assert.equal(plain.out, '', line);
  const json = await cli([...args, '--json'], { cwd });
  assert.equal(json.status, 2, line);
  const { schema, error } = JSON.parse(json.out);
  assert.deepEqual([schema, typeof error.kind], [1, 'string'], line);
  assert.match(error.message, words, line);
}

describe('objects that cannot be compared', () => {
  const cases: readonly (readonly [name: string, make: () => Uint8Array | string, words: RegExp])[] = [
    ['cut.o', () => object.subarray(0, 700), /cut\.o is damaged or cut off.*Compile it again/],
    ['half.o', () => object.subarray(0, object.length - 200), /half\.o is damaged or cut off/],
    ['short.o', () => object.subarray(0, 30), /short\.o is not an object file.*cut off: 30 of 64 bytes/],
    ['empty.o', () => '', /empty\.o is not an object file.*It is empty/],
    ['unit.c', () => source(3), /unit\.c is not an object file.*It is text: give the compiled objects/],
    ['lib.a', () => '!<arch>\njunk', /lib\.a is not an object file.*archive.*ar x/],
    ['thin.a', () => '!<thin>\njunk', /thin archive/],
    ['code.bc', () => Uint8Array.from([0x42, 0x43, 0xc0, 0xde, 1, 2]), /LLVM bitcode.*without -flto/],
    ['mac.o', () => Uint8Array.from([0xcf, 0xfa, 0xed, 0xfe, 7, 0]), /Mach-O/],
    ['win.obj', () => Uint8Array.from([0x64, 0x86, 1, 0]), /COFF/],
    ['a.o.gz', () => Uint8Array.from([0x1f, 0x8b, 8, 0]), /gzip.*unpack/],
    [
      '32.o',
      () => {
        const bytes = Uint8Array.from(object);
        bytes[4] = 1;
        return bytes;
      },
      /32-bit ELF file/,
    ],
    [
      'ppc64.o',
      () => {
        const bytes = Uint8Array.from(object);
        bytes[5] = 2;
        return bytes;
      },
      /big-endian ELF file/,
    ],
    [
      'riscv.o',
      () => {
        const bytes = Uint8Array.from(object);
        bytes[18] = 243;
        return bytes;
      },
      /RISC-V \(machine 243\).*only x86-64 and AArch64/,
    ],
    [
      'arm.o',
      () => {
        const bytes = Uint8Array.from(object);
        bytes[18] = 183;
        return bytes;
      },
      /a\.o is for x86-64, arm\.o for AArch64/,
    ],
  ];
  for (const [name, make, words] of cases) {
    it(`diff: ${name}`, async () => {
      put(name, make());
      await refused(['diff', 'a.o', name], words);
    });
  }

  it('asm says the same', async () => {
    put('cut2.o', object.subarray(0, 700));
    await refused(['asm', 'a.o', 'cut2.o', 'f'], /cut2\.o is damaged or cut off/);
    await refused(['asm', 'a.o', 'a.o', 'nobody'], /Neither object has a function 'nobody'/);
  });

  it('a linked program and a shared object', async () => {
    put('p.c', source(3));
    for (const args of [
      ['p.c', '-o', 'prog'],
      ['p.c', '-o', 'lib.so', '-shared', '-fPIC'],
    ])
      assert.equal(spawnSync('gcc', args, { cwd: folder }).status, 0);
    await refused(['diff', 'prog', 'prog'], /prog is a linked executable.*\*\.o/);
    await refused(['diff', 'a.o', 'lib.so'], /lib\.so is a linked/);
  });

  it('absent, a folder, a device, a circle of links', async () => {
    mkdirSync(join(folder, 'dir.o'), { recursive: true });
    symlinkSync('circle.o', join(folder, 'circle.o'));
    await refused(['diff', 'a.o', 'nowhere.o'], /nowhere\.o cannot be read: it does not exist/);
    await refused(['diff', 'a.o', 'a.o/x'], /cannot be read: a part of its path is not a folder/);
    await refused(['diff', 'dir.o', 'a.o'], /dir\.o cannot be read: it is a folder/);
    await refused(['diff', 'a.o', '/dev/zero'], /\/dev\/zero cannot be read: it is neither a file nor a pipe/);
    await refused(['diff', 'a.o', 'circle.o'], /circle/);
    for (const command of [['inspect'], ['apply', '--pid', '1']]) {
      await refused([...command, 'nowhere.lpp'], /nowhere\.lpp cannot be read: it does not exist/);
      await refused([...command, 'dir.o'], /it is a folder/);
    }
  });

  it('a pipe is read like a file', { skip: !hasTool('bash') && 'bash is not installed' }, async () => {
    const script = `node --import tsx server/src/cli.ts diff <(cat "$0") <(cat "$0")`;
    const root = join(import.meta.dirname, '../..');
    const run = spawn('bash', ['-c', script, join(folder, 'a.o')], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [run.stdout, run.stderr]) stream.on('data', (part) => (text += part));
    const [status] = await once(run, 'close');
    assert.equal(status, 0, text);
    assert.match(text, /^Unchanged/);
  });

  it('link-time optimisation is a blocker with its way out', async () => {
    const lto = (n: number) => compile(source(n), { extra: ['-flto'] });
    put('lto1.o', lto(3));
    put('lto2.o', lto(5));
    const { status, out } = await cli(['diff', 'lto1.o', 'lto2.o'], { cwd: folder });
    assert.equal(status, 1);
    assert.match(out, /config-unsupported[\s\S]*-flto/);
  });
});

describe('command lines that are wrong', () => {
  const cases: readonly (readonly [line: string, words: RegExp])[] = [
    ['diff a.o', /diff takes two object files/],
    ['diff a.o a.o --target windows', /process, xen or linux/],
    ['diff a.o a.o --nonsense', /--nonsense/],
    ['asm', /asm takes FUNCTION/],
    ['build', /build needs -o FILE/],
    ['build -o x.lpp --override because', /CODE=REASON/],
    ['apply', /apply takes one payload FILE/],
    ['apply a.o', /Which target\? Give --pid N or --target NAME/],
    ['apply a.o --pid abc', /--pid takes a process id, not 'abc'/],
    ['apply a.o --pid 1 --target x', /not both/],
    ['revert a b --pid 1', /one patch ID/],
    ['revert --target nobody', /no target 'nobody'/],
    ['status', /Which target/],
    ['inspect', /one payload FILE/],
    ['inspect a.o', /a\.o is not a payload/],
    ['record', /behind --/],
    ['record --with magic -- make', /'bear' or 'own'/],
    ['cache burn', /'show' or 'clear'/],
    ['vm', /one of create, start, stop, status/],
    ['vm create', /livepatch vm create xen/],
    ['vm stop no-such-machine', /no virtual machine 'no-such-machine'\. Make it/],
    ['vm status no-such-machine', /no virtual machine 'no-such-machine'/],
    ['vm matrix a.o', /a\.o: The file is no payload for Xen that livepatch wrote/],
    ['vm matrix a.o --cpu ,', /--cpu takes names of processors/],
    ['frobnicate', /no command 'frobnicate'/],
  ];
  for (const [line, words] of cases)
    it(line, async () => {
      const args = line.split(' ');
      // What `record` prints is the build's: it has no JSON.
      if (args[0] !== 'record') return refused(args, words);
      const { status, err } = await cli(args, { cwd: folder });
      assert.equal(status, 2);
      assert.match(err, words);
    });

  it('processes that there are not, or that are none of ours to patch', async () => {
    const status = await cli(['status', '--pid', '999999999', '--json'], { cwd: folder });
    assert.equal(status.status, 2);
    assert.equal(JSON.parse(status.out).alive, false);
    const revert = await cli(['revert', '--pid', '999999999'], { cwd: folder });
    assert.notEqual(revert.status, 0);
    assert.doesNotMatch(revert.err, /unexpected|^\s+at /m);
    const junk = await cli(['apply', 'a.o', '--pid', String(process.pid)], { cwd: folder });
    assert.notEqual(junk.status, 0);
    assert.doesNotMatch(junk.err, /unexpected|^\s+at /m);
  });
});

describe('places that cannot be written', () => {
  const workspace = tickerWorkspace();
  before(() => {
    workspace.edit('src/quote.c', '/ quote->open * 10000', '/ quote->open * 20000');
  });
  after(() => workspace.remove());
  const run = (...args: string[]): Promise<CliResult> => cli(args, { cwd: workspace.folder });

  it('a folder, a path through a file', async () => {
    for (const [output, words] of [
      ['src', /src cannot be written: it is a folder/],
      ['Makefile/x.lpp', /Makefile is not a folder/],
    ] as const) {
      for (const args of [
        ['build', '-o', output],
        ['check', '--sarif', output],
      ]) {
        const { status, err } = await run(...args);
        assert.equal(status, 2, args.join(' '));
        assert.match(err, words);
      }
    }
  });

  it('a full disk leaves no half of a payload', { timeout: 60_000 }, async (t) => {
    const disk = join(folder, 'disk');
    mkdirSync(disk, { recursive: true });
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', disk]).status !== 0)
      return t.skip('a small file system cannot be mounted here');
    try {
      writeFileSync(join(disk, 'filler'), Buffer.alloc(4096));
      const { status, err } = await run('build', '-o', join(disk, 'x.lpp'));
      assert.equal(status, 2, err);
      assert.match(err, /cannot be written: the disk is full/);
      assert.deepEqual(readdirSync(disk), ['filler']);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it('a read-only file system', { timeout: 60_000 }, async (t) => {
    const disk = join(folder, 'readonly');
    mkdirSync(disk, { recursive: true });
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', disk]).status !== 0)
      return t.skip('a read-only file system cannot be mounted here');
    try {
      const { status, err } = await run('build', '-o', join(disk, 'x.lpp'));
      assert.equal(status, 2, err);
      assert.match(err, /cannot be written: the file system is read-only/);
      assert.ok(!existsSync(join(disk, 'x.lpp')));
    } finally {
      spawnSync('umount', [disk]);
    }
  });
});
