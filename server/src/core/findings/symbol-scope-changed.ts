import { plainName } from '../diff/signatures.ts';
import type { ElfSymbol } from '../elf/types.ts';
import { finding } from './support.ts';
import type { Finding, Hazard } from './types.ts';

const words: Readonly<Record<ElfSymbol['bind'], string>> = {
  local: 'static',
  global: 'global',
  weak: 'weak',
  unique: 'unique',
  other: 'of another binding',
};

/** The advice as long as the other units were not looked at. */
export const USED_BY_OTHERS = 'Check who uses it, or keep its scope.';

/** `symbol-scope-changed`: static became global or the other way round, or weak became strong. */
export const symbolScopeChanged: Hazard = {
  codes: ['symbol-scope-changed'],
  find: ({ pair, diff }) => {
    const findings: Finding[] = [];
    for (const [from, to] of diff.pairing) {
      const base = pair.base.elf.symbols[from];
      const next = pair.next.elf.symbols[to];
      if (!base || !next || base.bind === next.bind || !(base.type === 'func' || base.type === 'object')) continue;
      // Clones and static locals have the compiler's own names and are always local.
      if (base.name !== plainName(base.name) || base.name === '') continue;
      const at =
        pair.next.dwarf.prototypes.find(({ name, defined }) => defined && name === next.name)?.decl ??
        pair.next.dwarf.variables.find(({ name, declaration }) => !declaration && name === next.name)?.decl;
      findings.push(
        finding({
          code: 'symbol-scope-changed',
          severity: 'review',
          symbol: base.name,
          at,
          message: `${base.name} was ${words[base.bind]} and is ${words[next.bind]} now. In the running program the old symbol keeps its scope: other units cannot link to it anew, and a name that becomes global may meet another of the same name. ${USED_BY_OTHERS}`,
          evidence: { base: base.bind, next: next.bind, kind: base.type },
        }),
      );
    }
    return findings;
  },
};
