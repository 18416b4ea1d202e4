import { basename, dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FindingItem, UnitItem } from '../../server/src/protocol.ts';

/** A row of a file in the Live Patch view: of a unit's source, or of another file that findings are at, headers mostly. */
export interface FileRow {
  readonly file: string;
  readonly unit?: UnitItem;
  /** Its own findings, and those of other units at places in it, each once. */
  readonly findings: readonly FindingItem[];
  /** What tells it apart from rows of files of the same name: the folder, or the object of a source that is compiled twice. */
  readonly where: string;
}

/** The file that a finding is at; undefined where it is at no place. */
const fileOf = ({ place }: FindingItem): string | undefined => place && fileURLToPath(place.uri);

/** One and the same finding, whoever tells of it. */
const keyOf = (each: FindingItem): string => `${each.code} ${each.symbol} ${each.place?.line}`;

/** Something of the unit itself changed, or went wrong. */
const isOfNote = (unit: UnitItem): boolean =>
  unit.functions.length > 0 ||
  unit.data.length > 0 ||
  unit.findings.some((each) => (fileOf(each) ?? unit.file) === unit.file) ||
  unit.phase === 'compileError' ||
  unit.phase === 'failed';

/** Anything is to be told of these units. */
export const hasRows = (units: readonly UnitItem[]): boolean =>
  units.some((unit) => isOfNote(unit) || unit.findings.length > 0);

/**
 * The rows of a folder's units: first files that are no unit's source, then the sources. A file has one row (a source that is compiled twice
 * one for each unit), which holds what other units tell of it.
 * @param root the folder
 */
export function fileRows(units: readonly UnitItem[], root: string): FileRow[] {
  const shared = new Map<string, Map<string, FindingItem>>();
  for (const unit of units)
    for (const each of unit.findings) {
      const file = fileOf(each);
      if (file === undefined || file === unit.file) continue;
      const list = shared.get(file) ?? new Map<string, FindingItem>();
      shared.set(file, list);
      if (!list.has(keyOf(each))) list.set(keyOf(each), each);
    }
  const rows: Omit<FileRow, 'where'>[] = [];
  for (const unit of units) {
    const others = shared.get(unit.file);
    if (!isOfNote(unit) && !others) continue;
    // Of several units of one source the first row has them.
    shared.delete(unit.file);
    const own = unit.findings.filter((each) => (fileOf(each) ?? unit.file) === unit.file);
    const known = new Set(own.map(keyOf));
    const more = [...(others ?? [])].flatMap(([key, each]) => (known.has(key) ? [] : [each]));
    rows.push({ file: unit.file, unit, findings: [...own, ...more] });
  }
  const headers = [...shared].map(([file, findings]) => ({ file, findings: [...findings.values()] }));
  const all: readonly Omit<FileRow, 'where'>[] = [...headers, ...rows];
  const inside = (path: string): string => {
    const short = relative(root, path);
    return short.startsWith('..') ? path : short;
  };
  return all.map((row) => {
    const namesakes = all.filter((each) => each !== row && basename(each.file) === basename(row.file));
    const isTwice = namesakes.some((each) => each.file === row.file);
    const where = isTwice ? inside(row.unit?.id ?? row.file) : namesakes.length > 0 ? inside(dirname(row.file)) : '';
    return { ...row, where };
  });
}
