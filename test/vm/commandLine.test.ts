import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createAnalyser } from '../../server/src/analyse.ts';
import { readElf } from '../../server/src/core/elf/index.ts';
import { readFuncs } from '../../server/src/core/payload/xen-symbols.ts';
import { type CommandLine, commandLine, guardian } from './command.ts';
import { BOOT, lacking, vmOrSkip } from './room.ts';
import { type WorkTree, workTree } from './tree.ts';

const EXTRA = '/sys/hypervisor/version/extra';
const KERNEL = 'common/kernel.c';
const KEYS = 'common/keyhandler.c';
const VERSION = 'common/version.c';
const TELLS = 'safe_strcpy(extraversion, deny ? xen_deny() : xen_extra_version());';
/** Behind it is what both units that common/kernel.c is part of hold. */
const SIMPLE = '/*\n * Simple hypercalls.\n */';
const DENY = 'const char *xen_deny(void)\n{';
const INCLUDE = '#include <xen/version.h>';

/** Replaces text in a file of the tree. */
type Edit = readonly [file: string, from: string, to: string];

/** An edit that is built, applied, looked at in the hypervisor and reverted. */
interface Patched {
  readonly name: string;
  readonly id: string;
  readonly edits: readonly Edit[];
  /** The old code begins with an endbr64, which Xen may poison: nothing is expected of it. */
  readonly endbr?: true;
  /** What `build` says. */
  readonly built: readonly RegExp[];
  /** What the verify command shows while it is applied; absent where it shows the same as before. */
  readonly extra?: string;
  /** A key of the hypervisor's console to press while it is applied, and what is heard of it. */
  readonly key?: string;
  /** What the hypervisor's console says while it is applied, and until it is reverted. */
  readonly heard?: readonly RegExp[];
}

const hook = (kind: string): string => {
  const signature = kind.endsWith('load') ? '(void)' : '(livepatch_payload_t *payload)';
  return `static void cf_check lp_${kind}${signature}\n{\n    printk("hook ${kind} was called\\n");\n}\nLIVEPATCH_${kind.toUpperCase()}_HOOK(lp_${kind});\n`;
};

const PATCHED: readonly Patched[] = [
  {
    name: '(b) a static function with a new static variable and a WARN',
    id: 'b-static',
    edits: [
      [
        KEYS,
        `    printk("'%c' pressed -> showing installed handlers\\n", key);`,
        '    static unsigned int shown;\n\n    WARN_ON(shown == 0);\n    printk("handlers shown %u times before\\n", shown++);',
      ],
    ],
    endbr: true,
    built: [/1 function replaced, 1 variable added/, /common\/keyhandler\.c#show_handlers {2}\d+ → \d+ bytes/],
    key: 'h',
    heard: [/Xen WARN at common\/keyhandler\.c:\d+/, /handlers shown 0 times before/],
  },
  {
    name: '(c) one fix in two units, with a new global function between them',
    id: 'c-two-units',
    edits: [
      [
        VERSION,
        DENY,
        `const char *xen_patched(void);\nconst char *xen_patched(void)\n{\n    return "-two-units";\n}\n\n${DENY}`,
      ],
      [KERNEL, SIMPLE, `const char *xen_patched(void);\n\n${SIMPLE}`],
      [KERNEL, TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : xen_patched());'],
    ],
    built: [/2 functions replaced, 1 function added/],
    extra: '-two-units',
  },
  {
    name: '(d) a new static function called from an old one',
    id: 'd-new-function',
    edits: [
      [
        KERNEL,
        SIMPLE,
        `static noinline const char *told(bool denied)\n{\n    return denied ? xen_deny() : "-new";\n}\n\n${SIMPLE}`,
      ],
      [KERNEL, TELLS, 'safe_strcpy(extraversion, told(deny));'],
    ],
    built: [/2 functions replaced, 2 functions added/],
    extra: '-new',
  },
  {
    name: '(f) hooks around applying and reverting',
    id: 'f-hooks',
    edits: [
      [VERSION, INCLUDE, `${INCLUDE}\n#include <xen/livepatch_payload.h>`],
      [VERSION, DENY, `${['load', 'unload', 'postapply', 'postrevert'].map(hook).join('')}\n${DENY}`],
      [VERSION, 'return XEN_EXTRAVERSION;', 'return "-hooked";'],
    ],
    built: [/1 function replaced/],
    extra: '-hooked',
    heard: [
      /hook load was called/,
      /hook postapply was called/,
      /hook unload was called/,
      /hook postrevert was called/,
    ],
  },
];

/** An edit that is refused when it is built: finding and symbol. */
interface Refused {
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly code: RegExp;
  readonly symbol: RegExp;
}

const REFUSED: readonly Refused[] = [
  {
    name: 'a moved field of a structure',
    edits: [
      [
        KEYS,
        '    bool_t irq_callback, /* Call in irq context? if not, tasklet context. */',
        '    unsigned long since;\n    bool_t irq_callback, /* Call in irq context? if not, tasklet context. */',
      ],
    ],
    code: /^struct-layout$/,
    symbol: /keyhandler/,
  },
  {
    name: 'a changed initial value',
    edits: [
      ['common/domain.c', 'bool __read_mostly vmtrace_available;', 'bool __read_mostly vmtrace_available = true;'],
    ],
    code: /^data-(init-changed|section-moved)$/,
    symbol: /^vmtrace_available$/,
  },
  {
    name: 'code that was freed after the boot',
    edits: [
      [
        KERNEL,
        '    hypfs_add_dir(&buildinfo, &compileinfo, true);',
        '    hypfs_add_dir(&buildinfo, &compileinfo, false);\n    hypfs_add_dir(&buildinfo, &compileinfo, true);',
      ],
    ],
    code: /^init-code-changed$/,
    symbol: /buildinfo_init/,
  },
  {
    name: 'a symbol that the hypervisor has not',
    edits: [
      [KERNEL, SIMPLE, `const char *xen_nowhere(void);\n\n${SIMPLE}`],
      [KERNEL, TELLS, 'safe_strcpy(extraversion, deny ? xen_deny() : xen_nowhere());'],
    ],
    code: /^symbol-unresolved$/,
    symbol: /^xen_nowhere$/,
  },
];

describe('patches of Xen on the command line: edits of each kind, and what is refused', { timeout: 1_500_000 }, () => {
  let cli: CommandLine | undefined;
  let tree: WorkTree;
  let guard: ChildProcess | undefined;
  let original = '';

  const configure = async (more: object = {}): Promise<void> => {
    const target = { name: 'test machine', kind: 'xen', vm: 'probe', verify: `cat ${EXTRA}`, expect: true, ...more };
    const file = join(tree.folder, 'livepatch.json');
    // The file may be a link to that of the tree it was copied from.
    await rm(file, { force: true });
    await writeFile(file, JSON.stringify({ buildDir: 'xen', targets: [target] }));
  };
  const livepatch = (...args: string[]) => cli!.run(tree.folder, args);
  const fine = async (...args: string[]): Promise<string> => {
    const result = await livepatch(...args);
    assert.equal(result.status, 0, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
    return result.stdout;
  };
  /** Fails with this status; what it printed as JSON. */
  const fails = async (status: number, ...args: string[]) => {
    const result = await livepatch(...args, '--json');
    assert.equal(result.status, status, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
    return JSON.parse(result.stdout) as {
      event?: { kind: string; reason: string; message: string };
      refusals?: { code: string; symbol: string; message: string }[];
    };
  };
  const here = async (): Promise<string> =>
    JSON.parse(await fine('status', '--json'))
      .patches.map((one: { id: string }) => one.id)
      .join();
  const edit = async (edits: readonly Edit[]): Promise<void> => {
    await tree.reset();
    // It is under version control there.
    await configure();
    for (const one of edits) await tree.edit(...one);
  };
  /** The hypervisor's own messages so far. */
  const words = () => fine('vm', 'console', 'probe');
  /** Presses a key of the hypervisor's console, until its answer is heard. Three times Ctrl-A moves the input there, and back. */
  const press = async (key: string, answer: RegExp): Promise<void> => {
    const over = new AbortController();
    let heard = '';
    const onOutput = (text: string): void => {
      heard += text;
      if (answer.test(heard)) over.abort();
    };
    const input = `\u0001\u0001\u0001${key}\u0001\u0001\u0001`;
    await cli!.run(tree.folder, ['vm', 'console', 'probe', '-f'], {
      input,
      onOutput,
      signal: over.signal,
      seconds: 60,
    });
    assert.match(heard, answer);
  };

  before(async () => {
    const vm = await vmOrSkip(undefined);
    if (!vm) return;
    cli = await commandLine(vm);
    tree = await workTree(vm.tree, await createAnalyser());
    await fine('vm', 'start', 'probe', '--timeout', String(BOOT));
    guard = guardian(JSON.parse(await fine('vm', 'status', '--json')).machines[0].running.pid);
    original = (await fine('vm', 'ssh', 'probe', '--', 'cat', EXTRA)).trim();
  });
  after(async () => {
    await cli?.close();
    guard?.kill('SIGKILL');
    await tree?.close();
  });
  const test = (name: string, task: () => Promise<void>): void => {
    it(name, { timeout: 300_000 }, async (context) => {
      if (!cli) return context.skip(lacking());
      await task();
    });
  };

  for (const { name, id, edits, endbr, built, extra, key, heard = [] } of PATCHED)
    test(name, async () => {
      await edit(edits);
      const said = await fine('build', '-o', `${id}.livepatch`, '--id', id);
      for (const words of [new RegExp(`^Built ${id}: `), /(\d+) of \1 functions reproduce/, ...built])
        assert.match(said, words);
      const { elf } = readElf(new Uint8Array(await readFile(join(tree.folder, `${id}.livepatch`))));
      assert.ok(
        readFuncs(elf!).every(({ expect }) => (expect[0]! & 1) === (endbr ? 0 : 1)),
        'the hypervisor compares the old code, as livepatch.json asks for',
      );
      const before = await words();
      const shown = `cat ${EXTRA}: ${original} → ${extra ?? original}`;
      const applied = await fine('apply', `${id}.livepatch`);
      assert.ok(applied.includes(shown), `${applied} has ${shown}`);
      assert.match(await fine('status'), new RegExp(`${id}\\b.* applied[\\s\\S]*runs the patch`));
      if (key !== undefined) await press(key, heard.at(-1)!);
      const reverted = await fine('revert');
      assert.ok(reverted.includes(`${id} is unloaded. cat ${EXTRA}: ${extra ?? original} → ${original}`), reverted);
      assert.equal(await here(), '');
      const after = heard.length > 0 ? (await words()).slice(before.length) : '';
      for (const one of heard) assert.match(after, one);
    });

  for (const { name, edits, code, symbol } of REFUSED)
    test(`(g) ${name}`, async () => {
      await edit(edits);
      const { refusals = [] } = await fails(1, 'build', '-o', 'no.livepatch');
      const found = refusals.find((one) => code.test(one.code) && symbol.test(one.symbol));
      assert.ok(found, JSON.stringify(refusals));
      assert.match(found.message, /\w/);
    });

  test('(g) another build id, a file that was cut off, the same name twice', async () => {
    await edit([[KERNEL, TELLS, TELLS.replace('xen_extra_version()', '"-good"')]]);
    await fine('build', '-o', 'good.livepatch', '--id', 'good');
    const good = await readFile(join(tree.folder, 'good.livepatch'));

    // The xen-syms of another build.
    const syms = await readFile(join(tree.folder, 'xen/xen-syms'));
    const buildId = Buffer.from(readElf(new Uint8Array(syms)).elf!.buildId!, 'hex');
    const other = Buffer.from(syms);
    for (let at = other.indexOf(buildId); at >= 0; at = other.indexOf(buildId, at + 1))
      other.fill(0xab, at, at + buildId.length);
    await writeFile(join(tree.folder, 'other-syms'), other);
    await configure({ syms: 'other-syms' });
    const { refusals = [] } = await fails(1, 'build', '-o', 'no.livepatch');
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['build-id-mismatch'],
    );
    await configure();
    // A payload that was made for it: the hypervisor refuses.
    const foreign = Buffer.from(good);
    const depends = readElf(new Uint8Array(good)).elf!.sectionsNamed('.livepatch.xen_depends')[0]!;
    foreign.fill(0xab, depends.offset + depends.size - buildId.length, depends.offset + depends.size);
    await writeFile(join(tree.folder, 'foreign.livepatch'), foreign);
    assert.equal((await fails(1, 'apply', 'foreign.livepatch')).event?.reason, 'other-hypervisor');

    await writeFile(join(tree.folder, 'short.livepatch'), good.subarray(0, good.length >> 1));
    for (const how of [[], ['--upload-only'], ['--replace']])
      assert.equal((await fails(1, 'apply', 'short.livepatch', ...how)).event?.reason, 'damaged-file');
    assert.equal(await here(), '');

    await fine('apply', 'good.livepatch', '--upload-only');
    assert.equal((await fails(1, 'apply', 'good.livepatch', '--upload-only')).event?.reason, 'already-uploaded');
    await fine('apply', '--uploaded', 'good');
    const twice = await fails(1, 'apply', 'good.livepatch');
    assert.equal(twice.event?.reason, 'already-uploaded');
    assert.match(twice.event.message, /runs good already/);
    await fine('revert');
    assert.equal(await here(), '');
  });
});
