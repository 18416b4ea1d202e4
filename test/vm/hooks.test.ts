import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { createAnalyser } from '../../server/src/analyse.ts';
import { readElf } from '../../server/src/core/elf/index.ts';
import { offerFixes } from '../../server/src/core/findings/fixes/index.ts';
import { applyChanges } from '../../server/src/core/findings/fixes/text.ts';
import { writeHookPair } from '../../server/src/core/findings/fixes/xen-hooks.ts';
import type { Finding } from '../../server/src/core/findings/types.ts';
import type { PatchUnit } from '../../server/src/core/payload/types.ts';
import type { Hypervisor } from '../../server/src/core/payload/xen-symbols.ts';
import type { VmImage } from '../../server/src/vm/made.ts';
import { mustBuild, options, vmOrSkip } from './room.ts';
import { type WorkTree, workTree } from './tree.ts';

const CODE = {
  file: 'common/keyhandler.c',
  from: `    printk("'%c' pressed -> showing installed handlers\\n", key);`,
  to: `    printk("'%c' pressed: installed handlers\\n", key);`,
};
const DATA = {
  file: 'common/grant_table.c',
  from: 'unsigned int __read_mostly opt_max_grant_frames = 64;',
  to: 'unsigned int __read_mostly opt_max_grant_frames = 80;',
};

describe('quick fixes that write hooks, in the Xen tree', { timeout: 600_000 }, () => {
  let vm: VmImage | undefined;
  let tree: WorkTree;
  let hypervisor: Hypervisor;

  before(async () => {
    vm = await vmOrSkip(undefined);
    if (!vm) return;
    tree = await workTree(vm.tree, await createAnalyser());
    hypervisor = { path: vm.syms, elf: readElf(new Uint8Array(await readFile(vm.syms))).elf!, below: [] };
  });
  after(() => tree?.close());

  const pathOf = (file: string): string => `${tree.folder}/xen/${file}`;
  const now = (path: string): readonly string[] | undefined => {
    try {
      return readFileSync(path, 'utf8').split('\n');
    } catch {
      return undefined;
    }
  };
  const sections = (unit: PatchUnit): string[] =>
    unit.pair.next.elf.sections.map(({ name }) => name).filter((name) => name.startsWith('.livepatch.hooks.'));
  const has = (unit: PatchUnit, code: string): Finding | undefined => unit.findings.find((one) => one.code === code);
  const only = (units: readonly PatchUnit[], file: string): PatchUnit => {
    const found = units.find((unit) => unit.pair.provenance.unit === file);
    assert.ok(found, `units: ${units.map((unit) => unit.pair.provenance.unit)}`);
    return found;
  };
  /** Chooses the fix of a finding whose title matches, as the editor would. */
  const choose = async (unit: PatchUnit, file: string, finding: Finding, title: RegExp): Promise<void> => {
    const offered = offerFixes({
      finding,
      pair: unit.pair,
      diff: unit.diff,
      target: 'xen',
      unit: pathOf(file),
      edits: new Map(),
      now,
      base: () => undefined,
    });
    const fix = offered.find((one) => title.test(one.title));
    assert.ok(fix, `offered: ${offered.map((one) => one.title).join('; ')}`);
    await change(file, (text) => applyChanges(text, fix.changes));
  };
  const change = async (file: string, how: (text: string) => string): Promise<void> => {
    const text = await readFile(pathOf(file), 'utf8');
    await rm(pathOf(file));
    await writeFile(pathOf(file), how(text));
  };

  it('load and unload hooks for a changed initial value: it blocks until the hook assigns it', async (context) => {
    if (!vm) return context.skip('no Xen tree, see above');
    await tree.reset();
    await tree.edit(DATA.file, DATA.from, DATA.to);
    const first = only(await tree.units(), DATA.file);
    const blocked = has(first, 'data-init-changed');
    assert.equal(blocked?.severity, 'blocker');
    assert.ok(blocked, `findings: ${first.findings.map(({ code, symbol }) => `${code} ${symbol}`).join(', ')}`);
    await choose(first, DATA.file, blocked, /load hook and an unload hook/);

    const second = only(await tree.units(), DATA.file);
    assert.deepEqual(sections(second).sort(), ['.livepatch.hooks.load', '.livepatch.hooks.unload']);
    assert.equal(has(second, 'hook-without-undo'), undefined);
    assert.equal(has(second, 'data-init-changed')?.severity, 'blocker', 'an empty hook assigns nothing');

    await change(DATA.file, (text) =>
      text
        .replace(/(livepatch_opt_max_grant_frames_load\(void\)\n\{\n)/, '$1    opt_max_grant_frames = 80;\n')
        .replace(/(livepatch_opt_max_grant_frames_unload\(void\)\n\{\n)/, '$1    opt_max_grant_frames = 64;\n'),
    );
    const third = only(await tree.units(), DATA.file);
    const judged = has(third, 'data-init-changed');
    assert.equal(judged?.severity, 'review');
    assert.deepEqual(judged?.evidence.hooks, ['livepatch_opt_max_grant_frames_load']);
    const payload = mustBuild([third], hypervisor, options('hooks'));
    assert.deepEqual(
      payload.manifest.hooks.map(({ kind }) => kind.replace('.livepatch.hooks.', '')),
      ['load', 'unload'],
    );
  });

  it('a hook without its counterpart gets it', async (context) => {
    if (!vm) return context.skip('no Xen tree, see above');
    for (const [kind, undo] of [
      ['preapply', 'postrevert'],
      ['postapply', 'prerevert'],
      ['apply', 'revert'],
      ['load', 'unload'],
    ] as const) {
      await tree.reset();
      await tree.edit(CODE.file, CODE.from, CODE.to);
      const result = kind === 'preapply' || kind === 'apply' ? 'int' : 'void';
      const argument = kind === 'load' ? 'void' : 'livepatch_payload_t *payload';
      await change(CODE.file, (text) =>
        text.replace(
          '/*\n * Local variables:',
          `#include <xen/livepatch.h>\n#include <xen/livepatch_payload.h>\nstatic ${result} cf_check mine_${kind}(${argument})\n{\n    printk("hook\\n");\n${result === 'int' ? '    return 0;\n' : ''}}\nLIVEPATCH_${kind.toUpperCase()}_HOOK(mine_${kind});\n\n/*\n * Local variables:`,
        ),
      );
      const first = only(await tree.units(), CODE.file);
      const finding = has(first, 'hook-without-undo');
      assert.equal(finding?.evidence.missing, `.livepatch.hooks.${undo}`);
      await choose(first, CODE.file, finding!, /hook that undoes it/);
      const second = only(await tree.units(), CODE.file);
      assert.ok(sections(second).includes(`.livepatch.hooks.${undo}`), sections(second).join());
      assert.equal(has(second, 'hook-without-undo'), undefined);
      mustBuild([second], hypervisor, options(`undo-${kind}`));
    }
  });

  it('the check and its undo by hand; a source that compat code includes has its hooks once', async (context) => {
    if (!vm) return context.skip('no Xen tree, see above');
    await tree.reset();
    const file = 'common/kernel.c';
    await tree.edit(file, 'deny ? xen_deny() : xen_extra_version()', '"-hooked"');
    const changes = writeHookPair({ unit: pathOf(file), now }, 'check', 'version');
    assert.ok(changes);
    await change(file, (text) => applyChanges(text, changes));
    const text = await readFile(pathOf(file), 'utf8');
    assert.ok(text.indexOf('LIVEPATCH_PREAPPLY_HOOK') < text.indexOf('Local variables:'), 'in front of the settings');
    const units = await tree.units();
    assert.deepEqual(sections(only(units, file)).sort(), ['.livepatch.hooks.postrevert', '.livepatch.hooks.preapply']);
    assert.deepEqual(sections(only(units, 'common/compat/kernel.c')), []);
    const payload = mustBuild(units, hypervisor, options('check'));
    assert.deepEqual(payload.manifest.hooks.map(({ kind }) => kind.replace('.livepatch.hooks.', '')).sort(), [
      'postrevert',
      'preapply',
    ]);
    // Asked for again it gets names of its own.
    const again = writeHookPair({ unit: pathOf(file), now }, 'check', 'version');
    assert.match(again?.map((one) => one.text).join('') ?? '', /livepatch_version_preapply2/);
  });

  it('nothing is written where the tree has no such hooks', () => {
    assert.equal(writeHookPair({ unit: '/src/unit.c', now: () => ['int x;'] }, 'load', 'x')?.length, undefined);
  });
});
