/**
 * Compresses the debug sections of a relocatable ELF64 file as a compiler with `-gz` does: SHF_COMPRESSED, an Elf64_Chdr (gABI 5) with
 * the method (1 zlib, 2 zstd), the size and the alignment, then the data. The sections are appended; the section table moves to the end.
 */
export function packDebugSections(
  object: Uint8Array,
  method: 1 | 2,
  pack: (data: Uint8Array) => Uint8Array,
): Uint8Array<ArrayBuffer> {
  const old = Buffer.from(object);
  const table = Number(old.readBigUInt64LE(40));
  const count = old.readUInt16LE(60);
  const names = table + old.readUInt16LE(62) * 64;
  const strings = Number(old.readBigUInt64LE(names + 24));
  const headers = Buffer.from(old.subarray(table, table + count * 64));
  const parts: Buffer[] = [];
  let end = 64;
  const place = (data: Uint8Array, align: number) => {
    const padding = (align - (end % align)) % align;
    parts.push(Buffer.alloc(padding), Buffer.from(data));
    end += padding + data.length;
    return end - data.length;
  };
  for (let i = 1; i < count; i++) {
    const at = i * 64;
    const type = headers.readUInt32LE(at + 4);
    if (type === 8) continue;
    const offset = Number(headers.readBigUInt64LE(at + 24));
    const size = Number(headers.readBigUInt64LE(at + 32));
    const align = Math.max(1, Number(headers.readBigUInt64LE(at + 48)));
    const nameAt = strings + headers.readUInt32LE(at);
    const name = old.toString('latin1', nameAt, old.indexOf(0, nameAt));
    let data: Uint8Array = old.subarray(offset, offset + size);
    let placed = align;
    if (name.startsWith('.debug_') && type === 1) {
      const header = Buffer.alloc(24);
      header.writeUInt32LE(method, 0);
      header.writeBigUInt64LE(BigInt(size), 8);
      header.writeBigUInt64LE(BigInt(align), 16);
      data = Buffer.concat([header, pack(data)]);
      headers.writeBigUInt64LE(headers.readBigUInt64LE(at + 8) | 0x800n, at + 8);
      placed = 8;
      headers.writeBigUInt64LE(8n, at + 48);
    }
    headers.writeBigUInt64LE(BigInt(place(data, placed)), at + 24);
    headers.writeBigUInt64LE(BigInt(data.length), at + 32);
  }
  const head = Buffer.from(old.subarray(0, 64));
  head.writeBigUInt64LE(BigInt(place(headers, 8)), 40);
  return new Uint8Array(Buffer.concat([head, ...parts]));
}
