// Reads .zip files (a .vsix is one) by their central directory, without a program beside Node.
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';

/**
 * The files in a zip archive by their names; each is unpacked when it is asked for.
 *
 * @param {string} path
 * @returns {Map<string, () => Buffer>}
 */
export function filesInZip(path) {
  const bytes = readFileSync(path);
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) throw new Error(`${path} is no zip archive.`);
  const files = new Map();
  for (let at = bytes.readUInt32LE(end + 16), left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const [name, extra, comment] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset));
    const [method, size, start] = [
      bytes.readUInt16LE(at + 10),
      bytes.readUInt32LE(at + 20),
      bytes.readUInt32LE(at + 42),
    ];
    files.set(bytes.toString('utf8', at + 46, at + 46 + name), () => {
      const data = start + 30 + bytes.readUInt16LE(start + 26) + bytes.readUInt16LE(start + 28);
      const packed = bytes.subarray(data, data + size);
      return method === 0 ? packed : inflateRawSync(packed);
    });
    at += 46 + name + extra + comment;
  }
  return files;
}
