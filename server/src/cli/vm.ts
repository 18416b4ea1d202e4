import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { payloadName } from '../targets/xen.ts';
import { createXenVm } from '../vm/create.ts';
import { sshOf, startVm } from '../vm/machine.ts';
import { listVms, livingVm, readVm, runningVm, stopKept, whyNotRunning } from '../vm/made.ts';
import { defaultCpus, tryOnProcessors } from '../vm/matrix.ts';
import { readFrom, unknownCpus } from '../vm/qemu.ts';
import { vmStates } from '../vm/states.ts';
import {
  CannotError,
  type CliContext,
  type Command,
  type ExitStatus,
  exitStatus,
  flag,
  type OptionValues,
  text,
  UsageError,
} from './command.ts';
import { readInput } from './files.ts';
import { jsonSchema, jsonText } from './report.ts';
import { painter } from './text.ts';

type Action = (values: OptionValues, rest: readonly string[], context: CliContext) => Promise<ExitStatus>;

/** Name of the machine: the option, or the first word after the action, or `xen`. */
const nameOf = (values: OptionValues, rest: readonly string[]): string => text(values, 'name') ?? rest[0] ?? 'xen';

/**
 * Turns what goes wrong into the command line's own kind of error: a sentence without a stack trace. Of what was cancelled it does not
 * tell which program was just running.
 */
async function tried<T>(work: () => Promise<T>, context?: CliContext): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (context?.signal.aborted) throw new CannotError('Cancelled.');
    const [first, ...rest] = (error as Error).message.split('\n');
    throw new CannotError(first!, rest.join('\n'));
  }
}

const workOf = (context: CliContext) => ({ say: (line: string) => context.err(`${line}\n`), signal: context.signal });

const create: Action = async (values, rest, context) => {
  if (rest[0] !== 'xen') throw new UsageError('Expected: livepatch vm create xen');
  const source = text(values, 'source');
  const name = text(values, 'name') ?? 'xen';
  const vm = await tried(
    () => createXenVm({ name, again: flag(values, 'again'), ...(source ? { source } : {}) }, workOf(context)),
    context,
  );
  context.out(
    `${vm.name}: Xen ${vm.version}\n  source      ${vm.tree}\n  hypervisor  ${vm.hypervisor}\nStart it: livepatch vm start${vm.name === 'xen' ? '' : ` ${vm.name}`}\n`,
  );
  return exitStatus.fine;
};

const start: Action = async (values, rest, context) => {
  const vm = await tried(() => readVm(nameOf(values, rest)));
  const accelerator = accelOf(values);
  const cpu = text(values, 'cpu');
  if (cpu !== undefined) await knownCpus([cpu]);
  const state = await tried(
    () =>
      startVm(
        vm,
        { keep: true, ...(accelerator ? { accelerator } : {}), ...(cpu ? { cpu } : {}), seconds: seconds(values) },
        workOf(context),
      ),
    context,
  );
  context.out(
    `${vm.name} runs (process ${state.pid}, ${state.accelerator}, processor ${state.cpu}), up after ${(state.bootMilliseconds / 1000).toFixed(1)} s\n`,
  );
  context.out(
    `  console  ${state.consoleLog}\n  ssh      livepatch vm ssh ${vm.name}\n  end it   livepatch vm stop ${vm.name}\n`,
  );
  return exitStatus.fine;
};

function accelOf(values: OptionValues): 'kvm' | 'tcg' | undefined {
  const accelerator = text(values, 'accel');
  if (accelerator !== undefined && accelerator !== 'kvm' && accelerator !== 'tcg')
    throw new UsageError('--accel takes kvm or tcg.');
  return accelerator;
}

function seconds(values: OptionValues): number {
  const value = Number(text(values, 'timeout') ?? '120');
  if (!(value > 0)) throw new UsageError('--timeout takes seconds');
  return value;
}

const stop: Action = async (values, rest, context) => {
  const name = nameOf(values, rest);
  await tried(() => readVm(name));
  const stopped = await tried(() => stopKept(name));
  context.out(stopped ? `${name} is stopped\n` : `${name} did not run\n`);
  return exitStatus.fine;
};

const status: Action = async (values, rest, context) => {
  const wanted = text(values, 'name') ?? rest[0];
  if (wanted !== undefined) await tried(() => readVm(wanted));
  const vms = (await tried(() => listVms())).filter((vm) => wanted === undefined || vm.name === wanted);
  const rows = await Promise.all(vms.map(async (vm) => ({ vm, run: await runningVm(vm.name) })));
  if (flag(values, 'json')) {
    context.out(
      jsonText({
        schema: jsonSchema,
        machines: rows.map(({ vm, run }) => ({ ...vm, running: run ?? null })),
        states: (await vmStates()).filter(({ name }) => rows.some(({ vm }) => vm.name === name)),
      }),
    );
    return exitStatus.fine;
  }
  if (rows.length === 0) context.out('There is no virtual machine. Make one: livepatch vm create xen\n');
  const paint = painter(context.colour);
  for (const { vm, run } of rows) {
    const state = run
      ? paint.green(`runs since ${run.startedAt}, process ${run.pid}, ${run.accelerator}, ssh port ${run.sshPort}`)
      : (await livingVm(vm.name))
        ? paint.yellow('boots')
        : 'stopped';
    context.out(`${paint.bold(vm.name)}  Xen ${vm.version}  ${state}\n  source  ${vm.tree}\n`);
  }
  return exitStatus.fine;
};

/** The kept machine that has to run for this action; `booting`: it need not be up yet. */
async function running(name: string, booting = false) {
  await readVm(name);
  const state = booting ? await livingVm(name) : await runningVm(name);
  if (!state) throw new Error(`${name}: ${await whyNotRunning(name)}`);
  return state;
}

const consoleAction: Action = async (values, rest, context) => {
  const state = await tried(() => running(nameOf(values, rest), true));
  const { text: all, size } = await readFrom(state.consoleLog, 0);
  context.out(all);
  if (!flag(values, 'follow')) return exitStatus.fine;
  // What is typed goes to the serial line; what the machine says comes through the log.
  const socket = connect(state.consoleSocket);
  socket.on('error', () => {});
  socket.resume();
  process.stdin.pipe(socket);
  let at = size;
  while (!context.signal.aborted && (await livingVm(state.name))) {
    const more = await readFrom(state.consoleLog, at);
    at = more.size;
    context.out(more.text);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  process.stdin.unpipe(socket);
  process.stdin.destroy();
  socket.destroy();
  return exitStatus.fine;
};

const ssh: Action = async (values, rest, context) => {
  // The first word is the machine's name only where such a machine exists.
  const named = text(values, 'name') === undefined && (await listVms()).some((vm) => vm.name === rest[0]);
  const state = await tried(() => running(text(values, 'name') ?? (named ? rest[0]! : 'xen')));
  const words = named ? rest.slice(1) : rest;
  // One word is a line for the shell there, as with ssh itself; several are an argument vector.
  const line = words.length === 1 && /\s/.test(words[0]!) ? ['sh', '-c', words[0]!] : words;
  const [program, ...args] = sshOf(state).interactive(line);
  const child = spawn(program!, args, { stdio: 'inherit' });
  context.signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true });
  return new Promise((resolve) => child.on('close', (code) => resolve((code === 0 ? 0 : 2) as ExitStatus)));
};

/** A mistyped processor must not look like one on which Xen does not boot. */
async function knownCpus(cpus: readonly string[]): Promise<void> {
  const unknown = await unknownCpus(cpus);
  if (unknown.length > 0)
    throw new UsageError(
      `QEMU has no processor called ${unknown.map((cpu) => `'${cpu}'`).join(', ')}. It lists its own: qemu-system-x86_64 -cpu help`,
    );
}

const matrix: Action = async (values, rest, context) => {
  const file = rest[0];
  if (file === undefined || rest.length > 1)
    throw new UsageError('Expected: livepatch vm matrix [--cpu MODEL,MODEL...] PAYLOAD');
  const cpus = text(values, 'cpu')
    ?.split(',')
    .map((cpu) => cpu.trim())
    .filter((cpu) => cpu !== '') ?? [...defaultCpus];
  if (cpus.length === 0) throw new UsageError('--cpu takes names of processors, as QEMU has them: EPYC,Nehalem');
  await knownCpus(cpus);
  const payload = await readInput(file, context.cwd);
  const known = payloadName(payload);
  // A boot takes seconds: what no hypervisor takes is not tried on five.
  if ('message' in known) throw new CannotError(`${file}: ${known.message}`);
  const vm = await tried(() => readVm(text(values, 'name') ?? 'xen'));
  const verify = text(values, 'verify');
  const accelerator = accelOf(values);
  const paint = painter(context.colour);
  const json = flag(values, 'json');
  const width = Math.max(...cpus.map((cpu) => cpu.length));
  const rows = await tried(
    () =>
      tryOnProcessors(
        vm,
        payload,
        cpus,
        { ...(accelerator ? { accelerator } : {}), seconds: seconds(values), ...(verify ? { verify } : {}) },
        { signal: context.signal, say: () => {} },
        (row) => {
          if (json) return;
          const mark =
            row.outcome === 'works'
              ? paint.green('works  ')
              : row.outcome === 'no-boot'
                ? paint.yellow('no boot')
                : paint.red(row.outcome.padEnd(7));
          const seen = row.verify.length > 0 ? `  ${row.verify.map((one) => one || '(nothing)').join(' → ')}` : '';
          const boot = row.outcome === 'no-boot' ? 'given up after' : 'booted in';
          context.out(
            `${row.cpu.padEnd(width)}  ${mark}  ${boot.padEnd(9)} ${row.bootSeconds.toFixed(0).padStart(3)} s${seen}${row.message ? `  ${row.message}` : ''}\n`,
          );
        },
      ),
    context,
  );
  if (json) context.out(jsonText({ schema: jsonSchema, rows }));
  const tried_ = rows.filter((row) => row.outcome !== 'no-boot');
  if (tried_.length === 0) throw new CannotError('The hypervisor started on none of these processors.');
  return tried_.every((row) => row.outcome === 'works') ? exitStatus.fine : exitStatus.blocked;
};

const actions: Readonly<Record<string, Action>> = {
  create,
  start,
  stop,
  status,
  list: status,
  console: consoleAction,
  ssh,
  matrix,
};

export const command: Command = {
  name: 'vm',
  usage: [
    'create xen [--source DIR] [--name NAME]',
    'start | stop | status | list | console [NAME]',
    'ssh [NAME] [-- COMMAND...]',
    'matrix [--cpu MODEL,MODEL...] [--verify COMMAND] PAYLOAD',
  ],
  about:
    'Virtual machines to try patches in. `create xen` fetches and builds the hypervisor (or takes your own built tree), and makes a small machine that boots it under QEMU; nothing is installed on this system. A machine that was started lives on until `vm stop`.',
  options: {
    name: { type: 'string', value: 'NAME', help: 'which machine (xen)' },
    source: { type: 'string', value: 'DIR', help: 'create: your built Xen tree instead of Debian’s source' },
    again: { type: 'boolean', help: 'create: make the machine again although it is there' },
    accel: {
      type: 'string',
      value: 'kvm|tcg',
      help: 'start: hardware virtualisation or emulation; otherwise what works is found out',
    },
    cpu: { type: 'string', value: 'MODEL', help: 'start, matrix: QEMU’s names of processors' },
    timeout: { type: 'string', value: 'SECONDS', help: 'start: until it has to answer (120)' },
    follow: { type: 'boolean', short: 'f', help: 'console: go on, and pass on what is typed' },
    verify: { type: 'string', value: 'COMMAND', help: 'matrix: shell command that shows whether the patch took' },
    json: { type: 'boolean', help: 'status, matrix: print JSON (docs/json.md)' },
  },
  examples: [
    { line: 'livepatch vm create xen', what: 'fetch, configure and build Xen, and make a machine that boots it' },
    { line: 'livepatch vm start', what: 'boot it; it lives on until livepatch vm stop' },
    { line: 'livepatch vm ssh -- xen-livepatch list', what: 'run a command in it' },
  ],
  async run(values, positionals, context) {
    const [word, ...rest] = positionals;
    const action = word === undefined ? undefined : actions[word];
    if (!action) throw new UsageError(`Expected one of ${Object.keys(actions).join(', ')} after vm.`);
    return action(values, rest, context);
  },
};
