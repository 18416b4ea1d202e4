import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';

/** SHA-256 in hexadecimal. */
export function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** A file written this recently (milliseconds) may be written again without its time stamp changing: it is read again. */
const RACY = 100;

/** Hashes of files, remembered as long as size, inode and time stamps stay the same. */
export class FileHashes {
  private readonly known = new Map<string, { stamp: string; hash: string }>();

  /** SHA-256 of a file's contents; `-` for a file that cannot be read. */
  async of(path: string): Promise<string> {
    try {
      const info = await stat(path, { bigint: true });
      const stamp = `${info.size} ${info.ino} ${info.mtimeNs} ${info.ctimeNs}`;
      const known = this.known.get(path);
      if (known?.stamp === stamp) return known.hash;
      const hash = sha256(await readFile(path));
      if (Date.now() - Number(info.mtimeMs) > RACY) this.known.set(path, { stamp, hash });
      return hash;
    } catch {
      return '-';
    }
  }
}
