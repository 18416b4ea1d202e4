import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Baseline } from '../shell/baseline.ts';
import { canonical } from '../shell/commandIndex.ts';
import type { Unit } from '../shell/types.ts';
import type { BuildRoom } from './room.ts';

/**
 * Files that differ from the baseline, new sources that the build has a command for and the program does not have, and sources of the build that the baseline
 * does not have and that were written since: how those were, nobody knows, and that has to be told. Real paths, sorted.
 */
export async function changedFiles(room: BuildRoom): Promise<readonly string[]> {
  const baseline = await room.baseline;
  const changed = new Set((await baseline.differing()).keys());
  for (const path of await baseline.added()) if (!changed.has(path) && (await isAdded(room, path))) changed.add(path);
  for (const { command } of room.index.units) {
    const real = canonical(command.file);
    if (!changed.has(real) && !(await baseline.has(real)) && (await isNewer(command.file, command.output)))
      changed.add(real);
  }
  return [...changed].sort();
}

/** True for a source that was written after the object of the real build. */
async function isNewer(source: string, object: string | undefined): Promise<boolean> {
  if (object === undefined) return false;
  const [one, other] = await Promise.all([source, object].map((path) => stat(path).catch(() => undefined)));
  return one !== undefined && other !== undefined && one.mtimeMs > other.mtimeMs;
}

async function isAdded(room: BuildRoom, path: string): Promise<boolean> {
  for (const unit of await room.index.find(path)) if (await room.isAdded(unit)) return true;
  return false;
}

/**
 * New sources that the build has no command for, with what to say of them: those in folders that sources of the program are in. Others, scratch files
 * and what build tools try compilers with, are nobody's business.
 */
export async function uncompiled(
  room: BuildRoom,
): Promise<readonly { readonly file: string; readonly message: string }[]> {
  const { index } = room;
  const baseline = await room.baseline;
  const found: { file: string; message: string }[] = [];
  let folders: ReadonlySet<string> | undefined;
  for (const file of await baseline.added()) {
    if ((await index.find(file)).length > 0) continue;
    folders ??= await foldersOf(index.units, baseline);
    if (folders.has(dirname(file))) found.push({ file, message: index.newWithoutCommand(file) });
  }
  return found;
}

/** Folders with sources of the baseline that the build compiles. */
async function foldersOf(units: readonly Unit[], baseline: Baseline): Promise<ReadonlySet<string>> {
  const folders = new Set<string>();
  for (const { command } of units) {
    const file = canonical(command.file);
    if (!folders.has(dirname(file)) && (await baseline.has(file))) folders.add(dirname(file));
  }
  return folders;
}
