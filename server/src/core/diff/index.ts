import { listBody } from '../asm/listing.ts';
import { functionAt } from '../asm/source.ts';
import { type CodeComparer, createCodeComparer } from './code.ts';
import { type ConstantUsers, constantUsers } from './constants.ts';
import { diffData } from './data.ts';
import { type BodyChange, compareFunctions, isBoundPart } from './functions.ts';
import { diffInlining } from './inlining.ts';
import { diffTypes } from './layout.ts';
import { isEnough, type LineProof, proveLineOnly } from './lines.ts';
import { diffLoose } from './loose.ts';
import { createMeaning, type Meaning, type Side } from './meaning.ts';
import { pairSymbols } from './pair.ts';
import { changedLines, firstDifference, type ReasonInput, reasonsOf } from './reasons.ts';
import { alignRows } from './rows.ts';
import { createSide } from './side.ts';
import { diffSignatures } from './signatures.ts';
import { createSpecialComparer, specialLines, specialReasons, withSpecial } from './special.ts';
import { markTables, matchRenumbered } from './tables.ts';
import type {
  AlignedRow,
  FunctionChange,
  ObjectDiff,
  ObjectPair,
  Reason,
  SourceEdits,
  SpecialDifference,
} from './types.ts';

/** What is known besides the objects. */
export interface DiffOptions {
  /** Source lines that were edited: makes the reasons exact. */
  readonly edits?: SourceEdits;
}

/**
 * Compares the two objects of a unit by meaning: functions, data, types, signatures and inlining. Comments, white space and the
 * order of functions make no difference. Pure; never throws for objects that `loadObject` accepted.
 */
export function diffObjects(pair: ObjectPair, options: DiffOptions = {}): ObjectDiff {
  const base = createSide(pair.base);
  const next = createSide(pair.next);
  const pairing = pairSymbols(pair.base, pair.next, options.edits);
  const meaning = createMeaning(base, next, pairing);
  const special = createSpecialComparer(base, next, meaning);
  const bytes = createCodeComparer(base, next, pairing, meaning);
  const code = withSpecial(bytes, special);
  const constants = constantUsers(base, next, diffData(base, next, pairing, meaning));
  const { data } = constants;
  const { changes, same } = compareFunctions(base, next, pairing, code, constants);
  const patched = new Set(changes.filter((change) => change.status !== 'removed').map((change) => change.name));
  const types = diffTypes(pair, patched);
  const input: ReasonInput = {
    base,
    next,
    types,
    changedNames: new Set(changes.map((change) => change.name)),
    ...(options.edits ? { edits: options.edits } : {}),
  };
  const specials = new Map<BodyChange, readonly SpecialDifference[]>();
  for (const change of changes) {
    if (!change.base || !change.next || change.because || !bytes.same(change.base, change.next)) continue;
    const differences = special.differences(change.base, change.next);
    if (differences.length > 0) specials.set(change, differences);
  }
  const reasons = new Map<BodyChange, readonly Reason[]>();
  const read = changes.map((change) => readChange(input, change, code));
  const lineOnly = lineOnlyNames(read);
  const bodies = new Map<FunctionChange, BodyChange>();
  const functions = read.map((one) => {
    const special = specials.get(one.change);
    const alike = one.change.constants !== undefined && !special && bytes.same(one.change.base!, one.change.next!);
    const described = alike
      ? forConstants(input, one, constants)
      : describe(input, one, lineOnly.has(one.change.name), special, meaning);
    reasons.set(one.change, described.reasons);
    bodies.set(described, one.change);
    return described;
  });
  const inlining = diffInlining(
    base,
    next,
    changes.filter((change) => !lineOnly.has(change.name)),
    (change) => reasons.get(change) ?? [],
  );
  return {
    functions,
    sameFunctions: same,
    data,
    types,
    signatures: diffSignatures(pair, functions),
    inlining,
    special: [...specials].map(([change, differences]) => ({ function: change.name, differences })),
    loose: diffLoose(base, next, meaning, bytes),
    pairing: pairing.forward,
    problems: pairing.problems,
    matchRows: (change, rows) => {
      const { base: from, next: to } = bodies.get(change) ?? {};
      return from && to ? matchRenumbered(rows, input.base, from, input.next, to, meaning) : [...rows];
    },
  };
}

/** A change with what was found out about it. */
interface ReadChange {
  readonly change: BodyChange;
  readonly baseInstructions: number;
  readonly nextInstructions: number;
  readonly proof: LineProof | undefined;
}

function readChange(input: ReasonInput, change: BodyChange, code: CodeComparer): ReadChange {
  const { base, next } = input;
  const count = (side: Side, body: BodyChange['base']) => (body ? (side.scanOf(body)?.count ?? 0) : 0);
  const proof =
    change.base && change.next && !change.because && !change.constants
      ? proveLineOnly(base, next, change.base, change.next, code, input.edits)
      : undefined;
  return {
    change,
    baseInstructions: count(base, change.base),
    nextInstructions: count(next, change.next),
    proof,
  };
}

/** Functions that differ in line numbers only, with the members of their families that are there for no other reason. */
function lineOnlyNames(read: readonly ReadChange[]): ReadonlySet<string> {
  const witnessed = isEnough(read.flatMap((one) => (one.proof ? [one.proof] : [])));
  const names = new Set<string>();
  for (const { change, proof } of read) if (proof && (proof.complete || witnessed)) names.add(change.name);
  const byName = new Map(read.map((one) => [one.change.name, one.change]));
  const bound = (child: BodyChange, parent: BodyChange) => child.parent === parent.name && isBoundPart(child.name);
  for (const { change } of read) if (change.because && names.has(rootOf(change, byName))) names.add(change.name);
  // Whoever has a real change in its family stays with it: taken out until nothing changes.
  for (let again = true; again; ) {
    again = false;
    for (const { change } of read) {
      if (!names.has(change.name)) continue;
      const real = read.some(
        (one) => (bound(one.change, change) || bound(change, one.change)) && !names.has(one.change.name),
      );
      if (!real) continue;
      names.delete(change.name);
      again = true;
    }
  }
  return names;
}

/** The member of the family whose own change brought this one along. */
function rootOf(change: BodyChange, byName: ReadonlyMap<string, BodyChange>): string {
  const seen = new Set<string>();
  let at = change;
  while (at.because !== undefined && !seen.has(at.name)) {
    seen.add(at.name);
    const cause = byName.get(at.because);
    if (!cause) break;
    at = cause;
  }
  return at.name;
}

/** A function whose code is the same, in the patch because its constants are not. */
function forConstants(input: ReasonInput, read: ReadChange, constants: ConstantUsers): FunctionChange {
  const { change } = read;
  return {
    ...facts(input, read),
    reasons: change.constants!.map((detail) => ({ kind: 'table', detail })),
    lineOnly: false,
    changedLines: constants.lines(change.next!),
  };
}

/** What does not depend on why a function is in the patch. */
function facts(
  input: ReasonInput,
  { change, baseInstructions, nextInstructions }: ReadChange,
): Omit<FunctionChange, 'reasons' | 'lineOnly' | 'changedLines'> {
  const side = change.next ? input.next : input.base;
  const body = change.next ?? change.base!;
  const at = functionAt(side.object, body.section, body.start)?.decl;
  return {
    name: change.name,
    status: change.status,
    ...(change.baseSymbol ? { base: change.baseSymbol } : {}),
    ...(change.nextSymbol ? { next: change.nextSymbol } : {}),
    baseSize: change.base?.size ?? 0,
    nextSize: change.next?.size ?? 0,
    baseInstructions,
    nextInstructions,
    ...(change.parent ? { parent: change.parent } : {}),
    ...(at ? { at } : {}),
  };
}

function describe(
  input: ReasonInput,
  read: ReadChange,
  lineOnly: boolean,
  special: readonly SpecialDifference[] | undefined,
  meaning: Meaning,
): FunctionChange {
  const { change } = read;
  // Listings are only made for real changes: of line numbers there can be hundreds.
  const compared = change.status === 'changed' && !change.because && !lineOnly && !special;
  const aligned = compared ? listed(input, change, meaning) : [];
  const { proof } = read;
  const differing = special ? specialLines(input.base.object, input.next.object, special) : changedLines(aligned);
  const first = firstDifference(aligned);
  const lines = () => (lineOnly ? (proof?.places() ?? []) : differing);
  return {
    ...facts(input, read),
    reasons: [
      ...(special ? specialReasons(special) : reasonsOf(input, change, aligned, lineOnly)),
      ...(change.constants ?? []).map((detail): Reason => ({ kind: 'table', detail })),
    ],
    lineOnly,
    ...(first ? { firstDifference: first } : {}),
    // Of line numbers only, hundreds may change that nobody looks at.
    get changedLines() {
      return lines();
    },
  };
}

/** The listings of both sides, aligned. */
function listed({ base, next }: ReasonInput, change: BodyChange, meaning: Meaning): AlignedRow[] {
  const [from, to] = [change.base!, change.next!];
  const aligned = alignRows(listBody(base.object, from), listBody(next.object, to));
  return markTables(matchRenumbered(aligned, base, from, next, to, meaning), base, from, next, to, meaning);
}
