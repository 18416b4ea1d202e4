import type { TypeChange } from '../diff/types.ts';
import type { DwarfInfo } from '../dwarf/types.ts';

type Enumerators = readonly { readonly name: string; readonly value: bigint }[];

/** What those are called that only count the others: `STATE_MAX`, `NR_STATES`. */
const counting = /(^|_)(max|count|cnt|num|nr|total|sentinel)_*$|^_*(n|num|nr)_|__(last|end|max)$|_max_/i;
/** May be what the last of the others is called, too: a token, the end of a transfer. */
const ending = /(^|_)(last|end|size|limit)_*$/i;
/** Constants of their own, which nobody stores as one of several alternatives. */
const amount =
  /(^|_)(min|max|size|len|length|limit|count|num|nr|timeout|delay|interval|mask|shift|bits|order|depth|retries|tries)(_|$)/i;

/**
 * Names of the enumerators whose value changed and that nobody stores, since they only count the others, or name the last of them: they are called so and are, on both
 * sides, the number of the others, one more than their greatest, or that itself. A name that can be one of the others has to size an array as well.
 */
export function counters(type: TypeChange, base: DwarfInfo, next: DwarfInfo): ReadonlySet<string> {
  const named = type.enumerators.filter(
    (one) => one.base !== undefined && one.next !== undefined && (counting.test(one.name) || ending.test(one.name)),
  );
  const names = new Set(named.map(({ name }) => name));
  const before = placesAtTheEnd(type.base?.enumerators ?? [], names);
  const after = placesAtTheEnd(type.next?.enumerators ?? [], names);
  return new Set(
    named
      .filter((one) => {
        const [was, is] = [before(one.base!), after(one.next!)];
        if (was === 'no' || is === 'no') return false;
        if (counting.test(one.name) || (was === 'last' && is === 'last')) return true;
        return sizesArray(base, one.base!) && sizesArray(next, one.next!);
      })
      .map(({ name }) => name),
  );
}

/** Says of a value whether it is behind all enumerators but `without`, the same as the last of them, or neither. */
function placesAtTheEnd(all: Enumerators, without: ReadonlySet<string>): (value: bigint) => 'behind' | 'last' | 'no' {
  const values = new Set(all.filter(({ name }) => !without.has(name)).map(({ value }) => value));
  const greatest = [...values].reduce((a, b) => (b > a ? b : a), -1n);
  return (value) => {
    if (values.size === 0 || value < greatest) return 'no';
    if (value === greatest) return 'last';
    return value === greatest + 1n || value === BigInt(values.size) ? 'behind' : 'no';
  };
}

const sizesArray = ({ types }: DwarfInfo, size: bigint): boolean =>
  types.some(({ kind, dimensions }) => kind === 'array' && dimensions.some((one) => BigInt(one ?? 0) === size));

/**
 * No stored value is to be expected: only automatic variables of the patch have the type; or nothing has it, it has no name, and its enumerators are not alternatives, as states,
 * kinds and flags are (these are often kept in an int), but constants of their own.
 */
export const unstored = (type: TypeChange): boolean =>
  type.confined ||
  (type.base?.name === '' &&
    type.outlivesBy.every((evidence) => evidence.startsWith('no variable of it')) &&
    !alternatives(type.base.enumerators, type));

/** Counted up, doubled each, or of one prefix and in order: `CONN_NONE = 0, CONN_OPEN = 10, CONN_DEAD = 20`. */
function alternatives(all: Enumerators, { enumerators }: TypeChange): boolean {
  const values = all.map(({ value }) => value);
  const pairs = values.slice(1).map((value, i) => [values[i]!, value] as const);
  if (pairs.length === 0) return false;
  if (pairs.every(([a, b]) => b === a + 1n)) return true;
  if (pairs.every(([a, b], i) => b === a * 2n || (i === 0 && a === 0n)) && values.some((value) => value === 1n))
    return true;
  const changed = enumerators.filter(({ base, next }) => base !== undefined && next !== undefined);
  return pairs.every(([a, b]) => b > a) && onePrefix(all) && !changed.every(({ name }) => amount.test(name));
}

function onePrefix(all: Enumerators): boolean {
  const prefix = /^_*[A-Za-z0-9]+_/.exec(all[0]?.name ?? '')?.[0];
  return prefix !== undefined && all.every(({ name }) => name.startsWith(prefix));
}
