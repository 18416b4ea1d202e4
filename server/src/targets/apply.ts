import { type LinkedArea, layOutArea, linkArea, type Resolved } from '../core/payload/link.ts';
import { type ProcessPayload, readPayload } from '../core/payload/read.ts';
import { isColdPartOf } from '../core/payload/select.ts';
import { fromHex, sha256Hex, toHex } from '../core/payload/sha256.ts';
import type { ReplacedFunction } from '../core/payload/types.ts';
import { JUMP_SIZE, R } from '../core/payload/x86.ts';
import type { BusyThread, Poke, SwitchAnswer, SwitchOptions } from './helper.ts';
import type { LoadedModule } from './image.ts';
import { areaCandidates, statusOf } from './procfs.ts';
import {
  encodeHeader,
  headerSize,
  type PatchRecord,
  type RecordedFunction,
  STATE,
  STATE_OFFSET,
  stateBytes,
} from './record.ts';
import { ProcessSymbols } from './symbols.ts';
import type { TargetEvent } from './types.ts';
import { type PatchInProcess, Refusal, type Visit } from './visit.ts';

const PROTECTION = { header: 1, code: 5, constants: 1, data: 3 } as const;
const hex = (value: number): string => `0x${value.toString(16)}`;

/** A named range of code that no thread may be in: low < address < high. */
export interface WatchedRange {
  readonly low: number;
  readonly high: number;
  readonly name: string;
}

/** Applies a payload; throws Refusal or HelperError where the process stays as it was. */
export async function applyPayload(
  visit: Visit,
  bytes: Uint8Array,
  options: SwitchOptions | undefined,
  signal: AbortSignal | undefined,
): Promise<TargetEvent> {
  const payload = readPayload(bytes);
  if (typeof payload === 'string') throw new Refusal('payload-invalid', payload);
  const { manifest } = payload;
  await visit.claim();
  const modules = await visit.modules();
  checkMachine(visit, modules);
  const module = matchModules(payload, modules);
  let patches = await visit.patches();
  if (await visit.repair(patches)) patches = await visit.patches();
  const applied = patches.filter((one) => one.state === STATE.applied);
  const same = applied.find((one) => one.record.id === manifest.id);
  if (same)
    throw new Refusal(
      'already-applied',
      `Patch ${manifest.id} is applied already; revert it first, or give the new one another id.`,
    );
  const olds = await checkOldCode(visit, manifest.replaces, module, applied);

  const symbols = new ProcessSymbols(visit.helper, modules, module, () => visit.prepare());
  const resolved = new Map<string, Resolved>();
  for (const one of manifest.imports) {
    const found = await symbols.resolve(one);
    if (found && 'reason' in found) throw new Refusal(found.reason, found.message);
    if (found) resolved.set(one.name, found);
  }

  const digest = sha256Hex(bytes);
  const room = Math.ceil(headerSize(manifest.replaces.length) / 4096) * 4096;
  const layout = layOutArea(payload, room);
  const reusable = patches.find(
    (one) => one.payload === digest && one.state === STATE.reverted && one.areaSize === layout.size,
  );
  const link = (base: number): LinkedArea => linkArea(payload, layout, base, (name) => resolved.get(name));
  const base = reusable?.address ?? (await mapArea(visit, payload, module, resolved, layout, link));
  // Reverted memory stays so for the case that nothing comes of it: pointers into it may be held, and the next try takes it again.
  const initial = reusable ? STATE.reverted : STATE.mapped;
  try {
    const area = link(base);
    const problem = area.problems[0];
    if (problem) throw new Refusal(problem.reason, problem.message);

    const order = 1 + Math.max(-1, ...patches.map((one) => one.record.order));
    const functions = manifest.replaces.map((one, index) => recordFunction(payload, area, one, module, olds[index]!));
    const code = layout.parts.find((part) => part.name === 'code')!;
    const record: PatchRecord = {
      id: manifest.id,
      description: manifest.description,
      appliedAt: new Date().toISOString(),
      order,
      module: module.buildId!,
      functions,
      code: [hex(base + code.offset), code.size],
    };
    const header = encodeHeader(layout.size, room, digest, initial, record);
    if (!header)
      throw new Refusal('payload-invalid', 'The names of the patched functions are too long to be remembered.');
    await visit.helper.write(base + room, area.bytes.subarray(room));
    await visit.helper.write(base, header);

    const ranges = rangesOf(manifest.replaces, module, applied, functions);
    const pokes = functions.map((one) => ({
      address: Number(one.jumpAddress),
      before: fromHex(one.previous)!,
      after: fromHex(one.jump)!,
    }));
    const states = [initial, STATE.applying, STATE.applied] as const;
    const answer = await runSwitch(visit, ranges, pokes, base, states, options, signal);
    if (!answer.ok) throw refusalOf(answer, ranges, modules, manifest.id);
    return {
      kind: 'applied',
      id: manifest.id,
      functions: functions.length,
      stopMicroseconds: Math.round(answer.stopNs / 1000),
      longestStopMicroseconds: Math.round(answer.longestNs / 1000),
      attempts: answer.tries,
    };
  } catch (error) {
    // No jump was written, so that no thread has been there. After a failed write that is not certain: it stays.
    if (!reusable && error instanceof Refusal && error.reason !== 'write' && error.reason !== 'dead')
      await visit.helper.unmap(base, layout.size).catch(() => {});
    throw error;
  }
}

function checkMachine(visit: Visit, modules: readonly LoadedModule[]): void {
  const executable = modules[0];
  if (!executable) throw new Refusal('dead', `Process ${visit.pid} has no program in memory.`);
  if (!executable.is64 || executable.machine !== 62)
    throw new Refusal(
      'wrong-architecture',
      `Process ${visit.pid} is not a 64-bit x86 program; only those can be patched.`,
    );
}

/** The patched module, after all build ids were found right. */
function matchModules(payload: ProcessPayload, modules: readonly LoadedModule[]): LoadedModule {
  const base = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
  let patched: LoadedModule | undefined;
  for (const wanted of payload.manifest.modules) {
    const found = modules.find((one) => one.buildId === wanted.buildId);
    if (found) {
      if (wanted.role === 'patched' && payload.manifest.replaces.some((one) => one.module === wanted.buildId))
        patched = found;
      continue;
    }
    const other = modules.find((one) => base(one.path) === wanted.name) ?? modules[0]!;
    if (wanted.role === 'imported' && base(other.path) !== wanted.name)
      throw new Refusal('library-mismatch', `The patch needs ${wanted.name}, which the process has not loaded.`);
    throw new Refusal(
      wanted.role === 'patched' ? 'build-id-mismatch' : 'library-mismatch',
      `The patch is made for ${wanted.name} with build id ${wanted.buildId}; the process runs ${other.path} with ${other.buildId ? `build id ${other.buildId}` : 'no build id'}. Build the patch from the sources of what runs.`,
    );
  }
  if (!patched || payload.manifest.replaces.some((one) => one.module !== patched.buildId))
    throw new Refusal('payload-invalid', 'The payload replaces functions of a module that it does not depend on.');
  return patched;
}

interface OldCode {
  readonly original: Uint8Array;
  readonly previous: Uint8Array;
}

/** Compares the old code in memory with what the payload was made for; jumps of patches below are looked through. */
async function checkOldCode(
  visit: Visit,
  replaces: readonly ReplacedFunction[],
  module: LoadedModule,
  applied: readonly PatchInProcess[],
): Promise<OldCode[]> {
  const olds: OldCode[] = [];
  for (const one of replaces) {
    const entry = Number(one.address) + module.bias;
    const code = await visit.helper.tryRead(entry, one.size);
    if (!code || one.jumpAt + JUMP_SIZE > code.length)
      throw new Refusal('old-code-differs', `The process has no code of ${one.name} at ${hex(entry)}.`);
    const previous = code.slice(one.jumpAt, one.jumpAt + JUMP_SIZE);
    const original = code.slice();
    for (const patch of applied)
      for (const other of patch.record.functions)
        if (Number(other.entry) === entry) original.set(fromHex(other.original)!, Number(other.jumpAddress) - entry);
    if (sha256Hex(original) !== one.oldCode)
      throw new Refusal(
        'old-code-differs',
        `The code of ${one.name} in the process is not what the patch was made for: a debugger's breakpoint, another tool's patch, or a changed program. Remove that, or restart the program.`,
      );
    olds.push({ original: original.slice(one.jumpAt, one.jumpAt + JUMP_SIZE), previous });
  }
  return olds;
}

/** Maps the area within reach of the patched file and of everything that is used with 32-bit distances. */
async function mapArea(
  visit: Visit,
  payload: ProcessPayload,
  module: LoadedModule,
  resolved: ReadonlyMap<string, Resolved>,
  layout: ReturnType<typeof layOutArea>,
  link: (base: number) => LinkedArea,
): Promise<number> {
  const absolute = payload.sections.some((one) =>
    one.relocations.some(({ type }) => type === R.abs32 || type === R.abs32s),
  );
  const candidates = areaCandidates(
    visit.mappings,
    module.start,
    module.end,
    layout.size,
    absolute ? 0x7fff_f000 : undefined,
  );
  if (candidates.length === 0)
    throw new Refusal('memory', `There is no free memory within 2 GiB of ${module.path} in the process.`);
  // What cannot be linked anywhere near is refused before anything is mapped.
  const problem = link(candidates[0]!).problems.find((one) => one.reason !== 'too-far' || !resolved.has(one.symbol));
  const far = link(candidates[0]!).problems[0];
  if (problem ?? far) throw new Refusal((problem ?? far)!.reason, (problem ?? far)!.message);
  const seccomp = statusOf(visit.pid).get('Seccomp');
  if (seccomp === '1') throw new Refusal('seccomp', 'The process is in strict seccomp mode: it may not map memory.');
  await visit.prepare();
  const base = await visit.helper.map(
    layout.size,
    candidates,
    layout.parts.map((part) => ({ offset: part.offset, size: part.size, protection: PROTECTION[part.name] })),
  );
  return base;
}

function recordFunction(
  payload: ProcessPayload,
  area: LinkedArea,
  one: ReplacedFunction,
  module: LoadedModule,
  old: OldCode,
): RecordedFunction {
  const entry = Number(one.address) + module.bias;
  const jumpAddress = entry + one.jumpAt;
  const code: [string, number][] = [];
  let target = 0;
  for (const symbol of payload.elf.symbols) {
    if (typeof symbol.place !== 'number' || symbol.name === '') continue;
    const isEntry = symbol.name === one.replacement;
    // Cold parts of one name in several units carry a number: which of them belongs to whom is not told, so that all are watched.
    if (!isEntry && !isColdPartOf(symbol.name.replace(/@\d+$/, ''), one.name)) continue;
    const address = area.addressOf(symbol.index);
    if (address === undefined) continue;
    if (isEntry) target = address;
    code.push([hex(address), symbol.size]);
  }
  const jump = new Uint8Array(JUMP_SIZE);
  jump[0] = 0xe9;
  const distance = target - (jumpAddress + JUMP_SIZE);
  if (target === 0 || Math.abs(distance) > 0x7fffffff)
    throw new Refusal('too-far', `The new code of ${one.name} is out of a jump's reach.`);
  new DataView(jump.buffer).setInt32(1, distance, true);
  return {
    name: one.name,
    entry: hex(entry),
    jumpAddress: hex(jumpAddress),
    size: one.size,
    oldCode: one.oldCode,
    original: toHex(old.original),
    previous: toHex(old.previous),
    jump: toHex(jump),
    newAddress: hex(target),
    code,
  };
}

/** Old code, with its parts elsewhere, and the versions of patches below that are in force now. */
function rangesOf(
  replaces: readonly ReplacedFunction[],
  module: LoadedModule,
  applied: readonly PatchInProcess[],
  functions: readonly RecordedFunction[],
): WatchedRange[] {
  const ranges: WatchedRange[] = [];
  for (const one of replaces) {
    const entry = Number(one.address) + module.bias;
    // At the entry itself a thread has done nothing yet: it will take the jump.
    ranges.push({ low: entry, high: entry + one.size, name: one.name });
    for (const part of one.parts) {
      const address = Number(part.address) + module.bias;
      ranges.push({ low: address - 1, high: address + part.size, name: part.name });
    }
  }
  for (const patch of applied)
    for (const below of patch.record.functions)
      if (functions.some((one) => one.entry === below.entry))
        for (const [address, size] of below.code)
          ranges.push({
            low: Number(address) - 1,
            high: Number(address) + size,
            name: `${below.name} of ${patch.record.id}`,
          });
  return tidy(ranges);
}

/**
 * Sorted, each address in one of them only, as the helper wants them. A range that directly follows another one keeps its first
 * address: both ends are open, so that it begins one below the end of the other.
 */
export function tidy(ranges: readonly WatchedRange[]): WatchedRange[] {
  const result: WatchedRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.low - b.low)) {
    const low = Math.max(range.low, (result.at(-1)?.high ?? 0) - 1);
    if (range.high > low + 1) result.push({ ...range, low });
  }
  return result;
}

/** Runs a switch of one area's state, and lets it be cancelled between two tries. */
export async function runSwitch(
  visit: Visit,
  ranges: readonly WatchedRange[],
  pokes: readonly Poke[],
  area: number,
  states: readonly [before: number, during: number, after: number],
  options: SwitchOptions | undefined,
  signal: AbortSignal | undefined,
): Promise<SwitchAnswer> {
  if (signal?.aborted) throw new Refusal('cancelled', 'Cancelled; the process is as it was.');
  const cancel = (): void => visit.helper.cancel();
  signal?.addEventListener('abort', cancel);
  try {
    const [before, during, after] = states.map(stateBytes) as [Uint8Array, Uint8Array, Uint8Array];
    return await visit.helper.switch(ranges, pokes, [{ address: area + STATE_OFFSET, before, during, after }], options);
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/** Why a switch did not happen, in words. */
export function refusalOf(
  answer: SwitchAnswer,
  ranges: readonly WatchedRange[],
  modules: readonly LoadedModule[],
  id: string,
): Refusal {
  const tried = `${answer.tries} ${answer.tries === 1 ? 'try' : 'tries'}`;
  switch (answer.reason) {
    case 'busy': {
      const busy = answer.busy ?? [];
      const names = [...new Set(busy.map((one) => ranges[one.range]?.name ?? '?'))];
      const threads = busy.slice(0, 4).map((one) => describeThread(one, ranges, modules));
      return new Refusal(
        'busy',
        `Patch ${id} was not switched after ${tried}: ${names.join(', ')} never left the stack. ${threads.join('; ')}. Try again when the function is not running, or patch the functions that it calls instead.`,
      );
    }
    case 'slow':
      return new Refusal(
        'busy',
        `Thread ${answer.tid} did not stop in ${tried}: it is in an uninterruptible sleep or a vfork, or the machine is overloaded. Try again later.`,
      );
    case 'shared-memory':
      return new Refusal(
        'shared-memory',
        `Process ${answer.tid} shares the memory of the target without being one of its threads, and would run the code while it changes. End it, or try again later.`,
      );
    case 'differs':
      return new Refusal(
        'old-code-differs',
        `The code at ${answer.address} changed while the patch was prepared. Another tool is at work in the process; try again.`,
      );
    case 'gone':
      return new Refusal('dead', 'The process ended, or runs another program now.');
    case 'cancelled':
      return new Refusal('cancelled', `Cancelled after ${tried}; the process is as it was.`);
    case 'denied':
      return new Refusal('permission', 'A thread of the process may not be traced; run as root.');
    case 'traced':
      return new Refusal(
        'traced',
        'The process is traced by a debugger or another live patch tool: detach that first.',
      );
    default:
      return new Refusal(answer.reason, `The switch failed (${answer.reason}); the process is as it was.`);
  }
}

function describeThread(busy: BusyThread, ranges: readonly WatchedRange[], modules: readonly LoadedModule[]): string {
  const place = (address: number): string => {
    const range = ranges.find((one) => one.low < address && address < one.high);
    if (range) return `${range.name}+${hex(address - range.low)}`;
    const module = modules.find((one) => one.start <= address && address < one.end);
    return module
      ? `${module.path.slice(module.path.lastIndexOf('/') + 1)}+${hex(address - module.bias)}`
      : hex(address);
  };
  const frames =
    busy.frames.length > 0 ? busy.frames.slice(0, 8).map((one) => place(Number(one))) : [place(Number(busy.address))];
  return `thread ${busy.tid}${busy.proven ? '' : ' (found by a scan of its stack)'}: ${frames.join(' < ')}`;
}
