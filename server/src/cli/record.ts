import { resolve } from 'node:path';
import { loadConfig } from '../shell/config.ts';
import { record } from '../shell/record.ts';
import { CannotError, type Command, exitStatus, text, UsageError } from './command.ts';
import { count } from './text.ts';
import { findRoot } from './workspace.ts';

export const command: Command = {
  name: 'record',
  usage: ['[-p BUILDDIR] [--with bear|own] -- COMMAND [ARGUMENTS]'],
  about:
    'Runs a build and keeps the exact command of each object in compile_commands.json, for builds that write none of their own. Only ' +
    'what is compiled is seen: clean first. Uses Bear where it is installed, else stand-ins for the compilers at the head of PATH.',
  passThrough: true,
  options: {
    build: {
      type: 'string',
      short: 'p',
      value: 'DIR',
      help: 'folder to write compile_commands.json to (default: the build folder, else this one)',
    },
    with: { type: 'string', value: 'RECORDER', help: 'bear or own' },
  },
  examples: [
    { line: 'livepatch record -- make -j8', what: 'record a make build' },
    { line: 'livepatch record -p out -- ninja -C out', what: 'write out/compile_commands.json' },
  ],
  async run(values, positionals, context) {
    if (positionals.length === 0)
      throw new UsageError('record takes the build command behind --, e.g. livepatch record -- make.');
    const recorder = text(values, 'with');
    if (recorder !== undefined && recorder !== 'bear' && recorder !== 'own')
      throw new UsageError("--with is 'bear' or 'own'.");
    const build = text(values, 'build');
    const folder =
      build !== undefined ? resolve(context.cwd, build) : (await loadConfig(findRoot(context.cwd))).config.buildDir;
    const output = resolve(folder, 'compile_commands.json');
    const outcome = await record({
      command: positionals,
      cwd: context.cwd,
      output,
      recorder: recorder ?? 'auto',
      signal: context.signal,
    });
    for (const message of outcome.messages) context.err(`livepatch: ${message}\n`);
    if (outcome.status !== 0)
      throw new CannotError(`The build ended with status ${outcome.status}; what it compiled until then was kept.`);
    if (outcome.recorded === 0) return exitStatus.couldNot;
    context.err(`livepatch: ${count(outcome.recorded, 'command')} recorded, ${outcome.total} in ${output}\n`);
    return exitStatus.fine;
  },
};
