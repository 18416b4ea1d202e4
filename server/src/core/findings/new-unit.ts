import { referencesOf } from '../diff/references.ts';
import { plainName } from '../diff/signatures.ts';
import type { ObjectDiff, ObjectPair } from '../diff/types.ts';
import { finding, listed } from './support.ts';
import type { Finding, Related } from './types.ts';

/** A unit of the patch, with what is said of it so far. */
export interface AddedInput {
  readonly file: string;
  readonly pair: ObjectPair;
  readonly diff: ObjectDiff;
  readonly findings: readonly Finding[];
}

/**
 * Findings of all units of a patch where sources were added or something moved between them. `new-unit`: a source that the program was built without, and
 * what of it comes into the patch. A variable that moved from one source to another is no new one (`new-global`): the program has it.
 */
export function withNewUnits(patched: readonly AddedInput[]): (readonly Finding[])[] {
  const from = movedFrom(patched);
  return patched.map((unit) => {
    const findings = unit.findings.map((one) => afterMove(one, unit, from));
    if (!unit.pair.provenance.added) return findings;
    // Another program, whose versions of functions are its own: what would be wrong with its code is wrong with no patch.
    if (defines(unit, 'main') && !patched.some(hasLostMain)) return [otherProgram(unit)];
    const users = usersOf(unit, patched);
    if (users.length > 0) return [carried(unit, users), ...findings];
    // Notes explain what the patch brings: nothing of this.
    return [unused(unit), ...findings.filter(({ severity }) => severity !== 'note')];
  });
}

const shortName = (path: string): string => path.replace(/^.*\//, '');
const isGlobal = ({ bind, place }: { readonly bind: string; readonly place: unknown }): boolean =>
  bind !== 'local' && typeof place === 'number';

const defines = ({ pair }: AddedInput, name: string): boolean =>
  pair.next.elf.symbols.some((symbol) => symbol.name === name && isGlobal(symbol));

const hasLostMain = ({ diff }: AddedInput): boolean =>
  diff.functions.some(({ name, status }) => name === 'main' && status === 'removed');

/** A reference from the code of the patch to something that a new source defines. */
interface Use {
  readonly name: string;
  readonly file: string;
  /** Function that refers to it; empty for a table. */
  readonly by: string;
}

/** What the code of the patch takes from a new source. */
function usersOf(unit: AddedInput, patched: readonly AddedInput[]): Use[] {
  const globals = new Set(unit.pair.next.elf.symbols.filter(isGlobal).map(({ name }) => name));
  const uses = new Map<string, Use>();
  for (const { file, pair, diff } of patched) {
    if (pair === unit.pair) continue;
    const changed = new Set(
      diff.functions.filter(({ status, lineOnly }) => status !== 'removed' && !lineOnly).map(({ name }) => name),
    );
    const fresh = new Set(diff.data.filter(({ status }) => status === 'new').map(({ next }) => next?.place));
    for (const { from, section, target } of referencesOf(pair.next)) {
      if (target.place !== 'undef' || !globals.has(target.name)) continue;
      const by = from ? plainName(from.name) : '';
      if (from ? changed.has(from.name) || changed.has(by) : fresh.has(section.index))
        uses.set(`${target.name} ${by} ${file}`, { name: target.name, file, by });
    }
  }
  return [...uses.values()];
}

function statement(
  unit: AddedInput,
  severity: Finding['severity'],
  message: string,
  evidence: Finding['evidence'],
  related: readonly Related[] = [],
): Finding {
  const symbol = shortName(unit.file);
  return finding({ code: 'new-unit', severity, symbol, at: { file: unit.file, line: 1 }, message, evidence, related });
}

function carried(unit: AddedInput, uses: readonly Use[]): Finding {
  const names = [...new Set(uses.map(({ name }) => name))].sort();
  const one = names.length === 1;
  return statement(
    unit,
    'note',
    `${shortName(unit.file)} is new: the baseline does not have it, and all of it is added code. ${listed(names)}, which the edited code uses, ${one ? 'comes' : 'come'} into the patch, with what ${one ? 'it needs' : 'they need'} in turn; the rest of the file stays out.`,
    { used: names },
    uses.slice(0, 12).map(({ name, by, file }) => ({
      message: `${by === '' ? 'new data' : `${by}()`} in ${shortName(file)} uses ${name}`,
    })),
  );
}

const unused = (unit: AddedInput): Finding =>
  statement(
    unit,
    'review',
    `${shortName(unit.file)} is new: the baseline does not have it, and nothing else in the patch uses it, so that nothing of it comes into the patch. What calls it has to be part of the edit; what registers itself when a program starts takes effect with a restart only.`,
    { used: [] },
  );

const otherProgram = (unit: AddedInput): Finding =>
  statement(
    unit,
    'note',
    `${shortName(unit.file)} is new and has a main() of its own: it is another program, a test for instance, and nothing of it comes into the patch.`,
    { used: [], main: true },
  );

/** Global variables that units have lost → their file. */
function movedFrom(patched: readonly AddedInput[]): ReadonlyMap<string, string> {
  const from = new Map<string, string>();
  for (const { file, diff } of patched)
    for (const { status, base } of diff.data)
      if (status === 'removed' && base && base.bind !== 'local') from.set(base.name, file);
  return from;
}

function afterMove(one: Finding, { file, diff }: AddedInput, from: ReadonlyMap<string, string>): Finding {
  const before = from.get(one.symbol);
  if (one.code !== 'new-global' || before === undefined || before === file) return one;
  const data = diff.data.find(({ name, status }) => name === one.symbol && status === 'new');
  if (!data?.next || data.next.bind === 'local') return one;
  return {
    ...one,
    message: `The variable ${one.symbol} moved here from ${shortName(before)}. The program goes on with the one that it has, and with its present value: an initial value that was edited on the way has no effect.`,
    evidence: { ...one.evidence, movedFrom: before },
  };
}
