// What a working copy needs before anything runs: node_modules as the lock file says, the native helper, the bundles.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from './run.mjs';

export const repository = join(import.meta.dirname, '..', '..');

/** True where node_modules holds what package-lock.json names (optional packages of other systems aside). */
function installed() {
  const kept = join(repository, 'node_modules', '.package-lock.json');
  if (!existsSync(kept)) return false;
  const want = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')).packages;
  const have = JSON.parse(readFileSync(kept, 'utf8')).packages;
  return Object.entries(want).every(
    ([path, entry]) => path === '' || have[path]?.version === entry.version || (entry.optional && !have[path]),
  );
}

/** Runs `npm ci` where node_modules is absent or of another lock file. */
export async function ensureNodeModules(say = () => {}) {
  if (installed()) return;
  say('npm ci');
  await must('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: repository, seconds: 900 });
}

/** Compiles the native helper; make decides whether there is anything to do. */
export async function buildNative() {
  await must('make', ['-s', '-C', 'server/native'], { cwd: repository, seconds: 180 });
}

/** Bundles extension, server and command line into dist/. */
export async function buildBundles() {
  await must(process.execPath, ['esbuild.mjs'], { cwd: repository, seconds: 120 });
}
