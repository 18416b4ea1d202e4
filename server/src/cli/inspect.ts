import { resolve } from 'node:path';
import { describePayload } from '../core/render/inspect.ts';
import { CannotError, type Command, exitStatus, flag, UsageError } from './command.ts';
import { readInput } from './files.ts';
import { jsonSchema, jsonText } from './report.ts';

export const command: Command = {
  name: 'inspect',
  usage: ['FILE [--json]'],
  about:
    'Prints what a payload holds: the functions that it replaces, what it adds, what it takes from the running program, the builds that it fits, and how it was made.',
  options: { json: { type: 'boolean', help: 'print the manifest as JSON (docs/json.md)' } },
  examples: [{ line: 'livepatch inspect fix.lpp', what: 'before applying what somebody else has built' }],
  async run(values, positionals, context) {
    const [file, ...more] = positionals;
    if (file === undefined || more.length > 0) throw new UsageError('inspect takes one payload FILE.');
    const bytes = await readInput(file, context.cwd);
    const payload = describePayload(bytes);
    if (typeof payload === 'string')
      throw new CannotError(`${file} is not a payload: ${payload.replace(/^This is not a payload: /, '')}`);
    context.out(
      flag(values, 'json')
        ? jsonText({ schema: jsonSchema, file: resolve(context.cwd, file), manifest: payload.manifest })
        : `${payload.text.trimEnd()}\n`,
    );
    return exitStatus.fine;
  },
};
