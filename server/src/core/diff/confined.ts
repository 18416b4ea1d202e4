import type { DwarfFunction, TypeRef } from '../dwarf/types.ts';
import type { ObjectModel } from '../object.ts';
import { addressTaken, functionSymbols } from './references.ts';
import type { TypeTable } from './type-table.ts';

/** Longest list of evidence that is kept. */
const maxEvidence = 24;

/**
 * Decides for a type of the base object whether an instance of it can outlive the patch. No evidence = confined.
 *
 * The rule. An instance is confined where it is an automatic variable (by value) of a function that the patch replaces: the patch is
 * applied while none of these functions is active, so no such instance exists then. The type is confined when at least one such
 * variable is seen and nothing says that others may exist. Held against it, each conservatively:
 * - a variable with static storage whose type contains the type, or leads to it through pointers, other types or function pointers;
 * - a pointer to it in any struct or union (its own next pointer too): what it points to was made elsewhere;
 * - a function that stays as it is with a local or parameter of the type, or of a pointer to it;
 * - a replaced function that others can call (external, or its address is taken) with it in its parameters, or that returns a pointer to it;
 * - a pointer variable (not a parameter) in a replaced function: DWARF does not say whether it holds an allocation or a local's address;
 * - an undefined function that takes or returns it or a pointer to it: another unit that may keep it;
 * - a definition outside the unit's own source file: other units may have instances.
 * What DWARF cannot show: casts of `void *`. A type that is only used through casts or sizeof has no variable and is not confined.
 */
export function confinementOf(
  object: ObjectModel,
  table: TypeTable,
  patched: ReadonlySet<string>,
): (type: TypeRef) => readonly string[] {
  const users = reverseEdges(table);
  const symbols = functionSymbols(object);
  const isPatched = (fn: DwarfFunction): boolean => {
    const names = fn.ranges
      .map((range) => symbols.get(`${range.section}:${range.start}`))
      .filter((n) => n !== undefined);
    return names.length > 0 ? names.some((name) => patched.has(name)) : patched.has(fn.linkageName ?? fn.name);
  };
  const functions = object.dwarf.functions.map((fn) => ({ fn, patched: isPatched(fn) }));
  let taken: ReadonlySet<string> | undefined;

  return (type) => {
    const evidence = new Evidence();
    const byValue = closure([type], users.value);
    const pointers = closure(
      [...byValue].flatMap((ref) => users.pointer.get(ref) ?? []),
      users.any,
    );
    const touches = (ref: TypeRef): boolean => byValue.has(ref) || pointers.has(ref);

    for (const variable of table.dwarf.variables) {
      if (byValue.has(variable.type)) evidence.add(`variable ${variable.name}`);
      else if (pointers.has(variable.type)) evidence.add(`variable ${variable.name} leads to it`);
    }
    for (const ref of pointers) {
      const holder = table.get(ref);
      if (holder?.kind !== 'struct' && holder?.kind !== 'union') continue;
      const member = holder.members.find((m) => pointers.has(m.type));
      if (member) evidence.add(`${table.label(ref) || 'a struct without a name'} has a pointer to it (${member.name})`);
    }
    let automatic = false;
    for (const { fn, patched: replaced } of functions) {
      const signature = [fn.returnType, ...fn.parameters.map((p) => p.type)];
      if (!replaced) {
        if (signature.some(touches) || fn.localTypes.some(touches))
          evidence.add(`function ${fn.name} (not in the patch)`);
        continue;
      }
      automatic ||= fn.localTypes.some((ref) => byValue.has(ref));
      if (signature.some(touches)) {
        taken ??= addressTaken(object);
        if (fn.external) evidence.add(`function ${fn.name} can be called from other units`);
        else if (taken.has(fn.name)) evidence.add(`function ${fn.name} can be called through a pointer`);
        else if (pointers.has(fn.returnType)) evidence.add(`function ${fn.name} returns a pointer to it`);
      }
      if (fn.variableTypes.some((ref) => pointers.has(ref))) evidence.add(`a pointer variable in ${fn.name}`);
    }
    for (const prototype of table.dwarf.prototypes) {
      if (prototype.defined) continue;
      if ([prototype.returnType, ...prototype.parameters.map((p) => p.type)].some(touches)) {
        evidence.add(`function ${prototype.name} of another unit takes or returns it`);
      }
    }
    const home = table.get(type)?.at?.file;
    if (home !== undefined && !object.dwarf.units.some((unit) => sameFile(home, unit.name))) {
      evidence.add(`${home.replace(/^.*\//, '')} is shared with other units`);
    }
    if (!automatic && evidence.empty) {
      evidence.add('no variable of it is seen here: instances are made through casts or in other units');
    }
    return evidence.list();
  };
}

/** Distinct sentences, in the order they were found; those beyond `maxEvidence` are only counted. */
class Evidence {
  private readonly seen = new Set<string>();
  private more = 0;

  get empty(): boolean {
    return this.seen.size === 0;
  }

  add(text: string): void {
    if (this.seen.size < maxEvidence) this.seen.add(text);
    else if (!this.seen.has(text)) this.more++;
  }

  list(): readonly string[] {
    return this.more > 0 ? [...this.seen, `and ${this.more} more`] : [...this.seen];
  }
}

/** Compares a joined DWARF path with a unit's name, which may be relative to the compilation directory. */
function sameFile(path: string, unit: string): boolean {
  const clean = (text: string): string => text.replace(/^(\.\/)+/, '').replace(/\/\.\//g, '/');
  const a = clean(path);
  const b = clean(unit);
  return a === b || a.endsWith(`/${b}`) || b.endsWith(`/${a}`);
}

interface ReverseEdges {
  /** Type → types that hold it by value: typedefs, qualifiers, arrays, structs, unions. */
  readonly value: ReadonlyMap<TypeRef, readonly TypeRef[]>;
  /** Type → pointers to it and function types that take or return it. */
  readonly pointer: ReadonlyMap<TypeRef, readonly TypeRef[]>;
  readonly any: ReadonlyMap<TypeRef, readonly TypeRef[]>;
}

function reverseEdges(table: TypeTable): ReverseEdges {
  const value = new Map<TypeRef, TypeRef[]>();
  const pointer = new Map<TypeRef, TypeRef[]>();
  const any = new Map<TypeRef, TypeRef[]>();
  const link = (map: Map<TypeRef, TypeRef[]>, from: TypeRef, to: TypeRef): void => {
    if (from < 0) return;
    for (const each of [map, any]) {
      const list = each.get(from);
      if (list) list.push(to);
      else each.set(from, [to]);
    }
  };
  for (const type of table.dwarf.types) {
    switch (type.kind) {
      case 'typedef':
      case 'const':
      case 'volatile':
      case 'restrict':
      case 'atomic':
      case 'array':
        link(value, type.target, type.index);
        break;
      case 'struct':
      case 'union':
        for (const member of type.members) link(value, member.type, type.index);
        break;
      case 'pointer':
        link(pointer, type.target, type.index);
        break;
      case 'function':
        link(pointer, type.target, type.index);
        for (const parameter of type.parameters) link(pointer, parameter, type.index);
        break;
      default:
        break;
    }
  }
  return { value, pointer, any };
}

function closure(from: readonly TypeRef[], edges: ReadonlyMap<TypeRef, readonly TypeRef[]>): Set<TypeRef> {
  const seen = new Set<TypeRef>(from);
  const queue = [...seen];
  for (let ref = queue.pop(); ref !== undefined; ref = queue.pop()) {
    for (const user of edges.get(ref) ?? []) {
      if (seen.has(user)) continue;
      seen.add(user);
      queue.push(user);
    }
  }
  return seen;
}
