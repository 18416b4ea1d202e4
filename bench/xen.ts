// A live patch for Xen, timed: from saving a file to its findings against the compiler with the same command, from Build patch to the payload, and the whole cycle from
// an edit to the hypervisor that runs it, in a virtual machine. Last line of output: the figures as JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ownMachine } from '../scripts/lib/own-machine.mjs';
import { buildPatch } from '../server/src/patch.ts';
import { createSession, type Session } from '../server/src/session.ts';
import { ADDED } from '../server/src/shell/commandLine.ts';
import { loadConfig } from '../server/src/shell/config.ts';
import type { Config, TargetConfig, Unit } from '../server/src/shell/types.ts';
import { must } from '../server/src/targets/transport/local.ts';
import { hypervisorOf, xenTargetOf } from '../server/src/targets/xen-config.ts';
import { type Machine, startVm } from '../server/src/vm/machine.ts';
import { stopKept } from '../server/src/vm/made.ts';
import { testVm, whyNot } from '../test/vm/room.ts';
import { keep, median, round, timed } from './lib/measure.mjs';

const LIMIT = { findings: 1.15, buildMilliseconds: 1000 };

interface Subject {
  readonly file: string;
  /** Text that is there once, and what the edit of a round makes of it: another machine code each time. */
  readonly from: string;
  readonly to: (round: number) => string;
}

const SUBJECTS: readonly Subject[] = [
  {
    file: 'common/domain.c',
    from: 'domain_set_outstanding_pages(d, 0);',
    to: (i) => `domain_set_outstanding_pages(d, ${i + 1});`,
  },
  { file: 'arch/x86/mm/p2m.c', from: 'mfn = INVALID_MFN;\n        if ( q & P2M_ALLOC )', to: broken },
  {
    file: 'common/kernel.c',
    from: 'deny ? xen_deny() : xen_extra_version()',
    to: (i) => `deny ? xen_deny() : "-bench${i}"`,
  },
];

function broken(i: number): string {
  return `mfn = _mfn(${i + 1});\n        if ( q & P2M_ALLOC )`;
}

/** A working copy of a built tree; files that are edited are replaced, never written into (they may be links to the originals). */
async function copyOf(tree: string, top: string): Promise<string> {
  const folder = join(realpathSync(top), 'tree');
  await must('cp', ['-al', tree, folder], { seconds: 120 }).catch(() =>
    must('cp', ['-a', tree, folder], { seconds: 300 }),
  );
  return folder;
}

/** Text of one file of the tree, and how to change it. */
function fileOf(root: string, subject: Subject) {
  const path = join(root, 'xen', subject.file);
  const original = readFileSync(path, 'utf8');
  if (original.split(subject.from).length !== 2)
    throw new Error(`${subject.file} does not hold this once: ${subject.from}`);
  const write = (text: string): void => {
    rmSync(path);
    writeFileSync(path, text);
  };
  return {
    path,
    edit: (i: number) => write(original.replace(subject.from, () => subject.to(i))),
    restore: () => write(original),
  };
}

/** The compiler as the session runs it, its output thrown away. Steps that follow it (Kbuild's objcopy) are no part of it. */
async function compileAlone(session: Session, unit: Unit, scratch: string): Promise<void> {
  const state = session.units().find((one) => one.unit.id === unit.id);
  const command = state?.result?.pair.provenance.nextCommand ?? [];
  const [program, ...args] = command;
  if (program === undefined) throw new Error(`${unit.command.file} was not compiled`);
  if (!ADDED.every((added) => args.includes(added))) throw new Error('the command lacks what the session adds');
  const output = ['-MD', '-MF', join(scratch, 'out.d'), '-o', join(scratch, 'out.o')];
  const child = spawn(program, [...args, ...output], {
    cwd: unit.command.directory,
    stdio: ['ignore', 'ignore', 'pipe'],
    // A session of its own, as the runner's compilers have: schedulers that divide by session treat both alike.
    detached: true,
  });
  let words = '';
  child.stderr.on('data', (chunk) => {
    words += chunk;
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: status ${code} ${words}`);
}

/** Resolves when a unit has findings for its newest save. */
function findings(session: Session, unit: Unit, generation: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = session.on((event) => {
      if (event.kind !== 'unit' || event.state.unit.id !== unit.id || event.state.generation < generation) return;
      const { phase, stale, result, message, errors } = event.state;
      if (phase === 'compileError' || phase === 'failed') {
        stop();
        reject(new Error(`${unit.command.file}: ${phase} ${message ?? errors[0]?.message ?? ''}`));
      } else if (phase === 'ready' && !stale && result) {
        stop();
        resolve();
      }
    });
  });
}

/** Saves the file; resolves with the findings of its own unit. */
async function save(session: Session, path: string): Promise<void> {
  const unit = session.unitsOf(path)[0];
  if (!unit) throw new Error(`${path} has no command`);
  const state = session.units().find((one) => one.unit.id === unit.id);
  const done = findings(session, unit, (state?.generation ?? 0) + 1);
  session.saved(path);
  await done;
}

async function measureSave(root: string, config: Config, subject: Subject, rounds: number, scratch: string) {
  const file = fileOf(root, subject);
  const session = await createSession(config, { watch: false, cacheDir: join(scratch, 'cache') });
  const samples = { save: [] as number[], compile: [] as number[], own: [] as number[] };
  try {
    session.open(file.path);
    await session.idle();
    for (let i = 0; i < rounds + 2; i++) {
      file.edit(i);
      const before = process.cpuUsage();
      const took = await timed(() => save(session, file.path));
      const used = process.cpuUsage(before);
      await session.idle();
      const unit = session.unitsOf(file.path)[0]!;
      const compile = await timed(() => compileAlone(session, unit, scratch));
      const changed = session.units().find((one) => one.unit.id === unit.id)?.result?.diff.functions.length ?? 0;
      if (changed === 0) throw new Error(`${subject.file}: the edit of round ${i} changed nothing`);
      if (i < 2) continue; // Warming up: the first comparisons compile the wasm, and the program itself.
      samples.save.push(took);
      samples.compile.push(compile);
      samples.own.push((used.user + used.system) / 1000);
    }
  } finally {
    file.restore();
    await session.dispose();
  }
  // Each save beside the compile that followed it: what else the machine does weighs on both.
  const ratio = median(samples.save.map((time, at) => time / samples.compile[at]!));
  const [took, compile, own] = [median(samples.save), median(samples.compile), median(samples.own)];
  console.log(
    `    ${subject.file}: ${round(took, 0)} ms to findings, compiler alone ${round(compile, 0)} ms, ratio ${round(ratio)}; processor time beside the compilers ${round(own, 0)} ms`,
  );
  return {
    file: subject.file,
    ratio: round(ratio),
    milliseconds: { save: round(took, 1), compile: round(compile, 1), ownProcessor: round(own, 1) },
    samples: { save: samples.save.map((t) => round(t, 1)), compile: samples.compile.map((t) => round(t, 1)) },
    ok: ratio <= LIMIT.findings,
  };
}

const EXTRA = '/sys/hypervisor/version/extra';

/** Edit, save, findings, build, apply, and the running hypervisor tells the new text; then back. */
async function measureCycle(
  root: string,
  base: Config,
  rounds: number,
  scratch: string,
  machine: Machine,
  entry: TargetConfig,
) {
  const config: Config = { ...base, targets: [entry] };
  const target = xenTargetOf(entry);
  const subject = SUBJECTS.find(({ file }) => file === 'common/kernel.c')!;
  const file = fileOf(root, subject);
  const session = await createSession(config, { watch: false, cacheDir: join(scratch, 'cache') });
  const tells = async (): Promise<string> => (await machine.ssh.run(['cat', EXTRA])).stdout.trim();
  const samples = {
    build: [] as number[],
    own: [] as number[],
    apply: [] as number[],
    cycle: [] as number[],
    ratio: [] as number[],
  };
  try {
    session.open(file.path);
    await session.idle();
    await hypervisorOf(entry, config);
    for (let i = 0; i < rounds + 1; i++) {
      const wanted = `-bench${i}`;
      const began = performance.now();
      file.edit(i);
      await save(session, file.path);
      await session.idle();
      const used = process.cpuUsage();
      let built: Awaited<ReturnType<typeof buildPatch>> | undefined;
      const build = await timed(async () => {
        await session.cover();
        built = await buildPatch(session.units(), config, {
          id: `bench-${i}`,
          output: join(scratch, 'bench.livepatch'),
        });
      });
      const own = process.cpuUsage(used);
      if (built?.kind !== 'payload') throw new Error(built?.refusals.map(({ message }) => message).join('\n'));
      const { bytes, id } = built;
      const apply = await timed(async () => {
        const event = await target.apply(bytes);
        if (event.kind !== 'applied') throw new Error('message' in event ? event.message : event.kind);
      });
      const cycle = performance.now() - began;
      const told = await tells();
      if (told !== wanted) throw new Error(`the hypervisor tells ${told}, not ${wanted}`);
      const reverted = await target.revert(id);
      if (reverted.kind !== 'reverted') throw new Error('message' in reverted ? reverted.message : reverted.kind);
      const compile = await timed(() => compileAlone(session, session.unitsOf(file.path)[0]!, scratch));
      if (i === 0) continue;
      samples.build.push(build);
      samples.own.push((own.user + own.system) / 1000);
      samples.apply.push(apply);
      samples.cycle.push(cycle);
      samples.ratio.push(cycle / compile);
    }
  } finally {
    file.restore();
    await session.dispose();
  }
  const [build, own, apply, cycle, ratio] = [
    samples.build,
    samples.own,
    samples.apply,
    samples.cycle,
    samples.ratio,
  ].map(median);
  console.log(
    `    Build patch to payload: ${round(build!, 0)} ms (${round(own!, 0)} ms of processor time); Apply: ${round(apply!, 0)} ms; edit to applied: ${round(cycle!, 0)} ms, ${round(ratio!, 1)} times the compiler alone`,
  );
  return {
    build: round(build!, 1),
    buildProcessor: round(own!, 1),
    apply: round(apply!, 1),
    cycle: round(cycle!, 1),
    ratio: round(ratio!, 1),
    samples,
  };
}

const { values } = parseArgs({ options: { rounds: { type: 'string' } } });
const rounds = Number(values.rounds ?? 9);
const reason = await whyNot();
if (reason) {
  console.log(`    not measured: ${reason}`);
  console.log('[]');
} else {
  const vm = await testVm();
  const scratch = mkdtempSync(join(tmpdir(), 'lpa-xen-bench-'));
  let machine: Machine | undefined;
  process.once('SIGINT', () => process.exit(130));
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
  try {
    const root = await copyOf(vm.tree, scratch);
    const { config } = await loadConfig(root);
    const units = [];
    for (const subject of SUBJECTS) units.push(await measureSave(root, config, subject, rounds, scratch));
    // Reached as a machine that the user started is: build and apply ask it for what is applied.
    const home = join(scratch, 'home');
    const own = await ownMachine(vm, home, 'bench');
    process.env.XDG_CACHE_HOME = home;
    machine = await startVm(own, { seconds: 300, keep: true }, { say: (text) => console.log(`    ${text}`) });
    const entry: TargetConfig = { name: 'bench', kind: 'xen', vm: own.name };
    const cycle = await measureCycle(root, config, rounds, scratch, machine, entry);
    const fast = cycle.build < LIMIT.buildMilliseconds;
    keep('xen', {
      what: 'Xen: from save to findings against the compiler alone, from Build patch to payload, from an edit to the running hypervisor',
      limit: LIMIT,
      source: vm.version,
      accelerator: machine.accelerator,
      units,
      cycle,
      ok: fast && units.every(({ ok }) => ok),
    });
    const figures = [
      ...units.map(({ file, ratio, ok }) => ({
        name: `xen: save to findings / compiler, ${file}`,
        value: ratio,
        limit: String(LIMIT.findings),
        ok,
      })),
      { name: 'xen: Build patch to payload, ms', value: cycle.build, limit: String(LIMIT.buildMilliseconds), ok: fast },
      {
        name: 'xen: edit to applied in the running machine / compiler',
        value: cycle.ratio,
        limit: 'no promise',
        ok: true,
      },
    ];
    console.log(JSON.stringify(figures));
  } finally {
    if (machine) await stopKept('bench');
  }
}
