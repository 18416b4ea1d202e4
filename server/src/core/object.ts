import type { Decode } from './asm/types.ts';
import type { DwarfInfo } from './dwarf/types.ts';
import type { ElfFile } from './elf/types.ts';

/** An object file ready to compare: container and debug information, read once. Produced by `loadObject`. */
export interface ObjectModel {
  readonly elf: ElfFile;
  readonly dwarf: DwarfInfo;
  /** Decoder for the object's machine. */
  readonly decode: Decode;
}
