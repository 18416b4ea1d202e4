import type { DwarfFunction, InlinedCall, LineRow, SourceLocation } from '../dwarf/types.ts';
import type { ObjectModel } from '../object.ts';
import type { Body } from './places.ts';

/** Where an instruction comes from. */
export interface SourceAt {
  readonly location: SourceLocation | undefined;
  readonly calls: readonly InlinedCall[];
}

const NOWHERE: readonly InlinedCall[] = [];

/** Source line and inlined functions by section offset; to be asked with rising offsets. */
export function sourceReader(object: ObjectModel, body: Body): (offset: number) => SourceAt {
  if (!object.dwarf.present) return () => ({ location: undefined, calls: NOWHERE });
  const lines = object.dwarf.linesOf(body.section);
  const callsAt = inlinedReader(object, body);
  let row = Math.max(0, lastLineAt(lines, body.start));
  let location: SourceLocation | undefined;
  let shown: LineRow | undefined;
  return (offset) => {
    while (row + 1 < lines.length && lines[row + 1]!.offset <= offset) row++;
    const line = lines[row];
    if (line !== shown) {
      shown = line;
      location = undefined;
      if (line && line.offset <= offset && line.line > 0) {
        location = { file: line.file, line: line.line, ...(line.column > 0 ? { column: line.column } : {}) };
      }
    }
    return { location, calls: callsAt(offset) };
  };
}

/** Index of the last line row at or before an offset; -1 where there is none. */
export function lastLineAt(lines: readonly LineRow[], offset: number): number {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lines[middle]!.offset <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The inlined calls that cover an offset, outermost first; a sweep over the ranges, so offsets have to rise. */
function inlinedReader(object: ObjectModel, body: Body): (offset: number) => readonly InlinedCall[] {
  const ranges = (functionAt(object, body.section, body.start)?.inlined ?? [])
    .flatMap((call) => call.ranges.map((range) => ({ ...range, call })))
    .filter((range) => range.section === body.section && range.start < range.end)
    .sort((a, b) => a.start - b.start);
  let next = 0;
  let active: typeof ranges = [];
  let calls = NOWHERE;
  return (offset) => {
    let changed = false;
    for (; next < ranges.length && ranges[next]!.start <= offset; next++) {
      active.push(ranges[next]!);
      changed = true;
    }
    if (active.some((range) => range.end <= offset)) {
      active = active.filter((range) => range.end > offset);
      changed = true;
    }
    if (changed) calls = active.map((range) => range.call).sort((a, b) => a.depth - b.depth);
    return calls;
  };
}

const functionCache = new WeakMap<
  ObjectModel,
  ReadonlyMap<number, readonly { start: number; end: number; of: DwarfFunction }[]>
>();

/** The function of the debug information whose code covers a section offset. */
export function functionAt(object: ObjectModel, section: number, offset: number): DwarfFunction | undefined {
  let bySection = functionCache.get(object);
  if (!bySection) {
    const map = new Map<number, { start: number; end: number; of: DwarfFunction }[]>();
    for (const of of object.dwarf.functions) {
      for (const range of of.ranges) {
        const list = map.get(range.section);
        const entry = { start: range.start, end: range.end, of };
        if (list) list.push(entry);
        else map.set(range.section, [entry]);
      }
    }
    for (const list of map.values()) list.sort((a, b) => a.start - b.start);
    bySection = map;
    functionCache.set(object, map);
  }
  const list = bySection.get(section) ?? [];
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.start <= offset) low = middle + 1;
    else high = middle;
  }
  const found = list[low - 1];
  return found && offset < found.end ? found.of : undefined;
}

/** Source line of an offset; undefined where the line table has none. */
export function locationAt(lines: readonly LineRow[], offset: number): SourceLocation | undefined {
  const row = lines[lastLineAt(lines, offset)];
  return row && row.line > 0 ? row : undefined;
}

/** The inlined calls that cover an offset, outermost first. */
export function callsAt(object: ObjectModel, section: number, offset: number): InlinedCall[] {
  const covers = (call: InlinedCall) =>
    call.ranges.some((one) => one.section === section && one.start <= offset && offset < one.end);
  return (functionAt(object, section, offset)?.inlined ?? []).filter(covers).sort((a, b) => a.depth - b.depth);
}
