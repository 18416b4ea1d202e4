import { existsSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { cacheRoot, type Work, withLock } from './cache.ts';
import { openDebian } from './debian.ts';
import { livingVm, readVm, startLock, type VmImage, vmFolder } from './made.ts';
import { makeXenGuest } from './xen-guest.ts';
import { fetchXen, missingForXen, openXenTree } from './xen-source.ts';

/** What `vm create xen` takes. */
export interface CreateOptions {
  readonly name: string;
  /** The user's own built tree; absent: Debian's source, built here. */
  readonly source?: string;
  /** Make it again although it is there. */
  readonly again?: boolean;
}

/** Is it the machine of this source: the user's tree, or, where none is named, the one that was fetched? */
const fits = (vm: VmImage, source: string | undefined): boolean =>
  source === undefined || [vm.tree, join(vm.tree, 'xen')].includes(resolve(source));

/**
 * Makes a test machine that boots Xen: source fetched and built (or the user's tree), kernel, initramfs and keys.
 * Everything is kept under the cache folder; what is there already is used again. Processes that do so at the same time wait for each other.
 * @throws NoDownload where something that is needed cannot be fetched; Error for everything else, as sentences.
 */
export async function createXenVm(options: CreateOptions, work: Work, root = cacheRoot()): Promise<VmImage> {
  const ready = async (): Promise<VmImage | undefined> => {
    const known = await readVm(options.name, root).catch(() => undefined);
    if (!known || options.again || !fits(known, options.source)) return undefined;
    const { syms, hypervisor, kernel, initramfs, key } = known;
    return [syms, hypervisor, kernel, initramfs, key].every((path) => existsSync(path)) ? known : undefined;
  };
  // What is there needs no network: neither lists of packages nor sources are asked for.
  const known = await ready();
  if (known) return known;
  return withLock(join(root, 'create.lock'), 'makes a machine', work, async () => {
    const made = await ready();
    return made ?? make(options, work, root);
  });
}

/** The tree that a machine was made of, where it is the user's own. */
async function ownTreeOf(name: string, root: string): Promise<string | undefined> {
  const tree = (await readVm(name, root).catch(() => undefined))?.tree;
  return tree === undefined || !relative(join(root, 'xen'), tree).startsWith('..') ? undefined : tree;
}

async function make(options: CreateOptions, work: Work, root: string): Promise<VmImage> {
  const folder = vmFolder(options.name, root);
  if (await livingVm(options.name, root))
    throw new Error(`The machine '${options.name}' runs: stop it first (livepatch vm stop ${options.name})`);
  // A folder that is no built tree is told before anything is fetched. A machine of the user's own tree stays one.
  const source = options.source ?? (await ownTreeOf(options.name, root));
  const own = source === undefined ? undefined : await openXenTree(source);
  const debian = await openDebian(join(root, 'debian'), work);
  if (source === undefined) {
    const missing = await missingForXen();
    if (missing.length > 0)
      throw new Error(
        `Building Xen needs packages that are not installed: sudo apt-get install --no-install-recommends ${missing.join(' ')}`,
      );
  }
  const tree = own ?? (await fetchXen(debian, join(root, 'xen'), options.name, work));
  const series = /^(\d+\.\d+)/.exec(tree.version)?.[1];
  if (!series) throw new Error(`Xen's version '${tree.version}' is not understood`);
  const fresh = `${folder}.new`;
  await rm(fresh, { recursive: true, force: true });
  try {
    await makeXenGuest(debian, fresh, series, work);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    throw error;
  }
  await rm(join(fresh, 'root'), { recursive: true, force: true });
  const vm: VmImage = {
    schema: 1,
    name: options.name,
    kind: 'xen',
    hypervisor: tree.image,
    syms: tree.syms,
    tree: tree.tree,
    version: tree.version,
    kernel: join(folder, 'vmlinuz'),
    initramfs: join(folder, 'initramfs.gz'),
    key: join(folder, 'id_ed25519'),
    hostKey: (await readFile(join(fresh, 'host_key.pub'), 'utf8')).trim(),
    memoryMiB: 1024,
  };
  await replaceVm(vm, fresh, work, root);
  return vm;
}

/**
 * Puts a machine that was made in `fresh` in place of the one of its name, while nobody starts that.
 * @throws Error where it was started meanwhile: with its folder everything would go that it can be reached and stopped by
 */
export async function replaceVm(vm: VmImage, fresh: string, work: Work, root = cacheRoot()): Promise<void> {
  const folder = vmFolder(vm.name, root);
  await withLock(startLock(vm.name, root), `starts the machine '${vm.name}'`, work, async () => {
    if (await livingVm(vm.name, root)) {
      await rm(fresh, { recursive: true, force: true });
      throw new Error(
        `The machine '${vm.name}' was started meanwhile and stays as it is: stop it (livepatch vm stop ${vm.name}), and make it again`,
      );
    }
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
    await writeFile(join(folder, 'vm.json'), `${JSON.stringify(vm, null, 2)}\n`);
  });
}
