import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DwarfInfo, DwarfType } from '../../../server/src/core/dwarf/types.ts';

/** A leaf or an inline aggregate of a struct, in bits from the start of the outermost type. */
export type Leaf = string;

/** Holes between the members of a struct and padding behind them, bit holes and bit padding included, in bits. */
export interface Gaps {
  readonly holes: number;
  readonly padding: number;
}

/** A struct or union; `size` in bytes, where the tool tells (pahole does not for unions). */
export interface Layout {
  readonly size: number | undefined;
  readonly leaves: readonly Leaf[];
  /** Of structs; pahole's own count. */
  readonly gaps?: Gaps;
  /** pahole says that its numbers do not add up. */
  readonly doubtful?: boolean;
}

/** Runs a tool on an object file in a scratch folder and gives what it printed. */
export function runOn(object: Uint8Array, command: string, ...args: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-oracle-'));
  try {
    const file = join(folder, 'unit.o');
    writeFileSync(file, object);
    const run = spawnSync(command, [...args, file], { encoding: 'utf8', maxBuffer: 1 << 30 });
    if (run.error) throw run.error;
    return run.stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Layouts that pahole prints: `struct tag` → size and, in its order, `name@bit+bits` of each member, inline aggregates after their parts. */
export function paholeLayouts(object: Uint8Array): Map<string, Layout> {
  const text = runOn(object, 'pahole', '--show_private_classes', '--anon_include');
  return parsePahole(text);
}

function parsePahole(text: string): Map<string, Layout> {
  const layouts = new Map<string, Layout>();
  /** Leaves in front of each aggregate that is open. */
  const open: number[] = [];
  let current: { size: number | undefined; leaves: Leaf[]; gaps?: Gaps; doubtful?: boolean } | undefined;
  for (const line of text.split('\n')) {
    const head = /^(struct|union) ([A-Za-z_]\w*) \{/.exec(line);
    if (head) {
      current = { size: undefined, leaves: [], ...(head[1] === 'struct' && { gaps: { holes: 0, padding: 0 } }) };
      open.length = 0;
      // Two different types of one name: the first is compared.
      const name = `${head[1]} ${head[2]}`;
      if (!layouts.has(name)) layouts.set(name, current);
      continue;
    }
    if (!current) continue;
    if (/^\}/.test(line)) {
      current = undefined;
      continue;
    }
    const size = /^\t\/\* size: (\d+),/.exec(line);
    if (size) current.size = Number(size[1]);
    // One tab: the summary of the outermost type.
    if (current.gaps && /^\t\/\* [a-zA-Z]/.test(line)) {
      const number = (pattern: RegExp) => Number(pattern.exec(line)?.[1] ?? 0);
      const { holes, padding } = current.gaps;
      current.gaps = {
        // Each hole where it is: the sums at the end leave some out beside bit-fields.
        holes: holes + number(/XXX (\d+) bytes? hole/) * 8 + number(/XXX (\d+) bits? hole/),
        padding: padding + number(/[ ,]padding: (\d+)/) * 8 + number(/bit_padding: (\d+) bits/),
      };
      if (line.includes('BRAIN FART')) current.doubtful = true;
    }
    if (/^\t+.*\{$/.test(line)) open.push(current.leaves.length);
    const member = /^(.*);\s*\/\*\s*(\d+)(?::\s*(\d+))?\s+(\d+)\s*\*\/$/.exec(line);
    if (!member) continue;
    const declaration = member[1]!;
    if (/^\s*\}/.test(declaration)) {
      const start = open.pop() ?? 0;
      // Behind a pointer: what it leads to is no part of this type.
      if (/^\s*\}\s*\*/.test(declaration)) current.leaves.length = start;
    }
    const byte = Number(member[2]);
    const bits = /:(\d+)$/.exec(declaration.trim());
    const name = nameOf(declaration);
    if (bits) {
      // Unnamed bit-fields are pahole's own guess at why there is a hole.
      if (name !== '') current.leaves.push(`${name}@${byte * 8 + Number(member[3] ?? 0)}+${bits[1]}`);
    } else current.leaves.push(`${name}@${byte * 8}+${Number(member[4]) * 8}`);
  }
  return layouts;
}

function nameOf(declaration: string): string {
  const text = declaration
    .trim()
    .replace(/:\d+$/, '')
    .replace(/__attribute__\(\(\w+(?:\(\d+\))?\)\)/g, '')
    .trim();
  const pointer = /\(\*+\s*(?:const |volatile |restrict )*(\w+)/.exec(text);
  if (pointer) return pointer[1]!;
  const closed = /^\}\s*(.*)$/.exec(text);
  const rest = (closed ? closed[1]!.replace(/^[\s*]+/, '') : text).replace(/(\[\d*\])+$/, '').trim();
  if (closed) return rest;
  const word = /(\w+)$/.exec(rest);
  return word && /[\s*]/.test(rest) ? word[1]! : '';
}

/** The same for what was read: only types with a tag and a size. */
export function readLayouts(info: DwarfInfo): Map<string, Layout> {
  const layouts = new Map<string, Layout>();
  for (const type of info.types) {
    if ((type.kind !== 'struct' && type.kind !== 'union') || type.name === '' || type.declaration) continue;
    const name = `${type.kind} ${type.name}`;
    if (layouts.has(name)) continue;
    const leaves: Leaf[] = [];
    flatten(info, type, 0, leaves);
    layouts.set(name, { size: type.size, leaves });
  }
  return layouts;
}

function flatten(info: DwarfInfo, type: DwarfType, base: number, leaves: Leaf[]): void {
  for (const member of type.members) {
    let inner = info.types[member.type];
    while (inner && ['array', 'const', 'volatile'].includes(inner.kind)) inner = info.types[inner.target];
    const aggregate = inner && (inner.kind === 'struct' || inner.kind === 'union') && inner.name === '';
    if (aggregate) flatten(info, inner!, base + member.bitOffset, leaves);
    if (member.bitField && member.name === '') continue;
    leaves.push(`${member.name}@${base + member.bitOffset}+${member.bitSize}`);
  }
}
