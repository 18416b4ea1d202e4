import type { Unit } from '../shell/types.ts';

/** What is compiled for the hypervisor or the kernel itself says so. */
const ITSELF = /^-D__(XEN|KERNEL)__(=|$)/;
const NARROW = /^-m(16|32|x32)$/;

/**
 * Can a unit be a part of the same program as those of the patch, as far as the commands tell? Kbuild leaves commands of programs for the building
 * machine and of 16- and 32-bit code for the start of the machine, whose types and calls are none of the hypervisor's.
 */
export function inSameProgram(unit: Pick<Unit, 'command'>, patched: readonly Pick<Unit, 'command'>[]): boolean {
  const marks = kindOf(unit);
  return patched.length === 0 || patched.some((one) => kindOf(one) === marks);
}

function kindOf({ command }: Pick<Unit, 'command'>): string {
  const has = (pattern: RegExp): boolean => command.arguments.some((word) => pattern.test(word));
  return `${has(ITSELF)} ${has(NARROW)}`;
}
