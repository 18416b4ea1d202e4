import type { TargetEvent } from '../targets/types.ts';
import { type Command, flag, text, UsageError } from './command.ts';
import { readInput } from './files.ts';
import { asXen, openTarget, printEvent, targetOptions } from './target.ts';

export const command: Command = {
  name: 'apply',
  usage: ['FILE --pid N', 'FILE --target NAME [--replace | --upload-only]', '--uploaded ID --target NAME [--replace]'],
  about:
    'Applies a payload to a running process, or uploads and applies it to a running hypervisor. Process: build ids and the old code in memory ' +
    'are compared first; all threads then stop for an instant, and either everything is redirected or nothing. Xen: the payload is checked here ' +
    'before anything is sent, and by the hypervisor; what cannot be applied does not stay uploaded. Refused (status 1) with the reason where it does not fit.',
  options: {
    ...targetOptions,
    'upload-only': { type: 'boolean', help: 'Xen: upload it and let the hypervisor check it; it is not applied' },
    replace: { type: 'boolean', help: 'Xen: in place of everything that is applied, in one step' },
    uploaded: {
      type: 'string',
      value: 'ID',
      help: 'Xen: apply what is uploaded already (livepatch status lists it), without a file',
    },
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
  },
  examples: [
    { line: 'livepatch apply fix.lpp --pid 4711', what: 'to one process' },
    { line: 'livepatch apply fix.lpp --target ticker', what: 'to the target of that name in livepatch.json' },
    { line: 'livepatch apply fix.livepatch --upload-only', what: 'Xen: does the hypervisor take it?' },
    { line: 'livepatch apply --uploaded fix', what: 'Xen: what was uploaded before' },
    { line: 'livepatch apply all.livepatch --replace', what: 'Xen: one payload instead of all that are applied' },
  ],
  async run(values, positionals, context) {
    const [file, ...more] = positionals;
    const uploaded = text(values, 'uploaded');
    const [replace, uploadOnly] = [flag(values, 'replace'), flag(values, 'upload-only')];
    if (uploaded !== undefined && (file !== undefined || uploadOnly))
      throw new UsageError(
        '--uploaded ID takes what is in the hypervisor: neither a FILE nor --upload-only goes with it.',
      );
    if (replace && uploadOnly) throw new UsageError('Give --replace or --upload-only, not both.');
    if (more.length > 0 || (file === undefined && uploaded === undefined))
      throw new UsageError('apply takes one payload FILE.');
    const target = await openTarget(values, context);
    const asked = uploaded === undefined ? (replace ? '--replace' : '--upload-only') : '--uploaded';
    const xen = replace || uploadOnly || uploaded !== undefined ? asXen(target, asked) : undefined;
    const { signal } = context;
    let event: TargetEvent;
    if (xen && uploaded !== undefined)
      event = await xen.step({ action: replace ? 'replace' : 'apply', id: uploaded }, signal);
    else {
      const payload = await readInput(file!, context.cwd);
      if (xen)
        event = uploadOnly
          ? await xen.step({ action: 'upload', payload }, signal)
          : await xen.apply(payload, signal, { replace });
      else event = await target.apply(payload, signal);
    }
    return printEvent(target, event, values, context);
  },
};
