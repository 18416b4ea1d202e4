import { type Command, UsageError } from './command.ts';
import { openTarget, printEvent, targetOptions } from './target.ts';

export const command: Command = {
  name: 'revert',
  usage: ['[ID] --pid N', '[ID] --target NAME'],
  about:
    'Takes a patch out of a running process: the old code runs again. Without an id: the one that was applied last. Patches come off in the opposite order.',
  options: { ...targetOptions, json: { type: 'boolean', help: 'print JSON (docs/json.md)' } },
  examples: [
    { line: 'livepatch revert --target ticker', what: 'the newest patch' },
    { line: 'livepatch revert fix-2 --pid 4711', what: 'the patch of that id, as livepatch status lists it' },
  ],
  async run(values, positionals, context) {
    const [id, ...more] = positionals;
    if (more.length > 0) throw new UsageError('revert takes one patch ID at most.');
    const target = await openTarget(values, context);
    return printEvent(target, await target.revert(id, context.signal), values, context);
  },
};
