import type { DwarfType, TypeRef } from '../dwarf/types.ts';
import { sameTypeOf } from './same-type.ts';
import { declare, type TypeTable } from './type-table.ts';

/** A type that became another one, in C. */
export interface TypeWords {
  readonly base: string;
  readonly next: string;
  /** For pointers to functions: what stored functions and new code disagree about. */
  readonly how?: string;
}

/** Spells both types; undefined where they read the same, as what lies behind a name of a nameless type does. */
export function typeWords(base: TypeTable, b: TypeRef, next: TypeTable, n: TypeRef): TypeWords | undefined {
  const how = callWords(base, b, next, n);
  const rest = how === undefined ? {} : { how };
  const written = { base: declare(base, b, ''), next: declare(next, n, '') };
  if (written.base !== written.next) return { ...written, ...rest };
  // The same name for another thing: what it stands for.
  const meant = { base: declare(base, base.strip(b), ''), next: declare(next, next.strip(n), '') };
  return meant.base === meant.next ? undefined : { ...meant, ...rest };
}

/** `unsigned int → int`, with what functions disagree about behind it. */
export const arrowText = ({ base, next, how }: TypeWords): string =>
  `${base} → ${next}${how === undefined ? '' : `: ${how}`}`;

/** The function that a value of the type is called as. */
function called(table: TypeTable, ref: TypeRef): DwarfType | undefined {
  let type = table.get(table.element(ref));
  if (type?.kind === 'pointer') type = table.get(table.strip(type.target));
  return type?.kind === 'function' ? type : undefined;
}

function callWords(base: TypeTable, b: TypeRef, next: TypeTable, n: TypeRef): string | undefined {
  const old = called(base, b);
  const now = called(next, n);
  if (!old || !now) return undefined;
  const [takes, passes] = [old.parameters.length, now.parameters.length];
  const words: string[] = [];
  if (takes !== passes)
    words.push(`stored functions take ${takes} argument${takes === 1 ? '' : 's'}, new code passes ${passes}`);
  const same = sameTypeOf(base, next);
  for (let i = 0; i < Math.min(takes, passes); i++) {
    if (same(old.parameters[i]!, now.parameters[i]!)) continue;
    const is = declare(next, now.parameters[i]!, '');
    words.push(
      `stored functions take ${declare(base, old.parameters[i]!, '')} as argument ${i + 1}, new code passes ${is}`,
    );
    break;
  }
  if (!same(old.target, now.target))
    words.push(
      `stored functions return ${declare(base, old.target, '')}, new code expects ${declare(next, now.target, '')}`,
    );
  if (old.variadic !== now.variadic && words.length === 0)
    words.push(`only ${old.variadic ? 'stored functions take' : 'new code passes'} any number of arguments`);
  return words.length > 0 ? words.join('; ') : undefined;
}
