// npm run bench: the figures that the project promises, each as a ratio within one run. `-- --only diff,save,stop`, `-- --rounds 9`.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildBundles, buildNative, ensureNodeModules, repository } from './lib/install.mjs';
import { ensurePackages, packageSets } from './lib/packages.mjs';
import { green, note, red, step } from './lib/progress.mjs';
import { must } from './lib/run.mjs';

const benches = [
  {
    name: 'diff',
    what: 'two large objects against objdump',
    run: async (options) => (await import('../bench/diff.mjs')).bench(options),
  },
  {
    name: 'kernel',
    what: '50 kernel objects against objdump and pahole',
    run: async (options) => (await import('../bench/kernel.mjs')).bench(options),
  },
  {
    name: 'save',
    what: 'from save to findings against the compiler alone',
    run: (options) => typescript('bench/save.ts', options),
  },
  {
    name: 'stop',
    what: 'how long a process stands still, against gdb',
    run: (options) => typescript('bench/stop.ts', options),
  },
];

/** A bench in TypeScript prints its figures as the last line, JSON: `[{name, value, limit, ok}]`. */
async function typescript(path, { rounds }) {
  if (!existsSync(join(repository, path))) throw new Error(`${path} is missing`);
  const args = ['--import', 'tsx', path, ...(rounds ? ['--rounds', String(rounds)] : [])];
  const result = await must(process.execPath, args, { cwd: repository, seconds: 900, show: true });
  return JSON.parse(result.stdout.trim().split('\n').pop());
}

const { values } = parseArgs({ options: { only: { type: 'string' }, rounds: { type: 'string' } } });
const only = values.only?.split(',');
const packages = await ensurePackages([...packageSets.build, ...packageSets.sources, ...packageSets.test], note);
if (!packages.ok) note(packages.message);
await ensureNodeModules(note);
await buildNative();
await buildBundles();
const figures = [];
for (const bench of benches.filter(({ name }) => !only || only.includes(name))) {
  step(`${bench.name}: ${bench.what}`);
  try {
    figures.push(...(await bench.run({ say: note, ...(values.rounds ? { rounds: Number(values.rounds) } : {}) })));
  } catch (error) {
    figures.push({ name: bench.name, value: Number.NaN, limit: Number.NaN, ok: false });
    console.log(red(error.message));
  }
}
step('figures');
const width = Math.max(0, ...figures.map((figure) => figure.name.length));
for (const figure of figures) {
  console.log(
    `${figure.ok ? green('ok    ') : red('missed')} ${figure.name.padEnd(width)}  ${figure.value}  (at most ${figure.limit})`,
  );
}
process.exitCode = figures.every((figure) => figure.ok) ? 0 : 1;
