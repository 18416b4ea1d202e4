// Real patches against the checks: each patch of some Debian packages becomes a commit, the unit objects before and after it are built
// with the package's own commands, and every finding is written down. `bench/false-alarms.judged.json` says of each whether it is right;
// the table goes to docs/false-alarms.md. Run: node --import tsx bench/false-alarms.ts [PACKAGE[:PART OF A PATCH'S NAME]…]; of what is not
// asked for, the findings of the last run are taken (`none` writes the document alone).
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheRoot, fetchSource } from '../scripts/lib/debian-source.mjs';
import { verdictOf } from '../server/src/core/findings/catalogue.ts';
import { createSession } from '../server/src/session.ts';
import { loadConfig } from '../server/src/shell/config.ts';
import { type Package, packages } from './lib/alarm-packages.ts';

interface Alarm {
  readonly package: string;
  readonly patch: string;
  readonly code: string;
  readonly severity: string;
  readonly symbol: string;
  readonly message: string;
  readonly unit: string;
}

interface PatchResult {
  readonly package: string;
  readonly patch: string;
  /** Units that were compared; those that could not be. */
  readonly units: number;
  readonly failed: readonly string[];
  readonly functions: number;
  readonly lineOnly: number;
  readonly verdict: string;
  readonly alarms: readonly Alarm[];
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const repository = join(import.meta.dirname, '..');
const judgedFile = join(import.meta.dirname, 'false-alarms.judged.json');

const execute = promisify(execFile);

/** Runs a program to its end; throws with the end of what it printed. */
async function must(
  program: string,
  args: readonly string[],
  { cwd, seconds }: { readonly cwd: string; readonly seconds: number },
): Promise<string> {
  try {
    return (await execute(program, args, { cwd, timeout: seconds * 1000, maxBuffer: 1 << 28 })).stdout;
  } catch (error) {
    const failure = error as Error & { stdout?: string; stderr?: string };
    const tail = `${failure.stdout ?? ''}\n${failure.stderr ?? ''}`.trim().split('\n').slice(-12).join('\n');
    throw new Error(`${program} ${args.join(' ')}: ${tail}`);
  }
}

const git = (tree: string, ...args: string[]) =>
  must('git', ['-c', 'user.name=bench', '-c', 'user.email=bench@localhost', '-c', 'commit.gpgsign=false', ...args], {
    cwd: tree,
    seconds: 300,
  });

/** The package with one commit a patch, built once at the end of the series. Kept between runs. */
async function treeOf(
  one: Package,
): Promise<{ tree: string; patches: { name: string; commit: string }[]; version: string }> {
  const source = await fetchSource(one.name, { withoutPatches: true, say });
  const tree = join(cacheRoot(), `alarms-${one.name}-${source.version.replace(/[^\w.+-]/g, '_')}`);
  const done = join(tree, '.git', 'series.json');
  if (existsSync(done)) return { tree, version: source.version, patches: JSON.parse(readFileSync(done, 'utf8')) };
  rmSync(tree, { recursive: true, force: true });
  mkdirSync(cacheRoot(), { recursive: true });
  cpSync(source.folder, tree, { recursive: true });
  rmSync(join(tree, '.git'), { recursive: true, force: true });
  rmSync(join(tree, '.gitignore'), { force: true });
  await git(tree, 'init', '-q');
  await git(tree, 'add', '-A', '-f', '.');
  await git(tree, 'commit', '-q', '-m', 'upstream');
  const series = readFileSync(join(tree, 'debian/patches/series'), 'utf8')
    .split('\n')
    .map(
      (line) =>
        line
          .replace(/\s*#.*/, '')
          .trim()
          .split(/\s+/)[0] ?? '',
    )
    .filter((name) => name !== '');
  const patches: { name: string; commit: string }[] = [];
  for (const name of series) {
    const file = join('debian/patches', name);
    await must('patch', ['-p1', '-s', '--no-backup-if-mismatch', '-i', file], { cwd: tree, seconds: 60 });
    await git(tree, 'add', '-A', '-f', '.');
    await git(tree, 'commit', '-q', '--allow-empty', '-m', name);
    const commit = (await git(tree, 'rev-parse', 'HEAD')).trim();
    if (/^\+\+\+ \S+\.[ch]\b/m.test(readFileSync(join(tree, file), 'latin1'))) patches.push({ name, commit });
  }
  say(`building ${one.name} ${source.version}`);
  for (const step of one.configure ?? []) await must(step[0]!, step.slice(1), { cwd: tree, seconds: 900 });
  const cli = ['--import', import.meta.resolve('tsx'), join(repository, 'server/src/cli.ts')];
  await must(process.execPath, [...cli, 'record', '--', ...one.make], { cwd: tree, seconds: 1800 });
  writeFileSync(join(tree, '.git/info/exclude'), '*.o\n*.lo\n*.d\n');
  writeFileSync(done, JSON.stringify(patches));
  return { tree, version: source.version, patches };
}

async function compare(one: Package, tree: string, patch: { name: string; commit: string }): Promise<PatchResult> {
  await git(tree, 'checkout', '-q', '-f', patch.commit);
  const names = (await git(tree, 'diff', '--name-only', `${patch.commit}~1`, patch.commit)).split('\n');
  const files = names.filter((name) => /\.[chS]$/.test(name) && existsSync(join(tree, name)));
  const { config } = await loadConfig(tree, { base: `${patch.commit}~1`, cwd: tree });
  const session = await createSession(config, { watch: false, cacheDir: join(cacheRoot(), 'alarms-cache') });
  try {
    for (const name of files) session.saved(join(tree, name));
    await session.idle();
    const units = session.units().filter((unit) => unit.phase !== 'idle');
    const ready = units.filter((unit) => unit.phase === 'ready' && unit.result);
    const alarms = ready.flatMap((unit) =>
      unit.result!.findings.map(
        ({ code, severity, symbol, message }): Alarm => ({
          package: one.name,
          patch: patch.name,
          code,
          severity,
          symbol: symbol.replace(/\.\d+$/, ''),
          message,
          unit: unit.unit.command.file.slice(tree.length + 1),
        }),
      ),
    );
    // A header's finding is in each unit that includes it: one alarm.
    const unique = [...new Map(alarms.map((alarm) => [`${alarm.code} ${alarm.symbol}`, alarm])).values()];
    const verdicts = ready.map((unit) => verdictOf(unit.result!.diff, unit.result!.findings));
    const functions = ready.flatMap((unit) => unit.result!.diff.functions);
    return {
      package: one.name,
      patch: patch.name,
      units: ready.length,
      failed: units
        .filter((unit) => !ready.includes(unit))
        .map((unit) => `${unit.unit.command.file}: ${unit.message ?? unit.phase}`),
      functions: functions.filter(({ lineOnly }) => !lineOnly).length,
      lineOnly: functions.filter(({ lineOnly }) => lineOnly).length,
      verdict: verdicts.includes('blocked') ? 'blocked' : verdicts.includes('patchable') ? 'patchable' : 'unchanged',
      alarms: unique,
    };
  } finally {
    await session.dispose();
  }
}

/** `right`: holds, and worth a person's look. `noise`: holds, and nobody needs it. `false`: does not hold. */
interface Judgement {
  readonly is: 'right' | 'noise' | 'false';
  readonly why: string;
}

/** A judgement of a whole class: the rule was checked on the samples that it names. */
interface Rule extends Judgement {
  readonly code: string;
  readonly severity: string;
  /** Symbols that it is about; absent: all. */
  readonly symbols?: readonly string[];
  /** Findings that were read to check the rule, as `package/patch symbol`. */
  readonly samples: readonly string[];
}

interface Judged {
  readonly rules: readonly Rule[];
  /** What earlier runs over these patches found wrong or noisy, and what was done: those patches were compared again. */
  readonly mended: readonly string[];
  readonly findings: Readonly<Record<string, Judgement>>;
}

const keyOf = ({ package: name, patch, code, symbol }: Alarm): string => `${name}/${patch} ${code} ${symbol}`;

/** What a person says of a finding: of itself, else of its class. */
function judgementOf(judged: Judged, alarm: Alarm): (Judgement & { readonly rule?: Rule }) | undefined {
  const own = judged.findings[keyOf(alarm)];
  if (own) return own;
  const rule = judged.rules.find(
    ({ code, severity, symbols }) =>
      code === alarm.code && severity === alarm.severity && (symbols === undefined || symbols.includes(alarm.symbol)),
  );
  return rule && { is: rule.is, why: rule.why, rule };
}

function report(results: readonly PatchResult[], versions: ReadonlyMap<string, string>): string {
  const judged: Judged = existsSync(judgedFile)
    ? JSON.parse(readFileSync(judgedFile, 'utf8'))
    : { rules: [], mended: [], findings: {} };
  const compared = results.filter(({ units }) => units > 0);
  const alarms = compared.flatMap((result) => result.alarms);
  const judgements = new Map(alarms.map((alarm) => [alarm, judgementOf(judged, alarm)]));
  const byHand = [...judgements.values()].filter((one) => one && !one.rule).length;
  const counted = [...versions]
    .map(([name, version]) => `${compared.filter((one) => one.package === name).length} of ${name} ${version}`)
    .join(', ');
  const verdicts = (verdict: string) => compared.filter((one) => one.verdict === verdict).length;
  const lines = [
    '# False alarms on real patches',
    '',
    'Written by `node --import tsx bench/false-alarms.ts` from the patch series of Debian source packages: each patch that touches C is one change, the object files before and',
    'after it are built with the package’s own compiler commands, and what the checks say is judged outside of the program, in `bench/false-alarms.judged.json`: by reading the patch and the sources, or by a',
    'rule for a class of findings that was checked on the samples that it names. **right**: it holds, and the person who patches has to know. **noise**: it holds, and nobody needs it. **false**: it does not hold.',
    'Findings of one code about one symbol count once a patch.',
    '',
    `${compared.length} patches: ${counted}. ${results.length - compared.length} more touch no unit of the build.`,
    `${verdicts('patchable')} could be live patched, ${verdicts('blocked')} are blocked, ${verdicts('unchanged')} change no code. Units that could not be compared: ${compared.reduce((n, { failed }) => n + failed.length, 0)}.`,
    `${byHand} of ${alarms.length} findings are judged one by one, the others by rule.`,
    '',
    '| code | severity | findings | right | noise | false | not judged |',
    '|---|---|---|---|---|---|---|',
  ];
  const row = (title: string, severity: string, of: readonly Alarm[]): string => {
    const count = (is: string | undefined) => of.filter((alarm) => judgements.get(alarm)?.is === is).length;
    return `| ${title} | ${severity} | ${of.length} | ${count('right')} | ${count('noise')} | ${count('false')} | ${count(undefined)} |`;
  };
  for (const kind of [...new Set(alarms.map(({ code, severity }) => `${code} ${severity}`))].sort()) {
    const [name, severity] = kind.split(' ') as [string, string];
    const of = alarms.filter((alarm) => `${alarm.code} ${alarm.severity}` === kind);
    lines.push(row(`[${name}](hazards/${name}.md)`, severity, of));
  }
  for (const severity of ['blocker', 'review', 'note'])
    lines.push(
      row(
        `all of severity ${severity}`,
        severity,
        alarms.filter((alarm) => alarm.severity === severity),
      ),
    );
  lines.push(row('all', '', alarms), '');
  const wrong = alarms.filter((alarm) => ['false', 'noise'].includes(judgements.get(alarm)?.is ?? ''));
  if (wrong.length > 0) {
    lines.push('## Noise and false alarms', '');
    for (const alarm of wrong) {
      const { is, why } = judgements.get(alarm)!;
      lines.push(`- **${is}** ${alarm.package}, \`${alarm.patch}\`: ${alarm.code} of \`${alarm.symbol}\`. ${why}`);
    }
    lines.push('');
  }
  lines.push('## Mended because of these patches', '', ...judged.mended.map((one) => `- ${one}`), '');
  lines.push('## Rules', '', '| code | severity | judged | why | samples |', '|---|---|---|---|---|');
  for (const { code, severity, symbols, is, why, samples } of judged.rules)
    lines.push(
      `| ${code}${symbols ? ` of \`${symbols.join('`, `')}\`` : ''} | ${severity} | ${is} | ${why} | ${samples.join('; ')} |`,
    );
  lines.push(
    '',
    '## Each patch',
    '',
    '| package | patch | units | functions | only lines | verdict | findings |',
    '|---|---|---|---|---|---|---|',
  );
  for (const result of compared) {
    const findings = result.alarms.map((alarm) => `${alarm.code} \`${alarm.symbol}\``).join(', ');
    lines.push(
      `| ${result.package} | ${result.patch} | ${result.units}${result.failed.length > 0 ? ` (+${result.failed.length} not compared)` : ''} | ${result.functions} | ${result.lineOnly} | ${result.verdict} | ${findings} |`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** After each patch: a run that is stopped keeps what it has. */
function save(): void {
  const has = new Set(results.map((one) => `${one.package}/${one.patch}`));
  const rest = before.filter((one) => !has.has(`${one.package}/${one.patch}`));
  writeFileSync(kept, JSON.stringify([...results, ...rest], undefined, 1));
  writeFileSync(join(repository, 'docs', 'false-alarms.md'), report(results, versions));
}

const wanted = process.argv.slice(2);
const results: PatchResult[] = [];
const versions = new Map<string, string>();
const kept = join(cacheRoot(), 'alarms.json');
const before: PatchResult[] = existsSync(kept) ? JSON.parse(readFileSync(kept, 'utf8')) : [];
for (const one of packages) {
  const asked = wanted.find((each) => each === one.name || each.startsWith(`${one.name}:`));
  const last = before.filter((result) => result.package === one.name);
  if (wanted.length > 0 && asked === undefined) {
    // Not asked for now: what was found last.
    if (last.length > 0) versions.set(one.name, (await fetchSource(one.name, { withoutPatches: true })).version);
    results.push(...last);
    continue;
  }
  const { tree, patches, version } = await treeOf(one).catch((error: Error) => {
    say(`${one.name} is left out: ${error.message}`);
    return { tree: '', patches: [], version: '' };
  });
  if (tree === '') continue;
  versions.set(one.name, version);
  for (const [index, patch] of patches.entries()) {
    const known = last.find((result) => result.patch === patch.name);
    if (asked?.includes(':') && !patch.name.includes(asked.slice(one.name.length + 1))) {
      if (known) results.push(known);
      continue;
    }
    const began = performance.now();
    const result = await compare(one, tree, patch);
    results.push(result);
    save();
    say(
      `${one.name} ${index + 1}/${patches.length} ${patch.name}: ${result.units} units, ${result.verdict}, ${result.alarms.length} findings, ${Math.round(performance.now() - began)} ms`,
    );
  }
}
save();
say(`docs/false-alarms.md: ${results.length} patches`);
