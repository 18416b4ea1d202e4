import { pictureLines } from '../layout-picture.ts';
import { type CallEnd, callLines } from './calls-svg.ts';
import { code, fence, markdown as text } from './text.ts';
import type { ReportFinding, ReportModel } from './types.ts';
import {
  ALL_COVERED,
  baselineSentence,
  baselineText,
  bytesText,
  findingsText,
  functionsText,
  instructionsText,
  payloadSentence,
  payloadText,
  reviewText,
  SEVERITIES,
  statusText,
  TARGETS,
  VERDICTS,
} from './words.ts';

/** A table (GFM, "Tables"); cells are Markdown. `|---:|` for columns of numbers. */
function table(head: readonly string[], rows: readonly (readonly string[])[], numbers: readonly number[] = []): string {
  const rule = head.map((_, column) => (numbers.includes(column) ? '---:' : '---'));
  return [head, rule, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

const ends = (list: readonly CallEnd[]): string =>
  list.map(({ name, note }) => `${code(name)}${note === '' ? '' : ` (${note})`}`).join(', ');

const listed = (items: readonly string[]): string => items.map((item) => `- ${item}`).join('\n');

/** The report as Markdown for a pull request or an advisory (CommonMark with GFM tables; no HTML but <details>). */
export function reportMarkdown(model: ReportModel): string {
  const parts: string[] = [`# ${text(model.title)}`];
  const section = (title: string, ...body: readonly string[]): void => {
    const kept = body.filter((each) => each !== '');
    if (kept.length > 0) parts.push(`## ${title}`, ...kept);
  };
  if (model.description !== '') parts.push(text(model.description));
  parts.push(
    `**${text(VERDICTS[model.verdict])}**`,
    table(
      ['', ''],
      [
        ['Functions', `${text(functionsText(model))}; ${model.sameFunctions} compared and the same`],
        ['Findings', text(findingsText(model))],
        ['Payload', text(payloadText(model))],
        ['Reviewed', text(reviewText(model))],
        ['Made for', text(TARGETS[model.target] ?? model.target)],
        ['Compared with', text(baselineText(model.baseline))],
      ],
    ),
  );
  section('Findings', model.findings.map(findingText).join('\n'));
  section(
    'Functions',
    functions(model),
    ...codeBlocks(model),
    model.listingsLeft > 0 ? `The machine code of ${model.listingsLeft} more functions is left out.` : '',
  );
  if (model.payload.kind === 'payload' && model.payload.adds.length > 0)
    section(
      'New code and data',
      table(
        ['Name', 'Kind', 'Bytes'],
        model.payload.adds.map((each) => [code(each.name), each.kind, `${each.size}`]),
        [2],
      ),
    );
  section(
    'Calls',
    model.calls.nodes.length === 0
      ? ''
      : listed(
          callLines(model.calls).map(
            (line) =>
              `${code(line.name)} (${line.kind})${line.addressTaken ? ', its address is taken' : ''}: calls ${ends(line.calls) || 'nothing'}; called by ${ends(line.calledBy) || 'nothing that is known'}`,
          ),
        ),
    model.calls.nodes.length === 0 ? '' : text(model.callersKnown),
  );
  section('Data', ...model.data.map(dataText));
  section('Types', ...model.types.flatMap(typeText));
  section('Payload and what it depends on', ...payload(model));
  section(
    'Not covered',
    model.notCovered.length === 0 && model.functions.length > 0
      ? ALL_COVERED
      : listed(model.notCovered.map(({ what, why }) => `${code(what)}: ${text(why)}`)),
  );
  section(
    'How it was built',
    ...model.provenance.map((each) =>
      each.baseCommand === each.nextCommand
        ? `${code(each.file)}: ${text(each.compiler)}, both sides:\n\n${fence('sh', each.nextCommand)}`
        : `${code(each.file)}: ${text(each.compiler)}. Before:\n\n${fence('sh', each.baseCommand)}\nAfter:\n\n${fence('sh', each.nextCommand)}`,
    ),
  );
  return `${parts.map((part) => part.trimEnd()).join('\n\n')}\n`;
}

function findingText(finding: ReportFinding): string {
  const state =
    finding.accepted !== undefined
      ? `**Accepted:** ${text(finding.accepted)}`
      : finding.overridden !== undefined
        ? `**Overridden for this patch:** ${text(finding.overridden)}`
        : finding.outdated !== undefined
          ? `**Was accepted** (${text(finding.outdated)}), but the evidence is another now: it is to be judged anew.`
          : '';
  const reviewed = finding.reviewed === undefined ? '' : finding.reviewed ? ' · looked at' : ' · not looked at yet';
  const lines = [
    `- **${SEVERITIES[finding.severity]}** ${code(finding.code)} ${code(finding.symbol)}${finding.place === '' ? '' : ` at ${code(finding.place)}`}${reviewed}`,
    `  ${text(finding.message)}`,
    ...(state === '' ? [] : [`  ${state}`]),
    ...(finding.units.length > 1 ? [`  Told by ${finding.units.map(code).join(', ')}.`] : []),
    ...finding.related.map((each) => `  - ${text(each)}`),
  ];
  return lines.join('\n\n').replace(/\n\n {2}- /g, '\n  - ');
}

function functions(model: ReportModel): string {
  if (model.functions.length === 0) return '';
  const known = model.review !== undefined;
  return table(
    ['Function', 'What', 'Bytes', 'Instructions', 'Why', ...(known ? ['Reviewed'] : [])],
    model.functions.map((each) => [
      `${code(each.name)}${each.place === '' ? '' : ` ${code(each.place)}`}`,
      each.leftOut === undefined ? statusText(each.status) : `left out: ${text(each.leftOut)}`,
      bytesText(each),
      instructionsText(each),
      each.reasons.map(text).join('; '),
      ...(known ? [each.leftOut !== undefined ? '' : each.reviewed ? 'yes' : 'not yet'] : []),
    ]),
    [2, 3],
  );
}

const MARKS = { same: '  ', base: '- ', next: '+ ', gap: '  … ', source: '  ; ' } as const;

function codeBlocks(model: ReportModel): string[] {
  return model.functions
    .filter((each) => each.code.length > 0)
    .map((each) => {
      const lines = each.code.map((line) => `${MARKS[line.mark]}${line.text}`);
      if (each.codeLeft > 0) lines.push(`  … ${each.codeLeft} more lines`);
      // The summary is HTML: a name in it is escaped for both.
      const name = each.name.replace(/[^\w.$-]/g, '?');
      return `<details><summary>Machine code of ${name}</summary>\n\n${fence('diff', lines.join('\n'))}\n</details>`;
    });
}

function dataText(each: ReportModel['data'][number]): string {
  const facts = [
    statusText(each.status),
    `${bytesText(each)} bytes`,
    ...(each.section === '' ? [] : [`in ${code(each.section)}`]),
    each.readOnly ? 'read-only' : 'writable',
    ...(each.differs.length > 0 ? [`differs in ${each.differs.join(', ')}`] : []),
    ...(each.typed ? [] : ['no debug information: shown as bytes']),
  ];
  const rows = each.values.map(({ path, base, next, note }) => [
    `${code(path)}${note === '' ? '' : ` (${text(note)})`}`,
    base === undefined ? 'new' : code(base),
    next === undefined ? 'gone' : code(next),
  ]);
  const left = each.valuesLeft > 0 ? `\n\n… and ${each.valuesLeft} more values.` : '';
  return `### ${code(each.name)}\n\n${each.declaration === '' ? '' : `${code(each.declaration)}: `}${facts.join(', ')}.${rows.length === 0 ? '' : `\n\n${table(['Value', 'Before', 'After'], rows)}`}${left}`;
}

function typeText(each: ReportModel['types'][number]): string[] {
  const sizes = each.status === 'changed' ? `${each.baseSize} → ${each.nextSize} bytes` : statusText(each.status);
  const lines = each.picture ? pictureLines(each.picture) : [];
  const users = each.users.map(({ name, inPatch }) => `${code(name)}${inPatch ? ' (in the patch)' : ''}`);
  return [
    `### ${code(each.label)}`,
    `${sizes}. In ${each.units.map(code).join(', ')}.${each.causes.length > 0 ? ` Only because of ${each.causes.map(code).join(', ')} in it.` : ''}`,
    users.length > 0
      ? `Used by ${users.join(', ')}${each.unitsNotAsked > 0 ? `, and maybe by functions of ${each.unitsNotAsked} more units` : ''}.`
      : '',
    each.status !== 'changed'
      ? ''
      : each.outlivesBy.length > 0
        ? `Instances outlive the patch: ${each.outlivesBy.map(text).join('; ')}.`
        : 'No instance outlives the patch.',
    lines.length > 0
      ? table(
          ['Member', 'Before', 'After', 'What'],
          lines.map((line) => [code(line.member), text(line.before), text(line.after), text(line.words)]),
        )
      : '',
    fence('diff', each.layout),
  ];
}

function payload({ payload }: ReportModel): string[] {
  if (payload.kind === 'refused')
    return [
      'There is none while these stand:',
      listed(payload.reasons.map(({ code: name, message }) => `${code(name)}: ${text(message)}`)),
    ];
  return [
    text(payloadSentence(payload)),
    text(baselineSentence(payload)),
    payload.modules.length === 0
      ? ''
      : table(
          ['Needs', 'Build id', 'Role'],
          payload.modules.map((each) => [code(each.name), code(each.buildId), text(each.role)]),
        ),
    payload.imports.length === 0
      ? ''
      : table(
          ['Symbol', 'Kind', 'Found'],
          payload.imports.map((each) => [code(each.name), text(each.kind), text(each.where)]),
        ),
  ];
}
