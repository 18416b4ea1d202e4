import type { TypeRef } from '../dwarf/types.ts';
import type { ObjectModel } from '../object.ts';
import { referencesOf } from './references.ts';
import { typeTable } from './type-table.ts';

/** Pointers, arrays and qualifiers that are followed before a (hostile) chain is given up. */
const MOST_STEPS = 32;

/**
 * Functions and variables of an object that work with a tagged type (`struct foo`, by its label): variables of it, and functions with
 * parameters, a return value or local variables of it, or that refer to such a variable; directly, behind pointers or in arrays. Sorted by
 * name, each once.
 */
export function usersOfType(
  object: ObjectModel,
  label: string,
): { readonly functions: readonly string[]; readonly variables: readonly string[] } {
  const table = typeTable(object.dwarf);
  const leads = new Map<TypeRef, boolean>();
  const leadsTo = (ref: TypeRef): boolean => {
    const known = leads.get(ref);
    if (known !== undefined) return known;
    let at = ref;
    for (let step = 0; step < MOST_STEPS; step++) {
      at = table.element(at);
      const type = table.get(at);
      if (type?.kind !== 'pointer') break;
      at = type.target;
    }
    const found = table.get(at);
    const result = found?.kind === 'typedef' || found === undefined ? false : table.label(at) === label;
    leads.set(ref, result);
    return result;
  };
  const names = (list: readonly string[]): string[] => [...new Set(list)].sort();
  const { functions } = object.dwarf;
  const variables = object.dwarf.variables.filter(({ type }) => leadsTo(type));
  const held = new Set(variables.flatMap(({ place }) => (place ? `${place.section}:${place.offset}` : [])));
  const declared = new Set(variables.flatMap((each) => (each.place ? [] : (each.linkageName ?? each.name))));
  const direct = referencesOf(object).flatMap(({ from, target, call }) =>
    from && !call && (held.has(`${target.place}:${target.offset}`) || declared.has(target.name)) ? from.name : [],
  );
  const typed = functions.filter(
    (each) =>
      leadsTo(each.returnType) || each.parameters.some(({ type }) => leadsTo(type)) || each.localTypes.some(leadsTo),
  );
  return {
    functions: names([...direct, ...typed.map(({ name }) => name)]),
    variables: names(variables.map(({ name }) => name)),
  };
}
