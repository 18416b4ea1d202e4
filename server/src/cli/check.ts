import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { targetKinds } from '../shell/config.ts';
import type { UnitState } from '../shell/types.ts';
import { type CliContext, type Command, type ExitStatus, exitStatus, flag, text } from './command.ts';
import { diffLines, findingLines, placeText, shortPath, uniqueFindings, verdictLine } from './describe.ts';
import { cannotWrite, checkOutput } from './files.ts';
import { fixesOf } from './fixes.ts';
import { jsonDiff, jsonPlace, jsonSchema, jsonText } from './report.ts';
import { sarifLog } from './sarif.ts';
import { count, type Paint, painter, printable } from './text.ts';
import {
  compareTree,
  newFilesText,
  openWorkspace,
  type TreeResult,
  unitVerdict,
  unseenText,
  type Workspace,
} from './workspace.ts';

/** The JSON document of `check --json`. */
async function jsonTree(workspace: Workspace, tree: TreeResult) {
  const { config, session } = workspace;
  const target = targetKinds(config)[0] ?? 'process';
  const fixes = await fixesOf(tree.units, target, (file) => session.baseText(file));
  return {
    schema: jsonSchema,
    verdict: tree.verdict ?? 'failed',
    root: config.root,
    baseline: config.baseline,
    files: tree.files,
    units: tree.units.map((unit) => ({
      unit: unit.unit.id,
      file: unit.unit.command.file,
      status: unitVerdict(unit) ?? unit.phase,
      message: unit.message ?? null,
      errors: unit.errors.map((error) => ({
        at: jsonPlace(error.at),
        severity: error.severity,
        message: error.message,
      })),
      timings: unit.timings ?? null,
      ...(unit.result && unit.phase === 'ready'
        ? {
            diff: jsonDiff(unit.result.diff, unit.result.findings, unitVerdict(unit) ?? 'unchanged', (finding) =>
              fixes(unit, finding),
            ),
          }
        : {}),
    })),
    withoutCommand: tree.withoutCommand,
    newWithoutCommand: tree.newWithoutCommand,
  };
}

/** Exit status of a comparison: a blocker outranks what could not be built. */
export function treeStatus(tree: TreeResult): ExitStatus {
  if (tree.verdict === 'blocked') return exitStatus.blocked;
  return tree.verdict === undefined ? exitStatus.couldNot : exitStatus.fine;
}

/** The comparison for a person: a verdict, then each unit with what it has to say. */
export function printTree(workspace: Workspace, tree: TreeResult, context: CliContext): void {
  const paint = painter(context.colour);
  const lines: string[] = [];
  const compared = tree.units.filter((unit) => unitVerdict(unit) !== undefined);
  const changed = compared.filter(
    (unit) => unitVerdict(unit) !== 'unchanged' || (unit.result?.findings.length ?? 0) > 0,
  );
  if (tree.verdict !== undefined) {
    const diffs = compared.flatMap((unit) => (unit.result ? [unit.result.diff] : []));
    lines.push(
      tree.units.length === 0 && tree.files.length > 0
        ? paint.green(printable(uncompiledText(tree.files, context.cwd)))
        : verdictLine(tree.verdict, diffs, uniqueFindings(tree.findings), paint),
    );
  } else lines.push(paint.red(paint.bold('Not known: a unit could not be compared.')));
  const told = new Set<string>();
  for (const unit of changed) {
    lines.push('', paint.bold(printable(unitTitle(unit, tree.units, context.cwd))));
    if (unit.result)
      lines.push(
        ...diffLines(unit.result.diff, paint),
        ...findingLines(uniqueFindings(unit.result.findings, told), paint, context.cwd, context.width),
      );
  }
  const same = compared.length - changed.length;
  if (same > 0 && changed.length > 0)
    lines.push('', paint.dim(`${count(same, 'other unit')} rebuilt to the same code.`));
  for (const unit of tree.units)
    if (unitVerdict(unit) === undefined) lines.push('', ...failureLines(unit, paint, context));
  for (const { file, message } of tree.withoutCommand)
    lines.push(
      '',
      `${paint.yellow('no command')} ${printable(shortPath(file, context.cwd))}`,
      `    ${printable(message)}`,
    );
  if (tree.files.length === 0) lines.push(paint.dim(`No file differs from the baseline (${baselineText(workspace)}).`));
  context.out(`${lines.join('\n')}\n`);
  context.err(unseenText(tree.files, context.cwd) + newFilesText(tree));
}

/** The verdict where nothing was compared: the same code, since none is made of these files. */
function uncompiledText(files: readonly string[], cwd: string): string {
  const names = files.slice(0, 3).map((file) => shortPath(file, cwd));
  const more = files.length - names.length;
  return `Unchanged: no unit of the build reads ${names.join(', ')}${more > 0 ? ` and ${count(more, 'other file')}` : ''}.`;
}

/** The source of a unit; with the object, where one source is compiled more than once. */
function unitTitle({ unit }: UnitState, all: readonly UnitState[], cwd: string): string {
  const file = shortPath(unit.command.file, cwd);
  const twins = all.filter((other) => other.unit.command.file === unit.command.file);
  return twins.length > 1 && unit.command.output ? `${file} → ${shortPath(unit.command.output, cwd)}` : file;
}

function baselineText(workspace: Workspace): string {
  const { baseline } = workspace.config;
  return baseline.kind === 'git'
    ? baseline.revision
    : baseline.kind === 'folder'
      ? baseline.path
      : 'the files as they are now';
}

function failureLines(unit: UnitState, paint: Paint, context: CliContext): string[] {
  const name = printable(shortPath(unit.unit.command.file, context.cwd));
  if (unit.phase === 'compileError') {
    return [
      `${paint.red('does not compile')} ${name}`,
      ...unit.errors.map(
        (error) => `    ${placeText(error.at, context.cwd)}: ${error.severity}: ${printable(error.message)}`,
      ),
    ];
  }
  return [`${paint.red('could not')} ${name}`, `    ${printable(unit.message ?? unit.phase)}`];
}

/** Options that `check`, `build` and others share. */
export const treeOptions = {
  build: {
    type: 'string',
    short: 'p',
    value: 'DIR',
    help: 'folder with compile_commands.json (default: livepatch.json, else it is looked for)',
  },
  base: {
    type: 'string',
    value: 'REV|DIR',
    help: 'baseline: a git revision or a folder with the original sources (default: livepatch.json, else HEAD)',
  },
} as const;

export const command: Command = {
  name: 'check',
  usage: ['[FILES|FOLDERS] [-p BUILDDIR] [--base REV|DIR] [--json] [--sarif FILE]'],
  about:
    'Compares the working tree with the baseline: rebuilds what the changed files (or FILES, or those in FOLDERS) belong to, with the exact commands of the ' +
    'build, in scratch space; says which functions a live patch would carry, and what stands in its way.',
  options: {
    ...treeOptions,
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
    sarif: {
      type: 'string',
      value: 'FILE',
      help: 'write the findings as SARIF 2.1.0 as well; - for standard output instead of the list',
    },
  },
  examples: [
    { line: 'livepatch check', what: 'everything that differs from HEAD, or from the baseline in livepatch.json' },
    { line: 'livepatch check src/quote.c --base v1.2', what: 'one file, against a tag' },
    { line: 'livepatch check --sarif findings.sarif', what: 'in CI: status 1 when the change cannot be live patched' },
  ],
  async run(values, positionals, context) {
    const sarif = text(values, 'sarif');
    if (sarif !== undefined && sarif !== '-') await checkOutput(sarif, context.cwd);
    const workspace = await openWorkspace({
      cwd: context.cwd,
      build: text(values, 'build'),
      base: text(values, 'base'),
    });
    try {
      const tree = await compareTree(workspace, positionals, context);
      const log = sarif === undefined ? '' : jsonText(sarifLog(tree.findings, workspace.config.root));
      if (sarif !== undefined && sarif !== '-')
        await writeFile(resolve(context.cwd, sarif), log).catch((error) => cannotWrite(sarif, error));
      if (sarif === '-') context.out(log);
      else if (flag(values, 'json')) context.out(jsonText(await jsonTree(workspace, tree)));
      else printTree(workspace, tree, context);
      return treeStatus(tree);
    } finally {
      await workspace.session.dispose();
    }
  },
};
