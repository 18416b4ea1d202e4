import type { ElfFile } from '../elf/types.ts';
import type { NewRelocation, NewSection } from '../elf/write.ts';
import type { XenPlan, XenUnit } from './xen-pieces.ts';

/** How the payload is laid out so far: what debug information refers to. */
export interface DebugLayout {
  readonly sections: NewSection[];
  readonly relocations: NewRelocation[];
  /** Index of a section of the payload, by name. */
  readonly indexOf: ReadonlyMap<string, number>;
  /** Where each piece lies in its section. */
  readonly offsets: readonly number[];
  /** Symbol that stands for a section. */
  readonly toSection: (section: number) => number;
}

/**
 * Adds the debug information of the units to a payload: not loaded by Xen, read by debuggers. Contributions stand one behind the other,
 * as a linker puts them (DWARF 5, 7.3.1); what describes code or data that is not in the payload keeps the address zero.
 */
export function addDebug(units: readonly XenUnit[], plan: XenPlan, layout: DebugLayout): void {
  const used = new Set(plan.pieces.map((piece) => piece.unit));
  const made = new Map<string, { readonly parts: Uint8Array[]; size: number }>();
  /** Start of each unit's contribution: unit → section index of its object → offset. */
  const starts = new Map<string, number>();
  const debugOf = (elf: ElfFile) =>
    elf.sections.filter((one) => (one.flags & 2) === 0 && one.type === 1 && /^\.debug_/.test(one.name));
  for (const unit of used) {
    for (const section of debugOf(units[unit]!.unit.pair.next.elf)) {
      const whole = made.get(section.name) ?? { parts: [], size: 0 };
      made.set(section.name, whole);
      starts.set(`${unit}:${section.index}`, whole.size);
      whole.parts.push(section.data);
      whole.size += section.data.length;
    }
  }
  const indices = new Map<string, number>();
  for (const [name, { parts, size }] of made) {
    const data = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
      data.set(part, at);
      at += part.length;
    }
    indices.set(name, layout.sections.push({ name, type: 1, flags: 0, align: 1, data }) - 1);
  }
  for (const unit of used) relocate(units[unit]!.unit.pair.next.elf, unit, plan, layout, starts, indices);
}

function relocate(
  elf: ElfFile,
  unit: number,
  plan: XenPlan,
  layout: DebugLayout,
  starts: ReadonlyMap<string, number>,
  indices: ReadonlyMap<string, number>,
): void {
  const pieces = new Map<number, { start: number; end: number; section: number; offset: number }[]>();
  plan.pieces.forEach((piece, index) => {
    if (piece.unit !== unit) return;
    const { start, end } = piece;
    const made = { start, end, section: layout.indexOf.get(piece.out)!, offset: layout.offsets[index]! };
    const list = pieces.get(piece.section.index);
    if (list) list.push(made);
    else pieces.set(piece.section.index, [made]);
  });
  for (const section of elf.sections) {
    const from = starts.get(`${unit}:${section.index}`);
    if (from === undefined) continue;
    const own = indices.get(section.name)!;
    for (const { offset, type, symbol, addend } of elf.relocationsOf(section.index)) {
      const target = elf.symbols[symbol];
      if (typeof target?.place !== 'number') continue;
      const at = target.offset + addend;
      const debug = starts.get(`${unit}:${target.place}`);
      let to: { section: number; offset: number } | undefined;
      if (debug !== undefined) to = { section: indices.get(elf.sections[target.place]!.name)!, offset: debug + at };
      else {
        // Ends of ranges are places too.
        const list = pieces.get(target.place) ?? [];
        const piece =
          list.find(({ start, end }) => start <= at && at < end) ??
          list.find(({ start, end }) => start <= at && at === end);
        if (piece) to = { section: piece.section, offset: piece.offset + at - piece.start };
      }
      if (!to) continue;
      layout.relocations.push({
        section: own,
        offset: from + offset,
        type,
        symbol: layout.toSection(to.section),
        addend: to.offset,
      });
    }
  }
}
