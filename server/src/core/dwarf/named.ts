import * as d from './constants.ts';
import { Die } from './die.ts';
import { Damaged } from './reader.ts';
import type { Scan } from './scan.ts';
import * as s from './slots.ts';
import type { DwarfType } from './types.ts';

/** Read into for a moment only. */
const scratch = new Die();

/** The first complete struct with a tag. Names are compared by where they stand in the string table, and mostly not even read. */
export function structNamed(scan: Scan, tag: string): DwarfType | undefined {
  const offsets = scan.data.strings.offsetsOf(tag);
  for (let i = 0; i < scan.typeCount; i++) {
    if (scan.tagOf(i) !== d.DW_TAG_structure_type || !mayHaveName(scan, scan.keyOf(i), offsets)) continue;
    const type = scan.typeAt(i)!;
    if (type.name === tag && type.size !== undefined) return type;
  }
  return undefined;
}

/** False where the name of an entry stands in `.debug_str`, elsewhere than the wanted one. */
function mayHaveName({ data }: Scan, key: number, offsets: ReadonlySet<number> | undefined): boolean {
  if (!offsets) return true;
  const unit = data.unitOf(key);
  if (!unit) return true;
  try {
    const reader = unit.reader(key - unit.keyBase);
    const abbrev = unit.next(reader);
    const name = abbrev ? abbrev.slots.indexOf(s.AT_NAME) : -1;
    if (!abbrev || name < 0) return false;
    if (abbrev.forms[name] !== d.DW_FORM_strp) return true;
    // In most cases nothing has that name.
    if (offsets.size === 0) return false;
    scratch.read(unit, reader, abbrev, key - unit.keyBase);
    return offsets.has(scratch.number(s.AT_NAME) ?? -1);
  } catch (error) {
    if (!(error instanceof Damaged) && !(error instanceof RangeError)) throw error;
    return false;
  }
}
