// A copy of the test machine's Xen tree as a workspace, with a machine of its own that boots it.
import { spawnSync } from 'node:child_process';
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { repository } from './install.mjs';
import { ownMachine } from './own-machine.mjs';
import { must, run, whenInterrupted } from './run.mjs';

const cli = join(repository, 'dist', 'cli.cjs');

/**
 * Copies the tree to `folder` and gives it a machine under `home`. Where none has been built yet, it is: two minutes of processor time.
 *
 * @param {string} folder
 * @param {string} home XDG_CACHE_HOME of whoever uses it
 */
export async function prepareXen(folder, home) {
  await must(process.execPath, [cli, 'vm', 'create', 'xen'], { seconds: 1800, show: true });
  const { stdout } = await must(process.execPath, [cli, 'vm', 'status', '--json', 'xen'], { seconds: 60 });
  const [{ running: _, ...vm }] = JSON.parse(stdout).machines;
  await mkdir(join(folder, '..'), { recursive: true });
  await cp(vm.tree, folder, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  // The first-time user has no livepatch.json; of an older machine's tree there may be none to take out.
  await run('git', ['-C', folder, 'rm', '-q', '-f', '--ignore-unmatch', 'livepatch.json'], { seconds: 60 });
  await run(
    'git',
    [
      '-C',
      folder,
      '-c',
      'user.name=t',
      '-c',
      'user.email=t@localhost',
      '-c',
      'commit.gpgsign=false',
      'commit',
      '-q',
      '-m',
      'as a user has it',
    ],
    { seconds: 60 },
  );
  // What git remembers of the files is of another folder: it would read them all again at each question.
  await run('git', ['-C', folder, 'update-index', '-q', '--refresh'], { seconds: 120 });
  // A machine that was started lives on without whoever started it: it must not outlive an interrupted run.
  whenInterrupted(() => {
    const env = { ...process.env, XDG_CACHE_HOME: home };
    spawnSync(process.execPath, [cli, 'vm', 'stop', 'xen'], { env, timeout: 20_000 });
  });
  return ownMachine(vm, home, 'xen', folder);
}

/** Ends the machine of `home`, where it runs. */
export async function stopXen(home) {
  await run(process.execPath, [cli, 'vm', 'stop', 'xen'], {
    seconds: 60,
    env: { ...process.env, XDG_CACHE_HOME: home },
  });
}
