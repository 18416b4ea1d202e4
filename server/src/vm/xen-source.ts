import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { must, run } from '../targets/transport/local.ts';
import { check, type Work } from './cache.ts';
import type { Debian } from './debian.ts';

/** A hypervisor that was built from source, with live patching and debug information. */
export interface XenTree {
  /** The source tree's top folder (the hypervisor is in `xen/` below it). */
  readonly tree: string;
  /** What QEMU boots: ELF32 multiboot image. */
  readonly image: string;
  /** `xen-syms`: ELF64 with symbols and DWARF; its build id is that of the image. */
  readonly syms: string;
  readonly version: string;
}

/** Programs that building Xen takes, with the Debian package of each. */
const tools: readonly (readonly [program: string, pkg: string])[] = [
  ['gcc', 'build-essential'],
  ['make', 'build-essential'],
  ['bison', 'bison'],
  ['flex', 'flex'],
  ['python3', 'python3'],
  ['bc', 'bc'],
  ['gawk', 'gawk'],
  ['dpkg-source', 'dpkg-dev'],
  ['xz', 'xz-utils'],
  ['git', 'git'],
];

/** What live patching needs of Xen's configuration; EXPERT first: without it the rest is dropped in silence. */
const wanted: Readonly<Record<string, 'y' | 'n'>> = {
  EXPERT: 'y',
  LIVEPATCH: 'y',
  FAST_SYMBOL_LOOKUP: 'y',
  ENFORCE_UNIQUE_SYMBOLS: 'y',
  DEBUG: 'n',
  DEBUG_INFO: 'y',
};

/** Packages that are missing to build Xen; empty where nothing is. */
export async function missingForXen(): Promise<string[]> {
  const missing = new Set<string>();
  for (const [program, pkg] of tools) {
    if ((await run('which', [program], { seconds: 10 })).status !== 0) missing.add(pkg);
  }
  if (!existsSync('/usr/include/libelf.h')) missing.add('libelf-dev');
  return [...missing];
}

/** The hypervisor's version as its Makefile spells it, e.g. `4.17.5`. */
async function versionOf(tree: string): Promise<string> {
  const text = await readFile(join(tree, 'xen', 'Makefile'), 'utf8').catch(() => '');
  const value = (name: string): string =>
    new RegExp(`^(?:export )?${name}\\s*[:?]?=\\s*(\\S*)`, 'm').exec(text)?.[1] ?? '';
  return `${value('XEN_VERSION')}.${value('XEN_SUBVERSION')}${value('XEN_EXTRAVERSION').replaceAll(/\$\(.*?\)/g, '')}`;
}

/**
 * The user's own built tree. Accepts the top folder or its `xen/`.
 * @throws Error where it is not built, or built without what live patching needs.
 */
export async function openXenTree(folder: string): Promise<XenTree> {
  const given = resolve(folder);
  const tree = existsSync(join(given, 'xen', 'common', 'livepatch.c'))
    ? given
    : existsSync(join(given, 'common', 'livepatch.c'))
      ? resolve(given, '..')
      : undefined;
  if (!tree) throw new Error(`${given} is not a Xen source tree: there is no xen/common/livepatch.c in it`);
  const image = join(tree, 'xen', 'xen');
  const syms = join(tree, 'xen', 'xen-syms');
  const config = await readFile(join(tree, 'xen', '.config'), 'utf8').catch(() => '');
  if (!existsSync(syms) || !existsSync(image))
    throw new Error(`${tree} is not built: run make -C xen in it (xen/xen and xen/xen-syms are needed)`);
  for (const option of ['LIVEPATCH', 'DEBUG_INFO']) {
    if (!new RegExp(`^CONFIG_${option}=y$`, 'm').test(config)) {
      throw new Error(
        `${tree} is built without CONFIG_${option}: set EXPERT, LIVEPATCH, FAST_SYMBOL_LOOKUP, ENFORCE_UNIQUE_SYMBOLS and DEBUG_INFO in xen/.config and build it again`,
      );
    }
  }
  return { tree, image, syms, version: await versionOf(tree) };
}

/** Configures and builds the hypervisor in `tree`. Two minutes of processor time. */
export async function buildXen(tree: string, work: Work): Promise<void> {
  const folder = join(tree, 'xen');
  const env = { ...process.env, LC_ALL: 'C' };
  const make = (args: readonly string[], seconds: number, onOutput?: (text: string) => void) =>
    must('make', ['-C', folder, 'XEN_TARGET_ARCH=x86_64', ...args], {
      seconds,
      signal: work.signal,
      env,
      ...(onOutput ? { onOutput } : {}),
    });
  work.say('configuring Xen');
  await make(['defconfig'], 120);
  const config = await readFile(join(folder, '.config'), 'utf8');
  const kept = config
    .split('\n')
    .filter((line) => !Object.keys(wanted).some((name) => new RegExp(`\\bCONFIG_${name}\\b`).test(line)));
  const lines = Object.entries(wanted).map(([name, value]) =>
    value === 'y' ? `CONFIG_${name}=y` : `# CONFIG_${name} is not set`,
  );
  await writeFile(join(folder, '.config'), [...lines, ...kept].join('\n'));
  await make(['olddefconfig'], 120);
  const settled = await readFile(join(folder, '.config'), 'utf8');
  for (const [name, value] of Object.entries(wanted)) {
    const on = new RegExp(`^CONFIG_${name}=y$`, 'm').test(settled);
    if (on !== (value === 'y')) throw new Error(`Xen's configuration refused CONFIG_${name}=${value}`);
  }
  check(work);
  let compiled = 0;
  let told = 0;
  await make([`-j${Math.min(availableParallelism(), 8)}`], 1800, (text) => {
    for (const _ of text.matchAll(/^\s+CC\s/gm)) compiled++;
    if (compiled >= told + 50) {
      told = compiled;
      work.say(`building Xen: ${compiled} files compiled`);
    }
  });
  if (!existsSync(join(folder, 'xen-syms'))) throw new Error('make ended well, but there is no xen-syms');
}

/**
 * Fetches Debian's Xen source and builds it, once: the tree is kept under `root` and used again. The tree is a git repository
 * with one commit, so that the editor has a baseline to compare with.
 */
export async function fetchXen(debian: Debian, root: string, vmName: string, work: Work): Promise<XenTree> {
  const { folder, version } = await debian.source('xen', work);
  const name = `xen-${version.replaceAll(/[^\w.+~-]/g, '_')}`;
  const tree = join(root, name);
  if (!existsSync(join(tree, 'xen', 'xen-syms'))) {
    // Built under its final name: the paths are in the objects. Unfinished trees lack xen-syms and are made again.
    await rm(tree, { recursive: true, force: true });
    await mkdir(root, { recursive: true });
    try {
      await cp(folder, `${tree}.copy`, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
      await rename(`${tree}.copy`, tree);
      const git = (args: readonly string[]) =>
        must(
          'git',
          ['-C', tree, '-c', 'user.name=livepatch', '-c', 'user.email=livepatch@localhost', '-c', 'gc.auto=0', ...args],
          { seconds: 120, signal: work.signal },
        );
      // The editor and the command line find the machine in it; not part of what is patched.
      const settings = {
        buildDir: 'xen',
        targets: [{ name: 'test machine', kind: 'xen', vm: vmName, verify: 'cat /sys/hypervisor/version/extra' }],
      };
      await writeFile(join(tree, 'livepatch.json'), `${JSON.stringify(settings, null, 2)}\n`);
      await git(['init', '-q', '-b', 'main']);
      await git(['add', '-A', '-f', '.']);
      await git(['commit', '-q', '-m', `Debian's xen ${version}`]);
      await buildXen(tree, work);
    } catch (error) {
      // Who cancels wants no gigabyte of a tree that is made again anyway; what does not build may be looked at.
      if (work.signal?.aborted)
        for (const path of [tree, `${tree}.copy`]) await rm(path, { recursive: true, force: true });
      throw error;
    }
  }
  return { ...(await openXenTree(tree)), version };
}
