import { type Command, UsageError } from './command.ts';
import { asXen, openTarget, printEvent, targetOptions } from './target.ts';

export const command: Command = {
  name: 'unload',
  usage: ['ID --target NAME'],
  about:
    'Takes a payload out of a running hypervisor that is uploaded there and not applied. One that is applied is refused (status 1): livepatch revert ' +
    'takes it out altogether.',
  options: {
    target: targetOptions.target,
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
  },
  examples: [{ line: 'livepatch unload fix', what: 'after apply --upload-only or revert --keep' }],
  async run(values, positionals, context) {
    const [id, ...more] = positionals;
    if (id === undefined || more.length > 0)
      throw new UsageError('unload takes the ID of one payload, as livepatch status lists it.');
    const target = await openTarget(values, context);
    const event = await asXen(target, 'unload').step({ action: 'unload', id }, context.signal);
    return printEvent(target, event, values, context);
  },
};
