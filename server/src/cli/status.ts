import { type Command, exitStatus, flag } from './command.ts';
import { jsonSchema, jsonText } from './report.ts';
import { openTarget, targetOptions } from './target.ts';
import { count, painter, printable, table } from './text.ts';

export const command: Command = {
  name: 'status',
  usage: ['--pid N [--json]', '--target NAME [--json]'],
  about:
    'Lists the patches in a running process, as the process itself has them: the newest last. Status 2 where the process does not run or cannot be looked at.',
  options: { ...targetOptions, json: { type: 'boolean', help: 'print JSON (docs/json.md)' } },
  examples: [{ line: 'livepatch status --target ticker --json', what: 'for scripts' }],
  async run(values, _positionals, context) {
    const target = await openTarget(values, context);
    const status = await target.status();
    const known = status.alive && status.message === undefined;
    if (flag(values, 'json')) {
      context.out(jsonText({ schema: jsonSchema, target: target.name, ...status }));
      return known ? exitStatus.fine : exitStatus.couldNot;
    }
    const paint = painter(context.colour);
    if (!status.alive) {
      context.err(`${printable(target.name)}: ${printable(status.message ?? 'does not run')}\n`);
      return exitStatus.couldNot;
    }
    context.out(
      `${paint.bold(printable(target.name))}: process ${status.pid}${status.command ? `, ${printable(status.command)}` : ''}\n`,
    );
    if (status.message !== undefined) context.err(`${printable(status.message)}\n`);
    if (status.patches.length === 0 && known) context.out('No patch is applied.\n');
    for (const patch of status.patches) {
      const state =
        patch.state === 'applied'
          ? paint.green(patch.state)
          : patch.state === 'interrupted'
            ? paint.red(patch.state)
            : patch.state;
      context.out(
        `${patch.order + 1}. ${paint.bold(printable(patch.id))} ${state}, ${count(patch.functions.length, 'function')}, ${patch.appliedAt}${patch.description ? `: ${printable(patch.description)}` : ''}\n`,
      );
      const rows = patch.functions.map((item) => [
        printable(item.name),
        item.redirected ? `${item.oldAddress} → ${item.newAddress}` : `${item.oldAddress}, old code`,
      ]);
      for (const line of table(rows)) context.out(`   ${line}\n`);
    }
    return known ? exitStatus.fine : exitStatus.couldNot;
  },
};
