import { declare, isTagged, type TypeTable, typeTable } from '../diff/type-table.ts';
import type { ObjectPair, TypeChange } from '../diff/types.ts';
import type { TypeRef } from '../dwarf/types.ts';

/** Bytes of a cache line on the machines that we know. */
const cacheline = 64;
const maxNesting = 16;
const maxRows = 4000;

/** One row of a struct's layout, in the order of its bytes. Offsets and sizes in bits. */
export interface LayoutRow {
  readonly what: 'member' | 'open' | 'close' | 'hole' | 'padding' | 'cacheline';
  /** Path of the member from the outer type, e.g. `addr.port`; of the enclosing member for `close`; empty for the others. */
  readonly path: string;
  /** C text: `int port;`, `struct {`, `} addr;`. */
  readonly text: string;
  readonly depth: number;
  readonly offset: number;
  readonly size: number;
  readonly bitField: boolean;
}

/**
 * Rows of a struct or union: members with nested types that have no name opened up, holes between members, padding at the end, and
 * cacheline boundaries (of 64 bytes) where a member of the outer type starts on or after one. Empty for anything else.
 */
export function layoutRows(table: TypeTable, ref: TypeRef): LayoutRow[] {
  const rows: LayoutRow[] = [];
  rowsOf(table, ref, 0, '', 1, rows);
  return rows;
}

function rowsOf(table: TypeTable, ref: TypeRef, start: number, prefix: string, depth: number, rows: LayoutRow[]): void {
  const type = table.get(ref);
  if (!type || (type.kind !== 'struct' && type.kind !== 'union') || depth > maxNesting) return;
  const gap = (what: 'hole' | 'padding', offset: number, size: number): void => {
    rows.push({
      what,
      path: '',
      text: `${amount(size)} ${what}`,
      depth,
      offset: start + offset,
      size,
      bitField: false,
    });
  };
  let end = 0;
  let line = Math.floor(start / (cacheline * 8));
  for (const member of type.members) {
    if (rows.length > maxRows) return;
    if (type.kind === 'struct' && member.bitOffset > end) gap('hole', end, member.bitOffset - end);
    if (depth === 1 && type.kind === 'struct') {
      const at = Math.floor(member.bitOffset / (cacheline * 8));
      if (at > line) {
        line = at;
        const boundary = at * cacheline;
        rows.push({
          what: 'cacheline',
          path: '',
          text: `cacheline ${at} boundary (${boundary} bytes)`,
          depth,
          offset: boundary * 8,
          size: 0,
          bitField: false,
        });
      }
    }
    const inner = table.strip(member.type);
    const nested = table.get(inner);
    const path = member.name === '' ? prefix : `${prefix}${member.name}`;
    const place = { depth, offset: start + member.bitOffset, size: member.bitSize, bitField: member.bitField };
    if (isTagged(nested) && nested.kind !== 'enum' && table.label(inner) === '') {
      rows.push({ ...place, what: 'open', path, text: `${nested.kind} {` });
      rowsOf(table, inner, place.offset, member.name === '' ? prefix : `${path}.`, depth + 1, rows);
      rows.push({ ...place, what: 'close', path, text: member.name === '' ? '};' : `} ${member.name};` });
    } else {
      const width = member.bitField ? `:${member.bitSize}` : '';
      rows.push({ ...place, what: 'member', path, text: `${declare(table, member.type, member.name)}${width};` });
    }
    end = Math.max(end, member.bitOffset + member.bitSize);
  }
  const total = (type.size ?? 0) * 8;
  if (type.kind === 'struct' && total > end) gap('padding', end, total - end);
}

/** `   4     8` for whole bytes; bit-fields as pahole has them: `   4: 3  5`. */
export function placeText({ offset, size, bitField }: Pick<LayoutRow, 'offset' | 'size' | 'bitField'>): string {
  const byte = String(Math.floor(offset / 8)).padStart(6);
  return bitField
    ? `${byte}:${String(offset % 8).padStart(2)} ${String(size).padStart(4)}`
    : `${byte}    ${String(size / 8).padStart(4)}`;
}

/** Text of one row without its mark. */
function rowText(row: LayoutRow): string {
  const indent = '    '.repeat(row.depth);
  switch (row.what) {
    case 'hole':
    case 'padding':
      return `${indent}/* ${row.text} */`;
    case 'cacheline':
      return `${indent}/* --- ${row.text} --- */`;
    case 'open':
      return indent + row.text;
    default:
      return `${(indent + row.text).padEnd(52)} /* ${placeText(row)} */`;
  }
}

/** A struct or union in pahole's form: offset and size in bytes behind each member. */
export function renderStruct(table: TypeTable, ref: TypeRef): string {
  const type = table.get(ref);
  if (!type) return '';
  const body = layoutRows(table, ref).map(rowText);
  return [`${table.label(ref) || `${type.kind} {…}`} {`, ...body, '', `    ${summary(table, ref)}`, '};', ''].join(
    '\n',
  );
}

/** `3 bytes`, `1 byte`, `11 bits`. */
function amount(bits: number): string {
  const [count, unit] = bits % 8 === 0 ? [bits / 8, 'byte'] : [bits, 'bit'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

/** Last line of a layout in words, e.g. `size: 24, cachelines: 1, members: 3, holes: 1 (4 bytes)`, as a C comment. */
function summary(table: TypeTable, ref: TypeRef): string {
  const type = table.get(ref);
  const size = type?.size ?? 0;
  const rows = layoutRows(table, ref);
  const sum = (what: LayoutRow['what']): string => {
    const list = rows.filter((row) => row.what === what);
    const bits = list.reduce((n, row) => n + row.size, 0);
    return list.length === 0
      ? ''
      : `, ${what === 'hole' ? `holes: ${list.length} (${amount(bits)})` : `padding: ${amount(bits)}`}`;
  };
  return `/* size: ${size}, cachelines: ${Math.ceil(size / cacheline)}, members: ${type?.members.length ?? 0}${sum('hole')}${sum('padding')} */`;
}

/**
 * A changed type before and after as one plain text: lines of the old layout that differ are marked `-`, those of the new one `+`. Members
 * are matched by path, so that one that moved shows next to itself.
 */
export function renderLayoutChange(pair: ObjectPair, change: TypeChange): string {
  const base = typeTable(pair.base.dwarf);
  const next = typeTable(pair.next.dwarf);
  const title = change.label ?? change.name;
  if (change.kind === 'enum') return enumText(title, change);
  if (change.kind === 'typedef' || change.kind === 'base') {
    const old = change.base
      ? `- typedef ${declare(base, change.base.target, change.name)}; /* ${change.baseSize} bytes */\n`
      : '';
    const now = change.next
      ? `+ typedef ${declare(next, change.next.target, change.name)}; /* ${change.nextSize} bytes */\n`
      : '';
    return old + now;
  }
  const before = change.base ? layoutRows(base, change.base.index).map(rowText) : [];
  const after = change.next ? layoutRows(next, change.next.index).map(rowText) : [];
  const lines = [`  ${title} {`, ...mergeLines(before, after)];
  const last = [
    change.base ? `    ${summary(base, change.base.index)}` : undefined,
    change.next ? `    ${summary(next, change.next.index)}` : undefined,
  ];
  if (last[0] === last[1]) lines.push(`  ${last[0] ?? ''}`);
  else {
    if (last[0] !== undefined) lines.push(`- ${last[0]}`);
    if (last[1] !== undefined) lines.push(`+ ${last[1]}`);
  }
  return `${[...lines, '  };'].join('\n')}\n`;
}

function enumText(title: string, change: TypeChange): string {
  const lines = [`  ${title} {`];
  for (const { name, base, next } of change.enumerators) {
    if (base !== undefined) lines.push(`-     ${name} = ${base},`);
    if (next !== undefined) lines.push(`+     ${name} = ${next},`);
  }
  if (change.baseSize !== change.nextSize)
    lines.push(`-     /* size: ${change.baseSize} */`, `+     /* size: ${change.nextSize} */`);
  return `${[...lines, '  };'].join('\n')}\n`;
}

/** Longest common subsequence of lines; very long ones are set side by side after their common ends. */
function mergeLines(before: readonly string[], after: readonly string[]): string[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const a = before.slice(start, before.length - end);
  const b = after.slice(start, after.length - end);
  const same = (line: string): string => `  ${line}`;
  return [
    ...before.slice(0, start).map(same),
    ...(a.length * b.length > 1_000_000 ? [...a.map((l) => `- ${l}`), ...b.map((l) => `+ ${l}`)] : lcs(a, b)),
    ...before.slice(before.length - end).map(same),
  ];
}

function lcs(a: readonly string[], b: readonly string[]): string[] {
  const width = b.length + 1;
  const best = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i * width + j] =
        a[i] === b[j]
          ? best[(i + 1) * width + j + 1]! + 1
          : Math.max(best[(i + 1) * width + j]!, best[i * width + j + 1]!);
    }
  }
  const lines: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(`  ${a[i]}`);
      i++;
      j++;
    } else if (i < a.length && (j === b.length || best[(i + 1) * width + j]! >= best[i * width + j + 1]!)) {
      lines.push(`- ${a[i++]}`);
    } else {
      lines.push(`+ ${b[j++]}`);
    }
  }
  return lines;
}
