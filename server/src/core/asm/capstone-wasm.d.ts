// The package's `exports` hide its own types; these are the parts that decode.ts uses.
declare module 'capstone-wasm' {
  /** Instantiates the wasm once; `module` becomes Emscripten's module object. Later calls do nothing. */
  export function loadCapstone(module?: Record<string, unknown>): Promise<void>;
  export class Capstone {
    constructor(arch: number, mode: number);
    /** Throws where the first byte does not decode. */
    disasm(
      data: Uint8Array,
      options?: { address?: number | bigint; count?: number },
    ): { size: number; mnemonic: string; opStr: string }[];
  }
}
