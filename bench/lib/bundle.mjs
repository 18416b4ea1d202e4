// Programs of the benches are bundled as the shipped ones are: what runs from source passes through a loader, which adds calls of its own.
import { copyFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { common } from '../../esbuild.mjs';
import { repository } from '../../scripts/lib/install.mjs';

/** Bundles a program of bench/lib into a folder, with what it loads beside it. @returns its path */
export async function bundled(name, folder) {
  const outfile = join(folder, `${basename(name, '.ts')}.cjs`);
  await build({ ...common, entryPoints: [join(repository, 'bench', 'lib', name)], outfile });
  copyFileSync(
    join(repository, 'node_modules', 'capstone-wasm', 'dist', 'capstone.wasm'),
    join(folder, 'capstone.wasm'),
  );
  return outfile;
}
