import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot } from './cache.ts';
import { listVms, runningVm, vmFolder } from './made.ts';

/** A machine as lists show it. */
export interface VmState {
  readonly name: string;
  readonly version: string;
  /** Source tree that its hypervisor was built from. */
  readonly tree: string;
  /** `created`: it has never been started. */
  readonly state: 'created' | 'running' | 'stopped';
  /** Serial console of the present run, or of the last one; absent where there was none. */
  readonly consoleLog?: string;
  /** Of a running machine. */
  readonly accelerator?: string;
  readonly sshPort?: number;
  /** ISO 8601. */
  readonly startedAt?: string;
}

/** Every machine that was made, with what it does now. */
export async function vmStates(root = cacheRoot()): Promise<VmState[]> {
  const vms = await listVms(root);
  return Promise.all(
    vms.map(async ({ name, version, tree }): Promise<VmState> => {
      const run = await runningVm(name, root);
      if (run) {
        const { consoleLog, accelerator, sshPort, startedAt } = run;
        return { name, version, tree, state: 'running', consoleLog, accelerator, sshPort, startedAt };
      }
      const log = ['console.log', 'console.failed.log']
        .map((file) => join(vmFolder(name, root), file))
        .find((path) => existsSync(path));
      return { name, version, tree, state: log ? 'stopped' : 'created', ...(log ? { consoleLog: log } : {}) };
    }),
  );
}
