// npm run bench: the figures that the project promises, each as a ratio within one run. `-- xen`, `-- --only diff,save,stop`, `-- --rounds 9`.
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
    name: 'listing',
    what: 'the listings of a function of 20,000 instructions beside each other, against objdump',
    run: async (options) => (await import('../bench/listing.mjs')).bench(options),
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
  {
    name: 'xen',
    what: 'a patch for Xen: save to findings, build, edit to applied in a virtual machine',
    run: async (options) => {
      const packages = await ensurePackages(packageSets.vm, note);
      if (!packages.ok) note(packages.message);
      return typescript('bench/xen.ts', options);
    },
  },
];

/** A bench in TypeScript prints its figures as the last line, JSON: `[{name, value, limit, ok}]`. */
async function typescript(path, { rounds }) {
  if (!existsSync(join(repository, path))) throw new Error(`${path} is missing`);
  const args = ['--import', 'tsx', path, ...(rounds ? ['--rounds', String(rounds)] : [])];
  const result = await must(process.execPath, args, { cwd: repository, seconds: 900, show: true });
  return JSON.parse(result.stdout.trim().split('\n').pop());
}

const { values, positionals } = parseArgs({
  options: { only: { type: 'string' }, rounds: { type: 'string' } },
  allowPositionals: true,
});
const only =
  values.only === undefined && positionals.length === 0
    ? undefined
    : [...positionals, ...(values.only?.split(',') ?? [])];
for (const name of only ?? [])
  if (!benches.some((bench) => bench.name === name)) {
    console.error(`There is no bench '${name}': ${benches.map((bench) => bench.name).join(', ')}`);
    process.exit(2);
  }
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
