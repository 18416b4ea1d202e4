import type { ObjectModel } from '../object.ts';
import { finding, listed, unitPlace } from './support.ts';
import type { Hazard } from './types.ts';

/** `compiler-mismatch`: differences between the objects come from the compiler, not from the edit. */
export const compilerMismatch: Hazard = {
  codes: ['compiler-mismatch'],
  find: (input) => {
    const { pair, diff } = input;
    if (diff.functions.length === 0 && diff.data.length === 0) return [];
    const base = producer(pair.base);
    const next = producer(pair.next);
    if (!base || !next) return [];
    const same = base.compiler === next.compiler;
    const gone = base.options.filter((option) => !next.options.includes(option));
    const come = next.options.filter((option) => !base.options.includes(option));
    if (same && gone.length === 0 && come.length === 0) return [];
    const what = same
      ? `with other options (${listed([...gone.map((o) => `without ${o}`), ...come.map((o) => `with ${o}`)])})`
      : `by ${next.compiler}, the running one by ${base.compiler}`;
    return [
      finding({
        code: 'compiler-mismatch',
        severity: 'blocker',
        symbol: pair.provenance.unit,
        at: unitPlace(input),
        message: `The new object was compiled ${what}: differences in code and inlining then come from the compiler. Compile both with the compiler and options of the running build.`,
        evidence: { base: base.text, next: next.text },
      }),
    ];
  },
};

/** Compiler and code-generating options of an object's first C unit. Options for debug information and warnings do not count. */
function producer(object: ObjectModel): { compiler: string; options: string[]; text: string } | undefined {
  const text = object.dwarf.units.find(({ producer: p }) => p !== '')?.producer;
  if (text === undefined) return undefined;
  const words = text.split(/\s+/);
  const first = words.findIndex((word) => word.startsWith('-'));
  const compiler = (first < 0 ? words : words.slice(0, first)).join(' ');
  const options = (first < 0 ? [] : words.slice(first)).filter(
    (word) =>
      word.startsWith('-') &&
      !/^-(g|W|fdebug|ffile-prefix|fmacro-prefix|fdiagnostics|fno-canonical-system-headers|frandom-seed|fplugin)/.test(
        word,
      ),
  );
  return { compiler, options, text };
}
