import type { Problem } from '../problem.ts';
import { NT_GNU_BUILD_ID, PT_NOTE, SHT_NOTE } from './constants.ts';
import { decodeText } from './strings.ts';
import type { Note, Section, Segment } from './types.ts';

/**
 * Reads all notes (gABI 5 "Note Section"; entries padded to 4 bytes, or to 8 where the section is aligned so, as
 * .note.gnu.property is). Files without section headers are read through their PT_NOTE segments.
 */
export function readNotes(
  bytes: Uint8Array,
  sections: readonly Section[],
  segments: readonly Segment[],
  problems: Problem[],
): Note[] {
  const notes: Note[] = [];
  if (sections.length > 0) {
    // Sections of a crafted file may overlap: no more note bytes are read than the file has.
    let budget = bytes.length;
    for (const section of sections) {
      if (section.type !== SHT_NOTE) continue;
      budget -= section.data.length;
      if (budget < 0) {
        problems.push({ area: 'elf.note', message: 'The note sections overlap.' });
        break;
      }
      readEntries(section.data, section.align, section.name, notes, problems);
    }
    return notes;
  }
  for (const segment of segments) {
    if (segment.type !== PT_NOTE || notes.length > 1000) continue;
    const data = bytes.subarray(Math.min(segment.offset, bytes.length), segment.offset + segment.fileSize);
    readEntries(data, segment.align, '', notes, problems);
  }
  return notes;
}

function readEntries(data: Uint8Array, align: number, section: string, notes: Note[], problems: Problem[]): void {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const unit = align === 8 ? 8 : 4;
  const pad = (n: number) => Math.ceil(n / unit) * unit;
  let at = 0;
  while (at + 12 <= data.length) {
    const nameSize = view.getUint32(at, true);
    const descSize = view.getUint32(at + 4, true);
    const type = view.getUint32(at + 8, true);
    const descAt = pad(at + 12 + nameSize);
    if (at + 12 + nameSize > data.length || descAt + descSize > data.length) {
      problems.push({
        area: 'elf.note',
        message: `A note in ${section || 'a segment'} runs past its end.`,
        offset: at,
      });
      return;
    }
    let nameEnd = at + 12;
    while (nameEnd < at + 12 + nameSize && data[nameEnd] !== 0) nameEnd++;
    notes.push({
      name: decodeText(data.subarray(at + 12, nameEnd)),
      type,
      desc: data.subarray(descAt, descAt + descSize),
      section,
    });
    at = pad(descAt + descSize);
  }
}

/** The GNU build id in lower-case hexadecimal, where one of the notes is it. */
export function buildIdOf(notes: readonly Note[]): string | undefined {
  const note = notes.find((n) => n.name === 'GNU' && n.type === NT_GNU_BUILD_ID && n.desc.length > 0);
  if (!note || note.desc.length > 64) return undefined;
  return Array.from(note.desc, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
