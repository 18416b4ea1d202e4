import type { AppliedPatch, TargetStatus } from '../targets/types.ts';
import { type CliContext, type Command, exitStatus, flag } from './command.ts';
import { jsonSchema, jsonText } from './report.ts';
import { openTargets, targetOptions } from './target.ts';
import { count, painter, printable, table } from './text.ts';

export const command: Command = {
  name: 'status',
  usage: ['--pid N [--verify] [--json]', '--target NAME [--verify] [--json]'],
  about:
    'Lists the patches in a running process or hypervisor, as it has them itself: the newest last, and behind them what a hypervisor has and does not run. ' +
    'Status 2 where it does not run or cannot be looked at.',
  options: {
    ...targetOptions,
    verify: { type: 'boolean', help: 'processes: compare the old code in memory with what the patches remember of it' },
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
  },
  examples: [{ line: 'livepatch status --target ticker --json', what: 'for scripts' }],
  async run(values, _positionals, context) {
    const targets = await openTargets(values, context);
    const states = await Promise.all(
      targets.map(async (target) => ({
        target: target.name,
        ...(await target.status({ verify: flag(values, 'verify') })),
      })),
    );
    const known = states.every((state) => state.alive && state.message === undefined);
    if (flag(values, 'json')) {
      const [only] = states;
      context.out(jsonText({ schema: jsonSchema, ...(states.length === 1 ? only : { targets: states }) }));
    } else for (const state of states) print(state, context);
    return known ? exitStatus.fine : exitStatus.couldNot;
  },
};

const memoryWords = {
  original: 'memory as in the file',
  redirected: 'memory as in the file, but for the jump',
  covered: 'under the jump of another patch',
  foreign: 'memory changed by somebody else',
} as const;

type PatchedFunction = AppliedPatch['functions'][number];

/** A later patch whose new code runs in place of this one's. Of a hypervisor's functions the names are known, and no addresses. */
function coveredBy(
  state: TargetStatus,
  below: AppliedPatch,
  { name, oldAddress }: PatchedFunction,
): string | undefined {
  if (below.state !== 'applied') return undefined;
  const above = state.patches.find(
    (patch) =>
      patch.order > below.order &&
      patch.state === 'applied' &&
      patch.functions.some((one) => one.redirected && (oldAddress ? one.oldAddress === oldAddress : one.name === name)),
  );
  return above ? `covered by patch ${above.order + 1}` : undefined;
}

/** One target's state for a person. */
function print(state: TargetStatus & { readonly target: string }, context: CliContext): void {
  const paint = painter(context.colour);
  const name = printable(state.target);
  if (!state.alive) {
    context.err(`${name}: ${printable(state.message ?? 'does not run')}\n`);
    return;
  }
  const what = [state.pid === undefined ? '' : `process ${state.pid}`, printable(state.command ?? '')]
    .filter(Boolean)
    .join(', ');
  context.out(`${paint.bold(name)}: ${what}\n`);
  if (state.message !== undefined) context.err(`${printable(state.message)}\n`);
  else if (state.patches.length === 0) context.out('No patch is applied.\n');
  const colours = { applied: paint.green, checked: paint.blue, reverted: paint.dim, interrupted: paint.red } as const;
  for (const patch of state.patches) {
    const since = patch.appliedAt ? `, ${patch.appliedAt}` : '';
    const what = `${colours[patch.state](patch.state)}, ${count(patch.functions.length, 'function')}${since}`;
    const description = patch.description ? `: ${printable(patch.description)}` : '';
    context.out(`${patch.order + 1}. ${paint.bold(printable(patch.id))} ${what}${description}\n`);
    const rows = patch.functions.map((item) => [
      printable(item.name),
      item.redirected
        ? item.oldAddress
          ? `${item.oldAddress} → ${item.newAddress}`
          : 'runs the patch'
        : item.oldAddress || patch.state === 'applied'
          ? [item.oldAddress, coveredBy(state, patch, item) ?? 'old code'].filter(Boolean).join(', ')
          : '',
      item.memory === undefined ? '' : memoryWords[item.memory],
    ]);
    for (const line of table(rows)) context.out(`   ${line}\n`);
  }
  if (state.note !== undefined) context.err(`${printable(state.note)}\n`);
}
