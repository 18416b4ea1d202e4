import { isNobits } from '../asm/places.ts';
import { firstByteDifference } from './contents.ts';
import { isTagged } from './type-table.ts';
import { dimensionsOf, isText, relocationAt, type Spot, type ValueSource, valueText } from './value-text.ts';
import type { ValueContext, ValueNode, ValuePart } from './values.ts';

/** Values that are read of one object, at most; what is beyond is compared by its bytes. */
const MOST_VALUES = 20_000;
/** Nesting of members and elements; only hostile debug information goes deeper. */
const DEEPEST = 24;
/** Product of the numbers of elements that are aligned by their values; longer stretches pair by position. */
const MOST_PAIRS = 1_000_000;
/** Characters of an aggregate's one-line form. */
const SHORT = 100;

/** Elements from which on an array's equal ends are not looked at one by one. */
const LONG = 64;

/** Elements that are the same at both ends of an array. */
interface Window {
  readonly head: number;
  readonly tail: number;
}

const NOTHING_SAME: Window = { head: 0, tail: 0 };

/** A side of what is compared: the bytes and the place in them. */
interface Half {
  readonly source: ValueSource;
  readonly spot: Spot;
}

/** A half with its name in the aggregate that holds it. */
interface Child extends Half {
  readonly label: string;
  readonly alternative: boolean;
}

/** Builds the tree of an object's values; `cut` where there were more than can be read. */
export function buildTree(
  context: ValueContext,
  name: string,
  base: Half | undefined,
  next: Half | undefined,
): { readonly root: ValueNode; readonly cut: boolean } {
  const builder = new Builder(context);
  const child = (half: Half | undefined): Child | undefined =>
    half && { source: half.source, spot: half.spot, label: name, alternative: false };
  return { root: builder.node(name, child(base), child(next), 0), cut: builder.cut };
}

class Builder {
  cut = false;
  readonly #context: ValueContext;
  readonly #touched = new WeakMap<object, Map<number, boolean>>();
  #left = MOST_VALUES;

  constructor(context: ValueContext) {
    this.#context = context;
  }

  node(path: string, base: Child | undefined, next: Child | undefined, depth: number): ValueNode {
    this.#left--;
    const window = base && next ? this.#window(base, next) : NOTHING_SAME;
    const baseParts = base && this.#isWhole(base) ? [] : this.#children(base, depth, window);
    const nextParts = next && this.#isWhole(next) ? [] : this.#children(next, depth, window);
    const both = base !== undefined && next !== undefined;
    const comparable = !both || this.#isWhole(base) === this.#isWhole(next);
    let children: ValueNode[] = [];
    if (this.#left > 0 && comparable && !(both && this.#sameBytes(base, next)))
      children = [
        ...sameElements(path, base, next, 0, window.head),
        ...this.#pair(path, base, next, baseParts, nextParts, depth),
        ...sameElements(path, base, next, -window.tail, 0),
      ];
    const changed =
      children.length > 0
        ? !both || children.some((each) => each.changed)
        : !both || !this.#sameValue(base, next, baseParts.length > 0);
    // What a name does not tell, contents may: a pointer to a nameless table that changed.
    const same = both && !changed;
    const text = (half: Child, parts: readonly Child[]): string =>
      parts.length > 0 || !this.#isWhole(half) ? this.#short(half, depth) : valueText(half.source, half.spot);
    const nextText = next && text(next, nextParts);
    const baseText = same ? nextText : base && text(base, baseParts);
    const hidden = both && changed && children.length === 0 && baseText === nextText;
    return {
      ...(base ? { base: part(base, baseText ?? '') } : {}),
      ...(next ? { next: part(next, hidden ? `${nextText} (what it points to differs)` : (nextText ?? '')) } : {}),
      path,
      changed,
      alternative: (next ?? base)?.alternative ?? false,
      children,
    };
  }

  /** A value without parts. */
  #isWhole({ source, spot }: Child): boolean {
    const type = source.table.get(source.table.strip(spot.type));
    if (type?.kind === 'array') return isText(source, spot) || spot.dimensions?.[0] === 0 || type.vector === true;
    return type?.kind !== 'struct' && type?.kind !== 'union';
  }

  #sameValue(base: Child, next: Child, aggregate: boolean): boolean {
    if (aggregate) return this.#sameBytes(base, next);
    const from = relocationOf(base);
    const to = relocationOf(next);
    if (from && to && base.source.section && next.source.section)
      return this.#context.meaning.sameRelocations(
        base.source.section.index,
        base.source.start + base.spot.at,
        next.source.section.index,
        next.source.start + next.spot.at,
        Math.min(base.spot.size, next.spot.size),
      );
    return !from === !to && valueText(base.source, base.spot) === valueText(next.source, next.spot);
  }

  /** The same bytes and references, in types that did not change: nothing inside needs a look. */
  #sameBytes(base: Child, next: Child): boolean {
    const { size } = base.spot;
    if (size !== next.spot.size || base.spot.bits || next.spot.bits) return false;
    if (this.#isTouched(base.source, base.spot.type, 0) || this.#isTouched(next.source, next.spot.type, 0))
      return false;
    const from = base.source.section;
    const to = next.source.section;
    if (!from || !to) return !from === !to;
    const left = base.source.start + base.spot.at;
    const right = next.source.start + next.spot.at;
    if (firstByteDifference(from, left, to, right, size) >= 0) return false;
    if (isNobits(from) && isNobits(to)) return true;
    return this.#context.meaning.sameRelocations(from.index, left, to.index, right, size);
  }

  /** The type is, or holds by value, one whose layout or meaning changed. */
  #isTouched(source: ValueSource, type: number, depth: number): boolean {
    if (this.#context.changedTypes.size === 0) return false;
    let known = this.#touched.get(source.table);
    if (!known) {
      known = new Map();
      this.#touched.set(source.table, known);
    }
    const ref = source.table.element(type);
    const before = known.get(ref);
    if (before !== undefined) return before;
    known.set(ref, false);
    const found = source.table.get(ref);
    const touched =
      depth > DEEPEST ||
      (isTagged(found) && this.#context.changedTypes.has(source.table.label(ref))) ||
      (found?.members.some((member) => this.#isTouched(source, member.type, depth + 1)) ?? false);
    known.set(ref, touched);
    return touched;
  }

  /** How many elements at the start and at the end of long arrays are the same by their bytes: they are not looked at one by one. */
  #window(base: Child, next: Child): Window {
    const size = elementSize(base);
    if (size <= 0 || size !== elementSize(next)) return NOTHING_SAME;
    const counts = [base.spot.dimensions?.[0] ?? 0, next.spot.dimensions?.[0] ?? 0] as const;
    const count = Math.min(...counts);
    const from = base.source.section;
    const to = next.source.section;
    if (count < LONG || !from || !to || this.#isWhole(base) || this.#isWhole(next)) return NOTHING_SAME;
    if (this.#isTouched(base.source, base.spot.type, 0) || this.#isTouched(next.source, next.spot.type, 0))
      return NOTHING_SAME;
    const left = base.source.start + base.spot.at;
    const right = next.source.start + next.spot.at;
    const bytes = firstByteDifference(from, left, to, right, count * size);
    const references = this.#context.meaning.firstRelocationDifference(from.index, left, to.index, right, count * size);
    const first = Math.min(bytes < 0 ? count * size : bytes, references < 0 ? count * size : references);
    const head = Math.floor(first / size);
    let tail = 0;
    const [b, n] = counts;
    const plain = [base, next].every(({ source, spot }) => !relocationAt(source, spot.at, spot.size));
    const same = (): boolean =>
      firstByteDifference(from, left + (b - tail - 1) * size, to, right + (n - tail - 1) * size, size) < 0;
    while (plain && tail < count - head && same()) tail++;
    return { head, tail };
  }

  #children(half: Child | undefined, depth: number, window = NOTHING_SAME): Child[] {
    if (!half || depth > DEEPEST) return [];
    const { source, spot } = half;
    const type = source.table.get(source.table.strip(spot.type));
    if (type?.kind === 'array') return this.#elements(half, window);
    return type?.kind === 'struct' || type?.kind === 'union' ? members(source, spot.type, spot, false, 0) : [];
  }

  #elements(half: Child, { head, tail } = NOTHING_SAME, most = this.#left): Child[] {
    const { source, spot } = half;
    const array = source.table.get(source.table.strip(spot.type))!;
    const [count = 0, ...inner] = spot.dimensions ?? [];
    const size = elementSize(half);
    if (size <= 0) return [];
    const room = Math.min(count - tail, Math.floor(Math.max(0, source.size - spot.at) / size)) - head;
    const shown = Math.max(0, Math.min(room, most));
    if (shown < room && most === this.#left) this.cut = true;
    return Array.from({ length: shown }, (_, i) => {
      const at = spot.at + (head + i) * size;
      return {
        source,
        label: `[${head + i}]`,
        alternative: false,
        spot:
          inner.length > 0
            ? { type: spot.type, at, size, dimensions: inner }
            : { type: array.target, at, size, dimensions: dimensionsOf(source, array.target, size) },
      };
    });
  }

  #pair(
    path: string,
    base: Child | undefined,
    next: Child | undefined,
    from: readonly Child[],
    to: readonly Child[],
    depth: number,
  ): ValueNode[] {
    const isArray = (half: Child | undefined): boolean =>
      half !== undefined && half.source.table.get(half.source.table.strip(half.spot.type))?.kind === 'array';
    const pairs = isArray(next) || isArray(base) ? this.#align(from, to, depth) : byLabel(from, to);
    return pairs.map(([b, n]) => {
      if (this.#left <= 0) this.cut = true;
      return this.node(`${path}${(n ?? b)!.label}`, b, n, depth + 1);
    });
  }

  /** Elements that correspond: equal ones in order, and between those by position. */
  #align(from: readonly Child[], to: readonly Child[], depth: number): Pair[] {
    let head = 0;
    const shorter = Math.min(from.length, to.length);
    while (head < shorter && this.#equal(from[head]!, to[head]!)) head++;
    let tail = 0;
    while (tail < shorter - head && this.#equal(from.at(-1 - tail)!, to.at(-1 - tail)!)) tail++;
    const pairs: Pair[] = from.slice(0, head).map((each, i) => [each, to[i]]);
    const left = from.slice(head, from.length - tail);
    const right = to.slice(head, to.length - tail);
    // Of one length, elements are what they were, by position: a value that moved is two that changed.
    if (left.length !== right.length && left.length > 0 && right.length > 0 && left.length * right.length <= MOST_PAIRS)
      pairs.push(...alignByText(left, right, (each) => this.#short(each, depth)));
    else for (let i = 0; i < Math.max(left.length, right.length); i++) pairs.push([left[i], right[i]]);
    return [...pairs, ...from.slice(from.length - tail).map((each, i): Pair => [each, to[to.length - tail + i]])];
  }

  #equal(base: Child, next: Child): boolean {
    return this.#isWhole(base) ? this.#sameValue(base, next, false) : this.#sameBytes(base, next);
  }

  /** A shortened initialiser. */
  #short(half: Child, depth: number): string {
    if (this.#isWhole(half)) return valueText(half.source, half.spot);
    const parts: string[] = [];
    let length = 0;
    const isArray = half.source.table.get(half.source.table.strip(half.spot.type))?.kind === 'array';
    for (const child of depth > DEEPEST
      ? []
      : isArray
        ? this.#elements(half, NOTHING_SAME, SHORT)
        : this.#children(half, depth)) {
      if (length > SHORT) {
        parts.push('…');
        break;
      }
      const text = `${isArray ? '' : `${child.label} = `}${this.#short(child, depth + 1)}`;
      parts.push(text);
      length += text.length;
    }
    return `{${parts.join(', ')}}`;
  }
}

/** Bytes of one element of an array's first dimension; 0 for anything else. */
function elementSize({ source, spot }: Half): number {
  const array = source.table.get(source.table.strip(spot.type));
  if (array?.kind !== 'array') return 0;
  const size = source.table.get(source.table.strip(array.target))?.size ?? 0;
  return (spot.dimensions ?? []).slice(1).reduce((product, each) => product * each, size);
}

/** One node for a stretch of elements that are the same, from index `from` to before `to`; negative ones, and 0 for `to`, count from the end. */
function sameElements(
  path: string,
  base: Child | undefined,
  next: Child | undefined,
  from: number,
  to: number,
): ValueNode[] {
  if (from === to || !base || !next) return [];
  const side = (half: Child): ValuePart => {
    const size = elementSize(half);
    const count = half.spot.dimensions?.[0] ?? 0;
    const first = from < 0 ? count + from : from;
    const end = to <= 0 ? count + to : to;
    const label = end - first === 1 ? `[${first}]` : `[${first}..${end - 1}]`;
    return { label, text: '{…}', at: half.spot.at + first * size, size: (end - first) * size };
  };
  const after = side(next);
  return [
    { base: side(base), next: after, path: `${path}${after.label}`, changed: false, alternative: false, children: [] },
  ];
}

type Pair = readonly [Child | undefined, Child | undefined];

const part = ({ label, spot }: Child, text: string): ValuePart => ({ label, text, at: spot.at, size: spot.size });

const relocationOf = ({ source, spot }: Child) => (spot.bits ? undefined : relocationAt(source, spot.at, spot.size));

/** Members of a struct or union at a spot; those of nameless ones inside are lifted up. */
function members(source: ValueSource, type: number, spot: Spot, alternative: boolean, depth: number): Child[] {
  const outer = source.table.get(source.table.strip(type));
  const isAlternative = alternative || outer?.kind === 'union';
  return (outer?.members ?? []).flatMap((member): Child[] => {
    const bit = member.bitOffset;
    const at = spot.at + Math.floor(bit / 8);
    const inner = source.table.get(source.table.strip(member.type));
    if (member.name === '') {
      const nested = inner?.kind === 'struct' || inner?.kind === 'union';
      return nested && depth < DEEPEST
        ? members(source, member.type, { type: member.type, at, size: inner.size ?? 0 }, isAlternative, depth + 1)
        : [];
    }
    // A flexible array at the end has what the object has room for.
    const room = inner?.kind === 'array' && !inner.size ? source.size - at : (inner?.size ?? 0);
    const bits = member.bitField ? { offset: bit % 8, size: member.bitSize } : undefined;
    return [
      {
        source,
        label: `.${member.name}`,
        alternative: isAlternative,
        spot: {
          type: member.type,
          at,
          size: bits ? Math.ceil((bits.offset + bits.size) / 8) : room,
          ...(bits ? { bits } : {}),
          dimensions: dimensionsOf(source, member.type, room),
        },
      },
    ];
  });
}

/** Members by name: those of both, where the next side has them; those that are gone behind what they followed. */
function byLabel(from: readonly Child[], to: readonly Child[]): Pair[] {
  const after = new Map(to.map((each) => [each.label, each]));
  const before = new Map(from.map((each) => [each.label, each]));
  const pairs: Pair[] = [];
  let i = 0;
  for (const next of to) {
    while (i < from.length && !after.has(from[i]!.label)) pairs.push([from[i++], undefined]);
    const base = before.get(next.label);
    if (base && from[i] === base) i++;
    pairs.push([base, next]);
  }
  for (; i < from.length; i++) if (!after.has(from[i]!.label)) pairs.push([from[i], undefined]);
  return pairs;
}

/** Longest common subsequence of the elements' texts; what lies between is paired in order. */
function alignByText(from: readonly Child[], to: readonly Child[], text: (child: Child) => string): Pair[] {
  const a = from.map(text);
  const b = to.map(text);
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i * width + j] =
        a[i] === b[j]
          ? best[(i + 1) * width + j + 1]! + 1
          : Math.max(best[(i + 1) * width + j]!, best[i * width + j + 1]!);
  const pairs: Pair[] = [];
  let gone: Child[] = [];
  let fresh: Child[] = [];
  const flush = (): void => {
    for (let k = 0; k < Math.max(gone.length, fresh.length); k++) pairs.push([gone[k], fresh[k]]);
    gone = [];
    fresh = [];
  };
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      flush();
      pairs.push([from[i++], to[j++]]);
    } else if (j >= b.length || (i < a.length && best[(i + 1) * width + j]! >= best[i * width + j + 1]!)) {
      gone.push(from[i++]!);
    } else fresh.push(to[j++]!);
  }
  flush();
  return pairs;
}
