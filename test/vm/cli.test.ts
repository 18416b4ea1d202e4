import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createAnalyser } from '../../server/src/analyse.ts';
import type { RunResult } from '../../server/src/targets/transport/local.ts';
import { startTicks } from '../../server/src/vm/qemu.ts';
import { type CommandLine, commandLine, guardian } from './command.ts';
import { BOOT, lacking, vmOrSkip } from './room.ts';
import { type WorkTree, workTree } from './tree.ts';

const EXTRA = '/sys/hypervisor/version/extra';
const TELLS = 'safe_strcpy(extraversion, deny ? xen_deny() : xen_extra_version());';
const tells = (text: string) => `safe_strcpy(extraversion, deny ? xen_deny() : "${text}");`;

describe('Xen on the command line, from the edit to the running hypervisor and back', { timeout: 1_500_000 }, () => {
  let cli: CommandLine | undefined;
  let tree: WorkTree;
  let guard: ChildProcess | undefined;
  let treeOfVm = '';

  before(async () => {
    const vm = await vmOrSkip(undefined);
    if (!vm) return;
    cli = await commandLine(vm);
    treeOfVm = vm.tree;
    tree = await workTree(vm.tree, await createAnalyser());
    const target = { name: 'test machine', kind: 'xen', vm: 'probe', verify: `cat ${EXTRA}` };
    // The file may be a link to that of the tree it was copied from.
    await rm(join(tree.folder, 'livepatch.json'), { force: true });
    await writeFile(join(tree.folder, 'livepatch.json'), JSON.stringify({ buildDir: 'xen', targets: [target] }));
  });
  after(async () => {
    await cli?.close();
    guard?.kill('SIGKILL');
    await tree?.close();
  });

  const livepatch = async (...args: string[]): Promise<RunResult> => {
    const began = performance.now();
    const result = await cli!.run(tree.folder, args);
    console.log(`# livepatch ${args.join(' ')}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
    return result;
  };
  const fine = async (...args: string[]): Promise<string> => {
    const result = await livepatch(...args);
    assert.equal(result.status, 0, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
    return result.stdout;
  };

  /** Name and state of what the hypervisor has, as `status` lists it. */
  const states = async (): Promise<string> => {
    const { patches } = JSON.parse(await fine('status', '--json'));
    return patches.map(({ id, state }: { id: string; state: string }) => `${id} ${state}`).join(', ');
  };

  it('vm start, build, upload, apply, a second patch on top, one instead of both, status, revert, vm stop', {
    timeout: 1_200_000,
  }, async (context) => {
    if (!cli) return context.skip(lacking());
    assert.match(await fine('vm', 'status'), /probe {2}Xen 4\S+ {2}stopped/);
    const early = await livepatch('status');
    assert.equal(early.status, 2);
    assert.match(early.stderr, /does not run \(livepatch vm start probe\)/);

    assert.match(await fine('vm', 'start', 'probe', '--timeout', String(BOOT)), /probe runs \(process \d+, (tcg|kvm)/);
    const again = await livepatch('vm', 'start', 'probe');
    assert.equal(again.status, 2);
    assert.match(again.stderr, /runs already/);
    const { machines } = JSON.parse(await fine('vm', 'status', '--json'));
    const { pid } = machines[0].running;
    assert.ok(startTicks(pid) !== undefined);
    guard = guardian(pid);
    const original = (await fine('vm', 'ssh', 'probe', '--', 'cat', EXTRA)).trim();
    assert.match(await fine('vm', 'console', 'probe'), /\(XEN\) Xen version 4/);

    // Made for the hypervisor alone: it can take the place of all others.
    await tree.edit('common/kernel.c', TELLS, tells('-instead'));
    await fine('build', '-o', 'instead.livepatch', '--id', 'instead');
    await tree.edit('common/kernel.c', '"-instead"', '"-first"');
    const built = await fine('build', '-o', 'first.livepatch', '--id', 'first', '-m', 'the first one');
    assert.match(built, /Built first/);
    assert.match(built, /^ {2}(\d+) of \1 functions reproduce/m);
    const applies = new RegExp(`extra: ${original.replace('.', '\\.')} → -first`);

    assert.match(await fine('apply', 'first.livepatch', '--upload-only'), /^Uploaded first: .*it is not applied/);
    assert.equal(await states(), 'first checked');
    assert.equal((await fine('vm', 'ssh', 'probe', '--', 'cat', EXTRA)).trim(), original);
    assert.match(await fine('apply', '--uploaded', 'first'), applies);
    const applied = await livepatch('unload', 'first');
    assert.equal(applied.status, 1, applied.stdout + applied.stderr);
    assert.match(applied.stderr, /Revert it first/);
    assert.match(await fine('revert', '--keep'), /first is still uploaded\. .*extra: -first → /);
    assert.equal(await states(), 'first checked');
    assert.match(await fine('apply', 'first.livepatch'), applies);
    assert.match(await fine('revert'), /first is unloaded/);
    assert.equal(await states(), '');
    assert.match(await fine('apply', 'first.livepatch'), applies);

    // The text that runs is the baseline of the next patch, which goes on top of the first.
    await tree.commit();
    await tree.edit('common/kernel.c', '"-first"', '"-second"');
    await fine('build', '-o', 'second.livepatch', '--id', 'second');
    assert.match(await fine('inspect', 'second.livepatch'), /goes on top of the patch with build id [0-9a-f]{40}/);
    const wrong = await livepatch('baseline', 'xen/common/kernel.c');
    assert.match(wrong.stdout, /which the hypervisor tells of itself too/);
    assert.match(wrong.stdout, /\d+ functions? of an applied patch not compared/);
    assert.match(await fine('apply', 'second.livepatch'), /extra: -first → -second/);
    assert.match(
      await fine('status'),
      /first.*\n {3}do_xen_version +covered by patch 2\n[\s\S]*second.*\n.*runs the patch/,
    );
    assert.match((await livepatch('status', '--verify')).stderr, /domain 0 cannot read the memory of the hypervisor/);
    assert.equal(await states(), 'first applied, second applied');
    const under = await livepatch('revert', 'first');
    assert.equal(under.status, 1, under.stdout + under.stderr);
    assert.match(under.stdout + under.stderr, /second is applied on top of first: revert that first/);
    assert.match(await fine('revert'), /-second → -first/);
    // In one step in place of what is applied; that stays uploaded.
    const replaced = await fine('apply', 'instead.livepatch', '--replace');
    assert.match(
      replaced,
      /in place of everything that was applied.*still uploaded: first\. .*extra: -first → -instead/,
    );
    assert.equal(await states(), 'instead applied, first checked');
    assert.match(await fine('apply', '--uploaded', 'first', '--replace'), /extra: -instead → -first/);
    assert.equal(await states(), 'first applied, instead checked');
    assert.match(await fine('unload', 'instead'), /^Unloaded instead/);
    assert.match(await fine('revert'), /-first → /);
    assert.equal(await states(), '');
    assert.equal((await fine('vm', 'ssh', 'probe', '--', 'cat', EXTRA)).trim(), original);

    assert.match(await fine('vm', 'stop', 'probe'), /probe is stopped/);
    assert.equal(startTicks(pid), undefined, 'QEMU is gone');
    await tree.uncommit();
  });

  it('a whole tree against its hypervisor: how many functions reproduce', { timeout: 900_000 }, async (context) => {
    if (!cli) return context.skip(lacking());
    // Where the tree always is, and with the user's own cache: the objects of an earlier run are used again.
    const result = await cli.run(treeOfVm, ['baseline', '--json'], { env: process.env, seconds: 850, limit: 64 << 20 });
    const { checked, same, units } = JSON.parse(result.stdout) as {
      checked: number;
      same: number;
      units: { unit: string; baseline?: { differing: { name: string; why: string }[] }; message?: string }[];
    };
    const compared = units.filter(({ baseline }) => baseline);
    console.log(
      `# ${same} of ${checked} functions of ${compared.length} units reproduce; ${units.length - compared.length} not compared`,
    );
    const differing = units.flatMap(({ baseline }) => baseline?.differing ?? []);
    assert.deepEqual(differing, []);
    assert.equal(result.status, 0, result.stderr);
    assert.ok(checked > 4000 && same === checked, `${same} of ${checked}`);
    const failed = units.filter(
      ({ message }) => message !== undefined && !/assembly|start of the machine|not linked/.test(message),
    );
    assert.deepEqual(failed, []);
  });
});
