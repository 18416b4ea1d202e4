/**
 * Xen's live patch payload: a relocatable ELF64 file (docs/misc/livepatch.pandoc in Xen's tree). `struct livepatch_func` is
 * little-endian; name at 0, new_addr 8, old_addr 16 (pointers), new_size 24, old_size 28 (32 bits), version 32 (8 bits).
 */

/** Version of `struct livepatch_func`: 1 for Xen 4.7 to 4.13, 2 from 4.14 on. */
export type XenVersion = 1 | 2;

/** Bytes of one `struct livepatch_func`. */
export const FUNC_SIZE: Readonly<Record<XenVersion, number>> = { 1: 64, 2: 104 };
/** Byte offset of `expect` in version 2: one byte `enabled:1, len:5, rsv:2`, then 31 bytes of data. */
export const EXPECT_OFFSET = 72;
/** Bytes that Xen keeps of the code that it overwrites; the most that a NOP entry or an expectation may cover. */
export const OPAQUE_SIZE = 31;
/** Largest payload in bytes. */
export const MAX_PAYLOAD = 2 << 20;
/** Xen refuses 1024 section headers and more. */
export const MAX_SECTIONS = 1023;
/** Longest name of a symbol in Xen's tables, without the NUL. */
export const MAX_SYMBOL = 127;

/** Relocation types that Xen's loader applies (arch/x86/livepatch.c): NONE, 64, PC32, PLT32. */
export const RELOCATION = { none: 0, abs64: 1, pc32: 2, plt32: 4 } as const;
/** Bytes that each of them writes. */
export const WIDTH: ReadonlyMap<number, number> = new Map([
  [RELOCATION.none, 0],
  [RELOCATION.abs64, 8],
  [RELOCATION.pc32, 4],
  [RELOCATION.plt32, 4],
]);

export const FUNCS = '.livepatch.funcs';
export const DEPENDS = '.livepatch.depends';
export const XEN_DEPENDS = '.livepatch.xen_depends';
export const BUILD_ID = '.note.gnu.build-id';

/** A kind of hook: a section of pointers to functions. */
export interface HookKind {
  readonly section: string;
  /** Exactly one pointer, or an array. */
  readonly single: boolean;
  /** First version that knows it. */
  readonly since: XenVersion;
  /** The kind that undoes it. */
  readonly undo?: string;
}

const hook = (name: string, single: boolean, since: XenVersion, undo?: string): HookKind => ({
  section: `.livepatch.hooks.${name}`,
  single,
  since,
  ...(undo ? { undo: `.livepatch.hooks.${undo}` } : {}),
});

/** Every kind of hook (xen/livepatch_payload.h). */
export const HOOKS: readonly HookKind[] = [
  hook('load', false, 1, 'unload'),
  hook('unload', false, 1),
  hook('preapply', true, 2, 'postrevert'),
  hook('apply', true, 2, 'revert'),
  hook('postapply', true, 2, 'prerevert'),
  hook('prerevert', true, 2),
  hook('revert', true, 2),
  hook('postrevert', true, 2),
];

/** `endbr64`, and what Xen writes over those that it does not want to be reached indirectly (`nopw (%rcx)`; asm/endbr.h). */
const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];
const ENDBR64_POISON = [0x66, 0x0f, 0x1f, 0x01];

/** Does code begin with endbr64, poisoned or not? */
export function startsWithEndbr(code: Uint8Array): boolean {
  return [ENDBR64, ENDBR64_POISON].some((pattern) => pattern.every((byte, index) => code[index] === byte));
}

/** Bytes at the start of a function that a jump to its replacement takes. */
export const jumpSize = (oldCode: Uint8Array): number => (startsWithEndbr(oldCode) ? 9 : 5);

/** A GNU build id note (gABI "Note Section"): owner `GNU`, type 3, the id. */
export function buildIdNote(id: Uint8Array): Uint8Array {
  const size = Math.ceil(id.length / 4) * 4;
  const bytes = new Uint8Array(16 + size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 4, true);
  view.setUint32(4, id.length, true);
  view.setUint32(8, 3, true);
  bytes.set([0x47, 0x4e, 0x55, 0], 12);
  bytes.set(id, 16);
  return bytes;
}

/** The id in a build id note, or undefined where the bytes are none. */
export function readBuildIdNote(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < 16) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [names, size, type] = [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)];
  const gnu = bytes[12] === 0x47 && bytes[13] === 0x4e && bytes[14] === 0x55 && bytes[15] === 0;
  if (names !== 4 || type !== 3 || !gnu || size === 0 || 16 + size > bytes.length) return undefined;
  return bytes.slice(16, 16 + size);
}
