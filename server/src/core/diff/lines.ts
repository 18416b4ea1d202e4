import { describeTarget } from '../asm/names.ts';
import type { Body } from '../asm/places.ts';
import { instructionAt, KIND, type Scan } from '../asm/scan.ts';
import type { BodyScan } from '../asm/scans.ts';
import { callsAt, lastLineAt, locationAt } from '../asm/source.ts';
import { codeBias, relocationsIn, relocationTarget } from '../asm/targets.ts';
import type { LineRow, SourceLocation } from '../dwarf/types.ts';
import { lazy } from '../elf/lazy.ts';
import type { CodeComparer, Site } from './code.ts';
import { hunksOf, mapLine } from './edits.ts';
import { baseName } from './line-text.ts';
import type { Side } from './meaning.ts';
import type { SourceEdits } from './types.ts';

/**
 * Proof that a function differs in line numbers only (`__LINE__`, as in assert and log macros):
 *
 * 1. both sides have the same instructions, but for the immediate of some of them (the sites); everything else - callees, data, strings,
 *    tables, branch targets - is the same by meaning;
 * 2. at each site the immediate is, on both sides, the very line that the debug information gives for its statement: the line table's
 *    for the instruction or for the call that it is an argument of, or the place where the inlined function around it was called.
 *    A statement of several lines may count from its end: then the number has to move as the lines around it do, and the call has to name its
 *    file or function as well, or others of the unit bear witness. Merged code may have no line at all: then the call has to name its place;
 * 3. the statement's text did not change. Where the edits are known: every line of the function is unedited and maps from base to
 *    next. Where they are not: columns and distances are kept, and there is a witness that these are line numbers: the same call
 *    carries the file's name or the function's name (`__FILE__`, `__func__`), or the unit has at least three such sites with different lines.
 *    A lone `log(7)` on line 7 that became `log(8)` on line 8 does not pass.
 */
export interface LineProof {
  /** Lines (base side) whose number is in the code. */
  readonly lines: ReadonlySet<number>;
  /** Enough by itself; else other functions of the unit have to bear witness (`isEnough`). */
  readonly complete: boolean;
  /** Source lines (next side) of the sites, where known. Found at the first call: inlined calls have to be read for them. */
  places(): readonly SourceLocation[];
}

/** Different lines that make it certain that a unit has its own line numbers as constants. */
const WITNESSES = 3;
/** Instructions between an argument and its call. */
const REACH = 16;
/** Lines that a statement may have. */
const LONGEST_STATEMENT = 40;
/** The same, where the call says nothing of its place. */
const LONGEST_UNNAMED = 8;

/** Whether the proofs of a unit together show that the constants are line numbers. */
export function isEnough(proofs: Iterable<LineProof>): boolean {
  const lines = new Set<number>();
  for (const proof of proofs) for (const line of proof.lines) lines.add(line);
  return lines.size >= WITNESSES;
}

/** Looks for a proof; undefined where the function differs in anything else. */
export function proveLineOnly(
  base: Side,
  next: Side,
  baseBody: Body,
  nextBody: Body,
  code: CodeComparer,
  edits: SourceEdits | undefined,
): LineProof | undefined {
  const from = base.object.dwarf.present ? base.scanOf(baseBody) : undefined;
  const to = next.object.dwarf.present ? next.scanOf(nextBody) : undefined;
  const sites = from && to ? code.immediateSites(baseBody, nextBody) : undefined;
  if (!from || !to || !sites || sites.length === 0) return undefined;
  const baseLines = base.object.dwarf.linesOf(baseBody.section);
  const nextLines = next.object.dwarf.linesOf(nextBody.section);
  const shifts = lineShifts(baseLines, baseBody, nextLines, nextBody, edits);
  if (!shifts) return undefined;
  const proof: Proof = { base, next, baseBody, nextBody, from, to, baseLines, nextLines, shifts, edits };
  const lines = new Set<number>();
  let complete = true;
  for (const site of sites) {
    const named = namesItsPlace(proof, site, [...shifts.byFile.keys()]);
    const own = isOwnLine(proof, site);
    if (!own && !movesWithLines(proof, site, named ? LONGEST_STATEMENT : LONGEST_UNNAMED)) return undefined;
    if (!named && !(own && edits)) complete = false;
    // What only stands near its line needs witnesses, and is none.
    if (named || own) lines.add(site.base);
  }
  return { lines, complete, places: lazy(() => placesOfSites(proof, sites)) };
}

function placesOfSites({ next, nextBody, to, nextLines }: Proof, sites: readonly Site[]): readonly SourceLocation[] {
  const places = new Map<string, SourceLocation>();
  for (const site of sites) {
    const offset = nextBody.start + to.scan.start[site.nextIndex]!;
    for (const at of [locationAt(nextLines, offset), callsAt(next.object, nextBody.section, offset)[0]?.call]) {
      if (at) places.set(`${at.file}:${at.line}`, { file: at.file, line: at.line });
    }
  }
  return [...places.values()];
}

interface Proof {
  readonly base: Side;
  readonly next: Side;
  readonly baseBody: Body;
  readonly nextBody: Body;
  readonly from: BodyScan;
  readonly to: BodyScan;
  readonly baseLines: readonly LineRow[];
  readonly nextLines: readonly LineRow[];
  readonly shifts: Shifts;
  readonly edits: SourceEdits | undefined;
}

function isCall(scanned: BodyScan, index: number): boolean {
  const kind = scanned.scan.kind[index]!;
  return kind === KIND.call || kind === KIND.indirectCall || kind === KIND.jump || kind === KIND.indirectJump;
}

/** The immediate is the line of its statement on both sides. */
function isOwnLine(proof: Proof, site: Site): boolean {
  // An argument stands under its own statement's line, or under none of its own before the call that carries it.
  const distances = [0];
  for (let step = 0; step < REACH && site.baseIndex + step < proof.from.scan.count; step++) {
    if (!isCall(proof.from, site.baseIndex + step)) continue;
    if (step > 0) distances.push(step);
    break;
  }
  // Line rows are at hand; the inlined calls of a function have to be read first.
  return distances.some((by) => isAt(proof, site, by)) || distances.some((by) => isInlinedAt(proof, site, by));
}

function isLine(site: Site, b: SourceLocation | undefined, n: SourceLocation | undefined): boolean {
  return b?.line === site.base && n?.line === site.next && baseName(b.file) === baseName(n.file);
}

/** Section offsets of the instructions this many behind the site. */
function offsetsAt({ baseBody, nextBody, from, to }: Proof, site: Site, by: number): readonly [number, number] {
  const last = to.scan.count - 1;
  return [
    baseBody.start + from.scan.start[site.baseIndex + by]!,
    nextBody.start + to.scan.start[Math.min(site.nextIndex + by, last)]!,
  ];
}

/** The numbers are the lines of the two instructions. */
function isAt(proof: Proof, site: Site, by: number): boolean {
  const [baseAt, nextAt] = offsetsAt(proof, site, by);
  return isLine(site, locationAt(proof.baseLines, baseAt), locationAt(proof.nextLines, nextAt));
}

/** The numbers are the lines of the same inlined call around the two instructions. */
function isInlinedAt(proof: Proof, site: Site, by: number): boolean {
  const [baseAt, nextAt] = offsetsAt(proof, site, by);
  return inlinedCalls(proof, baseAt, nextAt).some(([b, n]) => isLine(site, b, n));
}

/** Where the functions were called that two instructions are inlined from, the same one on both sides. */
function inlinedCalls(proof: Proof, baseAt: number, nextAt: number): (readonly [SourceLocation, SourceLocation])[] {
  const before = callsAt(proof.base.object, proof.baseBody.section, baseAt);
  if (before.length === 0) return [];
  const after = callsAt(proof.next.object, proof.nextBody.section, nextAt);
  return before.flatMap(({ name, call }, depth) => {
    const other = after[depth];
    return call && other?.call && other.name === name ? [[call, other.call] as const] : [];
  });
}

/** The number counts from the end of a statement of some lines, on both sides from the same one. */
function isBehind(
  site: Site,
  from: SourceLocation,
  to: SourceLocation,
  longest: number,
  edits: SourceEdits | undefined,
): boolean {
  const behind = site.base - from.line;
  if (behind < 0 || behind > longest || site.next - to.line !== behind) return false;
  if (baseName(from.file) !== baseName(to.file)) return false;
  return !edits || mapLine(hunksOf(edits, from.file), site.base) === site.next;
}

/**
 * The number moves as the lines of its file do: as the edits say, or by the one shift of all lines of that file in the function. Where
 * the statement has a line, the number is not far behind it.
 */
function movesWithLines(proof: Proof, site: Site, longest: number): boolean {
  const { edits, shifts } = proof;
  const [baseAt, nextAt] = offsetsAt(proof, site, 0);
  const from = locationAt(proof.baseLines, baseAt);
  const to = locationAt(proof.nextLines, nextAt);
  if (from && to && isBehind(site, from, to, longest, edits)) return true;
  if (inlinedCalls(proof, baseAt, nextAt).some(([b, n]) => isBehind(site, b, n, longest, edits))) return true;
  if (from || to || longest < LONGEST_STATEMENT) return false;
  if (edits) return [...shifts.paths].some((path) => mapLine(hunksOf(edits, path), site.base) === site.next);
  // The file that the call names; all of its lines in this function moved alike.
  const moved = [...shifts.byFile].filter(([file]) => namesItsPlace(proof, site, [file])).map(([, all]) => all);
  return moved.length === 1 && moved[0]!.size === 1 && moved[0]!.has(site.next - site.base);
}

/** How far the lines of a function moved. */
interface Shifts {
  /** By base name of the source file: every distance between a base line and its next line. */
  readonly byFile: ReadonlyMap<string, ReadonlySet<number>>;
  /** Source files of the function's code, as the debug information of the base spells them. */
  readonly paths: ReadonlySet<string>;
}

/**
 * Compares the line rows of the two bodies one by one. Undefined where one does not keep file and column, or lines that follow each other
 * in one file do not keep their distances (or, with the edits at hand, where they do not explain each line).
 */
function lineShifts(
  baseLines: readonly LineRow[],
  baseBody: Body,
  nextLines: readonly LineRow[],
  nextBody: Body,
  edits: SourceEdits | undefined,
): Shifts | undefined {
  const byFile = new Map<string, Set<number>>();
  const paths = new Set<string>();
  let i = Math.max(0, lastLineAt(baseLines, baseBody.start));
  let j = Math.max(0, lastLineAt(nextLines, nextBody.start));
  const baseEnd = baseBody.start + baseBody.size;
  const nextEnd = nextBody.start + nextBody.size;
  for (; ; i++, j++) {
    const from = baseLines[i];
    const to = nextLines[j];
    const baseDone = !from || from.offset >= baseEnd;
    const nextDone = !to || to.offset >= nextEnd;
    if (baseDone || nextDone) return baseDone && nextDone ? { byFile, paths } : undefined;
    if (from.line === 0 || to.line === 0) {
      if (from.line !== to.line) return undefined;
      continue;
    }
    const file = baseName(from.file);
    if (file !== baseName(to.file) || from.column !== to.column) return undefined;
    if (edits && mapLine(hunksOf(edits, from.file), from.line) !== to.line) return undefined;
    paths.add(from.file);
    let all = byFile.get(file);
    if (!all) {
      all = new Set();
      byFile.set(file, all);
    }
    all.add(to.line - from.line);
  }
}

/** The call that an instruction prepares also passes the name of one of these files, or of the function that it is in. */
function namesItsPlace(proof: Proof, site: Site, files: readonly string[]): boolean {
  const { scan } = proof.to;
  let first = site.nextIndex;
  while (first > 0 && site.nextIndex - first < REACH && !isCall(proof.to, first - 1)) first--;
  const last = callBehind(proof, site.nextIndex);
  if (namesOneOf(proof, first, last, files)) return true;
  // Calls that several places prepare alike are made once: the others jump there.
  const target = scan.kind[last] === KIND.jump && scan.relSize[last]! > 0 ? indexAt(scan, scan.target[last]!) : -1;
  return target >= 0 && namesOneOf(proof, target, callBehind(proof, target), files);
}

/** The first call or jump from an instruction on; where there is none near, the last instruction of the reach. */
function callBehind({ to }: Proof, from: number): number {
  let last = from;
  while (last + 1 < to.scan.count && last - from < REACH && !isCall(to, last)) last++;
  return last;
}

/** Number of the instruction that starts at an offset; -1 for none. */
function indexAt(scan: Scan, offset: number): number {
  const index = instructionAt(scan, offset);
  return index >= 0 && scan.start[index] === offset ? index : -1;
}

/** Instructions of the next side refer to the name of one of these files, or of the function that they are in. */
function namesOneOf({ next, nextBody, to }: Proof, first: number, last: number, files: readonly string[]): boolean {
  const { scan } = to;
  const start = nextBody.start + scan.start[first]!;
  const end = nextBody.start + scan.start[last]! + scan.size[last]!;
  for (const relocation of relocationsIn(next.elf.relocationsOf(nextBody.section), start, end)) {
    const bias = codeBias(next.elf.machine, scan, relocation.offset - nextBody.start, relocation.type);
    const reference = describeTarget(next.object, relocationTarget(next.places, relocation, bias));
    if (reference.kind !== 'string') continue;
    const text = reference.name.slice(1, -1);
    if (reference.isFunctionName || files.some((file) => text === file || text.endsWith(`/${file}`))) return true;
    // clang keeps the name of the function among its other strings, without a name of its own.
    if (nextBody.symbols.some(({ name }) => plain(name) === text)) return true;
    if (callsAt(next.object, nextBody.section, start).some(({ name }) => name === text)) return true;
  }
  return false;
}

/** `f.part.0` → `f`. */
const plain = (name: string): string => name.split('.', 1)[0]!;
