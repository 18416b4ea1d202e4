// Holds a machine and tells its process id: the test kills this program, and looks whether QEMU goes with it.
import { writeFileSync } from 'node:fs';
import { startVm } from '../../server/src/vm/machine.ts';
import { BOOT, testVm } from './room.ts';

const machine = await startVm(await testVm(), { accelerator: 'tcg', seconds: BOOT }, { say: () => {} });
writeFileSync(process.argv[2]!, String(machine.pid));
setInterval(() => {}, 1000);
