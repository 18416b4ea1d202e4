import { createAnalyser, fileProvenance } from '../analyse.ts';
import { buildNotReproducible } from '../core/findings/build-not-reproducible.ts';
import type { TargetKind } from '../core/findings/types.ts';
import { type Command, exitStatus, flag, type OptionValues, text, UsageError } from './command.ts';
import { diffLines, findingLines, verdictLine } from './describe.ts';
import { loadPair } from './objects.ts';
import { jsonDiff, jsonSchema, jsonText } from './report.ts';
import { painter } from './text.ts';

/** The `--target` option, which decides the rules. */
export function targetKind(values: OptionValues): TargetKind {
  const kind = text(values, 'target') ?? 'process';
  if (kind !== 'process' && kind !== 'xen' && kind !== 'linux')
    throw new UsageError(`--target is process, xen or linux, not '${kind}'.`);
  return kind;
}

export const command: Command = {
  name: 'diff',
  usage: ['BASE.o NEXT.o [--json] [--target process|xen|linux]', 'FIRST.o SECOND.o --same-source'],
  about:
    'Compares two object files of the same source, compiled with -g -ffunction-sections -fdata-sections: which functions, data and types ' +
    'changed, why, and what makes the change unsafe to live patch.',
  options: {
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
    target: {
      type: 'string',
      value: 'KIND',
      help: 'what the patch is for: process (default), xen or linux; the rules differ',
    },
    'same-source': {
      type: 'boolean',
      help: 'both are builds of one source: whatever differs means that the build is not reproducible',
    },
  },
  examples: [
    { line: 'livepatch diff old/quote.o new/quote.o', what: 'a readable list, findings below' },
    {
      line: "livepatch diff old.o new.o --json | jq '.functions[].name'",
      what: 'the names of the functions that a patch must carry',
    },
  ],
  async run(values, positionals, context) {
    const [base, next, ...more] = positionals;
    if (base === undefined || next === undefined || more.length > 0)
      throw new UsageError('diff takes two object files: BASE.o NEXT.o.');
    const target = targetKind(values);
    const analyser = await createAnalyser();
    const pair = await loadPair(analyser, base, next, context.cwd);
    const compared = analyser.compare(pair.base, pair.next, fileProvenance(base, next), undefined, [target]);
    const { diff, verdict } = compared;
    const findings = flag(values, 'same-source') ? buildNotReproducible(diff, next) : compared.findings;
    if (flag(values, 'json')) {
      context.out(jsonText({ schema: jsonSchema, ...jsonDiff(diff, findings, verdict) }));
    } else {
      const paint = painter(context.colour);
      const lines = [
        verdictLine(verdict, [diff], findings, paint),
        ...diffLines(diff, paint),
        ...findingLines(findings, paint, context.cwd, context.width),
      ];
      context.out(`${lines.join('\n')}\n`);
      for (const problem of diff.problems) context.err(`livepatch: ${problem.area}: ${problem.message}\n`);
    }
    if (flag(values, 'same-source')) return findings.length > 0 ? exitStatus.blocked : exitStatus.fine;
    return verdict === 'blocked' ? exitStatus.blocked : exitStatus.fine;
  },
};
