// Debian source packages for tests and measurements, by the product's own code (server/src/vm/debian.ts): a private apt
// configuration made from the machine's own, with its state and cache in a folder of ours.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { tsImport } from 'tsx/esm/api';

/** Where fetched sources and built trees are kept between runs: outside the repository. */
export function cacheRoot() {
  const base =
    process.env.LIVEPATCH_TEST_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'livepatch-author-tests');
  mkdirSync(base, { recursive: true });
  return base;
}

/** True for errors that mean that something could not be fetched: a reason to skip what needs it. */
export const isNoDownload = (error) => error instanceof Error && error.name === 'NoDownload';

/**
 * Fetches and unpacks the newest version of a source package that downloads (mirrors may lack the very newest).
 * The package's patches are applied, as `dpkg-source -x` does, unless `withoutPatches`.
 * @param {string} name source package, e.g. `redis`
 * @param {{say?: (text: string) => void, withoutPatches?: boolean}} [options]
 * @returns {Promise<{folder: string, version: string}>} the unpacked tree: read only by agreement, copy it before building.
 * @throws an error for which `isNoDownload` holds where it cannot be fetched
 */
export async function fetchSource(name, options = {}) {
  const root = cacheRoot();
  const kind = options.withoutPatches ? 'plain' : 'patched';
  mkdirSync(join(root, 'sources'), { recursive: true });
  const done = join(root, 'sources', `${name}-${kind}.json`);
  if (existsSync(done)) {
    const known = JSON.parse(readFileSync(done, 'utf8'));
    if (existsSync(known.folder)) return known;
  }
  const { openDebian } = await tsImport('../../server/src/vm/debian.ts', import.meta.url);
  const work = { say: options.say ?? (() => {}) };
  const debian = await openDebian(root, work);
  const result = await debian.source(name, work, options.withoutPatches === true);
  writeFileSync(done, JSON.stringify(result));
  return result;
}
