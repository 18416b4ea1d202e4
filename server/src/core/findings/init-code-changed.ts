import { functionAt } from '../asm/source.ts';
import { addressTaken, referencesFrom, referencesOf } from '../diff/references.ts';
import type { ObjectModel } from '../object.ts';
import { isInitData } from './data.ts';
import { running } from './layout-finding.ts';
import { carriedFunctions, finding, isGenerated, leaveOut, replacedFunctions, sectionName } from './support.ts';
import type { Finding, Hazard, HazardInput } from './types.ts';

/**
 * Sections whose code is freed after start-up, or only run then. `.text.*` is none of them: `-ffunction-sections` names it after the function
 * (`.text.initThings`), and gcc puts main into `.text.startup`.
 */
export const initSection = /^\.init$|^\.(init|devinit|meminit|cpuinit)\.text/;
export const initArray = /^\.(preinit_array|init_array|ctors)/;

/** `init-code-changed`: the function has run already, or its memory is gone. */
export const initCodeChanged: Hazard = {
  codes: ['init-code-changed'],
  find: (input) => {
    const constructors = constructorNames(input);
    return [
      ...replacedFunctions(input).flatMap((fn) => {
        const section = sectionName(input.pair.base, fn.base);
        const inSection = initSection.test(section);
        if (!inSection && !constructors.has(fn.name)) return [];
        const how = inSection ? `is in ${section}` : 'is a constructor';
        return [
          finding({
            code: 'init-code-changed',
            severity: 'blocker',
            symbol: fn.name,
            at: fn.at,
            message: `${fn.name}() changed, but it ${how}: it ran when ${running(input)} started${input.target === 'process' ? '' : ', and its memory was freed since'}. Replacing it has no effect. Leave it out, and do what it would have done in a function that still runs.`,
            evidence: { section, constructor: constructors.has(fn.name) },
            fixes: [leaveOut(fn.name)],
          }),
        ];
      }),
      ...keptAlive(input),
      ...input.diff.data
        .filter((data) => data.status === 'changed' && isInitData(data) && !isGenerated(data))
        .map((data) =>
          finding({
            code: 'init-code-changed',
            severity: 'blocker',
            symbol: data.name,
            at: data.at,
            message: `${data.name} changed, but it is in ${data.baseSection}: it was read when ${running(input)} started, and its memory was freed since. Take the change back.`,
            evidence: { section: data.baseSection ?? '' },
          }),
        ),
    ];
  },
};

/** Functions that lose their init section and keep their code, which code in the patch uses: the running copies were freed. */
function keptAlive(input: HazardInput): Finding[] {
  if (input.target === 'process') return [];
  const { base, next } = input.pair;
  const told = new Set(replacedFunctions(input).map(({ name }) => name));
  const moved = base.elf.symbols.filter(
    (symbol) =>
      symbol.type === 'func' &&
      !told.has(symbol.name) &&
      initSection.test(sectionName(base, symbol)) &&
      input.diff.pairing.has(symbol.index),
  );
  if (moved.length === 0) return [];
  const carried = carriedFunctions(input);
  const users = new Map<number, string>();
  for (const { from, target } of referencesFrom(
    next,
    carried.flatMap((fn) => fn.next ?? []),
  ))
    if (from && !users.has(target.index)) users.set(target.index, from.name);
  return moved.flatMap((symbol) => {
    const to = next.elf.symbols[input.diff.pairing.get(symbol.index)!];
    const user = to && users.get(to.index);
    const section = sectionName(base, symbol);
    if (!to || user === undefined || typeof to.place !== 'number' || initSection.test(sectionName(next, to))) return [];
    return [
      finding({
        code: 'init-code-changed',
        severity: 'blocker',
        symbol: to.name,
        at: functionAt(next, to.place, to.offset)?.decl,
        message: `${to.name}() is no longer in ${section}, but the running copy is: its memory was freed since, and ${user}() in the patch uses it. Give the patch a function of another name with the same body.`,
        evidence: { section, user },
      }),
    ];
  });
}

/** Functions that the C runtime calls before main. */
const constructorNames = (input: HazardInput): ReadonlySet<string> => constructorsOf(input.pair.base);

function constructorsOf(object: ObjectModel): ReadonlySet<string> {
  const names = new Set<string>();
  if (!object.elf.sections.some(({ name }) => initArray.test(name))) return names;
  for (const { section, target } of referencesOf(object)) {
    if (initArray.test(section.name)) names.add(target.name);
  }
  return names;
}

const startup = new WeakMap<ObjectModel, ReadonlySet<string>>();

/**
 * Functions of an object that run at start-up only: in an init section, constructors, and static functions whose address nobody has and that only such
 * functions call. `main` is none: what it does may be in its loop.
 */
export function startupFunctions(object: ObjectModel): ReadonlySet<string> {
  const known = startup.get(object);
  if (known) return known;
  const names = new Set(constructorsOf(object));
  const local = new Map<string, Set<string>>();
  for (const symbol of object.elf.symbols) {
    if (symbol.type !== 'func' || typeof symbol.place !== 'number') continue;
    if (initSection.test(object.elf.sections[symbol.place]?.name ?? '')) names.add(symbol.name);
    else if (symbol.bind === 'local') local.set(symbol.name, new Set());
  }
  for (const { from, target, call } of referencesOf(object)) {
    const callers = local.get(target.name);
    if (!callers || from?.name === target.name) continue;
    if (call && from) callers.add(from.name);
    else if (!call && addressTaken(object).has(target.name)) local.delete(target.name);
  }
  for (let grew = true; grew; ) {
    grew = false;
    for (const [name, callers] of local) {
      if (names.has(name) || callers.size === 0 || ![...callers].every((caller) => names.has(caller))) continue;
      names.add(name);
      grew = true;
    }
  }
  startup.set(object, names);
  return names;
}
