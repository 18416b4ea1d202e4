import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { CannotError } from './command.ts';

/** Bytes of the largest input: a node buffer's limit is above it, no object file comes near it. */
const LARGEST = 2 ** 31;
/** Bytes read at once from what has no size: a pipe, `<(...)`. */
const CHUNK = 1 << 20;

/** What an errno of opening or writing a file means, in words that name no errno. */
export function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return 'it does not exist';
    case 'ENOTDIR':
      return 'a part of its path is not a folder';
    case 'EISDIR':
      return 'it is a folder';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ELOOP':
      return 'its symbolic links lead in a circle';
    case 'ENOSPC':
      return 'the disk is full';
    case 'EDQUOT':
      return 'the disk quota is used up';
    case 'EROFS':
      return 'the file system is read-only';
    case 'EIO':
      return 'the disk reports an error';
    default:
      return message.replace(/^E[A-Z]+: /, '');
  }
}

/**
 * Reads a file that the user named; a pipe too. Throws a `CannotError` that names it as the user did: absent, a folder, a device,
 * without permission, too large. A device such as /dev/zero would never end.
 */
export async function readInput(path: string, cwd: string): Promise<Uint8Array> {
  const cannot = (why: string) => new CannotError(`${path} cannot be read: ${why}.`);
  try {
    const file = await open(resolve(cwd, path), 'r');
    try {
      const info = await file.stat();
      if (info.isDirectory()) throw cannot('it is a folder');
      if (info.isFile()) {
        if (info.size >= LARGEST) throw cannot(`it is larger than ${LARGEST / 2 ** 30} GiB`);
        return new Uint8Array(await file.readFile());
      }
      if (!info.isFIFO()) throw cannot('it is neither a file nor a pipe');
      const parts: Buffer[] = [];
      let size = 0;
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, null);
        if (bytesRead === 0) return new Uint8Array(Buffer.concat(parts));
        size += bytesRead;
        if (size >= LARGEST) throw cannot(`it is larger than ${LARGEST / 2 ** 30} GiB`);
        parts.push(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw error instanceof CannotError ? error : cannot(whyNot(error));
  }
}

/** Checks before long work that a file can be written where the user wants it. Throws a `CannotError` that says why not. */
export async function checkOutput(path: string, cwd: string): Promise<void> {
  const full = resolve(cwd, path);
  const there = await stat(full).catch(() => undefined);
  if (there?.isDirectory()) throw new CannotError(`${path} cannot be written: it is a folder.`);
  const folder = await stat(dirname(full)).catch(() => undefined);
  if (folder && !folder.isDirectory())
    throw new CannotError(`${path} cannot be written: ${dirname(full)} is not a folder.`);
}

/** Rethrows an error of writing a file as a `CannotError` in words. */
export function cannotWrite(path: string, error: unknown): never {
  throw new CannotError(`${path} cannot be written: ${whyNot(error)}.`);
}

/** Writes a file whole or not at all: a full disk leaves no half of it, and an older file as it was. Makes its folder. */
export async function writeWhole(file: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const there = await stat(file).catch(() => undefined);
  // A pipe or /dev/stdout cannot be renamed over.
  if (there && !there.isFile()) return writeFile(file, bytes);
  const scratch = `${file}.${process.pid}.part`;
  try {
    await writeFile(scratch, bytes);
    await rename(scratch, file);
  } catch (error) {
    await rm(scratch, { force: true });
    throw error;
  }
}
