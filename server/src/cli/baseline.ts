import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { baselineText, sumBaselines } from '../core/payload/xen-baseline.ts';
import { reproduceTree } from '../reproduce.ts';
import { BaselineError } from '../shell/baseline.ts';
import { hypervisorOf, NoHypervisor, xenEntry } from '../targets/xen-config.ts';
import { treeOptions } from './check.ts';
import { CannotError, type Command, exitStatus, flag, text } from './command.ts';
import { jsonSchema, jsonText } from './report.ts';
import { count, painter, printable } from './text.ts';
import { openConfig, progressLine } from './workspace.ts';

/** Most functions and units that are named. */
const LIMIT = 40;

export const command: Command = {
  name: 'baseline',
  usage: ['[FILES] [-p BUILDDIR] [--base REV|DIR] [--target NAME] [--json]'],
  about:
    'Compiles every unit of the baseline again (or those of FILES) and compares each function with the hypervisor that the target of kind xen runs: ' +
    'a patch is built on what runs only where they are the same. Status 1 where some differ.',
  options: {
    ...treeOptions,
    target: {
      type: 'string',
      short: 't',
      value: 'NAME',
      help: 'a target of kind xen in livepatch.json (the first one)',
    },
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
  },
  examples: [
    { line: 'livepatch baseline', what: 'the whole hypervisor; objects are kept, so that it is quick the next time' },
    { line: 'livepatch baseline xen/common/domain.c', what: 'one source' },
  ],
  async run(values, positionals, context) {
    const { config, problems } = await openConfig({
      cwd: context.cwd,
      build: text(values, 'build'),
      base: text(values, 'base'),
    });
    for (const problem of problems) context.err(`livepatch: ${problem}\n`);
    const name = text(values, 'target');
    const entry = name === undefined ? xenEntry(config) : config.targets.find((target) => target.name === name);
    if (entry?.kind !== 'xen')
      throw new CannotError(
        name === undefined ? 'livepatch.json names no target of kind xen.' : `'${name}' is no target of kind xen.`,
      );
    const files = positionals.map((file) => resolve(context.cwd, file));
    for (const file of files) if (!existsSync(file)) throw new CannotError(`${file} does not exist.`);
    const progress = progressLine(context);
    const hypervisor = await hypervisorOf(entry, config).catch((error) => {
      throw error instanceof NoHypervisor ? new CannotError(error.message) : error;
    });
    const found = await reproduceTree(config, hypervisor, {
      ...(files.length > 0 ? { files } : {}),
      signal: context.signal,
      each: (done, of) => progress(`compiled and compared ${done}/${of}`),
    })
      .catch((error) => {
        throw error instanceof BaselineError ? new CannotError(error.message) : error;
      })
      .finally(() => progress(''));
    if (context.signal.aborted) throw new CannotError('Cancelled.');
    if (found.length === 0) throw new CannotError('The build has no unit to compare.');
    const sum = sumBaselines(found.flatMap(({ baseline }) => baseline ?? []));
    const running = hypervisor.running;
    const same = running === undefined || running === hypervisor.elf.buildId;
    if (flag(values, 'json'))
      context.out(
        jsonText({
          schema: jsonSchema,
          syms: hypervisor.path,
          buildId: hypervisor.elf.buildId ?? null,
          running: running ?? null,
          checked: sum.checked,
          same: sum.same,
          units: found,
        }),
      );
    else {
      const paint = painter(context.colour);
      const fine = sum.checked === sum.same && sum.checked > 0;
      context.out(`${(fine ? paint.green : paint.red)(baselineText(sum))} (${hypervisor.path})\n`);
      context.out(`  build id ${hypervisor.elf.buildId ?? 'none'}${runs(running, hypervisor.elf.buildId)}\n`);
      for (const { name: symbol, why } of sum.differing.slice(0, LIMIT))
        context.out(`  ${printable(symbol)}  ${printable(why)}\n`);
      if (sum.differing.length > LIMIT) context.out(`  and ${sum.differing.length - LIMIT} more\n`);
      if (sum.patched.length > 0)
        context.out(`  ${count(sum.patched.length, 'function')} of an applied patch not compared\n`);
      const left = new Map<string, string[]>();
      for (const { unit, message } of found)
        if (message !== undefined) left.set(message, [...(left.get(message) ?? []), unit]);
      for (const [message, units] of left) {
        const named = units.slice(0, 5).map(printable).join(', ');
        context.out(
          `  ${count(units.length, 'unit')} not compared, ${printable(message)}: ${named}${units.length > 5 ? ', ...' : ''}\n`,
        );
      }
    }
    return sum.differing.length > 0 || !same ? exitStatus.blocked : exitStatus.fine;
  },
};

function runs(running: string | undefined, own: string | undefined): string {
  if (running === undefined) return '; the target was not asked, or did not tell its own';
  return running === own
    ? ', which the hypervisor tells of itself too'
    : `, but the hypervisor that runs has ${running}`;
}
