import type { Body } from '../asm/places.ts';
import { relocationMeaning } from '../asm/relocation.ts';
import { relocationsIn, relocationTarget } from '../asm/targets.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import { exactBias } from './bias.ts';
import { hunksOf, touches } from './edits.ts';
import type { BodyChange } from './functions.ts';
import type { Side } from './meaning.ts';
import type { Reason, SourceEdits, SourceHunk } from './types.ts';

/** What is asked of a pair. */
interface Pair {
  readonly base: Side;
  readonly next: Side;
}

/** An edit that lies in no function, and the things that it declares. */
interface Outside {
  readonly hunk: SourceHunk;
  /** `limits.h:12`. */
  readonly place: string;
  readonly declares: readonly string[];
}

/**
 * The edit outside of functions that a function changed for: a declaration of something that it refers to, else a macro, else another declaration.
 * Undefined where every edit lies in a function.
 */
export function outsideFunctions(pair: Pair, edits: SourceEdits, change: BodyChange): Reason | undefined {
  const found = editsOutside(pair, edits);
  if (found.length === 0) return undefined;
  if (found.some(({ declares }) => declares.length > 0)) {
    const used = new Set([...namesUsed(pair.base, change.base), ...namesUsed(pair.next, change.next)]);
    const name = found.flatMap(({ declares }) => declares).find((each) => used.has(each));
    if (name !== undefined) return { kind: 'declaration', detail: name };
  }
  // Where the texts are not at hand, what declares nothing is taken for a macro.
  const macros = found.filter(({ hunk, declares }) => (hunk.defines ? hunk.defines.length > 0 : declares.length === 0));
  // Which of several it is, the objects do not tell.
  const names = [...new Set(macros.flatMap(({ hunk }) => hunk.defines ?? []))];
  if (macros.length > 0) return { kind: 'macro', detail: names.slice(0, 3).join(' or ') || macros[0]!.place };
  const named = found.find(({ declares }) => declares.length > 0);
  return { kind: 'declaration', detail: named?.declares[0] ?? found[0]!.place };
}

function editsOutside(pair: Pair, edits: SourceEdits): Outside[] {
  const base = spansOf(pair.base);
  const next = spansOf(pair.next);
  const found: Outside[] = [];
  for (const [file, hunks] of edits) {
    for (const hunk of hunks) {
      const one: SourceEdits = new Map([[file, [hunk]]]);
      const within = (side: 'base' | 'next', { file: path, first, last }: Span): boolean =>
        hunksOf(one, path).some((each) => touches(each, side, first, last));
      if (base.some((span) => within('base', span)) || next.some((span) => within('next', span))) continue;
      const declares = new Set<string>();
      for (const which of ['base', 'next'] as const)
        for (const { name, at } of declarationsOf(pair[which]))
          if (at && within(which, { file: at.file, first: at.line, last: at.line })) declares.add(name);
      found.push({
        hunk,
        place: `${file.replace(/^.*\//, '')}:${Math.max(1, hunk.nextStart)}`,
        declares: [...declares],
      });
    }
  }
  return found;
}

/** Lines of a function. */
interface Span {
  readonly file: string;
  readonly first: number;
  readonly last: number;
}

const spansOf = (side: Side): Span[] =>
  side.object.dwarf.functions.flatMap(({ decl, endLine }) =>
    decl ? [{ file: decl.file, first: decl.line, last: Math.max(decl.line, endLine ?? decl.line) }] : [],
  );

/** Variables, functions and types, with the place of their declaration. */
function declarationsOf({
  object: { dwarf },
}: Side): { readonly name: string; readonly at: SourceLocation | undefined }[] {
  return [
    ...dwarf.variables.map(({ name, decl }) => ({ name, at: decl })),
    ...dwarf.prototypes.map(({ name, decl }) => ({ name, at: decl })),
    ...dwarf.types.flatMap(({ name, at }) => (name ? [{ name, at }] : [])),
  ];
}

/** Names of the functions and objects that a body refers to. */
function namesUsed(side: Side, body: Body | undefined): string[] {
  if (!body) return [];
  const { elf, places } = side;
  const section = elf.sections[body.section]!;
  return relocationsIn(elf.relocationsOf(body.section), body.start, body.start + body.size).flatMap((relocation) => {
    const relative = elf.machine === 62 && relocationMeaning(62, relocation.type).pcRelative;
    const name = relocationTarget(places, relocation, relative ? exactBias(elf, section, relocation.offset) : 0).symbol
      ?.name;
    return name ? [name] : [];
  });
}
