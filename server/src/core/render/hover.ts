import type { AsmRow } from '../asm/types.ts';
import type {
  AlignedRow,
  FunctionChange,
  MemberChange,
  ObjectPair,
  Reason,
  SourceHunk,
  TypeChange,
} from '../diff/types.ts';
import type { SourceLocation } from '../dwarf/types.ts';
import { labelOf, memberText, offsetText, sizeText } from '../findings/support.ts';
import type { Finding } from '../findings/types.ts';
import { renderLayoutChange } from './layout.ts';

/** Longest code block of a hover, in lines; the rest is in the assembly diff. */
const maxLines = 48;

const reasonWords: Readonly<Record<Reason['kind'], string>> = {
  'own-edit': 'its own code was edited',
  'inlined-callee': 'an edited function is inlined into it',
  'header-type': 'a type that it uses changed',
  macro: 'a macro that it uses changed',
  declaration: 'a declaration of what it uses changed',
  constant: 'a constant in it changed',
  string: 'a string in it changed',
  callee: 'it calls another function',
  data: 'it uses other data',
  table: 'a constant that it uses has other contents',
  clone: 'the compiler cloned it otherwise',
  special: 'its code is the same, but what a table says about it changed',
  'line-only': 'only line numbers in it changed',
  'compiler-noise': 'the compiler arranged it otherwise',
  new: 'it is new',
  removed: 'it is gone',
};

/** Why a function is in the patch, in words: `its own code was edited`, `an edited function is inlined into it: clamp`. */
export const reasonText = ({ kind, detail }: Reason): string =>
  detail === '' ? reasonWords[kind] : `${reasonWords[kind]}: \`${detail.replace(/`/g, "'")}\``;

/** The first instruction that differs, in words: `First difference, in line 12: \`mov eax, 1\` → \`mov eax, 2\``; undefined where there is none to tell. */
export function firstText({ firstDifference, at }: FunctionChange): string | undefined {
  if (!firstDifference) return undefined;
  const { base, next, at: where } = firstDifference;
  const code = (text: string): string => (text === '' ? 'nothing' : `\`${text.replace(/`/g, "'")}\``);
  const place = where ? `, in ${where.file === at?.file ? '' : `${basename(where.file)} `}line ${where.line}` : '';
  return `First difference${place}: ${code(base)} → ${code(next)}`;
}

/**
 * Markdown for a hover on a function that differs: sizes and instructions before and after, why it is in the patch, and the findings about
 * it (those whose `symbol` is its name are picked out of `findings`).
 */
export function hoverFunction(change: FunctionChange, findings: readonly Finding[] = []): string {
  const name = plain(change.name);
  const lines: string[] = [];
  if (change.status === 'new') {
    lines.push(
      `**Live Patch** · \`${name}\` is new: ${change.nextInstructions} instructions, ${change.nextSize} bytes`,
    );
  } else if (change.status === 'removed') {
    lines.push(
      `**Live Patch** · \`${name}\` is gone: it had ${change.baseInstructions} instructions, ${change.baseSize} bytes`,
    );
  } else {
    lines.push(
      `**Live Patch** · machine code of \`${name}\` changed`,
      '',
      '| | before | after |',
      '|---|---:|---:|',
      `| instructions | ${change.baseInstructions} | ${change.nextInstructions} |`,
      `| bytes | ${change.baseSize} | ${change.nextSize} |`,
    );
  }
  if (change.lineOnly) lines.push('', 'Only line numbers differ: it is left out of the patch.');
  const reasons = change.reasons.filter(({ kind }) => kind !== 'new' && kind !== 'removed');
  if (reasons.length > 0 && !change.lineOnly) {
    lines.push('', 'In the patch because:', ...reasons.map((reason) => `- ${reasonText(reason)}`));
  }
  const first = firstText(change);
  if (first !== undefined) lines.push('', first);
  if (change.parent !== undefined) lines.push('', `The compiler split it off \`${plain(change.parent)}\`.`);
  const others = new Set(change.changedLines.filter(({ file }) => file !== change.at?.file).map(({ file }) => file));
  if (others.size > 0)
    lines.push('', `Code from ${[...others].map((f) => `\`${plain(basename(f))}\``).join(', ')} in it changed too.`);
  lines.push(...findingLines(findings.filter(({ symbol }) => symbol === change.name)));
  return `${lines.join('\n')}\n`;
}

/**
 * Markdown for a hover on a source line of the next side whose machine code changed: the instructions before and after as one diff block.
 * Undefined where the line's code is the same. Old instructions without a counterpart go to the line that their own maps to (`hunks`, where
 * given), else to the line of the new code around them.
 */
export function hoverLine(
  rows: readonly AlignedRow[],
  at: { readonly file: string; readonly line: number },
  hunks: readonly SourceHunk[] = [],
): string | undefined {
  const chosen: AlignedRow[] = [];
  let around: SourceLocation | undefined;
  for (const row of rows) {
    const source = row.next?.source ?? mapped(row.base?.source, at.file, hunks) ?? around;
    if (row.next?.source) around = row.next.source;
    if (source && source.line === at.line && sameFile(source.file, at.file)) chosen.push(row);
  }
  const changed = chosen.filter(({ same }) => !same);
  if (changed.length === 0) return undefined;
  const before = chosen.filter(({ base }) => base).length;
  const after = chosen.filter(({ next }) => next).length;
  const block = chosen.flatMap((row) =>
    row.same && row.next
      ? [`  ${instruction(row.next)}`]
      : [...(row.base ? [`- ${instruction(row.base)}`] : []), ...(row.next ? [`+ ${instruction(row.next)}`] : [])],
  );
  return `**Live Patch** · machine code of this line: ${before} → ${after} instructions\n\n${fence('diff', block)}`;
}

/** Line of a base location on the next side, where the edits tell; undefined within an edited hunk and for other files. */
function mapped(
  source: SourceLocation | undefined,
  file: string,
  hunks: readonly SourceHunk[],
): SourceLocation | undefined {
  if (!source || hunks.length === 0 || !sameFile(source.file, file)) return undefined;
  let shift = 0;
  for (const { baseStart, baseCount, nextCount } of hunks) {
    if (source.line < baseStart) break;
    if (source.line < baseStart + baseCount) return undefined;
    shift += nextCount - baseCount;
  }
  return { ...source, line: source.line + shift };
}

/** Markdown for a hover on a changed struct, union, enum or typedef: sizes, what became of each field, and the layout before and after. */
export function hoverType(pair: ObjectPair, change: TypeChange, findings: readonly Finding[] = []): string {
  const label = labelOf(change);
  const size =
    change.status === 'new'
      ? `is new (${change.nextSize} bytes)`
      : change.status === 'removed'
        ? `is gone (${change.baseSize} bytes)`
        : change.baseSize === change.nextSize
          ? `changed, ${change.nextSize} bytes before and after`
          : `changed: ${change.baseSize} → ${change.nextSize} bytes`;
  const lines = [`**Live Patch** · \`${plain(label)}\` ${size}`];
  const causes = change.causes ?? [];
  if (causes.length > 0)
    lines.push('', `Only because of ${causes.map((cause) => `\`${plain(cause)}\``).join(', ')} in it.`);
  if (change.status === 'changed') {
    lines.push(
      '',
      change.confined
        ? 'No instance outlives the patch: only automatic variables of replaced functions have this type.'
        : `Instances outlive the patch: ${change.outlivesBy.slice(0, 4).map(plain).join('; ')}${change.outlivesBy.length > 4 ? '; …' : ''}.`,
    );
  }
  lines.push(...findingLines(findings.filter(({ symbol }) => symbol === label)));
  lines.push('', fence('diff', renderLayoutChange(pair, change).trimEnd().split('\n')));
  return `${lines.join('\n').trimEnd()}\n`;
}

/** Markdown for a hover on one field of a changed struct or union; undefined where that field is as it was. */
export function hoverMember(change: TypeChange, path: string): string | undefined {
  const found =
    change.members.find((member) => member.path === path) ?? change.members.find((m) => last(m.path) === path);
  if (!found) return undefined;
  return `**Live Patch** · \`${plain(labelOf(change))}\`: ${plain(memberText(found))}\n\n${memberTable(found)}\n`;
}

function memberTable({ base, next }: MemberChange): string {
  const cell = (member: MemberChange['base'], of: (m: NonNullable<MemberChange['base']>) => string): string =>
    member ? of(member) : '–';
  return [
    '| | before | after |',
    '|---|---:|---:|',
    `| offset | ${cell(base, (m) => offsetText(m.bitOffset))} | ${cell(next, (m) => offsetText(m.bitOffset))} |`,
    `| size | ${cell(base, (m) => sizeText(m.bitSize))} | ${cell(next, (m) => sizeText(m.bitSize))} |`,
  ].join('\n');
}

const marks: Readonly<Record<Finding['severity'], string>> = {
  blocker: '⛔ blocker',
  review: '⚠ review',
  note: 'ℹ note',
};

function findingLines(findings: readonly Finding[]): string[] {
  if (findings.length === 0) return [];
  return ['', ...findings.map(({ code, severity, message }) => `- ${marks[severity]} \`${code}\`: ${plain(message)}`)];
}

const instruction = (row: AsmRow): string => `${row.mnemonic.padEnd(8)} ${row.operands}`.trimEnd();
const last = (path: string): string => path.slice(path.lastIndexOf('.') + 1);
const basename = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Paths of DWARF and of the editor may differ in `./` only. */
const sameFile = (a: string, b: string): boolean => a.replace(/\/\.\//g, '/') === b.replace(/\/\.\//g, '/');

/** Takes the markup out of names: they come from object files. */
const plain = (text: string): string => text.replace(/[`<>|\r\n]/g, (c) => (c === '\n' || c === '\r' ? ' ' : `\\${c}`));

function fence(language: string, lines: readonly string[]): string {
  const shown = lines.length > maxLines ? [...lines.slice(0, maxLines), `… ${lines.length - maxLines} more`] : lines;
  return `\`\`\`${language}\n${shown.map((line) => line.replace(/```/g, "'''")).join('\n')}\n\`\`\`\n`;
}
