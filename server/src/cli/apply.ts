import { type Command, UsageError } from './command.ts';
import { readInput } from './files.ts';
import { openTarget, printEvent, targetOptions } from './target.ts';

export const command: Command = {
  name: 'apply',
  usage: ['FILE --pid N', 'FILE --target NAME'],
  about:
    'Applies a payload to a running process. Build ids and the old code in memory are compared first; all threads then stop for an instant, ' +
    'and either everything is redirected or nothing. Refused (status 1) with the reason where it does not fit.',
  options: { ...targetOptions, json: { type: 'boolean', help: 'print JSON (docs/json.md)' } },
  examples: [
    { line: 'livepatch apply fix.lpp --pid 4711', what: 'to one process' },
    { line: 'livepatch apply fix.lpp --target ticker', what: 'to the target of that name in livepatch.json' },
  ],
  async run(values, positionals, context) {
    const [file, ...more] = positionals;
    if (file === undefined || more.length > 0) throw new UsageError('apply takes one payload FILE.');
    const payload = await readInput(file, context.cwd);
    const target = await openTarget(values, context);
    return printEvent(target, await target.apply(payload, context.signal), values, context);
  },
};
