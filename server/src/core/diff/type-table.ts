import type { DwarfInfo, DwarfType, Member, TypeRef } from '../dwarf/types.ts';
import { lazy } from '../elf/lazy.ts';

/** How many typedefs, qualifiers or declarators are followed before a (hostile) chain is given up. */
const maxChain = 64;

const transparent = new Set(['typedef', 'const', 'volatile', 'restrict', 'atomic']);

/** A struct, union or enum: the kinds that have a tag. */
export function isTagged(type: DwarfType | undefined): type is DwarfType & { kind: 'struct' | 'union' | 'enum' } {
  return type?.kind === 'struct' || type?.kind === 'union' || type?.kind === 'enum';
}

/** Lookups over the types of one object that layout, confinement, signatures and hovers share. */
export interface TypeTable {
  readonly dwarf: DwarfInfo;
  get(ref: TypeRef): DwarfType | undefined;
  /** Follows typedefs and qualifiers; -1 for void. */
  strip(ref: TypeRef): TypeRef;
  /** Follows typedefs, qualifiers and arrays: what is stored, in the end. */
  element(ref: TypeRef): TypeRef;
  /**
   * C spelling of a struct, union or enum that is stable from build to build: `struct foo`; for one without a tag the
   * typedef that names it (`foo_t`); empty for those without any name.
   */
  label(ref: TypeRef): string;
  /** Names of the typedefs that `ref` goes through, outermost first, arrays followed. */
  typedefs(ref: TypeRef): readonly { readonly name: string; readonly ref: TypeRef }[];
  /** Members with those of anonymous structs and unions lifted into the enclosing type; offsets from its start, in bits. */
  flatMembers(ref: TypeRef): readonly Member[];
  /** True for a flat member that is an alternative: `ref` is a union, or it lies in a nameless one. */
  inUnion(ref: TypeRef, member: string): boolean;
}

const tables = new WeakMap<DwarfInfo, TypeTable>();

/** The table of an object's types: built once, linear in their number. */
export function typeTable(dwarf: DwarfInfo): TypeTable {
  let table = tables.get(dwarf);
  if (!table) {
    table = build(dwarf);
    tables.set(dwarf, table);
  }
  return table;
}

function build(dwarf: DwarfInfo): TypeTable {
  // Types are made when they are first asked for: so nothing is, before one is.
  const get = (ref: TypeRef): DwarfType | undefined => (ref < 0 ? undefined : dwarf.types[ref]);
  // Read when a nameless type is first met.
  const typedefNames = lazy(() => {
    const names = new Map<TypeRef, string>();
    for (const type of dwarf.types) {
      if (type.kind !== 'typedef') continue;
      const target = get(type.target);
      if (isTagged(target) && target.name === '' && !names.has(target.index)) names.set(target.index, type.name);
    }
    return names;
  });
  const follow = (ref: TypeRef, arrays: boolean): TypeRef => {
    let current = ref;
    for (let step = 0; step < maxChain; step++) {
      const type = get(current);
      if (!type || !(transparent.has(type.kind) || (arrays && type.kind === 'array'))) return type ? current : -1;
      current = type.target;
    }
    return -1;
  };
  const flatCache = new Map<TypeRef, readonly Member[]>();
  const flatten = (ref: TypeRef, start: number, depth: number, into: Member[]): void => {
    for (const member of get(ref)?.members ?? []) {
      if (member.name !== '') {
        into.push(start === 0 ? member : { ...member, bitOffset: member.bitOffset + start });
        continue;
      }
      const inner = follow(member.type, false);
      const kind = get(inner)?.kind;
      if ((kind === 'struct' || kind === 'union') && depth < maxChain && inner !== ref && into.length < 65536) {
        flatten(inner, start + member.bitOffset, depth + 1, into);
      }
    }
  };
  const inUnion = (ref: TypeRef, name: string, alternative: boolean, depth: number): boolean | undefined => {
    const type = get(ref);
    const here = alternative || type?.kind === 'union';
    for (const member of type?.members ?? []) {
      if (member.name === name) return here;
      const inner = member.name === '' && depth < maxChain ? follow(member.type, false) : -1;
      const found = inner < 0 || inner === ref ? undefined : inUnion(inner, name, here, depth + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return {
    dwarf,
    get,
    inUnion: (ref, member) => inUnion(ref, member, false, 0) ?? false,
    strip: (ref) => follow(ref, false),
    element: (ref) => follow(ref, true),
    label: (ref) => {
      const type = get(ref);
      if (!isTagged(type)) return '';
      return type.name !== '' ? `${type.kind} ${type.name}` : (typedefNames().get(type.index) ?? '');
    },
    typedefs: (ref) => {
      const names: { name: string; ref: TypeRef }[] = [];
      let current = ref;
      for (let step = 0; step < maxChain; step++) {
        const type = get(current);
        if (!type || !(transparent.has(type.kind) || type.kind === 'array')) break;
        if (type.kind === 'typedef') names.push({ name: type.name, ref: current });
        current = type.target;
      }
      return names;
    },
    flatMembers: (ref) => {
      let flat = flatCache.get(ref);
      if (!flat) {
        const list: Member[] = [];
        flatten(ref, 0, 0, list);
        flat = list;
        flatCache.set(ref, flat);
      }
      return flat;
    },
  };
}

/** Types that one declaration may go through; a longer one (only hostile input has it) is cut short. */
const maxParts = 200;

/**
 * C declaration of `declarator` (a name, possibly empty) with the type `ref`, e.g. `int (*table[4])(const char *)`.
 * Typedef names are kept as written; anonymous types come out as `struct {…}`.
 */
export function declare(table: TypeTable, ref: TypeRef, declarator: string): string {
  let left = maxParts;

  const parameterList = (type: DwarfType): string => {
    const list = type.parameters.slice(0, maxParts).map((parameter) => part(parameter, ''));
    if (type.variadic) list.push('...');
    return list.length === 0 ? 'void' : list.join(', ');
  };

  /** What an array's elements are, whatever its dimensions. */
  const elementKind = (of: TypeRef): DwarfType['kind'] | undefined => {
    let type = table.get(of);
    for (let depth = 0; type?.kind === 'array' && depth < maxParts; depth++) type = table.get(type.target);
    return type?.kind;
  };

  const part = (of: TypeRef, inner: string): string => {
    const join = (before: string): string => (inner === '' ? before : `${before} ${inner}`);
    const type = table.get(of);
    if (!type) return join('void');
    if (left-- <= 0) return join('…');
    switch (type.kind) {
      case 'pointer': {
        const target = table.get(type.target)?.kind;
        return part(type.target, target === 'array' || target === 'function' ? `(*${inner})` : `*${inner}`);
      }
      case 'array':
        return part(type.target, `${inner}${type.dimensions.map((size) => `[${size ?? ''}]`).join('') || '[]'}`);
      case 'function':
        return part(type.target, `${inner}(${parameterList(type)})`);
      case 'const':
      case 'volatile':
      case 'restrict':
      case 'atomic': {
        const word = type.kind === 'atomic' ? '_Atomic' : type.kind;
        // Compilers say of a const array that it is, and again that its elements are: C says it once.
        if (table.get(type.target)?.kind === 'array' && elementKind(type.target) === type.kind)
          return part(type.target, inner);
        if (table.get(type.target)?.kind === 'pointer')
          return part(type.target, inner === '' ? word : `${word} ${inner}`);
        return `${word} ${part(type.target, inner)}`;
      }
      case 'struct':
      case 'union':
      case 'enum':
        return join(table.label(of) || `${type.kind} {…}`);
      default:
        return join(type.name || 'void');
    }
  };
  return part(ref, declarator);
}
