/** An entry of an archive. Folders above it have to come first. */
export interface CpioEntry {
  /** Path without a slash in front. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link' | 'device';
  /** Permission bits, e.g. 0o755. */
  readonly mode: number;
  /** Contents of a file; target of a link as UTF-8. */
  readonly data?: Uint8Array;
  /** Major and minor number of a character device. */
  readonly device?: readonly [number, number];
}

const TYPE = { file: 0o100000, folder: 0o040000, link: 0o120000, device: 0o020000 } as const;

const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');

/**
 * Writes a cpio archive of the "new ASCII" format (magic 070701), as Linux reads an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Owner root, times zero: the same entries give the same bytes.
 */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const text = new TextEncoder();
  const parts: Uint8Array[] = [];
  let length = 0;
  const push = (bytes: Uint8Array): void => {
    parts.push(bytes);
    length += bytes.length;
  };
  const pad = (): void => push(new Uint8Array(-length & 3));
  const entry = (
    path: string,
    mode: number,
    inode: number,
    data: Uint8Array,
    device: readonly [number, number],
  ): void => {
    const name = text.encode(`${path}\0`);
    // magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, device[0], device[1], name.length, 0];
    push(text.encode(`070701${fields.map(hex).join('')}`));
    push(name);
    pad();
    push(data);
    pad();
  };
  entries.forEach((item, index) => {
    entry(item.path, TYPE[item.kind] | item.mode, index + 1, item.data ?? new Uint8Array(), item.device ?? [0, 0]);
  });
  entry('TRAILER!!!', 0, 0, new Uint8Array(), [0, 0]);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Adds the folders that paths need, each once, before their contents. */
export function withFolders(entries: readonly CpioEntry[]): CpioEntry[] {
  const made = new Set(entries.filter((entry) => entry.kind === 'folder').map((entry) => entry.path));
  const result: CpioEntry[] = [];
  const folders = new Set<string>();
  for (const { path } of entries) {
    const parts = path.split('/');
    for (let n = 1; n < parts.length; n++) folders.add(parts.slice(0, n).join('/'));
  }
  for (const path of [...folders].sort()) if (!made.has(path)) result.push({ path, kind: 'folder', mode: 0o755 });
  return [
    ...result,
    ...entries.filter((entry) => entry.kind === 'folder'),
    ...entries.filter((entry) => entry.kind !== 'folder'),
  ];
}
