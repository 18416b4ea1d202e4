// Applies and reverts a payload over and over, as fast as it can: a tool for tests to kill. Arguments: process id, payload file.
import { readFileSync } from 'node:fs';
import { createProcessTarget } from '../../server/src/targets/process.ts';

const [pid, file] = process.argv.slice(2);
const target = createProcessTarget({ name: 'victim', pid: Number(pid) });
const payload = new Uint8Array(readFileSync(file!));
process.stdout.write('started\n');
// Each finished step is told, so that a test can kill between any two, however slow the machine is.
for (;;) {
  await target.apply(payload);
  process.stdout.write('applied\n');
  await target.revert(undefined);
  process.stdout.write('reverted\n');
}
