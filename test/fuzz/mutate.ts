import { Random } from './random.ts';
import type { Region, Seed } from './seeds.ts';

/** Numbers at which readers go wrong: edges of widths, signs and sizes. */
const EDGES = [
  0, 1, 2, 3, 7, 8, 0x10, 0x3f, 0x40, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xff00, 0xfff1, 0xfff2, 0xffff, 0x10000,
  0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
];

/** Mutates object number `index` of the run with this seed: 1 to 8 changes of one seed object. Deterministic. */
export function mutant(seeds: readonly Seed[], seed: number, index: number): { seed: Seed; bytes: Uint8Array } {
  const random = new Random(seed, index);
  const from = random.pick(seeds);
  let bytes = new Uint8Array(from.bytes);
  for (let changes = 1 + random.below(random.chance(4) ? 8 : 3); changes > 0; changes--) {
    const change = random.pick(CHANGES);
    bytes = change(bytes, from, random) ?? bytes;
    if (bytes.length === 0) break;
  }
  return { seed: from, bytes };
}

type Change = (bytes: Uint8Array<ArrayBuffer>, seed: Seed, random: Random) => Uint8Array<ArrayBuffer> | undefined;

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function region(seed: Seed, random: Random, ...kinds: Region['kind'][]): Region {
  const fitting = seed.regions.filter((r) => kinds.includes(r.kind));
  return random.pick(fitting.length > 0 ? fitting : seed.regions);
}

/** Writes an edge or random number of 1, 2, 4 or 8 bytes. */
function poke(bytes: Uint8Array, at: number, size: number, random: Random): void {
  if (at < 0 || at + size > bytes.length) return;
  const v = view(bytes);
  const value = random.chance(3) ? random.u32() : random.pick(EDGES);
  if (size === 1) v.setUint8(at, value & 0xff);
  else if (size === 2) v.setUint16(at, value & 0xffff, true);
  else if (size === 4) v.setUint32(at, value, true);
  else {
    v.setUint32(at, value, true);
    v.setUint32(at + 4, random.chance(2) ? 0 : random.pick(EDGES), true);
  }
}

function field(
  bytes: Uint8Array,
  table: Region,
  entry: number,
  fields: readonly (readonly [number, number])[],
  random: Random,
): void {
  const count = Math.floor((table.end - table.start) / entry);
  const [at, size] = random.pick(fields);
  poke(bytes, table.start + random.below(count) * entry + at, size, random);
}

const FILE_HEADER = [
  [16, 2],
  [18, 2],
  [20, 4],
  [24, 8],
  [32, 8],
  [40, 8],
  [48, 4],
  [52, 2],
  [54, 2],
  [56, 2],
  [58, 2],
  [60, 2],
  [62, 2],
] as const;
const SECTION_HEADER = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 8],
  [24, 8],
  [32, 8],
  [40, 4],
  [44, 4],
  [48, 8],
  [56, 8],
] as const;
const SYMBOL = [
  [0, 4],
  [4, 1],
  [5, 1],
  [6, 2],
  [8, 8],
  [16, 8],
] as const;
const RELOCATION = [
  [0, 8],
  [8, 4],
  [12, 4],
  [16, 8],
] as const;

const CHANGES: readonly Change[] = [
  // Structure of the container.
  (bytes, _seed, random) => {
    const [at, size] = random.pick(FILE_HEADER);
    poke(bytes, at, size, random);
    return undefined;
  },
  (bytes, seed, random) => {
    field(bytes, region(seed, random, 'section-table'), 64, SECTION_HEADER, random);
    return undefined;
  },
  // One section header takes fields of another: sections that overlap, or have another's type.
  (bytes, seed, random) => {
    const table = region(seed, random, 'section-table');
    const count = (table.end - table.start) / 64;
    const to = table.start + random.below(count) * 64;
    const from = table.start + random.below(count) * 64;
    const [at, size] = random.pick([
      [0, 64],
      [24, 16],
      [4, 4],
      [40, 8],
      [24, 8],
      [32, 8],
    ] as const);
    if (Math.max(from, to) + 64 <= bytes.length) bytes.copyWithin(to + at, from + at, from + at + size);
    return undefined;
  },
  (bytes, seed, random) => {
    field(bytes, region(seed, random, 'symbols'), 24, SYMBOL, random);
    return undefined;
  },
  (bytes, seed, random) => {
    field(bytes, region(seed, random, 'relocations'), 24, RELOCATION, random);
    return undefined;
  },
  // Debug information.
  redirect,
  redirect,
  (bytes, seed, random) => byteChange(bytes, region(seed, random, 'info'), random),
  (bytes, seed, random) => byteChange(bytes, region(seed, random, 'info'), random),
  (bytes, seed, random) => byteChange(bytes, region(seed, random, 'abbrev'), random),
  // Another tag, attribute or form: small numbers, as the tables have them.
  (bytes, seed, random) => {
    const { start, end } = region(seed, random, 'abbrev');
    const at = start + random.below(end - start);
    if (at < bytes.length) bytes[at] = random.below(0x4b);
    return undefined;
  },
  (bytes, seed, random) => byteChange(bytes, region(seed, random, 'line'), random),
  (bytes, seed, random) => byteChange(bytes, region(seed, random, 'lists'), random),
  (bytes, seed, random) => byteChange(bytes, region(seed, random, 'strings'), random),
  (bytes, seed, random) => byteChange(bytes, region(seed, random, 'code', 'other'), random),
  // Tables of kernels, and their relocations to places that are not code.
  (bytes, seed, random) => byteChange(bytes, region(seed, random, 'special', 'relocations'), random),
  // Line programs: another opcode, an operand that runs away.
  (bytes, seed, random) => {
    const { start, end } = region(seed, random, 'line');
    const at = start + random.below(end - start);
    if (at < bytes.length) bytes[at] = random.pick([0, 1, 2, 3, 5, 8, 9, 12, 13, 0x80, 0xff]);
    return undefined;
  },
  // Compressed sections: the header's method, size and alignment, and the data behind it.
  (bytes, seed, random) => {
    const packed = region(seed, random, 'packed');
    if (packed.kind !== 'packed') return undefined;
    if (random.chance(2)) return byteChange(bytes, packed, random);
    const [at, size] = random.pick([
      [0, 4],
      [8, 8],
      [16, 8],
      [24, 4],
      [28, 4],
    ] as const);
    poke(bytes, packed.start + at, size, random);
    return undefined;
  },
  // Endless LEB128 numbers, strings without end.
  (bytes, seed, random) => {
    const { start, end } = random.pick(seed.regions);
    const at = start + random.below(end - start);
    bytes.fill(random.pick([0x80, 0xff, 0x41, 0x00]), at, Math.min(end, at + 1 + random.below(64)));
    return undefined;
  },
  // Blocks moved within a region, or from one to another.
  (bytes, seed, random) => {
    const from = random.pick(seed.regions);
    const to = random.chance(2) ? from : random.pick(seed.regions);
    const length = 1 + random.below(Math.min(256, from.end - from.start));
    const source = from.start + random.below(from.end - from.start);
    const target = to.start + random.below(to.end - to.start);
    if (target + length <= bytes.length) bytes.copyWithin(target, source, source + length);
    return undefined;
  },
  // Truncation, and junk behind the end.
  (bytes, _seed, random) => (random.chance(3) ? bytes.slice(0, random.below(bytes.length)) : undefined),
  (bytes, _seed, random) => {
    if (!random.chance(4)) return undefined;
    const longer = new Uint8Array(bytes.length + random.below(4096));
    longer.set(bytes);
    for (let at = bytes.length; at < longer.length; at++) longer[at] = random.u32() & 0xff;
    return longer;
  },
];

/** Points a reference of the debug information to another entry: types that contain themselves, origins in a circle. */
function redirect(bytes: Uint8Array, seed: Seed, random: Random): undefined {
  if (seed.references.length === 0) return;
  for (let count = 1 + random.below(4); count > 0; count--) {
    const at = random.pick(seed.references);
    if (at + 4 <= bytes.length) view(bytes).setUint32(at, random.pick(seed.entries), true);
  }
}

function byteChange(bytes: Uint8Array, { start, end }: Region, random: Random): undefined {
  const at = start + random.below(end - start);
  if (at >= bytes.length) return;
  switch (random.below(5)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8);
      return;
    case 1:
      bytes[at] = random.u32() & 0xff;
      return;
    case 2:
      bytes[at] = (bytes[at]! + random.pick([1, -1, 2, -2])) & 0xff;
      return;
    default:
      poke(bytes, at, random.pick([1, 2, 4, 8]), random);
  }
}
