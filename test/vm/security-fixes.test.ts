import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { PatchUnit } from '../../server/src/core/payload/types.ts';
import { mustBuild, openRoom, options, type Room, testIn } from './room.ts';

/**
 * Fixes for three of Xen's published security advisories that are newer than the packaged source. What is wrong is known from the
 * advisories' texts; the edits are this test's own.
 */
describe('real security fixes, from edit to applied', { timeout: 1_500_000 }, () => {
  let room: Room | undefined;

  before(async () => {
    room = await openRoom(undefined);
  });
  after(() => room?.close());
  const test = testIn(() => room);

  /** Builds, applies, asks the hypervisor, reverts. */
  const throughVm = async (
    id: string,
    units: readonly PatchUnit[],
    overrides: Record<string, string> = {},
  ): Promise<string[]> => {
    const { target, hypervisor, machine } = room!;
    const began = performance.now();
    const payload = mustBuild(units, hypervisor(), options(id, { overrides }));
    const built = performance.now();
    const applied = await target.load(payload.bytes);
    assert.equal(applied.kind, 'done', JSON.stringify(applied));
    console.log(
      `# ${id}: ${payload.manifest.replaces.length} functions, ${payload.bytes.length} bytes; payload ${(built - began).toFixed(0)} ms, applied after ${(performance.now() - built).toFixed(0)} ms; ${payload.manifest.baseline.text}`,
    );
    assert.deepEqual(
      applied.list.map((patch) => [patch.id, patch.state]),
      [[id, 'applied']],
    );
    // The hypervisor still works: another command goes through it.
    assert.match((await machine.ssh.run(['cat', '/sys/hypervisor/type'])).stdout, /xen/);
    const reverted = await target.act('revert', id);
    assert.equal(reverted.kind, 'done', JSON.stringify(reverted));
    assert.equal((await target.act('unload', id)).kind, 'done');
    assert.equal(await machine.death(), undefined);
    return payload.manifest.replaces.map((one) => one.name);
  };

  test('XSA-477 (CVE-2025-58150): shadow tracing writes past a per-cpu variable; one source, three objects', async () => {
    const { tree } = room!;
    await tree.edit(
      'arch/x86/mm/shadow/multi.c',
      '#if GUEST_PAGING_LEVELS == 3\n    if ( vaddr == this_cpu(trace_emulate_initial_va) )',
      '    bytes = min_t(unsigned int, bytes, sizeof(guest_pa_t));\n\n#if GUEST_PAGING_LEVELS == 3\n    if ( vaddr == this_cpu(trace_emulate_initial_va) )',
    );
    const units = await tree.units();
    assert.equal(units.length, 3, units.map((unit) => unit.pair.provenance.unit).join());
    const names = await throughVm('xsa477', units);
    assert.ok(names.length > 0 && names.every((name) => /#trace_emulate_write_val$/.test(name)), names.join());
    assert.equal(new Set(names).size, names.length);
  });

  test('XSA-480 (CVE-2026-23554): EPT tables freed before they are flushed; a static function that gcc inlines into itself and others', async () => {
    const { tree } = room!;
    await tree.edit(
      'arch/x86/mm/p2m-ept.c',
      '    p2m_free_ptp(p2m, mfn_to_page(_mfn(ept_entry->mfn)));\n}',
      '    /* No processor may still walk the table when it is handed out again. */\n    p2m_tlb_flush_sync(p2m);\n    p2m_free_ptp(p2m, mfn_to_page(_mfn(ept_entry->mfn)));\n}',
    );
    const units = await tree.units();
    const [unit] = units;
    console.log(
      `# XSA-480 reaches ${unit!.diff.functions.map((one) => `${one.name} (${one.reasons.map((reason) => `${reason.kind} ${reason.detail}`.trim()).join(', ')})`).join('; ')}`,
    );
    const names = await throughVm('xsa480', units);
    assert.ok(
      names.some((name) => name === 'arch/x86/mm/p2m-ept.c#ept_free_entry'),
      names.join(),
    );
    assert.ok(
      unit!.diff.inlining.length > 0 ||
        unit!.diff.functions.some((one) => one.reasons.some((reason) => reason.kind === 'inlined-callee')),
      'gcc inlined it somewhere',
    );
  });

  test('XSA-491 (CVE-2026-42487): the list of translated ports is walked without a lock; two units share a new one', async () => {
    const { tree } = room!;
    await tree.edit(
      'arch/x86/domctl.c',
      'long arch_do_domctl(\n',
      'extern rwlock_t g2m_ioport_lock;\n\nlong arch_do_domctl(\n',
    );
    await tree.edit(
      'arch/x86/hvm/io.c',
      'static bool cf_check g2m_portio_accept(',
      'DEFINE_RWLOCK(g2m_ioport_lock);\n\nstatic bool cf_check g2m_portio_accept(',
    );
    await tree.edit(
      'arch/x86/hvm/io.c',
      '    list_for_each_entry( g2m_ioport, &hvm->g2m_ioport_list, list )\n',
      '    read_lock(&g2m_ioport_lock);\n\n    list_for_each_entry( g2m_ioport, &hvm->g2m_ioport_list, list )\n',
    );
    await tree.edit(
      'arch/x86/hvm/io.c',
      '            hvio->g2m_ioport = g2m_ioport;\n            return 1;\n        }\n    }\n\n    return 0;',
      '            hvio->g2m_ioport = g2m_ioport;\n            read_unlock(&g2m_ioport_lock);\n            return 1;\n        }\n    }\n\n    read_unlock(&g2m_ioport_lock);\n\n    return 0;',
    );
    await tree.edit(
      'arch/x86/domctl.c',
      '        hvm = &d->arch.hvm;\n        if ( add )\n        {\n            printk(XENLOG_G_INFO\n                   "ioport_map:add',
      '        hvm = &d->arch.hvm;\n        write_lock(&g2m_ioport_lock);\n        if ( add )\n        {\n            printk(XENLOG_G_INFO\n                   "ioport_map:add',
    );
    await tree.edit(
      'arch/x86/domctl.c',
      '                       ret, d->domain_id, fmp, fmp + np - 1);\n        }\n        break;\n    }\n\n    case XEN_DOMCTL_set_ext_vcpucontext:',
      '                       ret, d->domain_id, fmp, fmp + np - 1);\n        }\n        write_unlock(&g2m_ioport_lock);\n        break;\n    }\n\n    case XEN_DOMCTL_set_ext_vcpucontext:',
    );
    const units = await tree.units();
    const names = await throughVm('xsa491', units);
    assert.ok(names.includes('arch/x86/hvm/io.c#g2m_portio_accept') && names.includes('arch_do_domctl'), names.join());
  });
});
