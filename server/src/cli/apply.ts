import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { CannotError, type Command, UsageError } from './command.ts';
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
    let payload: Uint8Array;
    try {
      payload = new Uint8Array(await readFile(resolve(context.cwd, file)));
    } catch (error) {
      throw new CannotError(`${file} cannot be read: ${(error as Error).message}`);
    }
    const target = await openTarget(values, context);
    return printEvent(target, await target.apply(payload, context.signal), values, context);
  },
};
