import type { Body } from '../asm/places.ts';
import { functionAt } from '../asm/source.ts';
import { relocationTarget } from '../asm/targets.ts';
import type { AsmRow } from '../asm/types.ts';
import type { DwarfFunction, SourceLocation, TypeRef } from '../dwarf/types.ts';
import { differences, isOwnLine } from './differences.ts';
import { hunksOf, touches } from './edits.ts';
import type { BodyChange } from './functions.ts';
import type { Side } from './meaning.ts';
import { cloneStem } from './pair-keys.ts';
import { typeReasons } from './type-causes.ts';
import type { AlignedRow, FirstDifference, Reason, SourceEdits, TypeChange } from './types.ts';
import { untouchedCallees } from './untouched.ts';

/** What is known of a pair when reasons are looked for. */
export interface ReasonInput {
  readonly base: Side;
  readonly next: Side;
  readonly types: readonly TypeChange[];
  readonly edits?: SourceEdits;
  /** Names of all functions that differ. */
  readonly changedNames: ReadonlySet<string>;
}

/**
 * Why a changed function is in the patch: first where the change comes from (its own text, an inlined function, a type, a macro),
 * then what differs in the code (constant, string, callee, data).
 */
export function reasonsOf(
  input: ReasonInput,
  change: BodyChange,
  aligned: readonly AlignedRow[],
  lineOnly: boolean,
): Reason[] {
  if (change.status !== 'changed') return [{ kind: change.status, detail: '' }];
  if (lineOnly) return [{ kind: 'line-only', detail: '' }];
  if (change.because) return [{ kind: 'clone', detail: change.because }];
  const reasons = [...causes(input, change, aligned), ...differences(aligned)];
  const seen = new Set<string>();
  return reasons.filter((reason) => {
    const key = `${reason.kind}\0${reason.detail}`;
    return !seen.has(key) && seen.add(key);
  });
}

function causes(input: ReasonInput, change: BodyChange, aligned: readonly AlignedRow[]): Reason[] {
  const before = functionAt(input.base.object, change.base!.section, change.base!.start);
  const after = functionAt(input.next.object, change.next!.section, change.next!.start);
  const types = typeCauses(input, change, before, after, aligned);
  // A cold part is the function's own text: what changed is to be seen there.
  if (change.parent !== undefined && /\.cold(\.|$)/.test(change.name) && input.changedNames.has(change.parent))
    return [{ kind: 'clone', detail: change.parent }, ...types];
  return input.edits
    ? knownEdits(input, input.edits, aligned, before, after, types)
    : inferred(input, change, aligned, types);
}

/** With the edits at hand: whose lines were touched. */
function knownEdits(
  input: ReasonInput,
  edits: SourceEdits,
  aligned: readonly AlignedRow[],
  before: DwarfFunction | undefined,
  after: DwarfFunction | undefined,
  types: readonly Reason[],
): Reason[] {
  const reasons: Reason[] = [];
  if (edited(edits, 'base', spanOf(before, aligned, 'base')) || edited(edits, 'next', spanOf(after, aligned, 'next'))) {
    reasons.push({ kind: 'own-edit', detail: '' });
  }
  const callees = new Set([...(before?.inlined ?? []), ...(after?.inlined ?? [])].map((call) => call.name));
  for (const callee of callees) {
    if (
      edited(edits, 'base', inlinedSpan(input.base, before, callee, aligned, 'base')) ||
      edited(edits, 'next', inlinedSpan(input.next, after, callee, aligned, 'next'))
    ) {
      reasons.push({ kind: 'inlined-callee', detail: callee });
    }
  }
  reasons.push(...types);
  if (reasons.length > 0) return reasons;
  // Where nothing tells how far the function reaches, as in assembly: its own code, on edited lines.
  if (aligned.some((row) => !row.same && (onEditedLine(edits, row, 'base') || onEditedLine(edits, row, 'next'))))
    return [{ kind: 'own-edit', detail: '' }];
  const outside = editOutsideFunctions(input, edits);
  return [outside === undefined ? { kind: 'compiler-noise', detail: '' } : { kind: 'macro', detail: outside }];
}

/** Without the edits: what the differing instructions belong to. */
function inferred(
  input: ReasonInput,
  change: BodyChange,
  aligned: readonly AlignedRow[],
  types: readonly Reason[],
): Reason[] {
  const self = cloneStem(change.name).split('.')[0]!;
  const differing = aligned.filter((row) => !row.same);
  const telling = differing.filter(isTelling);
  const oneSided = inlinedOnOneSide(aligned);
  const { moved, copied } = untouchedCallees(aligned, outline, (row) => !row.same && isTelling(row));
  const innocent = (name: string) => !input.changedNames.has(name) && copied.has(name);
  const inlined = new Map<string, number>();
  let own = 0;
  for (const row of telling.length > 0 ? telling : differing) {
    // A call that is new, or gone, is an edit of whoever calls; parts of the function that came back into it are the function.
    const all = (row.next ?? row.base!).inlinedFrom.filter((name) => name !== self && !oneSided.has(name));
    // What was only moved says nothing; what other copies have as it was is given something else by whoever calls.
    if (all.length > 0 && moved.has(all.at(-1)!)) continue;
    const chain = all.filter((name) => !innocent(name));
    // A changed function anywhere in the chain explains the row; else the innermost one does.
    const callee = [...chain].reverse().find((name) => input.changedNames.has(name)) ?? chain.at(-1);
    if (callee === undefined) own++;
    else inlined.set(callee, (inlined.get(callee) ?? 0) + 1);
  }
  const callees = [...inlined].filter(([name, rows]) => input.changedNames.has(name) || rows > own);
  const reasons: Reason[] = [...callees.map(([detail]): Reason => ({ kind: 'inlined-callee', detail })), ...types];
  return reasons.length > 0 ? reasons : [{ kind: 'own-edit', detail: '' }];
}

/** Functions that only one side has inlined here, and that did not change themselves as far as this shows. */
function inlinedOnOneSide(aligned: readonly AlignedRow[]): ReadonlySet<string> {
  const base = new Set(aligned.flatMap((row) => row.base?.inlinedFrom ?? []));
  const next = new Set(aligned.flatMap((row) => row.next?.inlinedFrom ?? []));
  return new Set([...base, ...next].filter((name) => base.has(name) !== next.has(name)));
}

/** The first instruction that differs: one whose difference does not merely follow from another, where there is one. */
export function firstDifference(aligned: readonly AlignedRow[]): FirstDifference | undefined {
  const differs = (row: AlignedRow): boolean => !row.same && !(row.next ?? row.base)?.padding;
  const telling = aligned.findIndex((row) => differs(row) && isTelling(row));
  const index = telling >= 0 ? telling : aligned.findIndex(differs);
  const row = aligned[index];
  if (!row) return undefined;
  // Instructions that are replaced stand one after the other: old ones, then new ones.
  const end = aligned.findIndex(
    (one, i) => i > index && (one.same || (one.base !== undefined && one.next !== undefined)),
  );
  const run = aligned.slice(index, end < 0 ? undefined : end);
  const base = row.base ?? (row.next ? run.find((one) => one.base)?.base : undefined);
  const next = row.next ?? run.find((one) => one.next)?.next;
  const words = (one: AsmRow | undefined): string => (one ? `${one.mnemonic} ${one.operands}`.trim() : '');
  const source = next?.source ?? base?.source;
  return {
    base: words(base),
    next: words(next),
    ...(source ? { at: { file: source.file, line: source.line } } : {}),
  };
}

/**
 * Does the row differ in more than what follows from changes elsewhere: registers, places on the stack, labels, its own line number? An edit makes the compiler
 * choose all of these anew, in the functions inlined around it as well.
 */
function isTelling(row: AlignedRow): boolean {
  const { base, next } = row;
  if (!base || !next || base.mnemonic !== next.mnemonic) return true;
  return outline(base.operands) !== outline(next.operands) && !isOwnLine(row);
}

/** Operands without the names of registers, stack slots and labels. */
function outline(operands: string): string {
  return operands
    .replace(/\[(rsp|rbp|sp|x29)[^\]]*\]/g, '[stack]')
    .replace(/\.L\d+/g, 'label')
    .replace(
      /\b(r[a-ds][xipl]|r[bsi]p|r\d+[bwd]?|e?[a-d]x|[a-d][lh]|e?[sd]il?|e?[sb]pl?|[wx]\d+|[xyz]mm\d+)\b/g,
      'register',
    );
}

/** Lines of a function body: file, first and last line. */
interface Span {
  readonly file: string;
  readonly first: number;
  readonly last: number;
}

function edited(edits: SourceEdits, side: 'base' | 'next', span: Span | undefined): boolean {
  return span !== undefined && hunksOf(edits, span.file).some((hunk) => touches(hunk, side, span.first, span.last));
}

function onEditedLine(edits: SourceEdits, row: AlignedRow, side: 'base' | 'next'): boolean {
  const one = row[side];
  if (!one?.source || one.inlinedFrom.length > 0) return false;
  return edited(edits, side, { file: one.source.file, first: one.source.line, last: one.source.line });
}

function spanOf(
  of: DwarfFunction | undefined,
  aligned: readonly AlignedRow[],
  side: 'base' | 'next',
): Span | undefined {
  if (!of?.decl) return undefined;
  let last = Math.max(of.decl.line, of.endLine ?? 0);
  for (const row of aligned) {
    const one = row[side];
    if (one?.source && one.inlinedFrom.length === 0 && one.source.file === of.decl.file)
      last = Math.max(last, one.source.line);
  }
  return { file: of.decl.file, first: of.decl.line, last };
}

/** Lines of an inlined function: from its declaration to the last line seen of it, be it of its own code or of what it calls inline. */
function inlinedSpan(
  side: Side,
  of: DwarfFunction | undefined,
  callee: string,
  aligned: readonly AlignedRow[],
  which: 'base' | 'next',
): Span | undefined {
  const standalone = side.object.dwarf.functions.find((one) => one.name === callee);
  const decl = standalone?.decl ?? of?.inlined.find((call) => call.name === callee)?.decl;
  if (!decl) return undefined;
  let last = Math.max(decl.line, standalone?.endLine ?? 0);
  // Compilers also give lines of the caller to instructions of the inlined body: what follows the function in the file is not its text.
  const end = nextDeclaration(side, of, decl);
  for (const row of aligned) {
    const one = row[which];
    const index = one?.inlinedFrom.indexOf(callee) ?? -1;
    if (!one || index < 0) continue;
    const place = index === one.inlinedFrom.length - 1 ? one.source : one.inlinedAt?.[index + 1];
    if (place?.file === decl.file && place.line < end) last = Math.max(last, place.line);
  }
  return { file: decl.file, first: decl.line, last };
}

/** First line behind a declaration at which another function of the file begins. */
function nextDeclaration(side: Side, of: DwarfFunction | undefined, decl: SourceLocation): number {
  let end = Number.POSITIVE_INFINITY;
  const look = (other: SourceLocation | undefined): void => {
    if (other && other.file === decl.file && other.line > decl.line) end = Math.min(end, other.line);
  };
  for (const one of side.object.dwarf.prototypes) if (one.defined) look(one.decl);
  for (const call of of?.inlined ?? []) look(call.decl);
  return end;
}

/** Place (`limits.h:12`) of the first hunk that lies in no function: a macro, a declaration, a type. */
function editOutsideFunctions(input: ReasonInput, edits: SourceEdits): string | undefined {
  const spans = (side: Side): Span[] =>
    side.object.dwarf.functions.flatMap((of) =>
      of.decl
        ? [{ file: of.decl.file, first: of.decl.line, last: Math.max(of.decl.line, of.endLine ?? of.decl.line) }]
        : [],
    );
  const base = spans(input.base);
  const next = spans(input.next);
  for (const [file, hunks] of edits) {
    for (const hunk of hunks) {
      const within = (side: 'base' | 'next', list: readonly Span[]) =>
        list.some((span) =>
          hunksOf(new Map([[file, [hunk]]]), span.file).some((one) => touches(one, side, span.first, span.last)),
        );
      if (!within('base', base) && !within('next', next))
        return `${file.replace(/^.*\//, '')}:${Math.max(1, hunk.nextStart)}`;
    }
  }
  return undefined;
}

/** Changed types that the function works with and that made its code differ. */
function typeCauses(
  input: ReasonInput,
  change: BodyChange,
  before: DwarfFunction | undefined,
  after: DwarfFunction | undefined,
  aligned: readonly AlignedRow[],
): Reason[] {
  const candidates = input.types.filter(
    (type) =>
      type.status === 'changed' &&
      (type.members.length > 0 || type.enumerators.length > 0 || type.baseSize !== type.nextSize),
  );
  if (candidates.length === 0) return [];
  const used = new Set([...typesUsed(input.base, before, change.base!), ...typesUsed(input.next, after, change.next!)]);
  return typeReasons(
    candidates.filter((type) => used.has(type.name)),
    aligned,
  );
}

/** Names of the types that a function's variables and the data that it refers to lead to. */
function typesUsed(side: Side, of: DwarfFunction | undefined, body: Body): ReadonlySet<string> {
  const { types, variables } = side.object.dwarf;
  const names = new Set<string>();
  const seen = new Set<TypeRef>();
  const queue: TypeRef[] = of ? [of.returnType, ...of.localTypes, ...of.parameters.map((one) => one.type)] : [];
  const byPlace = new Map<string, TypeRef>(
    variables.flatMap((one) => (one.place ? [[`${one.place.section}:${one.place.offset}`, one.type] as const] : [])),
  );
  const byName = new Map(variables.map((one) => [one.name, one.type] as const));
  for (const relocation of side.elf.relocationsOf(body.section)) {
    if (relocation.offset < body.start || relocation.offset >= body.start + body.size) continue;
    const { symbol } = relocationTarget(side.places, relocation, side.elf.machine === 62 ? 4 : 0);
    if (!symbol) continue;
    const type = byPlace.get(`${symbol.place}:${symbol.offset}`) ?? byName.get(symbol.name);
    if (type !== undefined) queue.push(type);
  }
  for (let ref = queue.pop(); ref !== undefined; ref = queue.pop()) {
    if (ref < 0 || seen.has(ref)) continue;
    seen.add(ref);
    const type = types[ref];
    if (!type) continue;
    if (type.name) names.add(type.name);
    queue.push(type.target, ...type.members.map((member) => member.type));
  }
  return names;
}

/** Source lines whose code differs, each once: of the next side, of the base side where nothing is left of it. */
export function changedLines(aligned: readonly AlignedRow[]): SourceLocation[] {
  const lines = new Map<string, SourceLocation>();
  let last: SourceLocation | undefined;
  for (const row of aligned) {
    if (row.next?.source) last = row.next.source;
    if (row.same) continue;
    // Deleted instructions have no line of their own on the next side: the place where they stood is named.
    const at = row.next ? row.next.source : (last ?? row.base?.source);
    // Code of an inlined function changed for the line that calls it, too.
    for (const place of [at, (row.next ?? row.base!).inlinedAt?.[0]]) {
      if (place) lines.set(`${place.file}:${place.line}`, { file: place.file, line: place.line });
    }
  }
  return [...lines.values()].sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
}
