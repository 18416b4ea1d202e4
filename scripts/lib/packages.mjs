// System packages by name, installed through apt where we may, else named in the one line that the user has to run.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { onPath, run } from './run.mjs';

/** Package sets by purpose; each names what is missing without it. */
export const packageSets = {
  /** To build the examples and the native helper, and to keep baselines. */
  build: ['gcc', 'make', 'git', 'libc6-dev', 'libunwind-dev', 'liblzma-dev', 'zlib1g-dev'],
  /** The editor in the browser, where no desktop VS Code is installed. */
  browser: ['chromium', 'fonts-dejavu-core', 'ripgrep'],
  /** Tests compare with these tools, and compile with both compilers. */
  test: ['binutils', 'clang', 'util-linux', 'procps'],
  /** More to compare with. A release that lacks one of them still runs the rest: the tests say what they leave out. */
  compare: [
    'gdb',
    'llvm',
    'pahole',
    'bear',
    'zstd',
    'cpio',
    ...['gcc-11', 'gcc-12', 'clang-14', 'clang-16'],
    'gcc-aarch64-linux-gnu',
  ],
  /** To fetch and build Debian's source packages of Redis and SQLite. */
  sources: ['dpkg-dev', 'patch', 'xz-utils', 'make', 'gcc', 'libc6-dev', 'tcl', 'pkg-config'],
  /** To build a hypervisor and boot it in a virtual machine. */
  vm: [
    ...['qemu-system-x86', 'build-essential', 'bison', 'flex', 'python3', 'bc', 'gawk', 'dpkg-dev', 'xz-utils', 'git'],
    ...['libelf-dev', 'openssh-client'],
  ],
};

const installed = (name) => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format
  const query = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status}', name], { encoding: 'utf8' });
  return query.status === 0 && query.stdout.trim().startsWith('installed');
};

/** Names of the packages that are not installed. Empty on systems without dpkg: there the tools themselves are looked for. */
export function missingPackages(names) {
  if (!onPath('dpkg-query')) return [];
  return names.filter((name) => !installed(name));
}

/** Words in front of apt-get: nothing for root, `sudo -n` where it works without a password, undefined where neither. */
function privilege() {
  if (process.getuid?.() === 0) return [];
  if (onPath('sudo') && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0) return ['sudo', '-n'];
  if (onPath('sudo') && process.stdin.isTTY) return ['sudo'];
  return undefined;
}

/**
 * Installs Debian packages that are missing.
 * @returns {Promise<{ok: boolean, message: string}>} `message` says what was done, or the one line to run by hand.
 */
export async function ensurePackages(names, say = () => {}) {
  const missing = missingPackages(names);
  if (missing.length === 0) return { ok: true, message: 'nothing to install' };
  const byHand = `Please run:  sudo apt-get install --no-install-recommends ${missing.join(' ')}`;
  if (!onPath('apt-get')) return { ok: false, message: `These are missing: ${missing.join(', ')}` };
  const front = privilege();
  if (!front) return { ok: false, message: byHand };
  say(`installing ${missing.join(' ')}`);
  const apt = (args, seconds) => {
    const vector = [...front, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=600'];
    const [program, ...rest] = [...vector, ...args];
    return run(program, rest, { seconds });
  };
  const install = () => apt(['install', '-y', '-q', '--no-install-recommends', ...missing], 1200);
  // Lists may be absent (containers) or old (404): refresh them once and try again.
  if (!existsSync('/var/lib/apt/lists') || !hasLists()) await apt(['update', '-q'], 600);
  let result = await install();
  if (result.code !== 0) {
    await apt(['update', '-q'], 600);
    result = await install();
  }
  if (result.code !== 0) {
    const why = result.stderr.trim().split('\n').slice(-3).join(' ');
    return { ok: false, message: `apt-get could not install ${missing.join(' ')}: ${why}\n${byHand}` };
  }
  return { ok: true, message: `installed ${missing.join(' ')}` };
}

/** The same for packages that nothing depends on: one that cannot be had does not keep the others away. Returns the absent ones. */
export async function ensureEach(names, say = () => {}) {
  if ((await ensurePackages(names, say)).ok) return [];
  for (const name of names) await ensurePackages([name], say);
  return missingPackages(names);
}

function hasLists() {
  const query = spawnSync('apt-get', ['indextargets', '--format', '$(FILENAME)'], { encoding: 'utf8' });
  return query.status === 0 && query.stdout.split('\n').some((file) => file !== '' && existsSync(file));
}
