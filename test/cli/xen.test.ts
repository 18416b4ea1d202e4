import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readElf } from '../../server/src/core/elf/index.ts';
import { readFuncs } from '../../server/src/core/payload/xen-symbols.ts';
import { smallWorkspace } from '../core/xen/small.ts';
import { compile } from '../support/cc.ts';
import { checkHtml, textOf } from '../support/html.ts';
import { fakeXen } from './fakeXen.ts';
import { cli } from './support.ts';

const KERNEL = `
static unsigned long count;
static noinline int twice(int n) { count++; return n * 2; }
int answer(int n) { return twice(n) + 7; }
int minor(void) { return 17; }
`;
const ENTRY = `.section .text.entry, "ax", @progbits
.globl entry
.type entry, @function
entry:
 mov $1, %eax
 add $2, %eax
 ret
.size entry, . - entry
`;

describe('a Xen tree on the command line, without a machine', () => {
  let folder = '';
  let cache = '';
  const source = () => join(folder, 'xen/common/kernel.c');
  const xen = (...args: string[]) => cli(args, { cwd: folder, env: { ...process.env, XDG_CACHE_HOME: cache } });
  /** Edits a source for the time of a task. */
  const edited = async (file: string, from: string, to: string, task: () => Promise<void>): Promise<void> => {
    const text = readFileSync(file, 'utf8');
    assert.ok(text.includes(from), from);
    writeFileSync(file, text.replace(from, to));
    try {
      await task();
    } finally {
      writeFileSync(file, text);
    }
  };
  const home = process.env.XDG_CACHE_HOME;

  before(() => {
    folder = smallWorkspace({ 'common/kernel.c': KERNEL, 'arch/entry.S': ENTRY });
    cache = mkdtempSync(join(tmpdir(), 'lpa-cache-'));
    process.env.XDG_CACHE_HOME = cache;
  });
  after(() => {
    if (home === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = home;
    for (const one of [folder, cache]) rmSync(one, { recursive: true, force: true });
  });

  it('baseline: how many functions reproduce, and which do not', async () => {
    const fine = await xen('baseline');
    assert.equal(fine.status, 0, fine.out + fine.err);
    assert.match(fine.out, /^3 of 3 functions reproduce/);
    assert.match(fine.out, /1 unit not compared, .*assembly.*: .*arch\/entry\.S/);
    // Another option for one source, as if the hypervisor that runs was built otherwise.
    const database = join(folder, 'xen/compile_commands.json');
    await edited(database, '"-O2"', '"-O0"', async () => {
      const other = await xen('baseline', 'xen/common/kernel.c', '--json');
      assert.equal(other.status, 1, other.out + other.err);
      const { checked, same, units } = JSON.parse(other.out);
      assert.equal(checked, 3);
      assert.ok(same < 3);
      assert.ok(units[0].baseline.differing.some((one: { name: string }) => /answer|twice/.test(one.name)));
    });
    const outside = await cli(['baseline'], { cwd: tmpdir() });
    assert.equal(outside.status, 2);
    assert.match(outside.err, /no target of kind xen/);
  });

  it('build: NOP entries, expectations, debug information; inspect tells of them', async () => {
    await edited(source(), 'n * 2', 'n * 3', async () => {
      const file = join(folder, 'fix.livepatch');
      const built = await xen('build', '-o', file, '--id', 'fix', '--expect', '--nop', 'minor=5', '--keep-debug');
      assert.equal(built.status, 0, built.out + built.err);
      assert.match(built.out, /^ {2}3 of 3 functions reproduce \(base objects against the hypervisor\)$/m);
      const { elf } = readElf(new Uint8Array(readFileSync(file)));
      assert.deepEqual(
        readFuncs(elf!).map(({ name, newSize, expect }) => [name, name === 'minor' ? newSize : expect[0]! & 1]),
        [
          ['common/kernel.c#twice', 1],
          ['minor', 5],
        ],
      );
      assert.equal(elf!.sectionsNamed('.debug_info').length, 1);
      const told = await xen('inspect', file);
      assert.equal(told.status, 0, told.err);
      assert.match(told.out, /Live patch fix for Xen/);
      assert.match(told.out, /minor {2}first 5 bytes/);
      const wrong = await xen('build', '-o', file, '--nop', 'minor');
      assert.equal(wrong.status, 2);
      assert.match(wrong.err, /FUNCTION=BYTES with 1 to 31 bytes/);
    });
  });

  it('build: expectations and NOP entries that the target of livepatch.json asks for', async () => {
    const settings = join(folder, 'livepatch.json');
    const file = join(folder, 'asked.livepatch');
    const entries = () =>
      readFuncs(readElf(new Uint8Array(readFileSync(file))).elf!).map(
        ({ name, newSize, expect }) => `${name} ${name === 'minor' ? `NOPs ${newSize}` : `expects ${expect[0]! & 1}`}`,
      );
    const asked = '"expect": true, "nops": [{ "function": "minor", "bytes": 5 }], "ssh"';
    await edited(settings, '"ssh"', asked, async () => {
      // NOPs are a patch of their own.
      const alone = await xen('build', '-o', file);
      assert.equal(alone.status, 0, alone.out + alone.err);
      assert.deepEqual(entries(), ['minor NOPs 5']);
      assert.doesNotMatch(alone.out, /reproduce/);
      await edited(source(), 'n * 2', 'n * 3', async () => {
        const built = await xen('build', '-o', file);
        assert.equal(built.status, 0, built.out + built.err);
        assert.deepEqual(entries(), ['common/kernel.c#twice expects 1', 'minor NOPs 5']);
        // What the command line says of a function counts.
        const other = await xen('build', '-o', file, '--nop', 'minor=2');
        assert.equal(other.status, 0, other.out + other.err);
        assert.deepEqual(entries(), ['common/kernel.c#twice expects 1', 'minor NOPs 2']);
      });
      await edited(source(), 'return 17', 'return 18', async () => {
        const both = await xen('build', '-o', file);
        assert.equal(both.status, 1, both.out + both.err);
        assert.match(both.err, /minor is replaced by this patch, and its first 5 bytes are to become NOPs too/);
      });
    });
  });

  it('build: what is to be left out has to be there; what nobody could ask is told; no edit is no patch', async () => {
    const none = await xen('build', '-o', join(folder, 'no.livepatch'));
    assert.equal(none.status, 2);
    assert.match(none.err, /Nothing to patch: no source that is compiled differs from the baseline/);
    await edited(source(), 'n * 2', 'n * 3', async () => {
      const out = await xen('build', '-o', join(folder, 'no.livepatch'), '--leave-out', 'twcie');
      assert.equal(out.status, 2, out.out + out.err);
      assert.match(out.err, /--leave-out twcie: no changed function is called so\. Changed: twice/);
      const built = await xen('build', '-o', join(folder, 'yes.livepatch'));
      assert.equal(built.status, 0, built.out + built.err);
      assert.match(
        built.err,
        /was not asked what is applied: .*livepatch-test\.invalid .*on top of the hypervisor itself/,
      );
    });
  });

  it('report: the limit of 2 MiB, the hypervisor or the patch below that it needs, its symbols, how much reproduces', async () => {
    const needs = async (): Promise<{ markdown: string; payload: Record<string, unknown>; page: string }> => {
      const reports = [];
      for (const format of ['markdown', 'json', 'html']) {
        const { status, out, err } = await xen('report', '--format', format);
        assert.equal(status, 0, out + err);
        reports.push(out);
      }
      return { markdown: reports[0]!, payload: JSON.parse(reports[1]!).payload, page: reports[2]! };
    };
    const { elf: syms } = readElf(new Uint8Array(readFileSync(join(folder, 'xen/xen-syms'))));
    await edited(source(), 'n * 2', 'n * 3', async () => {
      const { markdown, payload, page } = await needs();
      assert.match(markdown, /^\| Payload \| \d+(\.\d)? KiB of 2 MiB \(\d\.\d\u00a0%\) \|$/m);
      assert.match(markdown, /Xen takes at most 2 MiB\./);
      const told =
        'Base objects, compiled again from the baseline, against the hypervisor: 3 of 3 functions reproduce.';
      assert.ok(markdown.includes(told), markdown);
      assert.ok(textOf(checkHtml(page)).includes(told));
      assert.match(markdown, new RegExp(`^\\| \`xen\` \\| \`${syms!.buildId}\` \\| hypervisor \\|$`, 'm'));
      assert.match(markdown, /^\| `common\/kernel\.c#count` \| symbol \| by name, when it is uploaded \|$/m);
      assert.equal(payload.baseline, '3 of 3 functions reproduce');
      assert.deepEqual(payload.modules, [{ name: 'xen', buildId: syms!.buildId, role: 'hypervisor' }]);
    });
    // On top of a patch that is applied.
    const host = fakeXen();
    try {
      await edited(source(), 'return 17', 'return 18', async () => {
        const below = join(folder, 'below.livepatch');
        assert.equal((await xen('build', '-o', below, '--id', 'below')).status, 0);
        const applied = await xen('apply', below);
        assert.equal(applied.status, 0, applied.out + applied.err);
        const { elf } = readElf(new Uint8Array(readFileSync(below)));
        await edited(source(), 'n * 2', 'n * 3', async () => {
          const { markdown, payload } = await needs();
          assert.deepEqual(payload.modules, [
            { name: 'xen', buildId: syms!.buildId, role: 'hypervisor' },
            { name: 'the payload below', buildId: elf!.buildId, role: 'applied before it' },
          ]);
          assert.match(markdown, new RegExp(`\`${elf!.buildId}\` \\| applied before it`));
        });
      });
    } finally {
      host.close();
    }
  });

  it('files of the build and scripts of the linker: what is not looked at is told', async () => {
    const git = (...args: string[]) => execFileSync('git', ['-C', folder, ...args], { stdio: 'pipe' });
    const mine = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
    for (const name of ['Makefile', 'xen.lds.S']) writeFileSync(join(folder, 'xen', name), '# one\n');
    git('add', 'xen/Makefile', 'xen/xen.lds.S');
    git(...mine, 'commit', '-q', '-m', 'more');
    await edited(join(folder, 'xen/Makefile'), 'one', 'two', async () => {
      const checked = await xen('check');
      assert.match(checked.err, /^Not looked at: xen\/Makefile\. What it changes shows when the build has run\.\n$/);
    });
    await edited(join(folder, 'xen/xen.lds.S'), 'one', 'two', async () => {
      const checked = await xen('check');
      assert.equal(checked.status, 2, checked.out);
      assert.match(checked.out, /xen\.lds\.S is a script of the linker/);
    });
  });

  it('what is named as xen-syms and is none', async () => {
    const settings = join(folder, 'livepatch.json');
    const unit = compile('int livepatch(void) { return 0; }\n', { args: ['-g'] });
    const program = join(cache, 'program');
    writeFileSync(program, unit);
    const wrong = `"syms": ${JSON.stringify(program)}, "ssh"`;
    await edited(settings, '"ssh"', wrong, async () => {
      const built = await xen('baseline');
      assert.equal(built.status, 2, built.out + built.err);
      assert.match(built.err, /program is a hypervisor without live patching, or none: build it with CONFIG_LIVEPATCH/);
    });
  });

  it('assembly is refused with the reason, at the edited line, and nothing else is said of it', async () => {
    await edited(join(folder, 'xen/arch/entry.S'), 'add $2', 'add $3', async () => {
      const checked = await xen('check');
      assert.equal(checked.status, 1, checked.out + checked.err);
      assert.match(checked.out, /hand-written-asm entry {2}xen\/arch\/entry\.S:6\n/);
      assert.match(checked.out, /Blocked: .*1 blocker/);
      assert.doesNotMatch(checked.out, /symbol-unresolved|macro/);
      const built = await xen('build', '-o', join(folder, 'no.livepatch'));
      assert.equal(built.status, 1, built.out + built.err);
      assert.match(built.err, /assembl/i);
    });
  });
});
