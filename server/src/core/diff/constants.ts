import { listBody } from '../asm/listing.ts';
import { type Body, isCode } from '../asm/places.ts';
import { functionAt, locationAt } from '../asm/source.ts';
import { codeBias, relocationTarget } from '../asm/targets.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import { type AddressUse, addressUses } from './addresses.ts';
import type { Side } from './meaning.ts';
import { isBookkeeping } from './references.ts';
import { typeTable } from './type-table.ts';
import type { ConstantUse, DataChange } from './types.ts';

/** The users of the changed constants of a pair. */
export interface ConstantUsers {
  /** The changes, those of constants with `use` filled in. */
  readonly data: readonly DataChange[];
  /** Names of the changed constants for which a function (of either object) has to be in the patch. */
  of(base: Body, next: Body): readonly string[];
  /** Source lines of the next object at which a function refers to one of its constants. */
  lines(next: Body): readonly SourceLocation[];
}

/**
 * A constant that has a name (a table, a text) and that an edit changed: the old copy stays in the running program, and code whose instructions are the same goes on using it. Where
 * nothing but the code of this unit refers to it, and none of that keeps its address, the edit takes effect with all of that code in the patch, which brings the new copy along.
 */
export function constantUsers(base: Side, next: Side, data: readonly DataChange[]): ConstantUsers {
  const changed = data.filter(isChangedConstant);
  if (changed.length === 0) return { data, of: () => [], lines: () => [] };
  const before = usersIn(
    base,
    changed.map((one) => one.base!),
  );
  const after = usersIn(
    next,
    changed.map((one) => one.next!),
  );
  const use = new Map<DataChange, ConstantUse>();
  const bring = new Map<Body, string[]>();
  const places = new Map<Body, { section: number; offset: number }[]>();
  for (const [i, one] of changed.entries()) {
    const old = before[i]!;
    const now = after[i]!;
    const keeps = [...new Set([...old.keeps, ...now.keeps])];
    const functions = [...new Set([...old.bodies, ...now.bodies].map((body) => body.symbols[0]!.name))].sort();
    const handsOn = [...new Set([...old.handsOn, ...now.handsOn])];
    use.set(one, { functions, keeps, handsOn, text: isText(next, one.next!) });
    if (keeps.length > 0) continue;
    for (const body of [...old.bodies, ...now.bodies]) bring.set(body, [...(bring.get(body) ?? []), one.name]);
    for (const { body, offset } of now.places)
      places.set(body, [...(places.get(body) ?? []), { section: body.section, offset }]);
  }
  return {
    data: data.map((one) => {
      const found = use.get(one);
      return found ? { ...one, use: found } : one;
    }),
    of: (from, to) => [...new Set([...(bring.get(from) ?? []), ...(bring.get(to) ?? [])])],
    lines: (body) => {
      const lines = new Map<string, SourceLocation>();
      for (const { section, offset } of places.get(body) ?? []) {
        const at = locationAt(next.object.dwarf.linesOf(section), offset);
        if (at) lines.set(`${at.file}:${at.line}`, { file: at.file, line: at.line });
      }
      return [...lines.values()];
    },
  };
}

/** A label without a size is not the only way to what follows it: of that, no list of users tells who goes on with the old copy. */
const hasSize = (symbol: ElfSymbol | undefined): boolean => symbol !== undefined && symbol.size > 0;

/** Read-only on both sides, at a place of its own in both, and not as it was. */
const isChangedConstant = (one: DataChange): boolean =>
  one.status === 'changed' &&
  one.readOnly &&
  !one.tls &&
  typeof one.base?.place === 'number' &&
  typeof one.next?.place === 'number' &&
  hasSize(one.base) &&
  hasSize(one.next) &&
  !one.differs.includes('section') &&
  one.differs.some((what) => what === 'size' || what === 'contents' || what === 'references');

interface Users {
  readonly bodies: Set<Body>;
  readonly keeps: Set<string>;
  readonly handsOn: Set<string>;
  readonly places: { readonly body: Body; readonly offset: number }[];
}

/** Who refers to each of some objects, in one walk over the relocations. */
function usersIn(side: Side, symbols: readonly ElfSymbol[]): Users[] {
  const { elf, places } = side;
  const users = symbols.map((): Users => ({ bodies: new Set(), keeps: new Set(), handsOn: new Set(), places: [] }));
  const byPlace = new Map<string, number>(symbols.map((symbol, i) => [`${symbol.place}:${symbol.offset}`, i]));
  const sections = new Set(symbols.map(({ place }) => place));
  const texts = symbols.map((symbol) => isText(side, symbol));
  for (const section of elf.sections) {
    if ((section.flags & 2) === 0 || isBookkeeping(section.name)) continue;
    const code = isCode(section);
    for (const relocation of elf.relocationsOf(section.index)) {
      const named = elf.symbols[relocation.symbol];
      if (!named || !sections.has(named.place)) continue;
      const body = code ? bodyAt(side, section.index, relocation.offset) : undefined;
      const scan = body && side.scanOf(body)?.scan;
      const bias = scan ? codeBias(elf.machine, scan, relocation.offset - body.start, relocation.type) : 0;
      const target = relocationTarget(places, relocation, bias);
      const index = target.symbol && byPlace.get(`${target.symbol.place}:${target.symbol.offset}`);
      if (index === undefined) continue;
      const found = users[index]!;
      if (!code) {
        const holder = places.locate(section.index, relocation.offset)?.symbol;
        // A table that refers to itself moves as a whole.
        if (holder && holder.place === symbols[index]!.place && holder.offset === symbols[index]!.offset) continue;
        found.keeps.add(`a pointer in ${holder?.name || section.name}`);
      } else if (!body) found.keeps.add(`code in ${section.name}`);
      else if (/^\.init\b|^\.text\.startup/.test(section.name) && section.name !== '.text.startup.main')
        found.keeps.add(`${body.symbols[0]!.name}(), which ran at start-up`);
      else {
        found.places.push({ body, offset: relocation.offset });
        found.bodies.add(body);
      }
    }
  }
  for (const [i, found] of users.entries()) {
    for (const body of found.bodies) {
      const name = body.symbols[0]!.name;
      if (elf.machine !== 62) {
        // Without the flow of addresses only texts, of which nobody asks where they lie, are taken.
        if (!texts[i])
          found.keeps.add(`${name}(), perhaps: what code of this machine does with addresses is not followed`);
        continue;
      }
      const at = found.places.flatMap((one) => (one.body === body ? [one.offset - body.start] : []));
      const uses = addressUses(
        listBody(side.object, body),
        // By place: names in a listing are without the compiler's numbers.
        ({ offset, bytes }) => at.some((one) => one >= offset && one < offset + bytes.length),
        returnsAddress(side, body),
      );
      for (const use of uses) note(found, name, use, texts[i]!);
    }
  }
  return users;
}

function note(found: Users, name: string, { what, to }: AddressUse, text: boolean): void {
  if (what === 'compared') found.keeps.add(`${name}(), which compares its address`);
  // A text is read, wherever its address goes: as with an unnamed one, who has the old one reads the old one.
  else if (text) return;
  else if (what === 'kept') found.keeps.add(`${name}(), which stores its address`);
  else if (what === 'passed')
    found.handsOn.add(`${name}() passes its address to ${to === '' ? 'a function pointer' : `${to}()`}`);
  else if (what === 'returned') found.handsOn.add(`${name}() returns its address`);
  else found.handsOn.add(`${name}() puts its address into a variable on the stack`);
}

/** False where a function is known to return nothing, or a number too small for an address. */
function returnsAddress(side: Side, body: Body): boolean {
  const of = functionAt(side.object, body.section, body.start);
  if (!of) return true;
  const table = typeTable(side.object.dwarf);
  const type = table.get(table.element(of.returnType));
  return type !== undefined && !((type.kind === 'base' || type.kind === 'enum') && (type.size ?? 8) < 8);
}

/** An array of characters, of any number of dimensions. */
function isText(side: Side, symbol: ElfSymbol): boolean {
  const { dwarf } = side.object;
  const variable = dwarf.variables.find(
    ({ place }) => place?.section === symbol.place && place.offset === symbol.offset,
  );
  if (!variable) return false;
  const table = typeTable(dwarf);
  const element = table.get(table.element(variable.type));
  return element?.kind === 'base' && element.size === 1 && /char/.test(element.name);
}

function bodyAt(side: Side, section: number, offset: number): Body | undefined {
  const bodies = side.places.bodiesIn(section);
  return bodies.length === 1 && bodies[0]!.start <= offset
    ? offset < bodies[0]!.start + bodies[0]!.size
      ? bodies[0]
      : undefined
    : bodies.find((body) => body.start <= offset && offset < body.start + body.size);
}
