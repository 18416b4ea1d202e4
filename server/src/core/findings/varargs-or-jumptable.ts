import { isCode, placesOf } from '../asm/places.ts';
import { relocationsIn, relocationTarget } from '../asm/targets.ts';
import { referencesFrom } from '../diff/references.ts';
import type { FunctionChange } from '../diff/types.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { carriedFunctions, finding, variableOf } from './support.ts';
import type { Finding, Hazard } from './types.ts';

/**
 * `varargs-or-jumptable`: a function jumps through addresses of its own labels that are kept in writable data. Such a table is not copied with the code: it stays in the
 * running program, and leads into the old version of the function. Jump tables and tables of labels in read-only data are copied, and nobody has to know of them.
 */
export const varargsOrJumptable: Hazard = {
  codes: ['varargs-or-jumptable'],
  find: (input) => {
    const { next } = input.pair;
    const carried = new Map(carriedFunctions(input).flatMap((fn) => (fn.next ? [[fn.next.name, fn] as const] : [])));
    if (carried.size === 0 || !holdsLabels(next)) return [];
    const found = new Map<string, Finding>();
    for (const { from, target } of referencesFrom(
      next,
      [...carried.values()].flatMap((fn) => fn.next ?? []),
    )) {
      const fn = from && carried.get(from.name);
      if (fn?.status !== 'changed' || found.has(`${fn.name} ${target.name}`)) continue;
      const labels = labelsIn(next, target, fn);
      if (labels > 0) found.set(`${fn.name} ${target.name}`, report(next, fn, target, labels));
    }
    return [...found.values()];
  },
};

function report(object: ObjectModel, fn: FunctionChange, table: ElfSymbol, labels: number): Finding {
  const name = table.name.replace(/\.\d+$/, '');
  const decl = variableOf(object, table)?.decl;
  return finding({
    code: 'varargs-or-jumptable',
    severity: 'blocker',
    symbol: fn.name,
    at: fn.at,
    message: `${fn.name}() jumps through ${name}, which holds ${labels} addresses of its labels and can be written: the running copy stays, and leads from the new code into the middle of the old. Declare ${name} const, so that it is copied with the code, or use a switch.`,
    evidence: { table: name, labels },
    related: decl ? [{ at: decl, message: `${name} holds the addresses` }] : [],
  });
}

const WRITE = 1;

/** Whether any writable data refers into the middle of code: cheap, and nearly never so. */
function holdsLabels(object: ObjectModel): boolean {
  const { elf } = object;
  return elf.sections.some(
    (section) =>
      isWritableData(section) &&
      elf.relocationsOf(section.index).some((one) => {
        const target = relocationTarget(placesOf(elf), one, 0);
        return isCode(elf.sections[target.section]) && target.delta !== 0;
      }),
  );
}

const isWritableData = ({ flags, name }: { flags: number; name: string }): boolean =>
  (flags & WRITE) !== 0 && (flags & 2) !== 0 && !name.startsWith('.data.rel.ro') && /^\.l?data/.test(name);

/** Number of addresses inside of a function that a writable object holds. */
function labelsIn({ elf }: ObjectModel, table: ElfSymbol, fn: FunctionChange): number {
  if (typeof table.place !== 'number' || table.type !== 'object') return 0;
  const section = elf.sections[table.place];
  if (!section || !isWritableData(section)) return 0;
  const body = placesOf(elf).bodyOf(fn.next!);
  if (!body) return 0;
  const inside = relocationsIn(elf.relocationsOf(table.place), table.offset, table.offset + table.size);
  return inside.filter((one) => {
    const { section: place, offset } = relocationTarget(placesOf(elf), one, 0);
    return place === body.section && offset > body.start && offset < body.start + body.size;
  }).length;
}
