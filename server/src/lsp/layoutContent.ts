import * as l10n from '@vscode/l10n';
import { typeTable } from '../core/diff/type-table.ts';
import { usersOfType } from '../core/diff/type-users.ts';
import type { TypeChange } from '../core/diff/types.ts';
import { renderStruct } from '../core/render/layout.ts';
import type { LayoutDocument, LayoutSubject } from '../protocol.ts';
import type { UnitState } from '../shell/types.ts';
import { pathOf } from './documents.ts';
import { identifierAt, type Model } from './model.ts';

/** What a changed type is asked by. */
export const labelOf = (type: TypeChange): string => type.label ?? type.name;

const sizeText = (type: TypeChange): string =>
  type.status === 'changed' ? `${type.baseSize} → ${type.nextSize} bytes` : type.status;

/** Layouts are shown of what has members; of an enum and of a typedef the values and the target. */
function textOf(state: UnitState, type: TypeChange, side: 'base' | 'next'): string {
  const result = state.result;
  const shown = type[side];
  if (!result || !shown) return '';
  const table = typeTable(result.pair[side].dwarf);
  const text = renderStruct(table, shown.index);
  if (type.kind === 'enum') {
    const lines = type.enumerators.flatMap((each) =>
      each[side] === undefined ? [] : [`    ${each.name} = ${each[side]},`],
    );
    return `${labelOf(type)} {\n${lines.join('\n')}\n};\n`;
  }
  return beside(text);
}

/** Widest declaration that offsets wait for: with two sides beside each other, what stands further right is out of sight. */
const WIDEST = 38;

/**
 * A layout for two columns. The declaration comes first, so that the editor puts a member that moved beside itself and marks its offset;
 * the offset follows as closely as the declarations allow.
 */
function beside(text: string): string {
  const member = /^( .*?;) +(\/\* [ \d:]+ \*\/)$/gm;
  const widths = [...text.matchAll(member)]
    .map(([, declaration]) => declaration!.length)
    .filter((each) => each <= WIDEST);
  const width = Math.max(0, ...widths);
  return text.replace(member, (_all, declaration: string, place: string) => `${declaration.padEnd(width)} ${place}`);
}

/** Columns of a comment below a layout: two of them stand beside each other. */
const COLUMNS = 60;

/** A C comment, broken where it would be out of sight. */
function comment(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line !== '' && line.length + word.length >= COLUMNS) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line, at) => `${at === 0 ? '/* ' : ' * '}${line}${at === lines.length - 1 ? ' */' : ''}`);
}

/** Units whose functions are asked: a header of a kernel is in thousands. */
const MOST_UNITS = 40;

/** What may keep an instance that the patch does not know of, and who is built from it, as C comments: the same on both sides. */
function usesText(model: Model, type: TypeChange): string {
  const units = model.units.filter((state) => state.result?.diff.types.some((each) => labelOf(each) === labelOf(type)));
  const functions = new Set(
    units
      .slice(0, MOST_UNITS)
      .flatMap(({ result }) => (result ? usersOfType(result.pair.next, labelOf(type)).functions : [])),
  );
  const others = units.length - MOST_UNITS;
  const more = others > 0 ? ` ${l10n.t('and maybe functions of {0} more units', others)}` : '';
  const lines = [
    ...(functions.size > 0 ? comment(`${l10n.t('used by {0}', [...functions].sort().join(', '))}${more}`) : []),
    ...comment(l10n.t('in {0}', units.map((state) => state.unit.command.file.split('/').pop()).join(', '))),
    ...[
      ...new Set(
        units.flatMap(
          (state) => state.result?.diff.types.find((each) => labelOf(each) === labelOf(type))?.outlivesBy ?? [],
        ),
      ),
    ]
      .slice(0, 20)
      .flatMap((text) => comment(l10n.t('instances may outlive the patch: {0}', text.replaceAll('*/', '* /')))),
  ];
  return `\n${lines.join('\n')}\n`;
}

/** One side of a changed type's layout, in pahole's form. */
export function layoutDocument(model: Model, { unit, type: name, side }: LayoutSubject): LayoutDocument {
  const state = model.units.find((each) => each.unit.id === unit);
  const type = state?.result?.diff.types.find((each) => labelOf(each) === name);
  if (!state?.result) return { text: `/* The layout of ${name} has not been compared yet. */\n`, title: name };
  if (!type) return { text: `/* The layout of ${name} is the same as in the baseline. */\n`, title: name };
  return { text: `${textOf(state, type, side)}${usesText(model, type)}`, title: `${name}: ${sizeText(type)}` };
}

/** The changed type that a place speaks of: by its name, or by a line of its definition; `name` alone asks for a type by its label. */
export function typeAt(
  model: Model,
  uri: string,
  position: { readonly line: number; readonly character: number },
): { readonly unit: string; readonly type: string } | null {
  const path = pathOf(uri);
  if (!path) return null;
  const word = identifierAt(model.documents.line(path, position.line), position.character)?.name;
  for (const state of model.unitsWith(path)) {
    const types = state.result?.diff.types ?? [];
    const line = model.documents.lineThen(path, position.line, model.momentOf(state)) + 1;
    const found =
      types.find((type) => type.name === word) ??
      types.find((type) =>
        [type.at, ...type.members.map((member) => member.next?.at ?? member.at)].some(
          (at) => at?.line === line && model.documents.same(at.file, path),
        ),
      );
    if (found) return { unit: state.unit.id, type: labelOf(found) };
  }
  return null;
}
