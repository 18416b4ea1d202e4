import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { readElf } from '../../server/src/core/elf/index.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { xenTargetOf } from '../../server/src/targets/xen-config.ts';
import { smallWorkspace } from '../core/xen/small.ts';
import { type FakeXen, fakeXen } from './fakeXen.ts';
import { cli } from './support.ts';

const KERNEL = `
static unsigned long count;
static noinline int twice(int n) { count++; return n * 2; }
int answer(int n) { return twice(n) + 7; }
int minor(void) { return 17; }
`;

describe("Xen's state machine on the command line, with a hypervisor of a few lines", () => {
  let folder = '';
  let cache = '';
  let host: FakeXen;
  const home = process.env.XDG_CACHE_HOME;
  const xen = (...args: string[]) => cli(args, { cwd: folder });
  const fine = async (...args: string[]): Promise<string> => {
    const { status, out, err } = await xen(...args);
    assert.equal(status, 0, `${args.join(' ')}: ${out}${err}`);
    return out;
  };
  const refused = async (status: number, words: RegExp, ...args: string[]): Promise<void> => {
    const result = await xen(...args);
    assert.equal(result.status, status, `${args.join(' ')}: ${result.out}${result.err}`);
    assert.match(result.err, words);
  };
  /** Name and state of what is there, as `status` lists it. */
  const states = async (): Promise<string> => {
    const { patches } = JSON.parse(await fine('status', '--json'));
    return patches.map(({ id, state }: { id: string; state: string }) => `${id} ${state}`).join(', ');
  };
  const source = () => join(folder, 'xen/common/kernel.c');
  const build = async (id: string, from: string, to: string): Promise<void> => {
    const text = readFileSync(source(), 'utf8');
    writeFileSync(source(), text.replace(from, to));
    try {
      await fine('build', '-o', `${id}.livepatch`, '--id', id);
    } finally {
      writeFileSync(source(), text);
    }
  };

  before(async () => {
    folder = smallWorkspace({ 'common/kernel.c': KERNEL });
    cache = mkdtempSync(join(tmpdir(), 'lpa-cache-'));
    process.env.XDG_CACHE_HOME = cache;
    host = fakeXen();
    await build('fix', 'n * 2', 'n * 3');
    await build('other', 'return 17', 'return 18');
  });
  beforeEach(() => host.reset());
  after(() => {
    host.close();
    if (home === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = home;
    for (const one of [folder, cache]) rmSync(one, { recursive: true, force: true });
  });

  it('uploaded, applied, reverted and kept, applied again, reverted and gone', async () => {
    assert.match(
      await fine('apply', 'fix.livepatch', '--upload-only'),
      /^Uploaded fix: lab has fix .* not applied\.\n$/,
    );
    assert.equal(await states(), 'fix checked');
    assert.match(await fine('apply', '--uploaded', 'fix'), /^Applied fix: lab runs fix: 1 function replaced\.\n$/);
    assert.equal(await states(), 'fix applied');
    assert.match(await fine('revert', '--keep'), /^Reverted fix: .*still uploaded\.\n$/);
    assert.equal(await states(), 'fix checked');
    // From the file: the bytes at hand are the ones that are applied.
    assert.match(await fine('apply', 'fix.livepatch'), /^Applied fix/);
    assert.match(await fine('revert'), /^Reverted fix: .*is unloaded\.\n$/);
    assert.equal(await states(), '');
    assert.deepEqual(host.calls(), [
      ...['upload fix', 'apply fix', 'revert fix'],
      ...['unload fix', 'upload fix', 'apply fix', 'revert fix', 'unload fix'],
    ]);
  });

  it('unload takes out what is not applied, and only that', async () => {
    await fine('apply', 'fix.livepatch');
    await refused(1, /wrong-state.*Revert it first/s, 'unload', 'fix');
    await fine('revert', 'fix', '--keep');
    assert.match(await fine('unload', 'fix'), /^Unloaded fix: fix is out of lab\.\n$/);
    assert.equal(await states(), '');
    await refused(1, /not-uploaded/, 'unload', 'fix');
    await refused(1, /not-uploaded/, 'apply', '--uploaded', 'fix');
    await refused(2, /unload takes the ID of one payload/, 'unload');
  });

  it('replace: from a file and of what is uploaded; what had to go is told, and stays uploaded', async () => {
    await fine('apply', 'fix.livepatch');
    const replaced = await fine('apply', 'other.livepatch', '--replace');
    assert.match(replaced, /lab runs other in place of everything that was applied: 1 function replaced\./);
    assert.match(replaced, /Reverted, and still uploaded: fix\./);
    assert.equal(await states(), 'other applied, fix checked');
    const { event } = JSON.parse(await fine('apply', '--uploaded', 'fix', '--replace', '--json'));
    assert.deepEqual([event.kind, event.id, event.functions, event.replaced], ['applied', 'fix', 1, ['other']]);
    assert.equal(await states(), 'fix applied, other checked');
  });

  it('events as JSON; a refusal has its reason and status 1', async () => {
    const uploaded = JSON.parse(await fine('apply', 'fix.livepatch', '--upload-only', '--json'));
    assert.deepEqual([uploaded.target, uploaded.event.kind, uploaded.event.id], ['lab', 'uploaded', 'fix']);
    const twice = await xen('apply', 'fix.livepatch', '--upload-only', '--json');
    assert.equal(twice.status, 1);
    assert.equal(JSON.parse(twice.out).event.reason, 'already-uploaded');
    host.refuse('apply', 'fix: check against hypervisor build-id failed');
    const apply = await xen('apply', '--uploaded', 'fix', '--json');
    assert.equal(apply.status, 1);
    assert.equal(JSON.parse(apply.out).event.reason, 'other-hypervisor');
    const unloaded = JSON.parse(await fine('unload', 'fix', '--json'));
    assert.deepEqual([unloaded.event.kind, unloaded.event.id], ['unloaded', 'fix']);
    // What a file could not be applied for does not stay behind.
    host.refuse('replace', 'other: check against hypervisor build-id failed');
    await refused(1, /other-hypervisor/, 'apply', 'other.livepatch', '--replace');
    assert.equal(await states(), '');
  });

  it('status: which functions run the patch, which that of a patch on top; why memory is not compared', async () => {
    await build('fix-2', 'n * 2', 'n * 4');
    await fine('apply', 'fix.livepatch');
    // The small hypervisor has no say in what goes on top of what.
    await fine('apply', 'fix-2.livepatch');
    await fine('apply', 'other.livepatch', '--upload-only');
    const { patches } = JSON.parse(await fine('status', '--json'));
    assert.deepEqual(
      patches.map(({ id, functions }: { id: string; functions: { name: string; redirected: boolean }[] }) => [
        id,
        ...functions.map(({ name, redirected }) => `${name} ${redirected}`),
      ]),
      [
        ['fix', 'common/kernel.c#twice false'],
        ['fix-2', 'common/kernel.c#twice true'],
        ['other', 'minor false'],
      ],
    );
    const plain = await xen('status');
    assert.equal(plain.err, '');
    assert.match(plain.out, /^1\. fix .*\n {3}common\/kernel\.c#twice {2}covered by patch 2\n/m);
    assert.match(plain.out, /^2\. fix-2 .*\n {3}common\/kernel\.c#twice {2}runs the patch\n/m);
    const verified = await xen('status', '--verify');
    assert.equal(verified.status, 0);
    assert.match(verified.err, /domain 0 cannot read the memory of the hypervisor.*--expect/);
    assert.match(JSON.parse(await fine('status', '--verify', '--json')).note, /domain 0 cannot read/);
  });

  it('a damaged file is not sent, whichever step is to be taken with it', async () => {
    const { config } = await loadConfig(folder);
    const entry = { ...config.targets[0]!, syms: join(folder, 'xen/xen-syms') };
    const target = xenTargetOf(entry);
    const whole = readFileSync(join(folder, 'fix.livepatch'));
    const { elf } = readElf(new Uint8Array(whole));
    const damaged = new Uint8Array(whole);
    // A function table of another version: the hypervisor would refuse it at the upload.
    damaged[elf!.sectionsNamed('.livepatch.funcs')[0]!.offset + 32] = 1;
    for (const step of [
      () => target.upload(damaged),
      () => target.upload(damaged, undefined, 'by-name'),
      () => target.load(damaged),
      () => target.replaceWith(damaged),
      () => target.apply(damaged),
      () => target.apply(damaged, undefined, { replace: true }),
      () => target.step({ action: 'upload', payload: damaged }),
    ]) {
      const result = await step();
      assert.equal(result.kind === 'refused' && result.reason, 'damaged-file', JSON.stringify(result));
      assert.match('message' in result ? (result.message ?? '') : '', /^Nothing was sent: the hypervisor would refuse/);
    }
    assert.deepEqual(host.calls(), []);
    assert.equal((await target.upload(new Uint8Array(whole))).kind, 'done');
  });

  it('what cannot be asked for together, and what only a hypervisor does', async () => {
    await refused(2, /--replace or --upload-only/, 'apply', 'fix.livepatch', '--replace', '--upload-only');
    await refused(2, /neither a FILE nor --upload-only/, 'apply', 'fix.livepatch', '--uploaded', 'fix');
    await refused(2, /one payload FILE/, 'apply');
    const pid = ['--pid', String(process.pid)];
    for (const [option, ...args] of [
      ['--upload-only', 'apply', 'fix.livepatch', '--upload-only'],
      ['--replace', 'apply', 'fix.livepatch', '--replace'],
      ['--uploaded', 'apply', '--uploaded', 'fix'],
      ['--keep', 'revert', '--keep'],
    ] as const)
      await refused(2, new RegExp(`${option} is for hypervisors .*is a process`), ...args, ...pid);
    await refused(2, /--pid/, 'unload', 'fix', ...pid);
    assert.deepEqual(host.calls(), []);
  });
});
