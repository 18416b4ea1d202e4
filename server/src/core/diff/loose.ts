import { looseData } from '../asm/labels.ts';
import { looseCode, type Stretch } from '../asm/loose.ts';
import { isCode } from '../asm/places.ts';
import type { Section } from '../elf/types.ts';
import { specialKind } from '../special/kinds.ts';
import type { CodeComparer } from './code.ts';
import { sameBytes } from './contents.ts';
import type { Meaning, Side } from './meaning.ts';
import type { LooseChange } from './types.ts';

/** Bytes of one object that belong to no symbol. */
interface Loose extends Stretch {
  readonly section: Section;
}

/** As many stretches are tried for one that is not where it was; objects from elsewhere may have any number. */
const MOST = 256;

/**
 * Compares what no symbol covers in sections that hold named code or data: code of a `.subsection` that several functions share, code in front of
 * the first function, data without a name. Sections in which nothing has a name are compared as a whole, by who asks for them.
 */
export function diffLoose(base: Side, next: Side, meaning: Meaning, code: CodeComparer): LooseChange[] {
  const before = collect(base);
  const after = collect(next);
  const changes: LooseChange[] = [];
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const old = before.get(name) ?? [];
    const now = after.get(name) ?? [];
    const same = (from: Loose, to: Loose): boolean => isSame(from, to, meaning, code);
    // Mostly they are as many, in the same order.
    const left = old.flatMap((one, at) => (now[at] && same(one, now[at]) ? [] : [{ one, at }]));
    const paired = new Set(old.keys());
    for (const { at } of left) paired.delete(at);
    const fresh = now.flatMap((one, at) => (paired.has(at) ? [] : [one]));
    for (const { one } of left) {
      const partner = fresh.slice(0, MOST).findIndex((other) => same(one, other));
      if (partner >= 0) fresh.splice(partner, 1);
      else changes.push(change(name, 'base', one));
    }
    changes.push(...fresh.map((one) => change(name, 'next', one)));
  }
  return changes;
}

const change = (
  section: string,
  side: 'base' | 'next',
  { section: { index, flags }, start, end }: Loose,
): LooseChange => ({
  section,
  side,
  code: (flags & 4) !== 0,
  place: { section: index, offset: start },
  size: end - start,
});

/** The loose stretches of an object, by the name of their section. */
function collect({ elf, places }: Side): Map<string, Loose[]> {
  const found = new Map<string, Loose[]>();
  for (const section of elf.sections) {
    if (specialKind(section.name)) continue;
    const bodies = places.bodiesIn(section.index);
    const stretches = isCode(section)
      ? bodies.length > 0
        ? looseCode(elf, section, bodies)
        : []
      : looseData(elf, section);
    if (stretches.length === 0) continue;
    const list = found.get(section.name);
    const more = stretches.map((one) => ({ ...one, section }));
    if (list) list.push(...more);
    else found.set(section.name, more);
  }
  return found;
}

function isSame(from: Loose, to: Loose, meaning: Meaning, code: CodeComparer): boolean {
  if (isCode(from.section) !== isCode(to.section)) return false;
  if (isCode(from.section)) return code.same(bodyOf(from), bodyOf(to));
  const size = from.end - from.start;
  return (
    size === to.end - to.start &&
    sameBytes(from.section, from.start, to.section, to.start, size) &&
    meaning.sameRelocations(from.section.index, from.start, to.section.index, to.start, size)
  );
}

const bodyOf = ({ section, start, end }: Loose) => ({ section: section.index, start, size: end - start, symbols: [] });
