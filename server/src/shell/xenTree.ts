import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { cacheRoot } from '../vm/cache.ts';
import type { TargetConfig } from './types.ts';

/** A source tree of the Xen hypervisor, as it lies on the disk. */
export interface XenTreeFound {
  /** Folder in which make runs for the hypervisor: it has the .cmd files of Kbuild and xen-syms. */
  readonly buildDir: string;
  /** The linked hypervisor with symbols; undefined where it is not built. */
  readonly syms: string | undefined;
  /** What is wrong with its build for live patching, as sentences that say what to do; empty where it is fine. */
  readonly problems: readonly string[];
}

/** Options without which no live patch can be made, or none can be compared. */
const NEEDED = ['LIVEPATCH', 'DEBUG_INFO'] as const;

const isXen = (folder: string): boolean =>
  existsSync(join(folder, 'common', 'livepatch.c')) && existsSync(join(folder, 'include', 'xen', 'livepatch.h'));

/** The Xen tree whose top, or whose `xen` folder, is `root`; undefined where that is something else. Starts no program. */
export function findXenTree(root: string): XenTreeFound | undefined {
  const buildDir = [join(root, 'xen'), resolve(root)].find(isXen);
  if (buildDir === undefined) return undefined;
  const syms = join(buildDir, 'xen-syms');
  if (!existsSync(syms))
    return {
      buildDir,
      syms: undefined,
      problems: [
        `The Xen tree is not built: there is no ${syms}. Build it with CONFIG_LIVEPATCH and CONFIG_DEBUG_INFO (make -C ${buildDir} menuconfig, then make -C ${buildDir}), or let livepatch vm create xen fetch and build one.`,
      ],
    };
  return { buildDir, syms, problems: problemsOf(buildDir) };
}

function problemsOf(buildDir: string): string[] {
  let config: string;
  try {
    config = readFileSync(join(buildDir, '.config'), 'utf8');
  } catch {
    return [`The Xen tree has no ${join(buildDir, '.config')}: it is not known whether live patching is built in.`];
  }
  const missing = NEEDED.filter((option) => !new RegExp(`^CONFIG_${option}=y$`, 'm').test(config));
  if (missing.length === 0) return [];
  return [
    `The Xen tree is built without ${missing.map((option) => `CONFIG_${option}`).join(' and ')}: set EXPERT, LIVEPATCH, FAST_SYMBOL_LOOKUP, ENFORCE_UNIQUE_SYMBOLS and DEBUG_INFO in ${join(buildDir, '.config')} and build it again.`,
  ];
}

/** Machines that `livepatch vm create` made: name → the tree that each was built from. */
function machines(root: string): Map<string, string> {
  const found = new Map<string, string>();
  let names: string[] = [];
  try {
    names = readdirSync(join(root, 'vm')).sort();
  } catch {
    return found;
  }
  for (const name of names) {
    try {
      const { tree } = JSON.parse(readFileSync(join(root, 'vm', name, 'vm.json'), 'utf8')) as { tree?: unknown };
      found.set(name, typeof tree === 'string' ? tree : '');
    } catch {
      // Not a machine, or one that is being made.
    }
  }
  return found;
}

const real = (path: string): string => {
  try {
    return realpathSync.native(path);
  } catch {
    return path;
  }
};

/** Name of the machine that boots the hypervisor of a tree: the one that was made of it, else a name that is free. */
export function machineOf(buildDir: string, cache = cacheRoot()): string {
  const known = machines(cache);
  const trees = [real(buildDir), real(resolve(buildDir, '..'))];
  for (const [name, tree] of known) if (trees.includes(real(tree))) return name;
  if (!known.has('xen')) return 'xen';
  const folder = basename(resolve(buildDir, '..'))
    .replaceAll(/[^\w.-]/g, '-')
    .slice(0, 36);
  return `xen-${folder}`;
}

/** The target that a Xen tree has where livepatch.json names none: a machine that boots this very hypervisor. */
export function defaultXenTarget(tree: XenTreeFound): TargetConfig {
  return {
    name: 'test machine',
    kind: 'xen',
    vm: machineOf(tree.buildDir),
    ...(tree.syms === undefined ? {} : { syms: tree.syms }),
  };
}
