import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';

/** One line of /proc/PID/maps. */
export interface Mapping {
  readonly start: number;
  readonly end: number;
  /** As in the file: `r-xp`. */
  readonly permissions: string;
  readonly offset: number;
  /** `major:minor inode`, equal for mappings of one file; empty for anonymous memory. */
  readonly file: string;
  /** Path, `[heap]`, or empty. */
  readonly name: string;
}

/** Reads the text of /proc/PID/maps. */
export function parseMaps(text: string): Mapping[] {
  const mappings: Mapping[] = [];
  for (const line of text.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) (\S+) (\d+)\s*(.*)$/.exec(line);
    if (!match) continue;
    const [, start, end, permissions, offset, device, inode, name] = match as unknown as string[];
    mappings.push({
      start: Number.parseInt(start!, 16),
      end: Number.parseInt(end!, 16),
      permissions: permissions!,
      offset: Number.parseInt(offset!, 16),
      file: inode === '0' ? '' : `${device} ${inode}`,
      name: name!,
    });
  }
  return mappings;
}

/** Mappings of a process; throws where it is gone or not ours to look at. */
export const mapsOf = (pid: number): Mapping[] => parseMaps(readFileSync(`/proc/${pid}/maps`, 'latin1'));

/** Fields of /proc/PID/status; empty where the process is gone. */
export function statusOf(pid: number): ReadonlyMap<string, string> {
  try {
    const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
    return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
  } catch {
    return new Map();
  }
}

/** True where the process exists and is not a zombie. */
export function isAlive(pid: number): boolean {
  const state = statusOf(pid).get('State');
  return state !== undefined && !/^[ZX]/.test(state);
}

/** Command line with spaces, or the name in brackets. */
export function commandOf(pid: number): string {
  try {
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
    return line || `[${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}]`;
  } catch {
    return '';
  }
}

/** Processes whose executable is the file at `path`, also where it was replaced on disk since; threads not counted. */
export function processesOf(path: string): number[] {
  let wanted = path;
  try {
    wanted = realpathSync(path);
  } catch {
    // Gone from disk: the name that the kernel remembers is all there is.
  }
  const found: number[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const link = readlinkSync(`/proc/${name}/exe`).replace(/ \(deleted\)$/, '');
      if (link === wanted && isAlive(Number(name))) found.push(Number(name));
    } catch {
      // Not ours to look at, a kernel thread, or gone.
    }
  }
  return found;
}

/** Restrictions that can forbid tracing, in words that say what to do. */
export function permissionAdvice(pid: number): string {
  const uid = statusOf(pid).get('Uid')?.split(/\s+/)[0];
  const own = String(process.getuid?.() ?? '');
  let scope = '0';
  try {
    scope = readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8').trim();
  } catch {
    // Yama is not there.
  }
  if (uid !== undefined && uid !== own && own !== '0')
    return `it belongs to user ${uid} and you are user ${own}: run as that user or as root`;
  if (scope !== '0')
    return `kernel.yama.ptrace_scope is ${scope}: run as root, or set it to 0 (sysctl kernel.yama.ptrace_scope=0)`;
  return 'the kernel does not allow it (another user, a set-user-ID program, or a container without CAP_SYS_PTRACE): run as root on the host';
}

const GIB = 2 ** 30;
const PAGE = 4096;
/** Kept free above the heap and below the stack, which grow. */
const HEAP_ROOM = GIB / 2;
const STACK_ROOM = GIB / 4;
const LOWEST = 0x10000;
const HIGHEST = 0x7fff_ffff_f000;

/**
 * Free addresses for an area of `size` bytes from which everything in [low, high) can be reached with 32-bit distances, best
 * first: near, outside of where heap and stack grow, and a page away from what is there. `below` bounds the area's end.
 */
export function areaCandidates(
  mappings: readonly Mapping[],
  low: number,
  high: number,
  size: number,
  below = HIGHEST,
): number[] {
  const first = Math.max(LOWEST, high - 2 * GIB + 16 * PAGE);
  const last = Math.min(below, HIGHEST, low + 2 * GIB - 16 * PAGE) - size;
  const heap = mappings.find((one) => one.name === '[heap]');
  const found = new Set<number>();
  for (let i = 0; i <= mappings.length; i++) {
    const before = mappings[i - 1];
    const after = mappings[i];
    let start = Math.max(first, (before?.end ?? 0) + PAGE);
    let end = Math.min(last, (after?.start ?? HIGHEST) - PAGE - size);
    // The break grows upwards from the heap, or from somewhere above the executable's last mapping where there is no heap yet.
    if (before && (before === heap || (!heap && before.end >= high && before.end - high < 0x4000_0000)))
      start = Math.max(start, before.end + HEAP_ROOM);
    if (after?.name === '[stack]') end = Math.min(end, after.start - STACK_ROOM - size);
    if (end < start) continue;
    const down = Math.floor(end / PAGE) * PAGE;
    const up = Math.ceil(start / PAGE) * PAGE;
    for (const address of [down, up, Math.floor((down + up) / 2 / PAGE) * PAGE])
      if (address >= start && address <= end) found.add(address);
  }
  const distance = (address: number): number => Math.min(Math.abs(address - low), Math.abs(address - high));
  return [...found].sort((a, b) => distance(a) - distance(b)).slice(0, 64);
}
