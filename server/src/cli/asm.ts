import { createAnalyser } from '../analyse.ts';
import { listFunction } from '../core/asm/listing.ts';
import type { AsmRow } from '../core/asm/types.ts';
import { alignRows } from '../core/diff/rows.ts';
import { matchRows } from '../core/diff/tables.ts';
import type { AlignedRow, ObjectDiff } from '../core/diff/types.ts';
import type { ObjectModel } from '../core/object.ts';
import { CannotError, type Command, exitStatus, flag, text, UsageError } from './command.ts';
import { loadPair } from './objects.ts';
import { jsonSchema, jsonText } from './report.ts';
import { type Paint, painter, printable } from './text.ts';

/** Both sides of a function; a side is empty where the function is absent. */
export interface FunctionRows {
  readonly name: string;
  readonly base: readonly AsmRow[];
  readonly next: readonly AsmRow[];
  /** Marks aligned rows that only name the same things by other numbers, where the two objects were compared. */
  readonly match: (aligned: readonly AlignedRow[]) => readonly AlignedRow[];
}

/** Rows of function `name` in both objects. Names are matched as the diff paired them, then literally. */
export function functionRows(
  base: ObjectModel,
  next: ObjectModel,
  name: string,
  diff?: ObjectDiff,
): FunctionRows | undefined {
  const change = diff?.functions.find((candidate) => candidate.name === name);
  const find = (object: ObjectModel) =>
    object.elf.symbols.find((symbol) => symbol.name === name && symbol.type === 'func');
  const baseSymbol = change ? change.base : find(base);
  const nextSymbol = change ? change.next : find(next);
  if (!baseSymbol && !nextSymbol) return undefined;
  return {
    name,
    base: baseSymbol ? listFunction(base, baseSymbol) : [],
    next: nextSymbol ? listFunction(next, nextSymbol) : [],
    match: (aligned) => (diff && change ? matchRows(diff, change, aligned) : aligned),
  };
}

/** One instruction as text, with its label in a column of its own. */
export function instructionText(row: AsmRow): string {
  const label = row.label ? `${row.label}:` : '';
  return printable(`${label.padEnd(6)} ${row.mnemonic.padEnd(7)} ${row.operands}`.trimEnd());
}

/** How many equal rows stay visible around a change. */
const CONTEXT = 3;

/** Unified listing: `-` and `+` rows, equal rows in between, long equal stretches left out unless `all`. */
export function unified(rows: readonly AlignedRow[], paint: Paint, all: boolean): string[] {
  const near = nearChanges(rows);
  const lines: string[] = [];
  let hidden = 0;
  let line: string | undefined;
  rows.forEach((row, index) => {
    if (!all && !near[index]) {
      hidden++;
      return;
    }
    if (hidden > 0) lines.push(paint.dim(`      ... ${hidden} equal`));
    hidden = 0;
    const source = (row.next ?? row.base)?.source;
    const place = source ? `${source.file.split('/').pop()}:${source.line}` : undefined;
    if (place !== undefined && place !== line) lines.push(paint.dim(`  ; ${printable(place)}`));
    line = place;
    if (row.same) lines.push(`  ${instructionText(row.next ?? row.base!)}`);
    else {
      if (row.base) lines.push(paint.red(`- ${instructionText(row.base)}`));
      if (row.next) lines.push(paint.green(`+ ${instructionText(row.next)}`));
    }
  });
  if (hidden > 0) lines.push(paint.dim(`      ... ${hidden} equal`));
  return lines;
}

function nearChanges(rows: readonly AlignedRow[]): boolean[] {
  const near = rows.map(() => false);
  rows.forEach((row, index) => {
    if (row.same) return;
    for (let i = Math.max(0, index - CONTEXT); i <= Math.min(rows.length - 1, index + CONTEXT); i++) near[i] = true;
  });
  return near;
}

/** Old on the left, new on the right, within `columns`. */
export function sideBySide(rows: readonly AlignedRow[], paint: Paint, all: boolean, columns: number): string[] {
  const near = nearChanges(rows);
  const half = Math.max(30, Math.floor((columns - 3) / 2));
  const cut = (row: AsmRow | undefined) => {
    const full = row ? instructionText(row) : '';
    return full.length > half ? `${full.slice(0, half - 1)}…` : full.padEnd(half);
  };
  const lines: string[] = [];
  let hidden = 0;
  rows.forEach((row, index) => {
    if (!all && !near[index]) {
      hidden++;
      return;
    }
    if (hidden > 0) lines.push(paint.dim(`... ${hidden} equal`));
    hidden = 0;
    const mark = row.same ? ' ' : row.base && row.next ? '|' : row.base ? '<' : '>';
    const left = cut(row.base);
    const right = cut(row.next).trimEnd();
    lines.push(row.same ? `${left} ${mark} ${right}` : `${paint.red(left)} ${paint.bold(mark)} ${paint.green(right)}`);
  });
  if (hidden > 0) lines.push(paint.dim(`... ${hidden} equal`));
  return lines.map((text) => text.trimEnd());
}

export const command: Command = {
  name: 'asm',
  usage: ['FUNCTION [-p BUILDDIR] [--base REV|DIR]', 'BASE.o NEXT.o FUNCTION'],
  about:
    'Shows the machine code of one function before and after the edit: branch targets as labels, relocations as symbols, no absolute ' +
    'addresses, so that only real differences show. Equal stretches are left out unless --all is given.',
  options: {
    build: { type: 'string', short: 'p', value: 'DIR', help: 'folder with compile_commands.json' },
    base: { type: 'string', value: 'REV|DIR', help: 'baseline: a git revision or a folder with the original sources' },
    'side-by-side': { type: 'boolean', short: 'y', help: 'old code on the left, new code on the right' },
    all: { type: 'boolean', short: 'a', help: 'equal instructions too' },
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
  },
  examples: [
    { line: 'livepatch asm quote_line', what: 'what the edit in the working tree does to quote_line' },
    { line: 'livepatch asm -y old.o new.o quote_line', what: 'the same of two object files, side by side' },
  ],
  async run(values, positionals, context) {
    let rows: FunctionRows | undefined;
    if (positionals.length === 3) {
      const [base = '', next = '', name = ''] = positionals;
      const analyser = await createAnalyser();
      const pair = await loadPair(analyser, base, next, context.cwd);
      const { diffObjects } = await import('../core/diff/index.ts');
      const { fileProvenance } = await import('../analyse.ts');
      const diff = diffObjects({ ...pair, provenance: fileProvenance(base, next) });
      rows = functionRows(pair.base, pair.next, name, diff);
      if (!rows) throw new CannotError(`Neither object has a function '${name}'.`);
    } else if (positionals.length === 1) {
      const [name = ''] = positionals;
      const { compareTree, openWorkspace } = await import('./workspace.ts');
      const workspace = await openWorkspace({
        cwd: context.cwd,
        build: text(values, 'build'),
        base: text(values, 'base'),
      });
      try {
        const tree = await compareTree(workspace, [], context);
        for (const unit of tree.units) {
          if (!unit.result || rows) continue;
          const { base, next } = unit.result.pair;
          if (unit.result.diff.functions.some((change) => change.name === name))
            rows = functionRows(base, next, name, unit.result.diff);
        }
        if (!rows) {
          const changed = tree.units.flatMap((unit) => unit.result?.diff.functions.map((change) => change.name) ?? []);
          throw new CannotError(
            `No edit changes the machine code of '${name}'.${changed.length > 0 ? ` Changed: ${changed.join(', ')}.` : ''}`,
          );
        }
      } finally {
        await workspace.session.dispose();
      }
    } else throw new UsageError('asm takes FUNCTION, or BASE.o NEXT.o FUNCTION.');

    const aligned = rows.match(alignRows(rows.base, rows.next));
    if (flag(values, 'json')) {
      const side = (row: AsmRow | undefined) =>
        row
          ? {
              offset: row.offset,
              label: row.label ?? null,
              mnemonic: row.mnemonic,
              operands: row.operands,
              source: row.source ? { file: row.source.file, line: row.source.line } : null,
            }
          : null;
      context.out(
        jsonText({
          schema: jsonSchema,
          name: rows.name,
          rows: aligned.map((row) => ({ same: row.same, base: side(row.base), next: side(row.next) })),
        }),
      );
      return exitStatus.fine;
    }
    const paint = painter(context.colour);
    const changed = aligned.filter((row) => !row.same).length;
    context.out(
      `${paint.bold(printable(rows.name))}: ${rows.base.length} → ${rows.next.length} instructions${changed === 0 ? ', the same code' : ''}\n`,
    );
    const all = flag(values, 'all') || changed === 0;
    const lines = flag(values, 'side-by-side')
      ? sideBySide(aligned, paint, all, context.width)
      : unified(aligned, paint, all);
    context.out(`${lines.join('\n')}\n`);
    return exitStatus.fine;
  },
};
