import { placesOf } from '../asm/places.ts';
import { relocationsIn, relocationTarget } from '../asm/targets.ts';
import { referencesOf } from '../diff/references.ts';
import type { FunctionChange } from '../diff/types.ts';
import { EM_X86_64 } from '../elf/constants.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { alternativeLayout } from '../special/index.ts';
import { entriesAbout } from './special.ts';
import { carriedFunctions, finding, listed } from './support.ts';
import type { Hazard } from './types.ts';

/** What programs and kernels keep about the processor's features. */
const featureData =
  /^(__cpu_model|__cpu_features2?|__cpu_indicator_init|__x86_get_cpuid_feature_leaf|__aarch64_cpu_features|boot_cpu_data|cpu_info|OPENSSL_ia32cap_P|__cpu_(has|supports)\w*)$/;

/** X86_FEATURE_ALWAYS: alternatives for it are applied on every processor. */
const ALWAYS = 3 * 32 + 21;

/** Features that are often met, by number (asm/cpufeatures.h, the same in Xen and Linux where both have them). */
const featureNames: ReadonlyMap<number, string> = new Map([
  [0 * 32 + 26, 'XMM2'],
  [3 * 32 + 16, 'REP_GOOD'],
  [3 * 32 + 18, 'LFENCE_RDTSC'],
  [4 * 32 + 23, 'POPCNT'],
  [9 * 32 + 9, 'ERMS'],
  [9 * 32 + 18, 'RDSEED'],
  [9 * 32 + 20, 'SMAP'],
  [9 * 32 + 23, 'CLFLUSHOPT'],
  [9 * 32 + 24, 'CLWB'],
  [18 * 32 + 4, 'FSRM'],
]);

/** `cpu-dependent-code`: what runs in a function of the payload depends on the processor: one test run shows one of the ways only. */
export const cpuDependentCode: Hazard = {
  codes: ['cpu-dependent-code'],
  find: (input) => {
    const object = input.pair.next;
    const chosen = implementationsOf(object);
    const told = new Set<string>();
    return carriedFunctions(input).flatMap((fn) => {
      const alternatives = alternativesOf(object, fn);
      const inside = [...featuresRead(object, fn), ...cpuidIn(object, fn)];
      const uses = [...inside, ...choiceOf(chosen, fn, told)];
      if (alternatives.length + uses.length === 0) return [];
      const why = [
        ...(alternatives.length > 0
          ? [`instructions that are replaced where the processor has ${listed(alternatives)}${numbered(alternatives)}`]
          : []),
        ...uses,
      ];
      return [
        finding({
          code: 'cpu-dependent-code',
          severity: 'review',
          symbol: fn.name,
          at: fn.changedLines[0] ?? fn.at,
          message: `${alternatives.length + inside.length === 0 ? `Whether ${fn.name}() runs` : `What runs in ${fn.name}()`} depends on the processor: it has ${listed(why)}. A test shows one of the ways only: try the patch on each family of processors that it is for.`,
          evidence: { features: alternatives, reads: uses },
        }),
      ];
    });
  },
};

/** What an indirect function (ifunc, `target_clones`) chooses among at start-up. */
interface Choice {
  readonly name: string;
  readonly among: readonly ElfSymbol[];
}

/** The indirect functions of an object that choose among several functions of it. */
function implementationsOf(object: ObjectModel): Choice[] {
  return object.elf.symbols.flatMap((resolver) => {
    if (resolver.type !== 'ifunc' || typeof resolver.place !== 'number') return [];
    const among = new Set<ElfSymbol>();
    // The resolver has a name of its own as well, which the references may be found under.
    for (const { from, target, call } of referencesOf(object))
      if (from?.place === resolver.place && from.offset === resolver.offset && !call && target.type === 'func')
        among.add(target);
    return among.size > 1 ? [{ name: resolver.name.replace(/\.ifunc$/, ''), among: [...among] }] : [];
  });
}

/** The choice that a function is one of, in words; told for one of its functions. */
function choiceOf(choices: readonly Choice[], { next }: FunctionChange, told: Set<string>): string[] {
  const choice = choices.find(({ among }) =>
    among.some(({ place, offset }) => place === next?.place && offset === next?.offset),
  );
  if (!choice || told.has(choice.name)) return [];
  told.add(choice.name);
  return [
    `a place among the functions of which one is taken for ${choice.name}() at start-up (${listed(choice.among.map(({ name }) => name))})`,
  ];
}

/** Where the numbers of features that have no name here can be looked up. */
const numbered = (features: readonly string[]): string =>
  features.some((feature) => feature.startsWith('feature ')) ? ' (numbered as in cpufeatures.h)' : '';

/** Features of the alternatives in a function, in words; those that every processor takes are none. */
function alternativesOf(object: ObjectModel, fn: FunctionChange): string[] {
  const features = new Set<number>();
  for (const entry of entriesAbout(object, fn)) {
    const { kind, section, entrySize } = entry.table;
    if (kind.kind !== 'alternative') continue;
    const { feature } = alternativeLayout(object.elf, section, entrySize);
    const word = (section.data[entry.start + feature] ?? 0) | ((section.data[entry.start + feature + 1] ?? 0) << 8);
    // Linux 5.13 to 6.2 keeps "not this feature" in the top bit.
    const number = word & 0x7fff;
    if (number !== ALWAYS) features.add(number);
  }
  return [...features]
    .sort((a, b) => a - b)
    .map((number) =>
      // Linux on AArch64 numbers its capabilities anew with each version.
      object.elf.machine !== EM_X86_64
        ? `capability ${number}`
        : (featureNames.get(number) ?? `feature ${number >> 5}*32+${number & 31}`),
    );
}

/** Feature data that the function reads, and selection by an indirect function. */
function featuresRead({ elf }: ObjectModel, fn: FunctionChange): string[] {
  const places = placesOf(elf);
  const body = fn.next && places.bodyOf(fn.next);
  if (!body) return [];
  const names = new Set<string>();
  for (const relocation of relocationsIn(elf.relocationsOf(body.section), body.start, body.start + body.size)) {
    const name = relocationTarget(places, relocation, 4).symbol?.name;
    if (name !== undefined && featureData.test(name)) names.add(name);
  }
  const read = [...names].sort().map((name) => `a look at ${name}`);
  return fn.next?.type === 'ifunc' ? [...read, 'a choice of the implementation at start-up (ifunc)'] : read;
}

/** `cpuid` and `xgetbv` in the function itself. */
function cpuidIn(object: ObjectModel, fn: FunctionChange): string[] {
  const body = fn.next && placesOf(object.elf).bodyOf(fn.next);
  const section = body && object.elf.sections[body.section];
  if (!section || object.elf.machine !== EM_X86_64) return [];
  const code = section.data.subarray(body.start, body.start + body.size);
  // 0F A2 and 0F 01 D0: looked for first, since decoding is dear.
  if (!mayHold(code)) return [];
  for (const { mnemonic } of object.decode(code, 0))
    if (mnemonic === 'cpuid' || mnemonic === 'xgetbv') return [`the instruction ${mnemonic}`];
  return [];
}

function mayHold(code: Uint8Array): boolean {
  for (let at = code.indexOf(0x0f); at >= 0; at = code.indexOf(0x0f, at + 1))
    if (code[at + 1] === 0xa2 || (code[at + 1] === 0x01 && code[at + 2] === 0xd0)) return true;
  return false;
}
