import { a64Scanner } from './a64.ts';
import type { Scanner } from './scan.ts';
import { x86Scanner } from './x86.ts';

/** EM_X86_64. */
export const X86_64 = 62;
/** EM_AARCH64. */
export const AARCH64 = 183;

/** Scanner of a machine (`e_machine`); undefined where there is none. */
export function scannerFor(machine: number): Scanner | undefined {
  if (machine === X86_64) return x86Scanner;
  return machine === AARCH64 ? a64Scanner : undefined;
}
