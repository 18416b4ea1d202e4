import { placesOf } from '../asm/places.ts';
import type { ElfFile } from '../elf/types.ts';
import { compareToLinked } from './baseline.ts';
import { linkedSymbol } from './home.ts';
import type { XenHome } from './xen-home.ts';
import type { Hypervisor } from './xen-symbols.ts';
import { replacedNames } from './xen-symbols.ts';

/** How an object compares with the hypervisor that runs. */
export interface XenBaseline {
  /** Functions that were compared, and those of them that are the same. */
  readonly checked: number;
  readonly same: number;
  readonly differing: readonly { readonly name: string; readonly why: string; readonly at: number }[];
  /** Functions that the hypervisor has not (unused static ones are dropped by the linker). */
  readonly absent: readonly string[];
  /** Functions that an applied patch replaced or brought. */
  readonly patched: readonly string[];
}

/**
 * Compares each function of a base object with the hypervisor's, relocations by what they lead to. A base object that is not
 * what runs (another compiler, other options, other sources) would give a patch that was compared with the wrong code.
 */
export function compareWithXen(
  base: ElfFile,
  { home, linked: part, nameOf }: XenHome,
  hypervisor: Hypervisor,
): XenBaseline {
  const patchedNames = new Set(hypervisor.below.flatMap((payload) => replacedNames(payload.elf)));
  const below = new Set(
    hypervisor.below.flatMap((payload) =>
      payload.elf.symbols.filter((one) => one.type === 'func').map((one) => one.name),
    ),
  );
  const differing: { name: string; why: string; at: number }[] = [];
  const absent: string[] = [];
  const patched: string[] = [];
  let checked = 0;
  for (const body of placesOf(base).bodies) {
    const symbol = body.symbols.find((one) => one.type === 'func');
    if (!symbol) continue;
    const name = nameOf(symbol);
    if (patchedNames.has(name) || below.has(name)) {
      patched.push(name);
      continue;
    }
    const linked = part ? linkedSymbol(home, symbol) : undefined;
    if (!linked) {
      absent.push(name);
      continue;
    }
    checked++;
    const result = compareToLinked(base, body, home, linked);
    if (!result.same) differing.push({ name, why: result.why, at: result.at });
  }
  return { checked, same: checked - differing.length, differing, absent, patched };
}

/** Several comparisons as one. */
export function sumBaselines(list: readonly XenBaseline[]): XenBaseline {
  return {
    checked: list.reduce((sum, one) => sum + one.checked, 0),
    same: list.reduce((sum, one) => sum + one.same, 0),
    differing: list.flatMap((one) => one.differing),
    absent: list.flatMap((one) => one.absent),
    patched: list.flatMap((one) => one.patched),
  };
}

/** `4,812 of 4,812 functions reproduce`. */
export function baselineText({ checked, same }: Pick<XenBaseline, 'checked' | 'same'>): string {
  return `${grouped(same)} of ${grouped(checked)} functions reproduce`;
}

/** `4,812`. */
const grouped = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ',');
