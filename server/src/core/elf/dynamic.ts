import * as c from './constants.ts';
import { readU64 } from './container.ts';
import { StringTable } from './strings.ts';
import type { Section, Segment } from './types.ts';

/** What the dynamic section (gABI 5 "Dynamic Section") says about dependencies. */
export interface DynamicInfo {
  readonly needed: readonly string[];
  readonly soname: string | undefined;
}

/** Reads DT_NEEDED and DT_SONAME, through the section table or, without one, through PT_DYNAMIC. */
export function readDynamic(
  bytes: Uint8Array,
  sections: readonly Section[],
  segments: readonly Segment[],
): DynamicInfo {
  let data: Uint8Array | undefined;
  let strings: Uint8Array | undefined;
  const section = sections.find((s) => s.type === c.SHT_DYNAMIC);
  if (section) {
    data = section.data;
    strings = sections[section.link]?.data;
  } else {
    const segment = segments.find((s) => s.type === c.PT_DYNAMIC);
    if (segment) data = bytes.subarray(Math.min(segment.offset, bytes.length), segment.offset + segment.fileSize);
  }
  if (!data) return { needed: [], soname: undefined };

  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const needed: number[] = [];
  let soname: number | undefined;
  let tableAddress: bigint | undefined;
  let tableSize = 0;
  for (let at = 0; at + 16 <= data.length; at += 16) {
    const tag = readU64(view, at);
    if (tag === c.DT_NULL) break;
    if (tag === c.DT_NEEDED) needed.push(readU64(view, at + 8));
    else if (tag === c.DT_SONAME) soname = readU64(view, at + 8);
    else if (tag === c.DT_STRTAB) tableAddress = view.getBigUint64(at + 8, true);
    else if (tag === c.DT_STRSZ) tableSize = readU64(view, at + 8);
  }
  if (!strings && tableAddress !== undefined) strings = bytesAt(bytes, segments, tableAddress, tableSize);
  const table = new StringTable(strings ?? new Uint8Array(0));
  return { needed: needed.map((at) => table.at(at)), soname: soname === undefined ? undefined : table.at(soname) };
}

/** The file's bytes behind a virtual address of a linked file, cut at the end of the segment; undefined where no PT_LOAD covers it. */
export function bytesAt(
  bytes: Uint8Array,
  segments: readonly Segment[],
  address: bigint,
  size: number,
): Uint8Array | undefined {
  for (const segment of segments) {
    if (segment.type !== c.PT_LOAD || address < segment.address) continue;
    const into = Number(address - segment.address);
    if (into >= segment.fileSize) continue;
    const start = Math.min(bytes.length, segment.offset + into);
    const end = Math.min(bytes.length, start + Math.min(size, segment.fileSize - into));
    return bytes.subarray(start, end);
  }
  return undefined;
}
