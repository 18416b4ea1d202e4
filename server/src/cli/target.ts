import type { Config, TargetConfig } from '../shell/types.ts';
import { createProcessTarget } from '../targets/process.ts';
import type { Target, TargetEvent } from '../targets/types.ts';
import type { XenTarget } from '../targets/xen.ts';
import {
  CannotError,
  type CliContext,
  type ExitStatus,
  exitStatus,
  flag,
  type OptionValues,
  text,
  UsageError,
} from './command.ts';
import { jsonSchema, jsonText } from './report.ts';
import { count, painter, printable } from './text.ts';
import { openConfig } from './workspace.ts';

/** Options that name a target. */
export const targetOptions = {
  pid: { type: 'string', value: 'N', help: 'the process with this id' },
  target: { type: 'string', short: 't', value: 'NAME', help: 'a target of livepatch.json' },
} as const;

/** The target that `--pid` or `--target` names; without either the only one of livepatch.json. */
export async function openTarget(values: OptionValues, context: CliContext): Promise<Target> {
  const found = await find(values, context);
  if (found.kind === 'pid') return found.target;
  const { resolveTarget } = await import('../patch.ts');
  return resolveTarget(found.entry, found.config);
}

/** A hypervisor, for what only a hypervisor does. `asked`: the command or option that asks for it. */
export function asXen(target: Target, asked: string): XenTarget {
  const isXen = (one: Target): one is XenTarget => one.kind === 'xen';
  if (isXen(target)) return target;
  throw new UsageError(
    `${asked} is for hypervisors (targets of kind xen), and ${target.name} is a process: there a payload is applied or gone, livepatch apply and livepatch revert.`,
  );
}

/** The same for looking only: one target for each process, where several run the executable. */
export async function openTargets(values: OptionValues, context: CliContext): Promise<Target[]> {
  const found = await find(values, context);
  if (found.kind === 'pid') return [found.target];
  const { resolveTarget, targetsOf } = await import('../patch.ts');
  const targets = targetsOf({ ...found.config, targets: [found.entry] });
  return targets.length > 0 ? targets : [resolveTarget(found.entry, found.config)];
}

type Found =
  | { readonly kind: 'pid'; readonly target: Target }
  | { readonly kind: 'entry'; readonly entry: TargetConfig; readonly config: Config };

async function find(values: OptionValues, context: CliContext): Promise<Found> {
  const pid = text(values, 'pid');
  const name = text(values, 'target');
  if (pid !== undefined && name !== undefined) throw new UsageError('Give --pid or --target, not both.');
  if (pid !== undefined) {
    if (!/^[1-9]\d{0,9}$/.test(pid)) throw new UsageError(`--pid takes a process id, not '${pid}'.`);
    return { kind: 'pid', target: createProcessTarget({ name: `pid ${pid}`, pid: Number(pid) }) };
  }
  const { config, problems } = await openConfig({ cwd: context.cwd, build: undefined, base: undefined });
  for (const problem of problems) context.err(`livepatch: ${problem}\n`);
  const names = config.targets.map((target) => target.name);
  const known = names.length > 0 ? ` livepatch.json has: ${names.join(', ')}.` : ' livepatch.json has none.';
  if (name === undefined && config.targets.length !== 1)
    throw new UsageError(`Which target? Give --pid N or --target NAME.${known}`);
  const target = name === undefined ? config.targets[0] : config.targets.find((candidate) => candidate.name === name);
  if (!target) throw new CannotError(`There is no target '${name}'.${known}`);
  return { kind: 'entry', entry: target, config };
}

/** Exit status of what happened. */
export function eventStatus(event: TargetEvent): ExitStatus {
  if (event.kind === 'refused') return exitStatus.blocked;
  return event.kind === 'failed' ? exitStatus.couldNot : exitStatus.fine;
}

const microseconds = (n: number) => (n < 1000 ? `${Math.round(n)} µs` : `${(n / 1000).toFixed(1)} ms`);

/** Prints what happened on a target: JSON on standard output, or a sentence. */
export function printEvent(target: Target, event: TargetEvent, values: OptionValues, context: CliContext): ExitStatus {
  if (flag(values, 'json')) context.out(jsonText({ schema: jsonSchema, target: target.name, event }));
  else {
    const paint = painter(context.colour);
    switch (event.kind) {
      case 'applied':
        if (event.message !== undefined) {
          context.out(`${paint.green('Applied')} ${printable(event.id)}: ${printable(event.message)}\n`);
          break;
        }
        context.out(
          `${paint.green('Applied')} ${printable(event.id)} to ${printable(target.name)}: ${count(event.functions, 'function')} redirected, stopped for ${microseconds(event.stopMicroseconds)}${event.attempts > 1 ? `, at attempt ${event.attempts}` : ''}\n`,
        );
        break;
      case 'reverted':
        if (event.message !== undefined) {
          context.out(`${paint.green('Reverted')} ${printable(event.id)}: ${printable(event.message)}\n`);
          break;
        }
        context.out(
          `${paint.green('Reverted')} ${printable(event.id)} on ${printable(target.name)}, stopped for ${microseconds(event.stopMicroseconds)}\n`,
        );
        break;
      case 'uploaded':
      case 'unloaded': {
        const word = event.kind === 'uploaded' ? 'Uploaded' : 'Unloaded';
        context.out(`${paint.green(word)} ${printable(event.id)}: ${printable(event.message)}\n`);
        break;
      }
      default:
        context.err(
          `${paint.red(event.kind === 'refused' ? 'Refused' : 'Failed')} (${printable(event.reason)}): ${printable(event.message)}\n`,
        );
    }
  }
  return eventStatus(event);
}
