import { FUNCTIONS, HEAD } from './mutate-source.ts';

/** Pseudo-random numbers below a limit, the same for the same seed (mulberry32). */
export function randomFrom(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** A version of the source. */
export interface Version {
  /** What was done to it, for messages. */
  readonly what: string;
  readonly text: string;
}

type Piece = { readonly name: string; readonly prototype: string; body: string };

const pieces = (): Piece[] => FUNCTIONS.map((one) => ({ ...one }));

function assemble(list: readonly Piece[], between: (index: number) => string = () => ''): string {
  const prototypes = list.map((one) => `${one.prototype};`).join('\n');
  // Prototypes stand in one order, so that only definitions move.
  const sorted = prototypes.split('\n').sort().join('\n');
  return `${HEAD}${sorted}\n${list.map((one, i) => `${between(i)}${one.prototype}\n${one.body}\n`).join('\n')}`;
}

/** The source as it is. */
export const ORIGINAL: Version = { what: 'nothing', text: assemble(pieces()) };

/** Operators that may take each other's place wherever one of them stands between spaces. */
const OPERATORS = [
  [' + ', ' - '],
  [' < ', ' > '],
  [' & ', ' | '],
  [' == ', ' != '],
  [' * ', ' + '],
  [' += ', ' -= '],
] as const;

/** Changes the meaning of one function: a number, a callee, an operator or a text. */
export function semanticEdit(random: (limit: number) => number): Version {
  for (;;) {
    const list = pieces();
    const piece = list[random(list.length)]!;
    const before = piece.body;
    const kind = random(4);
    if (kind === 0) {
      const numbers = [...before.matchAll(/(?<![\w."%])\d+(?![\w."])/g)];
      const at = numbers[random(Math.max(1, numbers.length))];
      if (!at) continue;
      const value = Number(at[0]) + 1 + random(3) * 1000;
      piece.body = `${before.slice(0, at.index)}${value}${before.slice(at.index + at[0].length)}`;
    } else if (kind === 1) {
      const calls = [...before.matchAll(/\bext([12])\b/g)];
      const at = calls[random(Math.max(1, calls.length))];
      if (!at) continue;
      piece.body = `${before.slice(0, at.index)}ext${at[1] === '1' ? 2 : 1}${before.slice(at.index + 4)}`;
    } else if (kind === 2) {
      const [one, other] = OPERATORS[random(OPERATORS.length)]!;
      const at = before.indexOf(one);
      if (at < 0) continue;
      piece.body = before.slice(0, at) + other + before.slice(at + one.length);
    } else {
      const texts = [...before.matchAll(/"[a-z]/g)];
      const at = texts[random(Math.max(1, texts.length))];
      if (!at) continue;
      // The letter behind the opening quote; every second quote closes.
      if ((before.slice(0, at.index).split('"').length - 1) % 2 !== 0) continue;
      piece.body = `${before.slice(0, at.index + 1)}Q${before.slice(at.index + 2)}`;
    }
    // Labels of one switch must differ.
    const labels = [...piece.body.matchAll(/case (\d+)/g)].map((match) => match[1]);
    if (piece.body === before || new Set(labels).size !== labels.length) continue;
    return {
      what: `${['number', 'callee', 'operator', 'text'][kind]} in ${piece.name}: ${firstDifference(before, piece.body)}`,
      text: assemble(list),
    };
  }
}

function firstDifference(before: string, after: string): string {
  const a = before.split('\n');
  const b = after.split('\n');
  const at = a.findIndex((line, i) => line !== b[i]);
  return `${a[at]?.trim()} → ${b[at]?.trim()}`;
}

/** Changes the text only: comments, blank lines, names of locals, or (`order`) the order of the functions. */
export function neutralEdit(random: (limit: number) => number, order: boolean): Version {
  const list = pieces();
  if (order) {
    const from = random(list.length);
    const [moved] = list.splice(from, 1);
    const to = random(list.length);
    list.splice(to, 0, moved!);
    return { what: `${moved!.name} moved from ${from} to ${to}`, text: assemble(list) };
  }
  const kind = random(3);
  if (kind === 0) {
    const at = random(list.length);
    const lines = 1 + random(40);
    return {
      what: `${lines} lines of comment before ${list[at]!.name}`,
      text: assemble(list, (i) => (i === at ? `/* more\n${' * words\n'.repeat(lines)} */\n` : '')),
    };
  }
  const piece = list[random(list.length)]!;
  if (kind === 1) {
    piece.body = piece.body.replaceAll('\n  ', `${'\n'.repeat(1 + random(4))}\t`).replace('{', '{ // note\n');
    return { what: `blank lines in ${piece.name}`, text: assemble(list) };
  }
  const renamed = list.map((one) =>
    one === piece
      ? { ...one, prototype: one.prototype.replaceAll('v_', 'w_'), body: one.body.replaceAll('v_', 'w_') }
      : one,
  );
  return { what: `locals of ${piece.name} renamed`, text: assemble(renamed) };
}
