import { fromHex, toHex } from '../core/payload/sha256.ts';
import type { Helper } from './helper.ts';
import type { Mapping } from './procfs.ts';

/** A patched function, as remembered in the process. Addresses as hexadecimal numbers with 0x. */
export interface RecordedFunction {
  readonly name: string;
  /** Entry of the old code in the process, and the address of the jump in it. */
  readonly entry: string;
  readonly jumpAddress: string;
  readonly size: number;
  /** SHA-256 of the old code as the file has it; absent in patches that an older version applied. */
  readonly oldCode?: string;
  /** Bytes of the file under the jump; bytes that the jump replaced (those of the patch below, in a stack); the jump. */
  readonly original: string;
  readonly previous: string;
  readonly jump: string;
  readonly newAddress: string;
  /** New code, cold parts included: [address, bytes]. */
  readonly code: readonly (readonly [string, number])[];
}

/** What a patch's area says about itself. */
export interface PatchRecord {
  readonly id: string;
  readonly description: string;
  readonly appliedAt: string;
  readonly order: number;
  /** Build id of the patched file. */
  readonly module: string;
  readonly functions: readonly RecordedFunction[];
  /** The area's code: [address, bytes]. */
  readonly code: readonly [string, number];
}

/** How far a patch is. A tool that died leaves one of the -ing states behind. */
export const STATE = { mapped: 0, applied: 1, reverted: 2, applying: 3, reverting: 4 } as const;

/** An area found in a process. */
export interface FoundPatch {
  readonly address: number;
  readonly areaSize: number;
  readonly state: number;
  /** SHA-256 of the payload's file. */
  readonly payload: string;
  readonly record: PatchRecord;
}

/*
 * Header of an area, little endian (docs/process-payload.md):
 *   0 magic   8 version u32   12 state u32   16 area bytes u64   24 header bytes u32   28 record bytes u32
 *   32 SHA-256 of the payload   64 record, JSON
 */
const MAGIC = new TextEncoder().encode('LPATCHpr');
const VERSION = 1;
const FIXED = 64;
/** Byte offset of the state in the header. */
export const STATE_OFFSET = 12;

/** A state as it stands in memory. */
export function stateBytes(state: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, state, true);
  return bytes;
}

/** Bytes to keep for a header: the record's size is known only when the addresses are, and grows with the functions. */
export const headerSize = (functions: number): number => FIXED + 2048 + functions * 1024;

/** The header of an area; undefined where the record does not fit. */
export function encodeHeader(
  areaSize: number,
  room: number,
  payload: string,
  state: number,
  record: PatchRecord,
): Uint8Array | undefined {
  const json = new TextEncoder().encode(JSON.stringify(record));
  if (json.length > room - FIXED) return undefined;
  const bytes = new Uint8Array(room);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, VERSION, true);
  view.setUint32(STATE_OFFSET, state, true);
  view.setBigUint64(16, BigInt(areaSize), true);
  view.setUint32(24, room, true);
  view.setUint32(28, json.length, true);
  bytes.set(fromHex(payload)!, 32);
  bytes.set(json, FIXED);
  return bytes;
}

const SCAN_MAX = 1 << 20;
const PAGE = 4096;

/** Finds the patches of a process in its own memory: read-only anonymous pages that begin with the magic word. */
export async function findPatches(helper: Helper, mappings: readonly Mapping[]): Promise<FoundPatch[]> {
  const found: FoundPatch[] = [];
  for (const mapping of mappings) {
    if (mapping.file !== '' || !mapping.permissions.startsWith('r--p')) continue;
    if (mapping.name !== '' && !mapping.name.startsWith('[anon')) continue;
    // Neighbours of one protection are shown as one mapping: each page may begin an area. A large mapping is that of a program, or
    // the header of a patch of very many functions, which begins it.
    const end = Math.min(mapping.end, mapping.start + SCAN_MAX);
    for (let page = mapping.start; page < end; page += PAGE) {
      const one = await readPatch(helper, page, mapping.end);
      if (one) found.push(one);
    }
  }
  return found.sort((a, b) => a.record.order - b.record.order);
}

async function readPatch(helper: Helper, address: number, end: number): Promise<FoundPatch | undefined> {
  const head = await helper.tryRead(address, FIXED);
  if (!head || !MAGIC.every((byte, i) => head[i] === byte)) return undefined;
  const view = new DataView(head.buffer, head.byteOffset);
  const size = view.getUint32(28, true);
  if (view.getUint32(8, true) !== VERSION || size > end - address - FIXED) return undefined;
  const json = await helper.tryRead(address + FIXED, size);
  if (!json) return undefined;
  try {
    const record = JSON.parse(new TextDecoder().decode(json)) as PatchRecord;
    if (typeof record.id !== 'string' || !Array.isArray(record.functions)) return undefined;
    return {
      address,
      areaSize: Number(view.getBigUint64(16, true)),
      state: view.getUint32(STATE_OFFSET, true),
      payload: toHex(head.subarray(32, 64)),
      record,
    };
  } catch {
    // The process wrote over its own patch area: nothing there can be trusted.
    return undefined;
  }
}
