import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { readElf } from '../../server/src/core/elf/index.ts';
import type { Finding } from '../../server/src/core/findings/types.ts';
import { buildXenPayload, type XenOptions } from '../../server/src/core/payload/xen.ts';
import { checkXenPayload } from '../../server/src/core/payload/xen-check.ts';
import type { XenResult } from '../../server/src/targets/xen.ts';
import { type Parts, remake } from '../core/xen/remake.ts';
import { mustBuild, openRoom, options, type Room, testIn } from './room.ts';

const TELLS = 'safe_strcpy(extraversion, deny ? xen_deny() : xen_extra_version());';

/** Behind it is what both units that common/kernel.c is part of hold. */
const SIMPLE = '/*\n * Simple hypercalls.\n */';

/** Replaces one text in a file's bytes by another of the same length. */
function swap(bytes: Uint8Array, from: string, to: string): Uint8Array {
  assert.equal(from.length, to.length);
  const text = Buffer.from(bytes).toString('latin1');
  assert.ok(text.includes(from), `${from} is not in the payload`);
  return new Uint8Array(Buffer.from(text.replaceAll(from, to), 'latin1'));
}

describe('what is refused, before it leaves the machine and by the hypervisor', { timeout: 1_500_000 }, () => {
  let room: Room | undefined;
  /** A payload that loads, to be damaged. */
  let good: Uint8Array;

  before(async () => {
    room = await openRoom(undefined);
    if (!room) return;
    good = await build('good');
  });
  after(() => room?.close());
  const test = testIn(() => room);

  const build = async (id: string, more: Partial<XenOptions> = {}, text = '-refused'): Promise<Uint8Array> => {
    await room!.tree.reset();
    await room!.tree.edit('common/kernel.c', TELLS, `safe_strcpy(extraversion, deny ? xen_deny() : "${text}");`);
    return mustBuild(await room!.tree.units(), room!.hypervisor(), options(id, more)).bytes;
  };
  /** Why the hypervisor refused; its own words are in the message. */
  const refused = (result: XenResult, reason: string, words: RegExp): void => {
    assert.equal(result.kind, 'refused', JSON.stringify(result));
    if (result.kind !== 'refused') return;
    assert.equal(result.reason, reason, result.message);
    assert.match(result.message, words);
  };
  /** Codes that the check before the upload finds in a payload's bytes. */
  const checked = (bytes: Uint8Array, version: 1 | 2 = 2): string[] => {
    const { elf, problems } = readElf(bytes);
    if (!elf) return problems.map(() => 'payload-malformed');
    return [...new Set(checkXenPayload(elf, room!.hypervisor(), version).map((finding) => finding.code))];
  };
  const refusals = async (): Promise<readonly Finding[]> => {
    const outcome = buildXenPayload(await room!.tree.units(), room!.hypervisor(), options('no'));
    assert.equal(outcome.kind, 'refused');
    return outcome.kind === 'refused' ? outcome.refusals : [];
  };
  const has = (findings: readonly Finding[], code: string, symbol: RegExp): void => {
    assert.ok(
      findings.some((one) => one.code === code && symbol.test(one.symbol)),
      findings.map((one) => `${one.code} ${one.symbol}: ${one.message}`).join('\n'),
    );
  };

  test('nothing is wrong with the payload that the others are made from', async () => {
    assert.deepEqual(checked(good), []);
    const result = await room!.target.upload(good);
    assert.equal(result.kind, 'done', JSON.stringify(result));
    const again = await room!.target.upload(good);
    refused(again, 'already-uploaded', /unload|Unload/);
    // Another name does not help: the build id is the same.
    refused(await room!.target.upload(good, undefined, 'another-name'), 'already-uploaded', /build id/);
    assert.equal((await room!.target.act('unload', 'good')).kind, 'done');
    refused(await room!.target.act('unload', 'good'), 'not-uploaded', /good/);
    refused(await room!.target.act('apply', 'good'), 'not-uploaded', /Upload it first/);
  });

  test('a moved field, a changed initial value, init code, an unknown symbol', async () => {
    const { tree } = room!;
    await tree.edit(
      'common/keyhandler.c',
      '    bool_t irq_callback, /* Call in irq context? if not, tasklet context. */',
      '    unsigned long since;\n    bool_t irq_callback, /* Call in irq context? if not, tasklet context. */',
    );
    has(await refusals(), 'struct-layout', /keyhandler/);
    await tree.reset();

    await tree.edit(
      'common/domain.c',
      'bool __read_mostly vmtrace_available;',
      'bool __read_mostly vmtrace_available = true;',
    );
    const values = await refusals();
    assert.ok(
      values.some((one) => /^data-(init-changed|section-moved)$/.test(one.code) && one.symbol === 'vmtrace_available'),
      JSON.stringify(values),
    );
    await tree.reset();

    await tree.edit(
      'common/kernel.c',
      '    hypfs_add_dir(&buildinfo, &compileinfo, true);',
      '    hypfs_add_dir(&buildinfo, &compileinfo, false);\n    hypfs_add_dir(&buildinfo, &compileinfo, true);',
    );
    has(await refusals(), 'init-code-changed', /buildinfo_init/);
    await tree.reset();

    await tree.edit('common/kernel.c', SIMPLE, `const char *xen_nowhere(void);\n\n${SIMPLE}`);
    await tree.edit('common/kernel.c', TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : xen_nowhere());');
    has(await refusals(), 'symbol-unresolved', /^xen_nowhere$/);
  });

  test('another hypervisor', async () => {
    const { target, hypervisor, syms, tree } = room!;
    const elf = new Proxy(syms, {
      get: (file, key) => (key === 'buildId' ? 'ab'.repeat(20) : Reflect.get(file, key, file)),
    });
    const other = { ...hypervisor(), elf };
    await tree.edit('common/kernel.c', TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : "-other");');
    const { bytes } = mustBuild(await tree.units(), other, options('other'));
    assert.deepEqual(checked(bytes), ['build-id-mismatch']);
    refused(await target.load(bytes), 'other-hypervisor', /check against hypervisor build-id failed/);
    assert.ok(!(await target.status()).patches.some((patch) => patch.id === 'other'));
  });

  test('a stack in the wrong order', async () => {
    const { target } = room!;
    assert.equal((await target.load(good)).kind, 'done');
    refused(await target.act('unload', 'good'), 'wrong-state', /Revert it first/);
    const second = await build('second', {}, '-second');
    refused(await target.load(second), 'not-on-top', /check against good build-id failed/);
    // It is not left behind, and the first one still runs.
    assert.deepEqual(
      (await target.status()).patches.map(({ id, state }) => [id, state]),
      [['good', 'applied']],
    );
    assert.equal((await target.act('revert', 'good')).kind, 'done');
    assert.equal((await target.act('unload', 'good')).kind, 'done');
  });

  test('damaged and foreign files', async () => {
    const { target } = room!;
    const short = good.subarray(0, good.length >> 1);
    refused(await target.upload(short), 'damaged-file', /no payload/);
    refused(await target.upload(short, undefined, 'short'), 'damaged-file', /Bogus e_shoff/);
    assert.ok(checked(short).includes('payload-malformed'));

    const missing = swap(good, '.livepatch.xen_depends', '.livepatch.xxx_depends');
    assert.ok(checked(missing).includes('payload-malformed'));
    refused(await target.upload(missing, undefined, 'missing'), 'incomplete', /\.livepatch\.xen_depends is missing/);

    const unknown = swap(good, '\0strlcpy\0', '\0strlXpy\0');
    assert.deepEqual(checked(unknown), ['symbol-unresolved']);
    refused(await target.upload(unknown, undefined, 'unknown'), 'unknown-symbol', /strlXpy/);

    const nowhere = swap(good, 'do_xen_version\0', 'do_xxx_version\0');
    assert.ok(checked(nowhere).includes('symbol-unresolved'));
    refused(await target.upload(nowhere, undefined, 'nowhere'), 'unknown-function', /do_xxx_version/);

    const one = await build('version-one', { version: 1 }).catch((error: Error) => error);
    assert.ok(one instanceof Error || checked(one).length > 0);
    const { elf } = readElf(good);
    const funcs = elf!.sectionsNamed('.livepatch.funcs')[0]!;
    const version = good.slice();
    version[funcs.offset + 32] = 1;
    assert.ok(checked(version).includes('payload-malformed'));
    refused(await target.upload(version, undefined, 'version'), 'wrong-version', /Wrong version \(1\)\. Expected 2/);

    // A name that the hypervisor has, for something that replaces nothing.
    const { tree, hypervisor } = room!;
    await tree.reset();
    await tree.edit('common/kernel.c', SIMPLE, `static unsigned int xen_told_so;\n\n${SIMPLE}`);
    await tree.edit('common/kernel.c', TELLS, `xen_told_so++;\n        ${TELLS}`);
    const { bytes } = mustBuild(await tree.units(), hypervisor(), options('duplicate'));
    const text = Buffer.from(bytes).toString('latin1');
    assert.ok(text.includes('\0common/kernel.c#xen_told_so\0'));
    const taken = room!.syms.symbols.find(
      (symbol) => symbol.bind === 'global' && symbol.name.length === 'common/kernel.c#xen_told_so'.length,
    )!.name;
    const duplicate = swap(bytes, '\0common/kernel.c#xen_told_so\0', `\0${taken}\0`);
    assert.deepEqual(checked(duplicate), ['symbol-ambiguous']);
    refused(await target.upload(duplicate, undefined, 'duplicate'), 'duplicate-symbol', new RegExp(taken));
  });

  test('expectations that do not hold, relocations that the loader does not know, a name and a build id twice', async () => {
    const { target } = room!;
    const table = (parts: Parts): DataView => {
      const { data } = parts.section('.livepatch.funcs');
      return new DataView(data.buffer, data.byteOffset, data.length);
    };
    const expects = remake(good, (parts) => {
      // Enabled, 4 bytes, of which none is what stands there.
      table(parts).setUint8(72, 1 | (4 << 1));
      table(parts).setUint32(73, 0x01020304, true);
    });
    assert.deepEqual(checked(expects), ['baseline-differs']);
    assert.equal((await target.upload(expects, undefined, 'expects')).kind, 'done');
    refused(await target.act('apply', 'expects'), 'expectation', /do_xen_version/);
    assert.equal((await target.act('unload', 'expects')).kind, 'done');

    const foreign = remake(good, (parts) => {
      const text = parts.at('.text');
      parts.relocations.find((one) => one.section === text)!.type = 10;
    });
    assert.deepEqual(checked(foreign), ['forbidden-relocation']);
    refused(await target.upload(foreign, undefined, 'foreign'), 'unloadable', /Unhandled relocation 10/);

    // Its own name, with other contents.
    assert.equal((await target.upload(good)).kind, 'done');
    const renamed = remake(good, (parts) => parts.section('.note.gnu.build-id').data.fill(7, 16));
    refused(await target.upload(renamed), 'already-uploaded', /good/);
    assert.equal((await target.act('unload', 'good')).kind, 'done');

    const large = remake(good, (parts) => {
      parts.section('.livepatch.manifest').data = new Uint8Array((2 << 20) + 1);
    });
    assert.deepEqual(checked(large), ['payload-too-large']);
    refused(await target.upload(large, undefined, 'large'), 'too-large', /Nothing was sent.*2 MiB/);
  });

  test('hooks that refuse, and patches with such hooks that are to be replaced', async () => {
    const { tree, target, hypervisor } = room!;
    const include = '#include <xen/version.h>';
    const place = 'const char *xen_deny(void)\n{';
    const vetoing = async (id: string, kind: string, value: string): Promise<Uint8Array> => {
      await tree.reset();
      await tree.edit('common/version.c', include, `${include}\n#include <xen/livepatch_payload.h>`);
      const hook = `static int cf_check lp_veto(livepatch_payload_t *payload)\n{\n    return ${value};\n}\nLIVEPATCH_${kind}_HOOK(lp_veto);\n\n`;
      await tree.edit('common/version.c', place, `${hook}${place}`);
      await tree.edit('common/version.c', 'return XEN_EXTRAVERSION;', `return "-${id}";`);
      return mustBuild(await tree.units(), hypervisor(), options(id)).bytes;
    };
    const before = await vetoing('before', 'PREAPPLY', '-EPERM');
    refused(await target.load(before), 'hook-refused', /refused with -1/);
    assert.deepEqual((await target.status()).patches, []);

    const after = await vetoing('after', 'PREREVERT', '-EBUSY');
    assert.equal((await target.load(after)).kind, 'done');
    refused(await target.act('revert', 'after'), 'hook-refused', /refused with -16/);
    const instead = await build('instead', {}, '-instead');
    refused(await target.replaceWith(instead), 'not-replaceable', /one by one/);
    // It cannot be taken out any more: this machine ends with this test.
    assert.deepEqual(
      (await target.status()).patches.map(({ id, state }) => [id, state]),
      [['after', 'applied']],
    );
  });
});
