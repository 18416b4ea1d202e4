import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Finding } from '../core/findings/types.ts';
import type { Baseline } from './baseline.ts';
import { canonical } from './commandIndex.ts';
import { isWithin, type Replacement } from './mirror.ts';
import type { CompileCommand, Config } from './types.ts';

/**
 * Files that a unit reads and whose text in the running program is not known: the baseline does not hold them (git ignores them, or they
 * are generated), and they were written after the real build made the object. If they were edited, both builds have the edit, and the
 * comparison is blind to it.
 * @param differing how the baseline differs from the disk, by canonical path: what is in it has an original
 */
export async function unknownOriginals(
  command: CompileCommand,
  dependencies: readonly string[],
  differing: ReadonlyMap<string, Replacement>,
  baseline: Baseline,
  config: Config,
): Promise<Finding[]> {
  const built = command.output === undefined ? undefined : await stat(command.output).catch(() => undefined);
  if (!built) return [];
  // The source itself may lie elsewhere, behind a symbolic link for instance.
  const roots = [config.root, config.buildDir, command.directory].map((path) => canonical(path));
  const folders = [...new Set([...roots, dirname(canonical(command.file))])];
  const newer: string[] = [];
  await Promise.all(
    dependencies.map(async (path) => {
      const real = canonical(path);
      if (differing.has(real) || !folders.some((folder) => isWithin(real, folder))) return;
      const info = await stat(path).catch(() => undefined);
      if (info && info.mtimeMs > built.mtimeMs && !(await baseline.has(real))) newer.push(path);
    }),
  );
  return newer.sort().map((path) => ({
    code: 'edit-not-covered',
    severity: 'review',
    symbol: basename(path),
    message:
      `${basename(path)} was written after the object of ${basename(command.file)} was built, and the baseline does not have it (${baseline.description}): ` +
      'how it was when the program was built is not known. If it was edited, the edit is in both builds and is not seen here. Put it under ' +
      'version control as it was, or name a folder with the original sources as `baseline` in livepatch.json.',
    at: { file: path, line: 1 },
    evidence: { file: path, object: command.output ?? '' },
    related: [],
    fixes: [],
  }));
}
