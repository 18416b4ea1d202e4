import { typeTable } from '../core/diff/type-table.ts';
import type { TypeChange } from '../core/diff/types.ts';
import { renderStruct } from '../core/render/layout.ts';
import type { LayoutDocument, LayoutSubject } from '../protocol.ts';
import type { UnitState } from '../shell/types.ts';
import { pathOf } from './documents.ts';
import { identifierAt, type Model } from './model.ts';

const labelOf = (type: TypeChange): string => type.label ?? type.name;

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
  // Offset and size in front: behind long declarations they would be out of sight, with two sides beside each other.
  return text.replace(/^( .*?;) +(\/\* [ \d:]+ \*\/)$/gm, '$2 $1');
}

/** What may keep an instance that the patch does not know of, and who is built from it, as C comments: the same on both sides. */
function usesText(model: Model, type: TypeChange): string {
  const units = model.units.filter((state) => state.result?.diff.types.some((each) => labelOf(each) === labelOf(type)));
  const lines = [
    `/* in ${units.map((state) => state.unit.command.file.split('/').pop()).join(', ')} */`,
    ...[
      ...new Set(
        units.flatMap(
          (state) => state.result?.diff.types.find((each) => labelOf(each) === labelOf(type))?.outlivesBy ?? [],
        ),
      ),
    ]
      .slice(0, 20)
      .map((text) => `/* instances may outlive the patch: ${text.replaceAll('*/', '* /')} */`),
  ];
  return `\n${lines.join('\n')}\n`;
}

/** One side of a changed type's layout, in pahole's form. */
export function layoutDocument(model: Model, { unit, type: name, side }: LayoutSubject): LayoutDocument {
  const state = model.units.find((each) => each.unit.id === unit);
  const type = state?.result?.diff.types.find((each) => labelOf(each) === name);
  if (!state || !type) return { text: `/* The layout of ${name} is the same as in the baseline. */\n`, title: name };
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
