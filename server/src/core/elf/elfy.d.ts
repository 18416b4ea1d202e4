/** The part of elfy 1.0.0 that is used; it ships no types. Only fields that are read correctly for ELF64 are declared. */
declare module 'elfy' {
  interface ElfySection {
    readonly name: string;
    readonly type: string | number;
    readonly link: number;
    readonly info: number;
    /** View of the file; wrong for SHT_NOBITS. */
    readonly data: Uint8Array;
  }
  interface ElfyFile {
    readonly class: string;
    readonly endian: string;
    readonly type: string | undefined;
    readonly machine: string | undefined;
    readonly body: { readonly sections: readonly ElfySection[] };
  }
  const elfy: { parse(file: Uint8Array): ElfyFile };
  export default elfy;
}
