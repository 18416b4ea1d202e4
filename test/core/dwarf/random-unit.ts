import type { Random } from '../../fuzz/random.ts';

/** A type declaration of a generated unit. */
type Declaration =
  | { readonly kind: 'struct' | 'union'; tag: string; members: string[]; typedef?: string }
  | { readonly kind: 'enum'; tag: string; values: string[] }
  | { readonly kind: 'typedef'; tag: string; target: string };

/** A C unit made by chance: a header full of types that build on each other, functions that use them, and functions that are only declared. */
export interface RandomUnit {
  declarations: Declaration[];
  functions: { name: string; result: string; parameters: string[]; body: string[]; defined: boolean }[];
  /** Empty lines in front of everything: moves line numbers. */
  blank: number;
}

const BASES = ['int', 'unsigned char', 'long', 'short', 'unsigned', 'double', '_Bool'];

/** Spells a declaration of `name` with a type made by chance from what is declared above `limit`. */
function declare(random: Random, unit: RandomUnit, limit: number, name: string): string {
  const earlier = unit.declarations.slice(0, limit);
  const one = earlier.length > 0 && random.below(3) > 0 ? earlier[random.below(earlier.length)]! : undefined;
  const type = one ? spelling(one) : BASES[random.below(BASES.length)]!;
  switch (random.below(8)) {
    case 0:
      return `${type} *${name}`;
    case 1:
      return `const ${type} *${name}`;
    case 2:
      return `${type} ${name}[${1 + random.below(5)}]`;
    case 3:
      return `${type} (*${name})(${type} *, int)`;
    case 4:
      return `struct { ${type} in; int more; } ${name}`;
    case 5:
      return one ? `${type} ${name}` : `unsigned ${name} : ${1 + random.below(7)}`;
    default:
      return `${type} ${name}`;
  }
}

const spelling = (one: Declaration): string =>
  one.kind === 'typedef' ? one.tag : one.kind !== 'enum' && one.typedef ? one.typedef : `${one.kind} ${one.tag}`;

function aggregate(random: Random, unit: RandomUnit, number: number): Declaration {
  const members = Array.from({ length: 1 + random.below(6) }, (_, i) => declare(random, unit, number, `m${i}`));
  // Some have no tag, and are known by their typedef.
  const tag = random.below(5) === 0 ? '' : `t${number}`;
  const kind = random.below(4) === 0 ? 'union' : 'struct';
  return { kind, tag, members, ...(tag === '' || random.below(4) === 0 ? { typedef: `t${number}_t` } : {}) };
}

export function randomUnit(random: Random): RandomUnit {
  const unit: RandomUnit = { declarations: [], functions: [], blank: 0 };
  for (let i = 0; i < 30; i++) unit.declarations.push(declaration(random, unit, i));
  for (let i = 0; i < 12; i++) unit.functions.push(fn(random, unit, `f${i}`));
  return unit;
}

function declaration(random: Random, unit: RandomUnit, number: number): Declaration {
  switch (random.below(6)) {
    case 0:
      return { kind: 'enum', tag: `t${number}`, values: Array.from({ length: 3 }, (_, i) => `E${number}_${i}`) };
    case 1: {
      const earlier = unit.declarations[random.below(Math.max(1, number))];
      return { kind: 'typedef', tag: `t${number}_t`, target: earlier ? spelling(earlier) : 'int' };
    }
    default:
      return aggregate(random, unit, number);
  }
}

function fn(random: Random, unit: RandomUnit, name: string): RandomUnit['functions'][number] {
  const pick = () => spelling(unit.declarations[random.below(unit.declarations.length)]!);
  const parameters = Array.from({ length: random.below(4) }, (_, i) => `${pick()} *p${i}`);
  return {
    name,
    result: random.below(2) === 0 ? 'int' : `${pick()} *`,
    parameters,
    body: [`static ${pick()} kept_${name};`, `note(&kept_${name}, sizeof(${pick()}));`],
    defined: random.below(4) > 0,
  };
}

/** The unit's text: one file, since a header makes no difference to debug information but its name. */
export function textOf(unit: RandomUnit): string {
  const types = unit.declarations.map((one) => {
    if (one.kind === 'typedef') return `typedef ${one.target} ${one.tag};`;
    if (one.kind === 'enum') return `enum ${one.tag} { ${one.values.join(', ')} };`;
    const body = `${one.kind} ${one.tag} { ${one.members.map((member) => `${member};`).join(' ')} }`;
    return one.typedef ? `typedef ${body} ${one.typedef};` : `${body};`;
  });
  const functions = unit.functions.map(({ name, result, parameters, body, defined }) => {
    const head = `${result} ${name}(${parameters.join(', ') || 'void'})`;
    return defined ? `${head} {\n  ${body.join('\n  ')}\n  return 0;\n}` : `extern ${head};`;
  });
  const calls = unit.functions.map(({ name }) => `  note((void *)${name}, 0);`);
  return `${'\n'.repeat(unit.blank)}void note(void *, unsigned long);\n${types.join('\n')}\n${functions.join('\n')}\nvoid users(void) {\n${calls.join('\n')}\n}\n`;
}

/** Edits a copy of the unit, as a person would: one thing, or two. Says what was done. */
export function edited(random: Random, unit: RandomUnit): { unit: RandomUnit; what: string } {
  const copy = structuredClone(unit);
  const what: string[] = [];
  for (let times = 1 + random.below(2); times > 0; times--) what.push(editOnce(random, copy));
  return { unit: copy, what: what.join(' and ') };
}

function editOnce(random: Random, unit: RandomUnit): string {
  const at = random.below(unit.declarations.length);
  const one = unit.declarations[at]!;
  const f = unit.functions[random.below(unit.functions.length)]!;
  switch (random.below(10)) {
    case 0:
      unit.blank += 3;
      return 'lines moved';
    case 1:
      f.body.push('note(0, 4711);');
      return `${f.name} does more`;
    case 2:
      f.body.push(`char buffer[${13 + random.below(50)}]; note(buffer, 1);`);
      return `${f.name} has another local`;
    case 3:
      f.parameters.push(declare(random, unit, unit.declarations.length, 'added').replace(/ : \d+$/, ''));
      return `${f.name} takes more`;
    case 4:
      unit.functions.splice(random.below(unit.functions.length), 0, fn(random, unit, 'fresh'));
      return 'another function';
    case 5:
      unit.declarations.splice(at, 0, {
        kind: 'struct',
        tag: `fresh${at}`,
        members: [declare(random, unit, at, 'first')],
      });
      f.body.push(`struct fresh${at} made; note(&made, 2);`);
      return 'another struct';
    case 6:
      if (one.kind === 'struct' || one.kind === 'union') {
        one.members.splice(random.below(one.members.length + 1), 0, declare(random, unit, at, 'added'));
        return `${spelling(one)} has one member more`;
      }
      if (one.kind === 'enum') {
        one.values.splice(random.below(2), 0, `ADDED_${at}`);
        return `${spelling(one)} has one enumerator more`;
      }
      return 'nothing';
    case 7:
      if (one.kind === 'struct' || one.kind === 'union') {
        const member = random.below(one.members.length);
        one.members[member] = declare(random, unit, at, `m${member}`);
        return `${spelling(one)}.m${member} has another type`;
      }
      if (one.kind === 'typedef') one.target = 'unsigned long';
      return `${spelling(one)} stands for another type`;
    case 8:
      f.result = f.result === 'int' ? 'long' : 'int';
      return `${f.name} returns something else`;
    default:
      if (one.kind === 'struct' || one.kind === 'union') {
        one.members.reverse();
        return `the members of ${spelling(one)} turned round`;
      }
      return 'nothing';
  }
}
