import { typeTable } from '../diff/type-table.ts';
import type { DataChange, TypeChange } from '../diff/types.ts';
import { isGenerated, labelOf, sectionName, variableOf } from './support.ts';
import type { HazardInput, Related } from './types.ts';
import { judgeLayout } from './types-of-change.ts';

/** Which rule speaks of a changed data object: the most telling one. */
export type DataVerdict = 'tls' | 'percpu' | 'init' | 'type' | 'size' | 'section' | 'contents' | 'align' | 'none';

// `-fdata-sections` makes `.bss.NAME`, so a name alone says nothing: only the forms that Linux (two dots) and Xen use.
const percpu = /^\.(data|bss)\.\.percpu|^\.(data|bss)\.percpu(\.(page_aligned|read_mostly|shared_aligned))?$/;
/** Lists that a kernel or a hypervisor goes through when it boots: parameters of the command line, functions to run. */
export const bootList = /^\.(init\.(setup|param)|\w*initcall|exitcall)/;
const initData = new RegExp(`^\\.init\\.(data|rodata|bss)|${bootList.source}`);

export const isPercpu = (data: DataChange): boolean =>
  percpu.test(data.baseSection ?? '') || percpu.test(data.nextSection ?? '');

export const isInitData = (data: DataChange): boolean => initData.test(data.baseSection ?? data.nextSection ?? '');

/** The verdict on a data object that both sides have. */
export function judgeData(input: HazardInput, data: DataChange): DataVerdict {
  if (data.status !== 'changed' || isGenerated(data)) return 'none';
  const { differs } = data;
  const size = differs.includes('size');
  const contents = differs.includes('contents') || differs.includes('references');
  if (!(size || contents || differs.includes('section') || differs.includes('align'))) return 'none';
  if (isPercpu(data)) return size || contents ? 'percpu' : 'none';
  if (isInitData(data)) return size || contents ? 'init' : 'none';
  if (data.tls && (size || contents || differs.includes('section'))) return 'tls';
  if ((size || contents) && explainedByType(input, data)) return 'type';
  if (size) return 'size';
  if (differs.includes('section') && sectionClass(data.baseSection) !== sectionClass(data.nextSection))
    return 'section';
  if (contents) return 'contents';
  return differs.includes('align') ? 'align' : 'none';
}

/** Kind of memory a section is: names that `-fdata-sections` makes (`.data.counter`) count as their kind. */
export function sectionClass(section: string | undefined): string {
  const name = section ?? '';
  if (/^\.l?bss|^COMMON$|^common$/.test(name) || name === '') return 'bss';
  if (/^\.l?rodata|^\.data\.rel\.ro/.test(name)) return 'rodata';
  if (/^\.data\.\.?(read_mostly|ro_after_init|cacheline_aligned|page_aligned)/.test(name))
    return name.replace(/^(\.data\.+\w+).*$/, '$1');
  if (/^\.l?data/.test(name)) return 'data';
  if (/^\.tdata|^\.tbss/.test(name)) return 'tls';
  return name;
}

/** True where the object differs because its type does. */
const explainedByType = (input: HazardInput, data: DataChange): boolean => typeBehind(input, data) !== undefined;

/** The changed type that alone makes an object differ. */
export function typeBehind(input: HazardInput, data: DataChange): TypeChange | undefined {
  const variable = variableOf(input.pair.base, data.base);
  if (!variable) return undefined;
  const table = typeTable(input.pair.base.dwarf);
  const element = table.element(variable.type);
  const typedefs = new Set(table.typedefs(variable.type).map(({ ref }) => ref));
  const change = input.diff.types.find(
    ({ base, status }) =>
      status === 'changed' && base !== undefined && (base.index === element || typedefs.has(base.index)),
  );
  if (!change) return undefined;
  const verdict = judgeLayout(change);
  if (verdict === 'none' || verdict === 'retyped') return undefined;
  // The number of elements may have changed as well: that is another edit.
  const after = variableOf(input.pair.next, data.next);
  const sameCount =
    !after ||
    change.baseSize === 0 ||
    change.nextSize === 0 ||
    Math.floor(data.baseSize / change.baseSize) === Math.floor(data.nextSize / change.nextSize);
  return sameCount || labelOf(change) !== table.label(element) ? change : undefined;
}

/** An object whose size differs: by its own edit, or because its type changed (`behind`). */
export interface Resized {
  readonly data: DataChange;
  readonly behind?: TypeChange;
  /** Words and place of the type's edit. */
  readonly follows: string;
  readonly related: readonly Related[];
}

/** Objects of another size, per-cpu, thread-local and start-up data left to their own rules. */
export function resizedData(input: HazardInput): Resized[] {
  return input.diff.data.flatMap((data): Resized[] => {
    const verdict = judgeData(input, data);
    if (verdict === 'size') return [{ data, follows: '', related: oldPlace(input, data) }];
    if (verdict !== 'type' || !data.differs.includes('size')) return [];
    const behind = typeBehind(input, data);
    if (!behind || behind.confined) return [];
    const label = labelOf(behind);
    const edited = behind.members.find(({ at, next }) => at !== undefined && next !== undefined)?.at ?? behind.at;
    return [
      {
        data,
        behind,
        follows: ` That follows from the change of ${label}.`,
        related: [{ ...(edited && { at: edited }), message: `follows from ${label}` }, ...oldPlace(input, data)],
      },
    ];
  });
}

/** Where the object was, and the functions that use it, by the base object's debug information. */
export function oldPlace(input: HazardInput, data: DataChange): readonly Related[] {
  const decl = variableOf(input.pair.base, data.base)?.decl;
  const section = sectionName(input.pair.base, data.base);
  return decl
    ? [{ at: decl, message: `in the running program: ${data.baseSize} bytes${section ? ` in ${section}` : ''}` }]
    : [];
}
