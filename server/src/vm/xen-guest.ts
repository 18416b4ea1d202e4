import { copyFile, mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { readElf } from '../core/elf/index.ts';
import { must } from '../targets/transport/local.ts';
import type { Work } from './cache.ts';
import { type CpioEntry, withFolders, writeCpio } from './cpio.ts';
import type { Debian } from './debian.ts';

/** What the test machine boots under the hypervisor, and the keys to get into it. */
export interface XenGuest {
  readonly kernel: string;
  readonly initramfs: string;
  /** Private key that the machine's root accepts. */
  readonly key: string;
  /** The machine's own public key, as a known_hosts line without the host's name. */
  readonly hostKey: string;
}

/** Kernel modules of the test machine, in the order in which they have to be loaded. */
const modules = [
  'xen-privcmd',
  'xen-evtchn',
  'xenfs',
  'virtio_ring',
  'virtio',
  'virtio_pci_modern_dev',
  'virtio_pci_legacy_dev',
  'virtio_pci',
  'failover',
  'net_failover',
  'virtio_net',
] as const;

/** Line on the console that says that the machine answers. */
export const READY = 'livepatch: the machine is ready';

const init = `#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /root /var/log
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
for module in ${modules.join(' ')}; do insmod /lib/modules/$module.ko || echo "livepatch: module $module did not load"; done
mount -t xenfs xenfs /proc/xen
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
dropbear -s -E -r /etc/dropbear/host_key -p 22 || echo "livepatch: dropbear did not start"
echo "${READY}"
while :; do sleep 3600; done
`;

/** Shared libraries that programs need, found under the unpacked packages; every file that has to go along, as guest path → host path. `more`: folders of libraries besides the usual ones. */
export async function withLibraries(
  root: string,
  programs: readonly string[],
  more: readonly string[] = [],
): Promise<Map<string, string>> {
  const folders = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu', 'lib64', 'usr/lib64', 'usr/lib', ...more];
  const listing = new Map<string, string>();
  for (const folder of folders) {
    for (const name of await readdir(join(root, folder)).catch(() => []))
      if (!listing.has(name)) listing.set(name, `${folder}/${name}`);
  }
  const files = new Map<string, string>();
  const queue = [...programs];
  while (queue.length > 0) {
    const path = queue.pop()!;
    if (files.has(path)) continue;
    const host = await realpath(join(root, path));
    files.set(path, host);
    const { elf, problems } = readElf(new Uint8Array(await readFile(host)));
    if (!elf) throw new Error(`${host} is not an ELF file: ${problems[0]?.message ?? ''}`);
    for (const name of elf.needed) {
      const found = listing.get(name);
      if (!found) throw new Error(`${path} needs ${name}, which none of the unpacked packages has`);
      queue.push(found);
    }
  }
  return files;
}

async function moduleFiles(root: string): Promise<Map<string, string>> {
  const base = join(root, 'lib', 'modules');
  const found = new Map<string, string>();
  for (const name of await readdir(base, { recursive: true })) {
    const short = /([^/]+)\.ko$/.exec(name)?.[1];
    if (short) found.set(short, join(base, name));
  }
  return found;
}

/** Packages of programs and libraries in the machine, besides the kernel. `series`: Xen's version as `4.17`. */
const packages = (series: string): string[] => [
  `xen-utils-${series}`,
  `libxenmisc${series}`,
  ...[
    'libxencall1',
    'libxendevicemodel1',
    'libxenevtchn1',
    'libxenforeignmemory1',
    'libxengnttab1',
    'libxenstore4',
    'libxentoolcore1',
    'libxentoollog1',
  ],
  ...['libc6', 'zlib1g', 'dropbear-bin', 'libcrypt1', 'libtomcrypt1', 'libtommath1', 'libgmp10', 'busybox-static'],
];

/**
 * Makes kernel, initramfs and keys of a test machine in `folder`, out of Debian packages that are unpacked below it.
 * @param series Xen's version as `4.17`: its tools have to fit the hypervisor.
 */
export async function makeXenGuest(debian: Debian, folder: string, series: string, work: Work): Promise<XenGuest> {
  const root = join(folder, 'root');
  const kernelPackage = (await debian.depends('linux-image-amd64')).find((name) => name.startsWith('linux-image-'));
  if (!kernelPackage) throw new Error('linux-image-amd64 names no kernel package');
  if ((await debian.candidate(`xen-utils-${series}`)) === undefined) {
    throw new Error(
      `This Debian has no xen-utils-${series}: its tools have to be of the hypervisor's version. Use a tree of the packaged version, or test on a machine of your own over ssh.`,
    );
  }
  await mkdir(root, { recursive: true });
  await debian.unpack([kernelPackage, ...packages(series)], root, work);
  const kernel = (await readdir(join(root, 'boot')))
    .filter((name) => name.startsWith('vmlinuz-'))
    .sort()
    .at(-1);
  if (!kernel) throw new Error(`${kernelPackage} holds no kernel`);
  await copyFile(join(root, 'boot', kernel), join(folder, 'vmlinuz'));

  work.say('making keys and the initramfs');
  const key = join(folder, 'id_ed25519');
  await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'livepatch-vm', '-f', key], {
    seconds: 30,
    input: 'y\n',
  });
  const hostKey = join(folder, 'host_key');
  // Run with its own libraries, which this machine may not have.
  const loader = join(root, 'lib64', 'ld-linux-x86-64.so.2');
  const libraries = ['lib', 'usr/lib'].map((name) => join(root, name, 'x86_64-linux-gnu')).join(':');
  await must('rm', ['-f', hostKey], { seconds: 10 });
  const loaded = [await realpath(loader), '--library-path', libraries, join(root, 'usr/bin/dropbearkey')];
  const made = await must(loaded[0]!, [...loaded.slice(1), '-t', 'ed25519', '-f', hostKey], { seconds: 30 });
  const publicKey = /^(ssh-ed25519 \S+)/m.exec(made.stdout)?.[1];
  if (!publicKey) throw new Error(`dropbearkey printed no public key: ${made.stdout}`);
  await writeFile(`${hostKey}.pub`, publicKey);

  const text = new TextEncoder();
  const file = async (path: string, host: string, mode = 0o755): Promise<CpioEntry> => ({
    path,
    kind: 'file',
    mode,
    data: new Uint8Array(await readFile(host)),
  });
  const tool = `usr/lib/xen-${series}/bin/xen-livepatch`;
  const entries: CpioEntry[] = [
    { path: 'init', kind: 'file', mode: 0o755, data: text.encode(init) },
    { path: 'dev/console', kind: 'device', mode: 0o600, device: [5, 1] },
    { path: 'usr/sbin/xen-livepatch', kind: 'link', mode: 0o777, data: text.encode(`/${tool}`) },
    { path: 'etc/passwd', kind: 'file', mode: 0o644, data: text.encode('root::0:0:root:/root:/bin/sh\n') },
    { path: 'etc/group', kind: 'file', mode: 0o644, data: text.encode('root:x:0:\n') },
    { path: 'etc/shells', kind: 'file', mode: 0o644, data: text.encode('/bin/sh\n') },
    { path: 'root', kind: 'folder', mode: 0o700 },
    { path: 'root/.ssh', kind: 'folder', mode: 0o700 },
    await file('root/.ssh/authorized_keys', `${key}.pub`, 0o600),
    await file('etc/dropbear/host_key', hostKey, 0o600),
    await file('bin/busybox', join(root, 'bin/busybox')),
  ];
  const files = await withLibraries(root, [tool, 'usr/sbin/dropbear']);
  files.set('lib64/ld-linux-x86-64.so.2', await realpath(loader));
  for (const [path, host] of files) entries.push(await file(path, host));
  const have = await moduleFiles(root);
  for (const name of modules) {
    const host = have.get(name);
    if (!host) throw new Error(`${kernelPackage} has no module ${name}`);
    entries.push(await file(`lib/modules/${name}.ko`, host, 0o644));
  }
  const initramfs = join(folder, 'initramfs.gz');
  await writeFile(initramfs, gzipSync(writeCpio(withFolders(entries)), { level: 6 }));
  return { kernel: join(folder, 'vmlinuz'), initramfs, key, hostKey: publicKey };
}
