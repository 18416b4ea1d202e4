import { existsSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cacheRoot, type Work } from './cache.ts';
import { openDebian } from './debian.ts';
import { readVm, runningVm, type VmImage, vmFolder } from './machine.ts';
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
 * Everything is kept under the cache folder; what is there already is used again.
 */
export async function createXenVm(options: CreateOptions, work: Work, root = cacheRoot()): Promise<VmImage> {
  const folder = vmFolder(options.name, root);
  if (await runningVm(options.name, root))
    throw new Error(`The machine '${options.name}' runs: stop it first (livepatch vm stop ${options.name})`);
  const known = await readVm(options.name, root).catch(() => undefined);
  // What is there needs no network: neither lists of packages nor sources are asked for.
  if (
    known &&
    !options.again &&
    fits(known, options.source) &&
    [known.syms, known.hypervisor, known.kernel, known.initramfs, known.key].every((path) => existsSync(path))
  )
    return known;
  const debian = await openDebian(join(root, 'debian'), work);
  if (options.source === undefined) {
    const missing = await missingForXen();
    if (missing.length > 0)
      throw new Error(
        `Building Xen needs packages that are not installed: sudo apt-get install --no-install-recommends ${missing.join(' ')}`,
      );
  }
  const tree =
    options.source === undefined
      ? await fetchXen(debian, join(root, 'xen'), options.name, work)
      : await openXenTree(options.source);
  const series = /^(\d+\.\d+)/.exec(tree.version)?.[1];
  if (!series) throw new Error(`Xen's version '${tree.version}' is not understood`);
  const fresh = `${folder}.new`;
  await rm(fresh, { recursive: true, force: true });
  await makeXenGuest(debian, fresh, series, work);
  await rm(join(fresh, 'root'), { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
  await rename(fresh, folder);
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
    hostKey: (await readFile(join(folder, 'host_key.pub'), 'utf8')).trim(),
    memoryMiB: 1024,
  };
  await writeFile(join(folder, 'vm.json'), `${JSON.stringify(vm, null, 2)}\n`);
  return vm;
}
