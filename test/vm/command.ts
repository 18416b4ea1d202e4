import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunOptions, type RunResult, run } from '../../server/src/targets/transport/local.ts';
import { cacheRoot } from '../../server/src/vm/cache.ts';
import type { VmImage } from '../../server/src/vm/made.ts';

/** The command line as a process of its own, with a cache folder of its own that knows the tests' machine by the name `probe`. */
export interface CommandLine {
  /** XDG_CACHE_HOME of the command line. */
  readonly cache: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Program and first arguments. */
  readonly vector: readonly string[];
  run(cwd: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  close(): Promise<void>;
}

const repository = join(import.meta.dirname, '..', '..');

export async function commandLine(vm: VmImage): Promise<CommandLine> {
  const cache = await mkdtemp(join(tmpdir(), 'livepatch-cli-'));
  const folder = join(cache, 'livepatch-author', 'vm', 'probe');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'vm.json'), JSON.stringify({ ...vm, name: 'probe' }));
  // Whether KVM works here is known already, where it was tried.
  await copyFile(join(cacheRoot(), 'vm', 'kvm.json'), join(cache, 'livepatch-author', 'vm', 'kvm.json')).catch(
    () => {},
  );
  const environment = { ...process.env, XDG_CACHE_HOME: cache, NO_COLOR: '1' };
  const loader = import.meta.resolve('tsx');
  const vector = [process.execPath, '--import', loader, join(repository, 'server', 'src', 'cli.ts')];
  return {
    cache,
    environment,
    vector,
    run: (cwd, args, options) =>
      run(vector[0]!, [...vector.slice(1), ...args], { cwd, env: environment, seconds: 300, ...options }),
    async close() {
      await run(vector[0]!, [...vector.slice(1), 'vm', 'stop', 'probe'], { env: environment, seconds: 60 });
      await rm(cache, { recursive: true, force: true });
    },
  };
}

/** Ends a machine that was started to live on, should this process be killed before it can. */
export function guardian(qemu: number): ChildProcess {
  const script =
    'while kill -0 "$1" 2>/dev/null; do sleep 1; done; grep -q qemu "/proc/$2/comm" 2>/dev/null && kill -9 "$2"';
  const args = ['-c', script, 'guardian', String(process.pid), String(qemu)];
  const child = spawn('sh', args, { detached: true, stdio: 'ignore' });
  child.unref();
  return child;
}
