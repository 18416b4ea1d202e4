import type { ElfFile } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { specialTablesOf } from '../special/index.ts';
import { bytesAt } from './home.ts';
import { hexAddress, refusal } from './refusal.ts';
import type { PatchUnit } from './types.ts';
import { jumpSize, OPAQUE_SIZE, startsWithEndbr } from './xen-format.ts';
import type { FunctionEntry } from './xen-link.ts';
import type { XenOptions } from './xen-manifest.ts';
import type { XenPlan, XenUnit } from './xen-pieces.ts';
import { type Hypervisor, replacedNames, xenSymbols } from './xen-symbols.ts';

/** Entries of the function table, for the functions that were chosen and for those that become NOPs. What does not go is added to `refusals`. */
export function functionEntries(
  units: readonly XenUnit[],
  plan: XenPlan,
  hypervisor: Hypervisor,
  options: XenOptions,
  refusals: Finding[],
): FunctionEntry[] {
  const symbols = xenSymbols(hypervisor);
  const patched = new Set(hypervisor.below.flatMap((payload) => replacedNames(payload.elf)));
  const entries: FunctionEntry[] = [];
  const old = (name: string): { size: number; code: Uint8Array } | undefined => {
    const found = symbols.inXen(name);
    if (found.length === 1 && found[0]!.size > 0)
      return {
        size: found[0]!.size,
        code: bytesAt(hypervisor.elf, found[0]!.address, found[0]!.size) ?? new Uint8Array(),
      };
    if (found.length === 0) {
      // A function that a patch below brought.
      const code = hypervisor.below
        .flatMap((payload) =>
          payload.elf.symbols
            .filter((one) => one.name === name && one.type === 'func')
            .map((one) => ({ one, elf: payload.elf })),
        )
        .at(-1);
      if (code)
        return {
          size: code.one.size,
          code: codeOf(code.elf, code.one.place as number, code.one.offset, code.one.size),
        };
    }
    refusals.push(
      found.length > 1
        ? refusal(
            'symbol-ambiguous',
            name,
            `The hypervisor has ${found.length} functions ${name}, and Xen would patch the first. Build the hypervisor with CONFIG_ENFORCE_UNIQUE_SYMBOLS.`,
            { addresses: found.map((one) => hexAddress(one.address)) },
          )
        : refusal('symbol-unresolved', name, `The hypervisor has no function ${name} that could be replaced.`),
    );
    return undefined;
  };
  units.forEach(({ unit, replaced, home }, index) => {
    for (const one of replaced) {
      const name = home.nameOf(one.base);
      const piece = plan.pieceOf(index, one);
      const was = old(name);
      if (!was) continue;
      const needed = jumpSize(was.code);
      if (was.size < needed) {
        refusals.push(
          refusal(
            'func-too-small',
            one.base.name,
            `${name} has ${was.size} bytes, and the jump to its replacement takes ${needed}${needed === 9 ? ' (5 behind the endbr64)' : ''}. Patch its callers instead.`,
            { size: was.size, needed },
            one.change?.at,
          ),
        );
      }
      const expect =
        options.expectations && !patched.has(name)
          ? expectation(unit, one.base.place as number, one.base.offset, was.code)
          : new Uint8Array();
      entries.push({ name, piece, newSize: one.next.size, oldSize: was.size, expect });
    }
  });
  for (const { name, size } of options.nops ?? []) {
    if (entries.some((entry) => entry.name === name)) {
      const both = `${name} is replaced by this patch, and its first ${size} bytes are to become NOPs too: the jump to the replacement stands there. Take it out of the NOPs, or leave its edit out.`;
      refusals.push(refusal('symbol-ambiguous', name, both, { nop: size }));
      continue;
    }
    const was = old(name);
    if (was) entries.push({ name, piece: undefined, newSize: size, oldSize: was.size, expect: new Uint8Array() });
  }
  return entries;
}

function codeOf(elf: ElfFile, section: number, offset: number, size: number): Uint8Array {
  return elf.sections[section]?.data.subarray(offset, offset + size) ?? new Uint8Array();
}

/**
 * The old function's first bytes, as they stand in memory: up to what Xen changes at boot (alternatives), and none where it
 * begins with an endbr64, which Xen may poison.
 */
function expectation(unit: PatchUnit, section: number, offset: number, code: Uint8Array): Uint8Array {
  if (startsWithEndbr(code)) return new Uint8Array();
  let end = Math.min(OPAQUE_SIZE, code.length);
  for (const table of specialTablesOf(unit.pair.base).tables) {
    if (table.kind.kind !== 'alternative') continue;
    for (const { about } of table.entries)
      if (about.section === section && about.offset >= offset) end = Math.min(end, about.offset - offset);
  }
  return code.slice(0, end);
}
