import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Folders to look in, nearest first: the bundle's own folder (dist/), then node_modules of each folder above (running from source). */
function candidates(name: string): string[] {
  const found = [join(import.meta.dirname, name)];
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    found.push(join(folder, 'node_modules', 'capstone-wasm', 'dist', name), join(folder, 'dist', name));
    if (dirname(folder) === folder) return found;
  }
}

/**
 * Path of a file that ships beside the bundles: `capstone.wasm`.
 * @throws Error naming the places that were looked at, where the installation lacks it.
 */
export function assetPath(name: string): string {
  const places = candidates(name);
  const found = places.find((path) => existsSync(path));
  if (found === undefined) {
    throw new Error(
      `${name} is missing from the installation (looked in ${dirname(places[0]!)} and above). Reinstall.`,
    );
  }
  return found;
}

/** Bytes of a file that ships beside the bundles. */
export async function readAsset(name: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(assetPath(name)));
}
