// A hypervisor in small: sources of the test's own, compiled and linked as Xen is (high addresses, -fpic with hidden
// visibility, file symbols with their folder, a build id), so that payloads can be built and checked without a machine.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { type Analyser, createAnalyser } from '../../../server/src/analyse.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import type { ElfFile } from '../../../server/src/core/elf/types.ts';
import type { PatchUnit } from '../../../server/src/core/payload/types.ts';
import { buildXenPayload, type XenOptions, type XenOutcome } from '../../../server/src/core/payload/xen.ts';
import type { Hypervisor } from '../../../server/src/core/payload/xen-symbols.ts';

/** As Xen's linker script: what is freed after boot lies between two symbols. */
const script = `SECTIONS {
  . = 0xffff82d040200000;
  .text : { *(.text .text.*) }
  .rodata : { *(.rodata .rodata.*) }
  .note.gnu.build-id : { *(.note.gnu.build-id) }
  .init : { __init_begin = .; *(.init.text .init.data) __init_end = .; }
  .data : { *(.data .data.*) }
  .bss : { *(.bss .bss.*) }
  /DISCARD/ : { *(.comment .note.GNU-stack .note.gnu.property .eh_frame) }
}
`;

/** Every source begins with it. */
const common = `#pragma GCC visibility push(hidden)
#define noinline __attribute__((__noinline__))
#define __init __attribute__((__section__(".init.text"), __cold__))
#define __initdata __attribute__((__section__(".init.data")))
#define HOOK(kind, fn) typeof(fn) *const __attribute__((__section__(".livepatch.hooks." #kind), __used__)) kind##_hook_##fn = fn
`;

const FLAGS = ['-O2', '-g', '-fpic', '-mno-red-zone', '-ffreestanding', '-fno-common', '-fno-stack-protector'];
const MORE = ['-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-mcmodel=small', '-fno-jump-tables'];

/** How the hypervisor in small is made. */
export interface SmallOptions {
  /** Version of the function table that it wants: 2 unless said. */
  readonly version?: 1 | 2;
  readonly flags?: readonly string[];
  /** What file symbols are called: as CONFIG_ENFORCE_UNIQUE_SYMBOLS has them, or as the compiler does. */
  readonly fileNames?: 'path' | 'base';
}

/** Sources by path, e.g. `common/kernel.c`. */
export type Sources = Readonly<Record<string, string>>;

function run(program: string, args: readonly string[], cwd: string): void {
  const done = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}:\n${done.stderr}`);
}

/** A source as it is compiled. */
export const sourceText = (text: string): string => common + text;

let analyser: Promise<Analyser> | undefined;

/** A linked hypervisor, and what its sources can be compared with. */
export class SmallXen {
  readonly syms: ElfFile;
  readonly #sources: Sources;
  readonly #flags: readonly string[];
  readonly #analyser: Analyser;
  readonly #paths: boolean;

  private constructor(sources: Sources, options: SmallOptions, analyser: Analyser) {
    this.#sources = sources;
    this.#flags = [...FLAGS, ...MORE, ...(options.flags ?? [])];
    this.#analyser = analyser;
    this.#paths = options.fileNames !== 'base';
    const folder = mkdtempSync(join(tmpdir(), 'lpa-small-xen-'));
    try {
      // The kinds of hooks that a hypervisor of version 2 knows are in its strings.
      const knows = options.version === 1 ? 'load' : 'preapply';
      const files = { ...sources, 'common/livepatch.c': `const char *const hooks = ".livepatch.hooks.${knows}";\n` };
      const objects = Object.entries(files).map(([name, text]) => this.#object(folder, name, text, true));
      writeFileSync(join(folder, 'xen.lds'), script);
      const link = ['-T', 'xen.lds', '--build-id=sha1', '-z', 'noexecstack', '-e', '0', '--no-gc-sections'];
      run('ld', [...link, '-o', 'xen-syms', ...objects], folder);
      this.syms = readElf(new Uint8Array(readFileSync(join(folder, 'xen-syms')))).elf!;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  static async make(sources: Sources, options: SmallOptions = {}): Promise<SmallXen> {
    analyser ??= createAnalyser();
    return new SmallXen(sources, options, await analyser);
  }

  /** Compiles one source; `linked` as the hypervisor's build does it, else as the build room does. */
  #object(folder: string, name: string, text: string, linked: boolean): string {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), sourceText(text));
    const object = `${name.replace(/\W/g, '_')}.o`;
    const sections = linked ? [] : ['-ffunction-sections', '-fdata-sections'];
    run('gcc', [...this.#flags, ...sections, `-fdebug-prefix-map=${folder}=/src`, '-c', name, '-o', object], folder);
    // CONFIG_ENFORCE_UNIQUE_SYMBOLS: the file symbol gets its folder.
    if (this.#paths) run('objcopy', [`--redefine-sym=${basename(name)}=${name}`, object], folder);
    return object;
  }

  /** The hypervisor, with these payloads applied. */
  hypervisor(below: readonly { id: string; bytes: Uint8Array }[] = []): Hypervisor {
    return {
      path: 'xen-syms',
      elf: this.syms,
      below: below.map(({ id, bytes }) => ({ id, elf: readElf(bytes).elf! })),
    };
  }

  /** Compares edited sources with those that the hypervisor was built from. A source may be new. */
  units(edits: Sources, base: Sources = this.#sources): PatchUnit[] {
    const folder = mkdtempSync(join(tmpdir(), 'lpa-small-xen-'));
    try {
      const load = (name: string, text: string) => {
        const bytes = new Uint8Array(readFileSync(join(folder, this.#object(folder, name, text, false))));
        const { object, problems } = this.#analyser.load(bytes);
        if (!object) throw new Error(problems.map((one) => one.message).join());
        return object;
      };
      return Object.entries(edits).map(([name, text]) => {
        const made = load(name, base[name] ?? '');
        const provenance = { unit: name, baseCommand: [], nextCommand: [], compiler: '', baseline: 'test' };
        return this.#analyser.compare(made, load(name, text), provenance, undefined, ['xen']);
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  build(edits: Sources, options: Partial<XenOptions> = {}): XenOutcome {
    return this.buildUnits(this.units(edits), payloadOptions(options));
  }

  buildUnits(
    units: readonly PatchUnit[],
    options = payloadOptions(),
    below: readonly { id: string; bytes: Uint8Array }[] = [],
  ): XenOutcome {
    return buildXenPayload(units, this.hypervisor(below), options);
  }

  /** A payload that has to come out; else the refusals are the error. */
  payload(edits: Sources, options: Partial<XenOptions> = {}): XenOutcome & { kind: 'payload' } {
    const made = this.build(edits, options);
    if (made.kind === 'payload') return made;
    throw new Error(made.refusals.map((one) => `${one.code} ${one.symbol}: ${one.message}`).join('\n'));
  }
}

/**
 * Writes such a hypervisor as a workspace: `xen/` with sources, objects, xen-syms and the commands of its build; under git, which is
 * the baseline; a target of kind xen that nobody answers for. @returns the folder, to be removed by the caller
 */
export function smallWorkspace(sources: Sources): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'lpa-small-tree-')));
  const xen = join(folder, 'xen');
  const files = { ...sources, 'common/livepatch.c': 'const char *const hooks = ".livepatch.hooks.preapply";\n' };
  const commands = Object.entries(files).map(([name, text]) => {
    mkdirSync(dirname(join(xen, name)), { recursive: true });
    writeFileSync(join(xen, name), name.endsWith('.S') ? text : sourceText(text));
    const output = name.replace(/\.[cS]$/, '.o');
    const args = ['gcc', ...FLAGS, ...MORE, '-c', name, '-o', output];
    run('gcc', args.slice(1), xen);
    return { directory: xen, file: join(xen, name), output: join(xen, output), arguments: args };
  });
  writeFileSync(join(xen, 'xen.lds'), script);
  const linked = commands.map(({ output }) => {
    const named = `${output}.named.o`;
    const name = relative(xen, output).replace(/\.o$/, '.c');
    run('objcopy', [`--redefine-sym=${basename(name)}=${name}`, output, named], xen);
    return named;
  });
  run('ld', ['-T', 'xen.lds', '--build-id=sha1', '-z', 'noexecstack', '-e', '0', '-o', 'xen-syms', ...linked], xen);
  writeFileSync(join(xen, 'compile_commands.json'), JSON.stringify(commands, null, 1));
  const target = { name: 'lab', kind: 'xen', ssh: 'root@livepatch-test.invalid' };
  writeFileSync(join(folder, 'livepatch.json'), JSON.stringify({ buildDir: 'xen', targets: [target] }));
  writeFileSync(join(folder, '.gitignore'), '*.o\nxen-syms\ncompile_commands.json\nlivepatch.json\n');
  const git = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
  run('git', ['init', '-q'], folder);
  run('git', ['add', '.'], folder);
  run('git', [...git, 'commit', '-q', '-m', 'base'], folder);
  return folder;
}

/** Options of a payload, with what tests do not care for filled in. */
export const payloadOptions = (more: Partial<XenOptions> = {}): XenOptions => ({
  id: 'test',
  description: '',
  created: '2026-01-01T00:00:00Z',
  leaveOut: [],
  keepLineOnly: false,
  overrides: {},
  ...more,
});
