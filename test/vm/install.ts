import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { must } from '../../server/src/targets/transport/local.ts';
import { cacheRoot } from '../../server/src/vm/cache.ts';
import { NoDownload, openDebian } from '../../server/src/vm/debian.ts';
import { withLibraries } from '../../server/src/vm/xen-guest.ts';
import type { Room } from './room.ts';

/** A program of Debian's, as a host that people work with has it and the test machine has not. */
export interface Software {
  readonly packages: readonly string[];
  /** Programs and modules, by their path in the packages; their libraries come along. */
  readonly programs: readonly string[];
  /** Folders of libraries of its own. */
  readonly libraries: readonly string[];
  /** Files with text, by their path. */
  readonly files: Readonly<Record<string, string>>;
  /** What has to be done there afterwards. */
  readonly afterwards: string;
}

/** Xen's own tool, for `xl dmesg`. */
export const xl = ({ vm }: Room): Software => {
  const series = /^(\d+\.\d+)/.exec(vm.version)![1]!;
  const program = `usr/lib/xen-${series}/bin/xl`;
  return {
    packages: [
      ...[`xen-utils-${series}`, `libxenmisc${series}`, 'libyajl2', 'libnl-3-200', 'libnl-route-3-200', 'libuuid1'],
      ...['libxencall1', 'libxendevicemodel1', 'libxenevtchn1', 'libxenforeignmemory1', 'libxengnttab1'],
      ...['libxenstore4', 'libxentoolcore1', 'libxentoollog1', 'libxenhypfs1', 'libfdt1'],
      ...['libc6', 'zlib1g', 'libzstd1', 'liblzma5', 'libbz2-1.0', 'liblzo2-2'],
    ],
    programs: [program],
    libraries: [],
    files: {},
    afterwards: `ln -sf /${program} /usr/sbin/xl`,
  };
};

/** sudo, with a rule that lets the user eve do everything without a password. */
export const sudo: Software = {
  packages: [
    ...['sudo', 'libaudit1', 'libcap-ng0', 'libpam0g', 'libpam-modules', 'libselinux1', 'libpcre2-8-0'],
    ...['libc6', 'zlib1g', 'libcrypt1', 'libapparmor1'],
  ],
  programs: ['usr/bin/sudo', 'usr/libexec/sudo/sudoers.so', 'lib/x86_64-linux-gnu/security/pam_permit.so'],
  libraries: ['usr/libexec/sudo'],
  files: {
    'etc/sudoers': 'eve ALL=(ALL) NOPASSWD: ALL\n',
    'etc/pam.d/sudo': 'auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n',
    'etc/pam.d/other': 'auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n',
    'etc/nsswitch.conf': 'passwd: files\ngroup: files\nsudoers: files\n',
  },
  afterwards:
    'chown -R 0:0 /etc/sudoers /etc/pam.d /usr/bin/sudo /usr/libexec; chmod 440 /etc/sudoers; chmod 4755 /usr/bin/sudo; chmod 755 /etc /usr /usr/bin /usr/libexec /usr/libexec/sudo',
};

/** Copies software into a machine over ssh. @returns why that cannot be done, where the packages cannot be fetched */
export async function install({ machine }: Room, software: Software): Promise<string | undefined> {
  const scratch = await mkdtemp(join(tmpdir(), 'livepatch-install-'));
  const unpacked = join(scratch, 'unpacked');
  const staged = join(scratch, 'staged');
  try {
    const debian = await openDebian(join(cacheRoot(), 'debian'), { say: (text) => console.log(`# ${text}`) });
    await debian.unpack(software.packages, unpacked, { say: (text) => console.log(`# ${text}`) });
    for (const [path, host] of await withLibraries(unpacked, software.programs, software.libraries)) {
      await mkdir(dirname(join(staged, path)), { recursive: true });
      await must('cp', [host, join(staged, path)], { seconds: 20 });
    }
    for (const [path, text] of Object.entries(software.files)) {
      await mkdir(dirname(join(staged, path)), { recursive: true });
      await writeFile(join(staged, path), text);
    }
    const archive = join(scratch, 'software.tar.gz');
    await must('tar', ['--owner=0', '--group=0', '-czf', archive, '-C', staged, '.'], { seconds: 60 });
    const input = new Uint8Array(await readFile(archive));
    const sent = await machine.ssh.run(['tar', '-xzf', '-', '-C', '/'], { input, seconds: 180 });
    if (sent.status !== 0) throw new Error(`unpacking there: ${sent.stderr}`);
    const done = await machine.ssh.script(software.afterwards, []);
    if (done.status !== 0) throw new Error(`setting up there: ${done.stderr}`);
    return undefined;
  } catch (error) {
    if (error instanceof NoDownload) return error.message;
    throw error;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
