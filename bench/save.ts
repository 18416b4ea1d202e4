// From saving a file to its findings, against the compiler alone with the very command that the session runs. On a small unit
// (the example) and on two of Redis. Last line of output: the figures as JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createSession, type Session } from '../server/src/session.ts';
import { ADDED } from '../server/src/shell/commandLine.ts';
import { loadConfig } from '../server/src/shell/config.ts';
import type { CompileCommand } from '../server/src/shell/types.ts';
import { tickerWorkspace } from '../test/cli/support.ts';
import { redisTree, restore } from '../test/real/redis-tree.ts';
import { keep, median, round, timed } from './lib/measure.mjs';

/** At most this ratio, or this many milliseconds over the compiler: small units are dominated by fixed costs. */
const LIMIT = { ratio: 1.15, over: 60 };

interface Subject {
  readonly name: string;
  readonly root: string;
  readonly file: string;
  /** Text that is there once, and what the edit of a round makes of it: another machine code each time. */
  readonly from: string;
  readonly to: (round: number) => string;
}

/** The command as the session runs it, output thrown away. */
async function compileAlone(command: CompileCommand, output: string): Promise<void> {
  const [program = 'cc', ...args] = command.arguments;
  const at = args.indexOf('-o');
  const vector = [...(at < 0 ? args : args.toSpliced(at, 2)), ...ADDED, '-o', output];
  const child = spawn(program, vector, { cwd: command.directory, stdio: ['ignore', 'ignore', 'ignore'] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${program} ${vector.join(' ')}: status ${code}`);
}

/** Resolves when the unit of `path` has findings for the newest save. */
function findings(session: Session, path: string, generation: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = session.on((event) => {
      if (event.kind !== 'unit' || event.state.unit.command.file !== path || event.state.generation < generation)
        return;
      if (event.state.phase === 'compileError' || event.state.phase === 'failed') {
        stop();
        reject(
          new Error(`${path}: ${event.state.phase} ${event.state.message ?? event.state.errors[0]?.message ?? ''}`),
        );
      } else if (event.state.phase === 'ready' && !event.state.stale && event.state.result) {
        stop();
        resolve();
      }
    });
  });
}

async function measure(subject: Subject, rounds: number) {
  const scratch = mkdtempSync(join(tmpdir(), 'lpa-save-'));
  const path = realpathSync(join(subject.root, subject.file));
  const original = readFileSync(path, 'utf8');
  if (original.split(subject.from).length !== 2)
    throw new Error(`${subject.file} does not hold this once: ${subject.from}`);
  const { config } = await loadConfig(subject.root);
  const session = await createSession(config, { watch: false, cacheDir: join(scratch, 'cache') });
  const samples = { save: [] as number[], compile: [] as number[] };
  try {
    session.open(path);
    await session.idle();
    for (let i = 0; i < rounds + 1; i++) {
      writeFileSync(
        path,
        original.replace(subject.from, () => subject.to(i)),
      );
      const state = session.units().find((unit) => unit.unit.command.file === path);
      const command = session.unitsOf(path)[0]?.command;
      if (!command) throw new Error(`${subject.file} has no command`);
      const done = findings(session, path, (state?.generation ?? 0) + 1);
      const save = await timed(async () => {
        session.saved(path);
        await done;
      });
      await session.idle();
      const compile = await timed(() => compileAlone(command, join(scratch, 'out.o')));
      const changed =
        session.units().find((unit) => unit.unit.command.file === path)?.result?.diff.functions.length ?? 0;
      if (changed === 0) throw new Error(`${subject.file}: the edit of round ${i} changed nothing`);
      if (i === 0) continue; // Warming up: the first comparison compiles the wasm.
      samples.save.push(save);
      samples.compile.push(compile);
    }
  } finally {
    writeFileSync(path, original);
    await session.dispose();
    rmSync(scratch, { recursive: true, force: true });
  }
  const save = median(samples.save);
  const compile = median(samples.compile);
  console.log(`    ${subject.name}: ${round(save, 0)} ms to findings, compiler alone ${round(compile, 0)} ms`);
  return {
    name: subject.name,
    ratio: round(save / compile),
    over: round(save - compile, 1),
    milliseconds: { save: samples.save.map((t) => round(t, 1)), compile: samples.compile.map((t) => round(t, 1)) },
    ok: save / compile <= LIMIT.ratio || save - compile <= LIMIT.over,
  };
}

const { values } = parseArgs({ options: { rounds: { type: 'string' } } });
const rounds = Number(values.rounds ?? 9);
const workspace = tickerWorkspace();
const repository = join(import.meta.dirname, '..');
const tree = await redisTree([process.execPath, join(repository, 'dist/cli.cjs')], (text) =>
  console.log(`    ${text}`),
);
const results = [];
try {
  for (const subject of [
    {
      name: 'ticker quote.c',
      root: workspace.folder,
      file: 'src/quote.c',
      from: '* 10000',
      to: (i: number) => `* ${10001 + i}`,
    },
    {
      name: 'redis hyperloglog.c',
      root: tree.root,
      file: 'src/hyperloglog.c',
      from: 'hash |= ((uint64_t)1<<HLL_Q);',
      to: (i: number) => `hash |= ((uint64_t)${i + 3}<<HLL_Q);`,
    },
    {
      name: 'redis networking.c',
      root: tree.root,
      file: 'src/networking.c',
      from: 'c->querybuf_peak = 0;',
      to: (i: number) => `c->querybuf_peak = ${i + 1};`,
    },
  ] satisfies Subject[]) {
    results.push(await measure(subject, rounds));
  }
} finally {
  workspace.remove();
  await restore(tree);
}
keep('save', {
  what: 'from save to findings, against the compiler alone with the same command',
  limit: LIMIT,
  units: results,
  ok: results.every((result) => result.ok),
});
console.log(
  JSON.stringify(
    results.map((result) => ({
      name: `save: findings / compiler, ${result.name} (${result.over} ms over)`,
      value: result.ratio,
      limit: `${LIMIT.ratio}, or ${LIMIT.over} ms over`,
      ok: result.ok,
    })),
  ),
);
