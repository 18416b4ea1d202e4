import { resolve } from 'node:path';
import { reportHtml } from '../core/render/report/html.ts';
import { reportMarkdown } from '../core/render/report/markdown.ts';
import { makeReport } from '../report.ts';
import { overridesOf } from './build.ts';
import { treeOptions } from './check.ts';
import { CannotError, type Command, exitStatus, list, text, UsageError } from './command.ts';
import { shortPath } from './describe.ts';
import { cannotWrite, checkOutput, writeWhole } from './files.ts';
import { jsonSchema, jsonText } from './report.ts';
import { painter } from './text.ts';
import { compareTree, openWorkspace, progressLine } from './workspace.ts';

const FORMATS = ['markdown', 'html', 'json'] as const;
type Format = (typeof FORMATS)[number];

/** The form that is asked for; else what the name of the file to write says. */
function formatOf(asked: string | undefined, output: string | undefined): Format {
  const named =
    asked ?? (/\.html?$/i.test(output ?? '') ? 'html' : /\.json$/i.test(output ?? '') ? 'json' : 'markdown');
  const found = FORMATS.find((each) => each === (named === 'md' ? 'markdown' : named));
  if (!found) throw new UsageError(`--format takes ${FORMATS.join(', ')}, not '${named}'.`);
  return found;
}

export const command: Command = {
  name: 'report',
  usage: ['[FILES] [--format markdown|html|json] [-o FILE] [-p BUILDDIR] [--base REV|DIR]'],
  about:
    'Writes one page about the whole patch, for a pull request or an advisory: functions with sizes and reasons, findings with what was ' +
    'accepted and why, calls, data and layouts before and after, size and dependencies of the payload, and what is not covered. The HTML ' +
    'needs no other file. The same edits give the same page; no payload is written.',
  options: {
    format: {
      type: 'string',
      short: 'f',
      value: 'FORMAT',
      help: 'markdown, html or json (default: by the name of FILE, else markdown)',
    },
    output: { type: 'string', short: 'o', value: 'FILE', help: 'file to write (default: standard output)' },
    build: treeOptions.build,
    base: treeOptions.base,
    'leave-out': {
      type: 'string',
      multiple: true,
      value: 'FUNCTION',
      help: 'leave a function as it is; may be given again',
    },
    override: { type: 'string', multiple: true, value: 'CODE[:SYMBOL]=REASON', help: 'as build takes it' },
    id: { type: 'string', value: 'ID', help: 'name of the patch' },
    message: { type: 'string', short: 'm', value: 'TEXT', help: 'what the patch is for' },
  },
  examples: [
    { line: 'livepatch report > patch.md', what: 'Markdown for a pull request' },
    { line: 'livepatch report -o patch.html -m "percentages"', what: 'one HTML file, with a description' },
  ],
  async run(values, positionals, context) {
    const output = text(values, 'output');
    const format = formatOf(text(values, 'format'), output);
    const overrides = overridesOf(list(values, 'override'));
    if (output !== undefined) await checkOutput(output, context.cwd);
    const workspace = await openWorkspace({
      cwd: context.cwd,
      build: text(values, 'build'),
      base: text(values, 'base'),
    });
    try {
      const tree = await compareTree(workspace, positionals, context);
      if (tree.files.length === 0) throw new CannotError('Nothing to report: no file differs from the baseline.');
      const id = text(values, 'id');
      const progress = progressLine(context);
      const model = await makeReport(tree.units, workspace.config, {
        leaveOut: list(values, 'leave-out'),
        overrides,
        description: text(values, 'message') ?? '',
        ...(id === undefined ? {} : { id }),
        from: workspace.config.root,
        verdict: tree.verdict ?? 'unchanged',
        callers: (names, but) =>
          workspace.session
            .callers(names, but, (done, total) => progress(`Looking for callers ${done}/${total}`))
            .finally(() => progress('')),
        notCompared: [...tree.withoutCommand, ...tree.newWithoutCommand].map(({ file, message }) => ({
          what: shortPath(file, workspace.config.root),
          why: message,
        })),
      });
      const page =
        format === 'html'
          ? reportHtml(model)
          : format === 'json'
            ? jsonText({ schema: jsonSchema, ...model })
            : reportMarkdown(model);
      if (output === undefined) context.out(page);
      else {
        const file = resolve(context.cwd, output);
        await writeWhole(file, new TextEncoder().encode(page)).catch((error) => cannotWrite(output, error));
        context.out(`${painter(context.colour).green('Written')} ${shortPath(file, context.cwd)}: ${model.title}\n`);
      }
      if (model.verdict === 'blocked') return exitStatus.blocked;
      return tree.verdict === undefined ? exitStatus.couldNot : exitStatus.fine;
    } finally {
      await workspace.session.dispose();
    }
  },
};
