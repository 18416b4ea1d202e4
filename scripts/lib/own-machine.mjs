// A machine of one's own, for tests and benches: nothing of the user's own machines is touched.
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * A machine that shares the built files of another. Its state, its stored payloads and its log lie under `home`, which is to be XDG_CACHE_HOME of whoever
 * uses it.
 *
 * @template {{name: string, tree: string}} Vm
 * @param {Vm} vm as `vm.json` has it
 * @param {string} home
 * @param {string} name
 * @param {string} [tree] the source tree that it counts as made of; the machine's own where absent
 * @returns {Promise<Vm>}
 */
export async function ownMachine(vm, home, name, tree = vm.tree) {
  const folder = join(home, 'livepatch-author', 'vm', name);
  await mkdir(folder, { recursive: true });
  // Whether KVM works here was found out before.
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  await copyFile(join(cache, 'livepatch-author', 'vm', 'kvm.json'), join(folder, '..', 'kvm.json')).catch(() => {});
  const own = { ...vm, name, tree };
  await writeFile(join(folder, 'vm.json'), `${JSON.stringify(own, null, 2)}\n`);
  return own;
}
