/**
 * What differs between two compilations, found without this project's readers: from the compiler's assembly text. Functions are compared
 * instruction by instruction, labels by the instruction that they stand for, nameless constants and tables by what is in them.
 */

/** Functions and data whose text differs, with numbers of the compiler left out: `f`, `f.constprop`. */
export function differingFunctions(base: string, next: string): string[] {
  const before = functionsOf(base);
  const after = functionsOf(next);
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].filter((name) => before.get(name) !== after.get(name)).sort();
}

/** Names without the numbers that the compiler gives. */
export const plain = (name: string): string => name.replace(/\.\d+(?=\.|$)/g, '');

const NAMELESS = /^(\.L|CSWTCH\.|__func__\.|switch\.table\.|reltable\.|__const\.)/;

/** The normalised text of each function. Several of one plain name are taken together, sorted. */
function functionsOf(assembly: string): Map<string, string> {
  const lines = assembly.split('\n').map((line) => line.replace(/\s*#.*$/, '').trim());
  const functions = new Set<string>();
  for (const line of lines) {
    const type = /^\.type\s+(\S+),\s*@function/.exec(line);
    if (type) functions.add(type[1]!);
  }
  const code = new Map<string, string[]>();
  const data = new Map<string, string[]>();
  const labels = new Map<string, string>();
  const current = new Map<string, string>();
  let section = '.text';
  let open: string[] | undefined;
  for (const line of lines) {
    const moved = /^\.section\s+([^,\s]+)|^(\.text|\.data|\.bss)\b/.exec(line);
    if (moved) {
      section = moved[1] ?? moved[2]!;
      open = undefined;
      continue;
    }
    const isText = section.startsWith('.text');
    const label = /^([\w.$]+):$/.exec(line)?.[1];
    if (label !== undefined) {
      if (functions.has(label)) {
        current.set(section, label);
        code.set(label, code.get(label) ?? []);
      } else if (isText) {
        const owner = current.get(section);
        if (owner) labels.set(label, `${plain(owner)}+${code.get(owner)!.length}`);
      } else if (!section.startsWith('.debug')) {
        open = [];
        data.set(label, open);
      }
      continue;
    }
    if (
      line === '' ||
      /^\.(cfi|loc|p2align|align|type|size|globl|file|weak|hidden|local|comm|set|ident|addrsig)/.test(line)
    )
      continue;
    if (isText) {
      const owner = current.get(section);
      if (owner && !line.startsWith('.')) code.get(owner)!.push(line.replace(/\s+/g, ' '));
    } else open?.push(line.replace(/\s+/g, ' '));
  }
  const text = (line: string, depth: number): string =>
    line.replace(/(?<![\w%])[A-Za-z_.][\w.]*/g, (name) => {
      const place = labels.get(name);
      if (place !== undefined) return `<${place}>`;
      const contents = NAMELESS.test(name) && depth < 4 ? data.get(name) : undefined;
      // A table counts from its own label.
      if (contents) return `[${contents.map((one) => text(one.replaceAll(name, 'self'), depth + 1)).join(';')}]`;
      return plain(name);
    });
  const result = new Map<string, string[]>();
  for (const [name, body] of code) {
    const key = plain(name);
    result.set(key, [...(result.get(key) ?? []), body.map((line) => text(line, 0)).join('\n')]);
  }
  return new Map([...result].map(([name, bodies]) => [name, bodies.sort().join('\n\n')]));
}
