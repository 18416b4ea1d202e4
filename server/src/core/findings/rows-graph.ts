import { listBody } from '../asm/listing.ts';
import { displayName } from '../asm/names.ts';
import { placesOf } from '../asm/places.ts';
import type { AsmRow } from '../asm/types.ts';
import { plainName } from '../diff/signatures.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { isDeadEndName } from './flow.ts';

/** More rows than this are not walked. */
const MAX_ROWS = 30_000;

/** The rows of a function, its cold part behind them, and how control goes on from each. */
export interface RowGraph {
  readonly rows: readonly AsmRow[];
  /** Rows that may come next; none at a return, a jump to another function, or a call that does not come back. */
  readonly next: readonly (readonly number[])[];
  /** Rows at which the function is left for its caller, or for a function that returns to it. */
  readonly exits: ReadonlySet<number>;
  /** Rows that no known way leads to: code behind jumps that only the running system puts in, or that could not be followed. */
  readonly orphans: readonly number[];
}

/** Pieces that gcc splits off a function. */
export const isColdPart = (name: string): boolean => /\.cold(\.|$)/.test(name);

/** True for a row that calls. */
export const isCallRow = ({ mnemonic }: AsmRow): boolean => mnemonic === 'call' || mnemonic === 'bl';

/** The function that a row calls or jumps to by name. */
export const calleeIn = ({ references }: AsmRow): string | undefined =>
  references.find(({ kind }) => kind === 'function' || kind === 'external')?.name;

/** Names of functions that report what must not be, and mostly do not return; they are not declared so everywhere. */
const likelyDead =
  /(^|_)(panic|fatal|die|abort|unreachable|assert(ion)?(_?fail(ed|ure)?)?|oom)(_|$)|Panic|Fatal|Assert|Unreachable/;

/** A call behind which its caller does not go on: known by name, or of a likely name with a place behind it that others jump to. */
function endsAt(rows: readonly AsmRow[], at: number): boolean {
  const name = isCallRow(rows[at]!) ? calleeIn(rows[at]!) : undefined;
  return name !== undefined && (isDeadEndName(name) || (likelyDead.test(name) && isJoinBehind(rows, at)));
}

/** Whether a place that others jump to comes next, padding left out: it need not be reached from here. */
export function isJoinBehind(rows: readonly AsmRow[], at: number): boolean {
  let next = at + 1;
  while (rows[next]?.mnemonic === 'nop' && rows[next]!.label === undefined) next++;
  return rows[next] !== undefined && rows[next]!.label !== undefined;
}

const named = new WeakMap<ObjectModel, ReadonlyMap<string, ElfSymbol>>();

/** The function of an object that listings call so. */
export function functionNamed(object: ObjectModel, name: string): ElfSymbol | undefined {
  let known = named.get(object);
  if (!known) {
    const functions = object.elf.symbols.filter(({ type, size }) => type === 'func' && size > 0);
    known = new Map(functions.map((symbol) => [displayName(object, symbol), symbol]));
    named.set(object, known);
  }
  return known.get(name);
}

const graphs = new WeakMap<ObjectModel, Map<number, RowGraph | undefined>>();

/** The graph of a function, kept with the object; undefined where it is no code or too long. */
export function rowGraphOf(object: ObjectModel, symbol: ElfSymbol): RowGraph | undefined {
  let known = graphs.get(object);
  if (!known) {
    known = new Map();
    graphs.set(object, known);
  }
  if (!known.has(symbol.index)) known.set(symbol.index, build(object, symbol));
  return known.get(symbol.index);
}

interface Piece {
  readonly name: string;
  readonly rows: readonly AsmRow[];
  /** Where its rows begin in the graph. */
  readonly start: number;
}

function build(object: ObjectModel, symbol: ElfSymbol): RowGraph | undefined {
  const pieces = piecesOf(object, symbol);
  if (!pieces) return undefined;
  const rows = pieces.flatMap((piece) => piece.rows);
  const next: number[][] = [];
  const exits = new Set<number>();
  const indirect: number[] = [];
  for (const piece of pieces) {
    const labels = new Map(
      piece.rows.flatMap(({ label }, i) => (label === undefined ? [] : [[label, piece.start + i]])),
    );
    const tables = [...new Set(piece.rows.flatMap(({ references }) => references.flatMap((one) => one.labels ?? [])))];
    for (const [i, row] of piece.rows.entries()) {
      const at = piece.start + i;
      const through = i + 1 < piece.rows.length ? [at + 1] : [];
      const kind = flowOfRow(row);
      if (kind === 'return') exits.add(at);
      if (kind === 'return' || kind === 'trap') next.push([]);
      else if (kind === 'jump' || kind === 'branch') {
        const targets = kind === 'branch' ? through : [];
        const label = row.references.find((one) => one.kind === 'label')?.name;
        const other = row.references.find((one) => one.kind === 'function' || one.kind === 'external');
        const inside = label === undefined ? undefined : labels.get(label);
        const outside = other ? rowIn(pieces, other.name, other.addend) : undefined;
        if (inside !== undefined) next.push([...targets, inside]);
        else if (outside !== undefined) next.push([...targets, outside]);
        else {
          const to = tables.flatMap((one) => labels.get(one) ?? []);
          next.push([...targets, ...(other ? [] : to)]);
          if (!other && to.length > 0) indirect.push(at);
          else if (!other || !isDeadEndName(other.name)) exits.add(at);
        }
      } else if (endsAt(piece.rows, i)) next.push([]);
      else next.push(through);
    }
  }
  const lost = orphansOf(rows, next);
  // A table whose entries lead to the cold part as well is not read to its end: the rest of its targets are places without a label.
  for (const at of indirect) next[at]!.push(...lost);
  return { rows, next, exits, orphans: indirect.length > 0 ? [] : lost };
}

function piecesOf(object: ObjectModel, symbol: ElfSymbol): readonly Piece[] | undefined {
  const own = plainName(symbol.name);
  const cold = object.elf.symbols.filter(
    (one) =>
      one.type === 'func' &&
      one.name.startsWith(`${symbol.name}.cold`) &&
      isColdPart(one.name) &&
      plainName(one.name) === own,
  );
  const pieces: Piece[] = [];
  let start = 0;
  for (const one of isColdPart(symbol.name) ? [symbol] : [symbol, ...cold]) {
    const body = placesOf(object.elf).bodyOf(one);
    if (!body) continue;
    const rows = listBody(object, body);
    pieces.push({ name: displayName(object, one), rows, start });
    start += rows.length;
  }
  return start === 0 || start > MAX_ROWS ? undefined : pieces;
}

function rowIn(pieces: readonly Piece[], name: string, offset: number): number | undefined {
  const piece = pieces.find((one) => one.name === name);
  const row = piece?.rows.findIndex((one) => one.offset === offset) ?? -1;
  return row < 0 ? undefined : piece!.start + row;
}

function flowOfRow({ mnemonic }: AsmRow): 'return' | 'trap' | 'jump' | 'branch' | undefined {
  if (/^(notrack |bnd )?ret[fq]?$/.test(mnemonic) || mnemonic === 'retaa' || mnemonic === 'eret') return 'return';
  if (/^ud|^hlt$|^brk$|^int3$/.test(mnemonic)) return 'trap';
  if (/^(notrack |bnd )?jmp$/.test(mnemonic) || mnemonic === 'b' || mnemonic === 'br') return 'jump';
  if (/^(notrack |bnd )?j[a-z]+$|^b\.|^cbn?z$|^tbn?z$|^loopn?e?$/.test(mnemonic)) return 'branch';
  return undefined;
}

/** First rows of pieces of code that nothing leads to, padding left out. */
function orphansOf(rows: readonly AsmRow[], next: readonly (readonly number[])[]): number[] {
  const reached = new Set<number>();
  const walk = (from: number): void => {
    const stack = [from];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (reached.has(at)) continue;
      reached.add(at);
      stack.push(...next[at]!);
    }
  };
  walk(0);
  const found: number[] = [];
  for (const [at, row] of rows.entries()) {
    if (reached.has(at) || row.padding || /^(nop|int3|ud2|udf|endbr64)$/.test(row.mnemonic)) continue;
    found.push(at);
    walk(at);
  }
  return found;
}
