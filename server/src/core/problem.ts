/**
 * Something in the input that could not be read or understood. Readers return what they could read together with the
 * problems, and never throw for bad input.
 */
export interface Problem {
  /** Where: `elf`, `elf.symtab`, `dwarf.info`, `asm`, ... */
  readonly area: string;
  readonly message: string;
  /** Byte offset in the file or section that the message speaks of, where there is one. */
  readonly offset?: number;
}
