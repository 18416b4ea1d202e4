import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildXenPayload } from '../../server/src/core/payload/xen.ts';
import { mustBuild, openRoom, options, type Room, testIn } from './room.ts';

const EXTRA = '/sys/hypervisor/version/extra';
const CHANGESET = '/sys/hypervisor/properties/changeset';
/** The place in do_xen_version that tells the extra version. */
const TELLS = 'safe_strcpy(extraversion, deny ? xen_deny() : xen_extra_version());';

/** Behind it is what both units that common/kernel.c is part of hold. */
const SIMPLE = '/*\n * Simple hypercalls.\n */';

describe('patches from edit to the running hypervisor', { timeout: 1_500_000 }, () => {
  let room: Room | undefined;
  let original = '';

  before(async () => {
    room = await openRoom(undefined);
    if (room) original = await read(EXTRA);
  });
  after(() => room?.close());
  const test = testIn(() => room);

  const read = async (path: string): Promise<string> => {
    const answer = await room!.machine.ssh.run(['cat', path]);
    assert.equal(answer.status, 0, answer.stderr);
    return answer.stdout.trim();
  };
  /** Console text since a position, once it holds `wanted`. */
  const hears = async (since: number, wanted: RegExp): Promise<string> => {
    for (let waited = 0; ; waited += 100) {
      const { text } = await room!.machine.console(since);
      if (wanted.test(text)) return text;
      assert.ok(waited < 15_000, `the console did not say ${wanted}:\n${text}`);
      await sleep(100);
    }
  };
  const here = async (): Promise<number> => (await room!.machine.console(Number.MAX_SAFE_INTEGER)).size;
  const done = (result: { kind: string; message?: string }): void => assert.equal(result.kind, 'done', result.message);

  test('(a) the version that do_xen_version tells: loaded, reverted, loaded again', async () => {
    const { tree, target, hypervisor } = room!;
    await tree.edit('common/kernel.c', TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : "-patched");');
    const payload = mustBuild(await tree.units(), hypervisor(), options('a-version'));
    assert.deepEqual(
      payload.manifest.replaces.map((one) => one.name),
      ['do_xen_version', 'compat_xen_version'],
    );
    console.log(`# base object of common/kernel.c: ${payload.manifest.baseline.text}`);
    const first = await target.load(payload.bytes);
    done(first);
    assert.deepEqual(first.kind === 'done' && first.verify, { before: original, after: '-patched' });
    const reverted = await target.act('revert', 'a-version');
    done(reverted);
    assert.equal(await read(EXTRA), original);
    done(await target.act('apply', 'a-version'));
    assert.equal(await read(EXTRA), '-patched');
    done(await target.act('revert', 'a-version'));
    done(await target.act('unload', 'a-version'));
    assert.equal(await read(EXTRA), original);
  });

  test('(b) a static function with a new static variable and a WARN', async () => {
    const { tree, target, hypervisor, machine } = room!;
    await tree.edit(
      'common/keyhandler.c',
      `    printk("'%c' pressed -> showing installed handlers\\n", key);`,
      `    static unsigned int shown;\n\n    WARN_ON(shown == 1);\n    printk("handlers shown %u times before\\n", shown++);`,
    );
    const payload = mustBuild(await tree.units(), hypervisor(), options('b-static'));
    assert.deepEqual(
      payload.manifest.replaces.map((one) => one.name),
      ['common/keyhandler.c#show_handlers'],
    );
    assert.equal(payload.manifest.adds.filter((one) => one.kind === 'data').length, 1);
    done(await target.load(payload.bytes));
    // Three times Ctrl-A moves the serial input from domain 0 to the hypervisor.
    let since = await here();
    await machine.type('\u0001\u0001\u0001');
    await hears(since, /Serial input to Xen/i);
    since = await here();
    await machine.type('h');
    const once = await hears(since, /handlers shown 0 times before[\s\S]*key 'h'/);
    assert.doesNotMatch(once, /Xen WARN/);
    since = await here();
    await machine.type('h');
    const twice = await hears(since, /handlers shown 1 times before/);
    // The line that the warning names is the line of the edited source.
    const line =
      (await import('node:fs'))
        .readFileSync(`${tree.folder}/xen/common/keyhandler.c`, 'utf8')
        .split('\n')
        .findIndex((text) => text.includes('WARN_ON(shown == 1)')) + 1;
    assert.match(twice, new RegExp(`Xen WARN at common/keyhandler\\.c:${line}\\b`));
    // The stack trace names the payload's function as Xen knows it.
    assert.match(twice, /keyhandler\.c#show_handlers\+/);
    since = await here();
    await machine.type('\u0001\u0001\u0001');
    await hears(since, /Serial input to/i);
    done(await target.act('revert', 'b-static'));
    const again = await target.act('apply', 'b-static');
    assert.equal(again.kind === 'refused' && again.reason, 'not-reappliable', JSON.stringify(again));
    done(await target.act('unload', 'b-static'));
  });

  test('(c) one fix in two units, with a new global function between them', async () => {
    const { tree, target, hypervisor } = room!;
    await tree.edit(
      'include/xen/version.h',
      'const char *xen_deny(void);',
      'const char *xen_deny(void);\nconst char *xen_patched(unsigned int which);',
    );
    await tree.edit(
      'common/version.c',
      'const char *xen_deny(void)\n{',
      'const char *xen_patched(unsigned int which)\n{\n    return which ? "two-units" : "-two-units";\n}\n\nconst char *xen_deny(void)\n{',
    );
    await tree.edit('common/kernel.c', TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : xen_patched(0));');
    const units = await tree.units();
    const payload = mustBuild(units, hypervisor(), options('c-two-units'));
    assert.deepEqual(
      payload.manifest.replaces.map((one) => one.name),
      ['do_xen_version', 'compat_xen_version'],
    );
    assert.deepEqual(payload.manifest.adds, [
      { name: 'xen_patched', size: payload.manifest.adds[0]!.size, kind: 'function' },
    ]);
    assert.ok(units.length > 2, `the header reaches ${units.length} units`);
    done(await target.load(payload.bytes));
    assert.equal(await read(EXTRA), '-two-units');
    done(await target.act('revert', 'c-two-units'));
    done(await target.act('unload', 'c-two-units'));
  });

  test('(d) a new static function called from an old one', async () => {
    const { tree, target, hypervisor } = room!;
    await tree.edit(
      'common/kernel.c',
      SIMPLE,
      'static noinline const char *told(bool denied, unsigned int calls)\n{\n    static const char *const words[] = { "-new", "-newer" };\n\n    return denied ? xen_deny() : words[calls & 1];\n}\n\n' +
        SIMPLE,
    );
    await tree.edit('common/kernel.c', TELLS, 'safe_strcpy(extraversion, told(deny, 1));');
    const payload = mustBuild(await tree.units(), hypervisor(), options('d-new-function'));
    assert.ok(
      payload.manifest.adds.some((one) => /^common\/kernel\.c#told/.test(one.name)),
      JSON.stringify(payload.manifest.adds),
    );
    done(await target.load(payload.bytes));
    assert.equal(await read(EXTRA), '-newer');
    done(await target.act('revert', 'd-new-function'));
    done(await target.act('unload', 'd-new-function'));
  });

  test('(e) a patch stacked on another, reverted in order, and replaced in one step', async () => {
    const { tree, target, hypervisor } = room!;
    await tree.edit(
      'common/kernel.c',
      SIMPLE,
      `static noinline const char *told(void)\n{\n    return "-first";\n}\n\n${SIMPLE}`,
    );
    await tree.edit('common/kernel.c', TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : told());');
    const first = mustBuild(await tree.units(), hypervisor(), options('e-first'));
    done(await target.load(first.bytes));
    assert.equal(await read(EXTRA), '-first');
    await tree.commit();
    try {
      await tree.edit('common/kernel.c', 'return "-first";', 'return "-second";');
      const below = hypervisor([{ id: 'e-first', bytes: first.bytes }]);
      const second = mustBuild(await tree.units(), below, options('e-second'));
      assert.equal(second.manifest.depends, first.buildId);
      done(await target.load(second.bytes));
      assert.equal(await read(EXTRA), '-second');
      const early = await target.act('revert', 'e-first');
      assert.equal(early.kind === 'refused' && early.reason, 'not-top', JSON.stringify(early));
      done(await target.act('revert', 'e-second'));
      assert.equal(await read(EXTRA), '-first');
      done(await target.act('unload', 'e-second'));
    } finally {
      await tree.uncommit();
    }
    // Made for the hypervisor alone, it takes the place of everything that is applied.
    await tree.edit('common/kernel.c', TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : "-instead");');
    const instead = mustBuild(await tree.units(), hypervisor(), options('e-instead'));
    const beside = await target.load(instead.bytes);
    assert.equal(beside.kind === 'refused' && beside.reason, 'not-on-top', JSON.stringify(beside));
    const replaced = await target.replaceWith(instead.bytes);
    done(replaced);
    assert.equal(await read(EXTRA), '-instead');
    assert.deepEqual(
      replaced.list.map(({ id, state }) => [id, state]),
      [
        ['e-first', 'checked'],
        ['e-instead', 'applied'],
      ],
    );
    done(await target.act('revert', 'e-instead'));
    done(await target.act('unload', 'e-instead'));
    done(await target.act('unload', 'e-first'));
  });

  test('(f) each kind of hook', async () => {
    const { tree, target, hypervisor } = room!;
    const include = '#include <xen/version.h>';
    const place = 'const char *xen_deny(void)\n{';
    const hook = (kind: string, type: 'void' | 'int' | 'after') => {
      const upper = kind.toUpperCase();
      const signature =
        type === 'void'
          ? 'void cf_check lp_%(void)'
          : type === 'int'
            ? 'int cf_check lp_%(livepatch_payload_t *payload)'
            : 'void cf_check lp_%(livepatch_payload_t *payload)';
      return `static ${signature.replace('%', kind)}\n{\n    printk("hook ${kind} was called\\n");\n${type === 'int' ? '    return 0;\n' : ''}}\nLIVEPATCH_${upper}_HOOK(lp_${kind});\n`;
    };
    await tree.edit('common/version.c', include, `${include}\n#include <xen/livepatch_payload.h>`);
    await tree.edit(
      'common/version.c',
      place,
      `${hook('load', 'void')}${hook('unload', 'void')}${hook('preapply', 'int')}${hook('postapply', 'after')}${hook('prerevert', 'int')}${hook('postrevert', 'after')}\n${place}`,
    );
    await tree.edit('common/version.c', 'return XEN_EXTRAVERSION;', 'return "-hooked";');
    const payload = mustBuild(await tree.units(), hypervisor(), options('f-hooks'));
    assert.equal(payload.manifest.hooks.length, 6, JSON.stringify(payload.manifest.hooks));
    assert.deepEqual(
      payload.notes.filter((note) => note.code === 'hook-without-undo'),
      [],
    );
    let since = await here();
    done(await target.load(payload.bytes));
    assert.equal(await read(EXTRA), '-hooked');
    const applied = await hears(since, /hook postapply was called/);
    assert.match(applied, /hook preapply was called[\s\S]*hook load was called[\s\S]*hook postapply was called/);
    since = await here();
    done(await target.act('revert', 'f-hooks'));
    const reverted = await hears(since, /hook postrevert was called/);
    assert.match(reverted, /hook prerevert was called[\s\S]*hook unload was called[\s\S]*hook postrevert was called/);
    // No writable data but the function table: it may be applied again.
    done(await target.act('apply', 'f-hooks'));
    done(await target.act('revert', 'f-hooks'));
    done(await target.act('unload', 'f-hooks'));

    // Hooks that take the place of applying and reverting: a payload of hooks only.
    await tree.reset();
    await tree.edit('common/version.c', include, `${include}\n#include <xen/livepatch_payload.h>`);
    await tree.edit('common/version.c', place, `${hook('apply', 'int')}${hook('revert', 'int')}\n${place}`);
    const own = mustBuild(await tree.units(), hypervisor(), options('f-own-apply'));
    assert.deepEqual(own.manifest.replaces, []);
    since = await here();
    done(await target.load(own.bytes));
    done(await target.act('revert', 'f-own-apply'));
    assert.match(await hears(since, /hook revert was called/), /hook apply was called[\s\S]*hook revert was called/);
    done(await target.act('unload', 'f-own-apply'));

    // One of a pair only.
    await tree.reset();
    await tree.edit('common/version.c', include, `${include}\n#include <xen/livepatch_payload.h>`);
    await tree.edit('common/version.c', place, `${hook('load', 'void')}\n${place}`);
    const half = mustBuild(await tree.units(), hypervisor(), options('f-half'));
    assert.deepEqual(
      half.notes.map((note) => note.code),
      ['hook-without-undo'],
    );
  });

  test('NOP entries and expectations', async () => {
    const { tree, target, hypervisor, syms } = room!;
    await tree.edit('common/kernel.c', TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : "-expected");');
    const payload = mustBuild(
      await tree.units(),
      hypervisor(),
      options('nop', { expectations: true, nops: [{ name: 'xen_minor_version', size: 5 }] }),
    );
    done(await target.load(payload.bytes));
    assert.equal(await read(EXTRA), '-expected');
    // xen_minor_version begins with the 5 bytes of `mov $minor,%eax`: without them eax keeps what it held before.
    const address = syms.symbols.find((symbol) => symbol.name === 'xen_minor_version')!;
    assert.ok(address.size >= 5);
    const since = await here();
    done(await target.act('revert', 'nop'));
    await hears(since, /nop finished REVERT with rc=0/);
    done(await target.act('unload', 'nop'));
    assert.equal(await read(CHANGESET).then((text) => text.length > 0), true);

    const wrong = mustBuild(await tree.units(), hypervisor(), options('nop-too-long', { nops: [] }));
    assert.equal(wrong.manifest.nops.length, 0);
    const long = buildXenPayload(
      await tree.units(),
      hypervisor(),
      options('nop-too-long', { nops: [{ name: 'do_xen_version', size: 40 }] }),
    );
    assert.equal(long.kind, 'refused');
  });
});
