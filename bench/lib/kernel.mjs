// Pairs of kernel objects: Debian's linux-source, an x86-64 configuration with live patching, each unit compiled twice, the second
// time with one function edited by rule. Kept in the cache: the first run takes as long as a small kernel build.
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { cacheRoot } from '../../scripts/lib/debian-source.mjs';
import { ensurePackages } from '../../scripts/lib/packages.mjs';
import { must, run } from '../../scripts/lib/run.mjs';
import { editFunction } from './edit-function.mjs';

const PACKAGE = 'linux-source-6.1';
const NEEDED = ['gcc', 'make', 'bc', 'bison', 'flex', 'libelf-dev', 'libssl-dev', 'xz-utils', 'binutils', 'pahole'];

/** Raised when pairs have to be made again: another edit rule, other flags. */
const RECIPE = 1;

/** What the kernel to be patched has, on top of the architecture's default configuration. */
const CONFIG = {
  on: 'LIVEPATCH FUNCTION_TRACER DYNAMIC_FTRACE KALLSYMS_ALL DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT PARAVIRT PARAVIRT_SPINLOCKS DYNAMIC_DEBUG BPF_SYSCALL MEMCG KVM KVM_INTEL BTRFS_FS XFS_FS LOCKDEP_SUPPORT',
  off: 'DEBUG_INFO_NONE DEBUG_INFO_REDUCED DEBUG_INFO_SPLIT DEBUG_INFO_BTF MODULE_SIG WERROR GCC_PLUGINS',
};

/** Units from every part of the kernel, small and large. Those whose objects are out of the wanted sizes are left out. */
const UNITS =
  `arch/x86/kernel/process.c arch/x86/kernel/traps.c arch/x86/kernel/signal.c arch/x86/mm/fault.c block/bio.c block/blk-mq.c
block/genhd.c crypto/algapi.c drivers/base/core.c drivers/base/dd.c drivers/base/platform.c drivers/char/random.c drivers/pci/pci.c drivers/pci/probe.c
drivers/tty/tty_io.c drivers/tty/n_tty.c fs/aio.c fs/dcache.c fs/eventpoll.c fs/exec.c fs/ext4/extents.c fs/ext4/inode.c fs/ext4/super.c fs/file.c
fs/inode.c fs/namei.c fs/namespace.c fs/open.c fs/pipe.c fs/proc/base.c fs/read_write.c fs/splice.c fs/xattr.c fs/btrfs/inode.c fs/btrfs/extent-tree.c
ipc/shm.c kernel/audit.c kernel/bpf/syscall.c kernel/cgroup/cgroup.c kernel/exit.c kernel/fork.c kernel/futex/core.c kernel/kthread.c kernel/pid.c kernel/ptrace.c
kernel/sched/core.c kernel/sched/fair.c kernel/signal.c kernel/sys.c kernel/time/timer.c kernel/time/hrtimer.c kernel/workqueue.c kernel/events/core.c
lib/bitmap.c lib/iov_iter.c lib/vsprintf.c lib/xarray.c mm/filemap.c mm/memory.c mm/mmap.c mm/page_alloc.c mm/shmem.c mm/slub.c mm/vmscan.c
net/core/dev.c net/core/skbuff.c net/core/sock.c net/ipv4/af_inet.c net/ipv4/route.c net/ipv4/tcp.c net/ipv4/tcp_input.c net/ipv4/udp.c
net/ipv6/addrconf.c net/netfilter/nf_conntrack_core.c net/netlink/af_netlink.c net/packet/af_packet.c net/sched/sch_generic.c net/socket.c
net/unix/af_unix.c security/keys/key.c security/selinux/hooks.c sound/core/pcm_native.c lib/argv_split.c lib/bcd.c lib/bsearch.c lib/cmdline.c lib/ctype.c
lib/errseq.c lib/hexdump.c lib/int_sqrt.c lib/kstrtox.c lib/list_sort.c lib/parser.c lib/plist.c lib/rbtree.c lib/sort.c lib/string.c lib/string_helpers.c lib/lcm.c
lib/llist.c lib/memweight.c lib/siphash.c lib/timerqueue.c lib/uuid.c lib/win_minmax.c lib/zlib_inflate/inflate.c lib/lzo/lzo1x_compress.c`.split(
    /\s+/,
  );

/** Fetches the package, unpacks the tree and configures it, once. Returns the tree: it is ours to edit and restore. */
export async function kernelTree(say) {
  const packages = await ensurePackages(NEEDED, say);
  if (!packages.ok) throw new Error(packages.message);
  const root = join(cacheRoot(), 'linux');
  const tree = join(root, 'tree');
  const configured = join(root, 'configured');
  const key = createHash('sha256').update(JSON.stringify(CONFIG)).digest('hex');
  if (existsSync(configured) && readFileSync(configured, 'utf8') === key) return tree;
  if (!existsSync(join(root, 'unpacked'))) {
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root, { recursive: true });
    say(`fetching ${PACKAGE} (about 140 MB)`);
    await must('apt-get', ['-q', 'download', PACKAGE], { cwd: root, seconds: 1800 });
    const deb = readdirSync(root).find((name) => name.endsWith('.deb'));
    await must('dpkg-deb', ['-x', join(root, deb), join(root, 'package')], { seconds: 300 });
    say('unpacking the kernel');
    mkdirSync(tree);
    const archive = join(root, 'package', 'usr', 'src', `${PACKAGE}.tar.xz`);
    await must('tar', ['-xJf', archive, '-C', tree, '--strip-components=1'], { seconds: 1800 });
    rmSync(join(root, 'package'), { recursive: true });
    rmSync(join(root, deb));
    writeFileSync(join(root, 'unpacked'), '');
  }
  say('configuring the kernel');
  const switches = (list, word) => list.split(/\s+/).flatMap((name) => [word, name]);
  await must('make', ['x86_64_defconfig'], { cwd: tree, seconds: 300 });
  await must('scripts/config', [...switches(CONFIG.off, '-d'), ...switches(CONFIG.on, '-e')], { cwd: tree });
  await must('make', ['olddefconfig'], { cwd: tree, seconds: 300 });
  await must('make', ['-j2', 'prepare'], { cwd: tree, seconds: 3600 });
  writeFileSync(configured, key);
  return tree;
}

/** As session and payload builders do: each function and variable in a section of its own. */
const FLAGS = 'KCFLAGS=-ffunction-sections -fdata-sections';

/**
 * The pairs, built or from the cache: each unit on its own, so that a longer list costs its new units only.
 * @returns {Promise<{unit: string, base: string, next: string, edited: string, edit: string, size: number}[]>} `edited`: the function
 *   whose text was changed; `edit`: how; `size`: bytes of the base object. By size; those outside of the limits are left out. `units` names some of
 *   them; `atHand`: undefined instead of compiling anything that is not in the cache.
 */
export async function kernelPairs(say, { smallest = 30_000, largest = 1_258_291, units = UNITS, atHand = false } = {}) {
  const key = createHash('sha256')
    .update(JSON.stringify([RECIPE, CONFIG]))
    .digest('hex')
    .slice(0, 12);
  const folder = join(cacheRoot(), `linux-pairs-${key}`);
  const record = (unit) => join(folder, 'units', `${unit.replaceAll('/', '_')}.json`);
  const missing = units.filter((unit) => !existsSync(record(unit)));
  if (missing.length > 0 && atHand) return undefined;
  if (missing.length > 0) await makePairs(await kernelTree(say), missing, folder, record, say);
  return units
    .map((unit) => JSON.parse(readFileSync(record(unit), 'utf8')))
    .filter((pair) => pair && pair.size >= smallest && pair.size <= largest)
    .map((pair) => ({ ...pair, base: join(folder, pair.base), next: join(folder, pair.next) }))
    .sort((a, b) => a.size - b.size);
}

/** Compiles units before and after their edit, and writes a record of each: null where there is no pair. */
async function makePairs(tree, units, folder, record, say) {
  const there = units.filter((unit) => existsSync(join(tree, unit)));
  // Kept apart from the tree: a run that was stopped may have left edited files in it.
  const texts = new Map(there.map((unit) => [unit, original(tree, unit)]));
  for (const [unit, text] of texts)
    if (readFileSync(join(tree, unit), 'utf8') !== text) writeFileSync(join(tree, unit), text);
  await build(tree, there, say, 'base', folder);
  const edits = new Map();
  try {
    for (const unit of there.filter((one) => existsSync(join(folder, 'base', objectOf(one))))) {
      const edit = editFunction(texts.get(unit), UNITS.indexOf(unit));
      if (!edit) continue;
      edits.set(unit, edit);
      writeFileSync(join(tree, unit), edit.text);
    }
    await build(tree, [...edits.keys()], say, 'next', folder);
  } finally {
    for (const unit of edits.keys()) writeFileSync(join(tree, unit), texts.get(unit));
  }
  mkdirSync(join(folder, 'units'), { recursive: true });
  for (const unit of units) {
    const base = join('base', objectOf(unit));
    const next = join('next', objectOf(unit));
    const edit = existsSync(join(folder, next)) ? edits.get(unit) : undefined;
    const size = edit && statSync(join(folder, base)).size;
    writeFileSync(
      record(unit),
      JSON.stringify(edit ? { unit, base, next, edited: edit.name, edit: edit.how, size } : null),
    );
  }
}

/** The text of a unit as the package has it. */
function original(tree, unit) {
  const kept = join(tree, '..', 'originals', unit);
  if (!existsSync(kept)) {
    mkdirSync(dirname(kept), { recursive: true });
    copyFileSync(join(tree, unit), kept);
  }
  return readFileSync(kept, 'utf8');
}

const objectOf = (unit) => unit.replace(/\.c$/, '.o');

/** Makes the objects of some units and keeps copies. A unit that the configuration leaves out is none of ours. */
async function build(tree, units, say, side, folder) {
  say(`compiling ${units.length} kernel units, ${side}`);
  const jobs = Math.min(2, availableParallelism());
  // -k: a unit that does not compile costs its pair only.
  for (let i = 0; i < units.length; i += 8) {
    const some = units.slice(i, i + 8);
    await run('make', ['-k', `-j${jobs}`, FLAGS, ...some.map(objectOf)], { cwd: tree, seconds: 1800 });
    say(`${Math.min(i + 8, units.length)} of ${units.length}`);
    for (const object of some.map(objectOf)) {
      const made = join(tree, object);
      if (!existsSync(made)) continue;
      mkdirSync(join(folder, side, dirname(object)), { recursive: true });
      copyFileSync(made, join(folder, side, object));
    }
  }
}
