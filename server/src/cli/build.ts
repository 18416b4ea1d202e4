import { resolve } from 'node:path';
import { buildPatch, CannotBuild } from '../patch.ts';
import { treeOptions } from './check.ts';
import { CannotError, type Command, exitStatus, flag, list, text, UsageError } from './command.ts';
import { findingLines, shortPath } from './describe.ts';
import { cannotWrite, checkOutput, writeWhole } from './files.ts';
import { jsonFinding, jsonSchema, jsonText } from './report.ts';
import { count, painter, printable } from './text.ts';
import { compareTree, newFilesText, openWorkspace, unseenText } from './workspace.ts';

/** `CODE=reason` and `CODE:SYMBOL=reason` arguments as a record. */
export function overridesOf(values: readonly string[]): Record<string, string> {
  const overrides: Record<string, string> = {};
  for (const value of values) {
    const at = value.indexOf('=');
    const reason = at < 0 ? '' : value.slice(at + 1).trim();
    if (at <= 0 || reason === '')
      throw new UsageError(`--override takes CODE=REASON or CODE:SYMBOL=REASON with a written reason, not '${value}'.`);
    overrides[value.slice(0, at)] = reason;
  }
  return overrides;
}

/** `FUNCTION=BYTES` arguments. */
function nopsOf(values: readonly string[]): { name: string; size: number }[] {
  return values.map((value) => {
    const match = /^(.+)=([1-9]\d?)$/.exec(value);
    if (!match || Number(match[2]) > 31)
      throw new UsageError(`--nop takes FUNCTION=BYTES with 1 to 31 bytes, not '${value}'.`);
    return { name: match[1]!, size: Number(match[2]) };
  });
}

/** `, 1 function and 2 variables added`; empty where nothing is. */
function addedText(adds: readonly { readonly kind: string }[]): string {
  const functions = adds.filter(({ kind }) => kind === 'function').length;
  const parts = [
    ...(functions > 0 ? [count(functions, 'function')] : []),
    ...(adds.length > functions ? [count(adds.length - functions, 'variable')] : []),
  ];
  return parts.length > 0 ? `, ${parts.join(' and ')} added` : '';
}

export const command: Command = {
  name: 'build',
  usage: ['-o FILE [FILES] [-p BUILDDIR] [--base REV|DIR] [--pid N | --binary FILE]'],
  about:
    'Checks the working tree (or FILES) against the baseline and writes a payload with everything that changed. Refused (status 1) while a ' +
    'blocker stands, unless it is overridden with a written reason, which the payload then carries.',
  options: {
    output: { type: 'string', short: 'o', value: 'FILE', help: 'payload to write' },
    ...treeOptions,
    'leave-out': {
      type: 'string',
      multiple: true,
      value: 'FUNCTION',
      help: 'leave a function as it is; may be given again',
    },
    'keep-line-only': { type: 'boolean', help: 'keep functions of which only line numbers differ' },
    override: {
      type: 'string',
      multiple: true,
      value: 'CODE[:SYMBOL]=REASON',
      help: 'go on in spite of a blocker; the reason is kept',
    },
    pid: { type: 'string', value: 'N', help: 'process that it is for, where several programs hold the same code' },
    binary: {
      type: 'string',
      multiple: true,
      value: 'FILE',
      help: 'program or library to patch (default: livepatch.json, else all of the build are looked at)',
    },
    id: {
      type: 'string',
      value: 'ID',
      help: 'name of the patch: letters, digits, - _ . (default: the first function and the time)',
    },
    message: { type: 'string', short: 'm', value: 'TEXT', help: 'what the patch is for' },
    expect: { type: 'boolean', help: 'Xen: let the hypervisor compare the old code before it applies' },
    nop: {
      type: 'string',
      multiple: true,
      value: 'FUNCTION=BYTES',
      help: 'Xen: first bytes that become NOPs, up to 31',
    },
    'keep-debug': { type: 'boolean', help: 'Xen: leave debug information in the payload' },
    json: { type: 'boolean', help: 'print JSON (docs/json.md)' },
  },
  examples: [
    { line: 'livepatch build -o fix.lpp', what: 'everything that differs from the baseline' },
    {
      line: 'livepatch build -o fix.lpp -m "percentages" --leave-out quote_alarm',
      what: 'with a description, without one function',
    },
    {
      line: 'livepatch build -o fix.lpp --override "data-init-changed:alarm_threshold=set by hand in the console"',
      what: 'in spite of a blocker',
    },
  ],
  async run(values, positionals, context) {
    const output = text(values, 'output');
    if (output === undefined) throw new UsageError('build needs -o FILE.');
    const overrides = overridesOf(list(values, 'override'));
    const nops = nopsOf(list(values, 'nop'));
    const pid = text(values, 'pid');
    if (pid !== undefined && !/^[1-9]\d{0,9}$/.test(pid))
      throw new UsageError(`--pid takes a process id, not '${pid}'.`);
    await checkOutput(output, context.cwd);
    const file = resolve(context.cwd, output);
    const id = text(values, 'id');
    const workspace = await openWorkspace({
      cwd: context.cwd,
      build: text(values, 'build'),
      base: text(values, 'base'),
    });
    try {
      const tree = await compareTree(workspace, positionals, context);
      for (const { file: source, message } of tree.withoutCommand)
        context.err(`livepatch: ${shortPath(source, context.cwd)}: ${message}\n`);
      context.err(unseenText(tree.files, context.cwd) + newFilesText(tree));
      const toldNops = workspace.config.targets.find(({ kind }) => kind === 'xen')?.nops ?? [];
      if (tree.units.length === 0 && nops.length === 0 && toldNops.length === 0)
        throw new CannotError(
          tree.withoutCommand.length > 0
            ? 'Nothing to patch: no file that differs from the baseline has a compile command.'
            : 'Nothing to patch: no source that is compiled differs from the baseline.',
        );
      const changed = new Set(tree.units.flatMap(({ result }) => result?.diff.functions.map((one) => one.name) ?? []));
      const unknown = list(values, 'leave-out').filter((name) => !changed.has(name));
      if (unknown.length > 0 && tree.verdict !== undefined)
        throw new CannotError(
          `--leave-out ${unknown.join(', ')}: no changed function is called so. Changed: ${[...changed].join(', ') || 'none'}.`,
        );
      const binaries = list(values, 'binary').map((path) => resolve(context.cwd, path));
      const outcome = await buildPatch(tree.units, workspace.config, {
        ...(binaries.length > 0 ? { binaries } : {}),
        ...(pid === undefined ? {} : { pid: Number(pid) }),
        leaveOut: list(values, 'leave-out'),
        keepLineOnly: flag(values, 'keep-line-only'),
        overrides,
        description: text(values, 'message') ?? '',
        ...(id === undefined ? {} : { id }),
        xen: { nops, expectations: flag(values, 'expect'), keepDebug: flag(values, 'keep-debug') },
      }).catch((error) => {
        throw error instanceof CannotBuild ? new CannotError(error.message) : error;
      });
      const json = flag(values, 'json');
      if (outcome.kind === 'refused') {
        if (json)
          context.out(jsonText({ schema: jsonSchema, refusals: outcome.refusals.map((one) => jsonFinding(one)) }));
        else {
          const paint = painter(context.colour);
          context.err(
            `${paint.red('No payload was written.')}\n${findingLines(outcome.refusals, paint, context.cwd, context.width).join('\n')}\n`,
          );
        }
        // Status 1 is for edits that cannot be patched; nothing to patch, or an edit that does not compile, is another thing.
        const blocked =
          outcome.refusals.some((finding) => finding.code !== 'nothing-to-patch') && tree.verdict !== undefined;
        return blocked ? exitStatus.blocked : exitStatus.couldNot;
      }
      await writeWhole(file, outcome.bytes).catch((error) => cannotWrite(output, error));
      if (json)
        context.out(jsonText({ schema: jsonSchema, file, bytes: outcome.bytes.length, manifest: outcome.manifest }));
      else {
        const { replaces, adds, leftOut } = outcome.manifest;
        context.out(
          `${painter(context.colour).green('Built')} ${printable(outcome.id)}: ${count(replaces.length, 'function')} replaced${addedText(adds)}, ${outcome.bytes.length} bytes in ${shortPath(file, context.cwd)}\n`,
        );
        const { manifest } = outcome;
        if (manifest.target === 'xen' && manifest.baseline.checked > 0)
          context.out(`  ${manifest.baseline.text} (base objects against the hypervisor)\n`);
        for (const item of replaces) context.out(`  ${printable(item.name)}  ${item.size} → ${item.newSize} bytes\n`);
        for (const item of leftOut) context.out(`  ${printable(item.name)}  left out: ${printable(item.why)}\n`);
        if (outcome.unasked !== undefined)
          context.err(
            `The target was not asked what is applied: ${printable(outcome.unasked.replace(/\.$/, ''))}. The payload goes on top of the hypervisor itself.\n`,
          );
      }
      return exitStatus.fine;
    } finally {
      await workspace.session.dispose();
    }
  },
};
