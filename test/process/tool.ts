// Applies and reverts a payload over and over, as fast as it can: a tool for tests to kill. Arguments: process id, payload file.
import { readFileSync } from 'node:fs';
import { createProcessTarget } from '../../server/src/targets/process.ts';

const [pid, file] = process.argv.slice(2);
const target = createProcessTarget({ name: 'victim', pid: Number(pid) });
const payload = new Uint8Array(readFileSync(file!));
process.stdout.write('started\n');
for (;;) {
  await target.apply(payload);
  await target.revert(undefined);
}
