import { type Command, flag, UsageError } from './command.ts';
import { asXen, openTarget, printEvent, targetOptions } from './target.ts';

export const command: Command = {
  name: 'revert',
  usage: ['[ID] --pid N', '[ID] --target NAME [--keep]'],
  about:
    'Takes a patch out of a running process or hypervisor: the old code runs again. Without an id: the one that was applied last. Patches come off in ' +
    'the opposite order. A hypervisor unloads the payload too, unless it is kept.',
  options: {
    ...targetOptions,
    keep: { type: 'boolean', help: 'Xen: leave the payload uploaded, for another apply --uploaded' },
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
  },
  examples: [
    { line: 'livepatch revert --target ticker', what: 'the newest patch' },
    { line: 'livepatch revert fix-2 --pid 4711', what: 'the patch of that id, as livepatch status lists it' },
    { line: 'livepatch revert --keep', what: 'Xen: the newest patch; it stays uploaded' },
  ],
  async run(values, positionals, context) {
    const [id, ...more] = positionals;
    if (more.length > 0) throw new UsageError('revert takes one patch ID at most.');
    const target = await openTarget(values, context);
    const event = flag(values, 'keep')
      ? await asXen(target, '--keep').revert(id, context.signal, { keep: true })
      : await target.revert(id, context.signal);
    return printEvent(target, event, values, context);
  },
};
