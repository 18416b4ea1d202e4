import type { ElfFile, Section } from '../elf/types.ts';
import { specialKind } from '../special/kinds.ts';
import { AARCH64, scannerFor } from './machine.ts';
import { type Body, lastAtOrBefore, poolEnd } from './places.ts';
import { relocationMeaning } from './relocation.ts';
import { KIND, type Scan } from './scan.ts';
import { dropRelocated, relocationsIn } from './targets.ts';

/** A range of bytes in a section. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/**
 * Stretches of a section of code that none of its functions covers, without those that only align what follows and without the constants of
 * AArch64 (which go by their contents, with the code that loads them). What is left was written in assembly: code behind a function's `.size`, such
 * as that of a `.subsection`, or data among the code.
 */
export function looseCode(elf: ElfFile, section: Section, bodies: readonly Body[]): Stretch[] {
  const found: Stretch[] = [];
  let at = 0;
  const end = Math.min(section.size, section.data.length);
  for (const body of [...bodies, undefined]) {
    const start = body?.start ?? end;
    for (let from = at; from < start; ) {
      const pool = poolEnd(elf, section.index, from);
      const to = pool === undefined ? codeEnd(elf, section, from, start) : Math.min(pool, start);
      if (pool === undefined && !isFiller(elf, section, from, to)) found.push({ start: from, end: to });
      from = Math.max(to, from + 1);
    }
    if (body) at = Math.max(at, body.start + body.size);
  }
  return found;
}

/** Where the next constants of AArch64 begin, or `limit`. */
function codeEnd(elf: ElfFile, section: Section, from: number, limit: number): number {
  if (elf.machine !== AARCH64) return limit;
  let at = from;
  while (at < limit && poolEnd(elf, section.index, at) === undefined) at += 4;
  return Math.min(at, limit);
}

/** Nothing but what assemblers and compilers put between functions: nops, breakpoints, zeros. */
function isFiller(elf: ElfFile, section: Section, start: number, end: number): boolean {
  const bytes = section.data.subarray(start, end);
  if (bytes.every((byte) => byte === 0 || byte === 0x90 || byte === 0xcc))
    return relocationsIn(elf.relocationsOf(section.index), start, end).length === 0;
  const scan = scannerFor(elf.machine)?.scan(bytes);
  if (!scan) return false;
  for (let i = 0; i < scan.count; i++) {
    const at = scan.start[i]!;
    if (scan.kind[i] !== KIND.nop && bytes[at] !== 0xcc && !isZero(bytes, at, scan.size[i]!)) return false;
  }
  return true;
}

const isZero = (bytes: Uint8Array, at: number, size: number): boolean =>
  bytes.subarray(at, at + size).every((byte) => byte === 0);

/**
 * Gives the code behind a function's end to the function, where nothing else leads there: it then is compared and carried with it. Where others
 * share it, it is left alone, and compared as what it is: see `diffLoose`.
 */
export function withTails(elf: ElfFile, section: Section, bodies: readonly Body[]): readonly Body[] {
  if (bodies.length === 0) return bodies;
  const loose = looseCode(elf, section, bodies);
  if (loose.length === 0) return bodies;
  const targets = targetsOf(elf).get(section.index) ?? [];
  const owners = bodies.length === 1 ? undefined : whoLeads(elf, section, bodies, loose);
  let at = 0;
  return bodies.map((body, index) => {
    const end = body.start + body.size;
    const limit = bodies[index + 1]?.start ?? section.size;
    while (at < loose.length && loose[at]!.start < end) at++;
    let own = true;
    let last: Stretch | undefined;
    for (; at < loose.length && loose[at]!.end <= limit; at++) {
      last = loose[at]!;
      const shared = lastAtOrBefore(targets, last.end - 1) !== lastAtOrBefore(targets, last.start - 1);
      if (shared || (owners && owners.get(last) !== body)) own = false;
    }
    if (!last || !own) return body;
    const tail = last.end - end;
    return { ...body, size: body.size + tail, tail };
  });
}

/** The only function whose jumps lead to a stretch: undefined where there is none, or more than one. */
function whoLeads(
  elf: ElfFile,
  section: Section,
  bodies: readonly Body[],
  loose: readonly Stretch[],
): ReadonlyMap<Stretch, Body | undefined> {
  const owners = new Map<Stretch, Body | undefined>();
  const starts = loose.map(({ start }) => start);
  for (const body of bodies) {
    const scan = scanAt(elf, section, body.start, body.start + body.size);
    for (let i = 0; scan && i < scan.count; i++) {
      if (scan.relSize[i] === 0) continue;
      const to = body.start + scan.target[i]!;
      const stretch = loose[lastAtOrBefore(starts, to)];
      if (!stretch || to >= stretch.end) continue;
      owners.set(stretch, !owners.has(stretch) || owners.get(stretch) === body ? body : undefined);
    }
  }
  return owners;
}

const known = new WeakMap<ElfFile, ReadonlyMap<number, readonly number[]>>();

/**
 * Offsets in each section of code that other sections refer to, in order: from other functions, or by pointers. Lists of places in the code do
 * not count.
 */
function targetsOf(elf: ElfFile): ReadonlyMap<number, readonly number[]> {
  const done = known.get(elf);
  if (done) return done;
  const found = new Map<number, number[]>();
  for (const from of elf.sections) {
    if ((from.flags & ALLOC) === 0 || specialKind(from.name) || from.name === '.eh_frame') continue;
    for (const { symbol: index, addend, type } of elf.relocationsOf(from.index)) {
      const symbol = elf.symbols[index];
      if (typeof symbol?.place !== 'number' || symbol.place === from.index) continue;
      if (((elf.sections[symbol.place]?.flags ?? 0) & EXEC) === 0) continue;
      // A jump of x86 counts from its own end, which is that of the field.
      const jump = elf.machine !== AARCH64 && (from.flags & EXEC) !== 0;
      const to = symbol.offset + addend + (jump && relocationMeaning(elf.machine, type).pcRelative ? FIELD : 0);
      const list = found.get(symbol.place);
      if (list) list.push(to);
      else found.set(symbol.place, [to]);
    }
  }
  for (const list of found.values()) list.sort((a, b) => a - b);
  known.set(elf, found);
  return found;
}

const ALLOC = 2;
const EXEC = 4;
const FIELD = 4;

function scanAt(elf: ElfFile, section: Section, start: number, end: number): Scan | undefined {
  const scan = scannerFor(elf.machine)?.scan(section.data.subarray(start, end));
  if (scan) dropRelocated(scan, elf.relocationsOf(section.index), start);
  return scan;
}
