import { type CallEnd, callLines, callsSvg, notDrawn } from './calls-svg.ts';
import { dataSection, typesSection } from './html-details.ts';
import { cell, dl, langOf, link, type PageWord, said, section, table, type View } from './html-parts.ts';
import { reportStyle } from './style.ts';
import { html } from './text.ts';
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

/**
 * The report as one HTML file that needs nothing else: no script, no font, no picture from outside; light or dark as the reader's system
 * is. Valid HTML (living standard), made to be read by a screen reader too.
 */
export function reportHtml(model: ReportModel): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${html(model.title)}</title>
<style>
${reportStyle}
</style>
</head>
<body>
${reportBody(model, { links: false })}
</body>
</html>
`;
}

/** What stands in <body>: the whole report. In an editor (`links`), names open what they stand for and reviews can be ticked. */
export function reportBody(model: ReportModel, view: View): string {
  const sections = [
    findings(model, view),
    functions(model, view),
    added(model, view),
    calls(model, view),
    dataSection(model, view),
    typesSection(model, view),
    payload(model, view),
    notCovered(model, view),
    provenance(model, view),
  ].filter((each) => each !== '');
  const contents = sections.flatMap((each) => {
    const found = /<section id="([\w-]+)"[^>]*><h2[^>]*>(.*?)<\/h2>/.exec(each);
    return found ? [`<li><a href="#${found[1]}">${found[2]}</a></li>`] : [];
  });
  return `<main>
<header>
<h1>${html(model.title)}</h1>
${model.description === '' ? '' : `<p class="lead">${html(model.description)}</p>`}
<p class="verdict verdict-${model.verdict}"><strong>${said(view, VERDICTS[model.verdict])}</strong></p>
${facts(model, view)}
</header>
<nav${langOf(view)} aria-label="${html(view.words?.of('Contents') ?? 'Contents')}"><ul>${contents.join('')}</ul></nav>
${sections.join('\n')}
</main>`;
}

function facts(model: ReportModel, view: View): string {
  const { payload } = model;
  // The bar repeats what its text says.
  const bar =
    payload.kind === 'payload'
      ? `<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="bar-all" width="100" height="4"/><rect class="bar-part" width="${Math.min(100, Math.max(0.8, (payload.bytes / payload.limit) * 100)).toFixed(2)}" height="4"/></svg>`
      : '';
  const review =
    model.review && model.review.total > 0
      ? `<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="bar-all" width="100" height="4"/><rect class="bar-part" width="${((model.review.done / model.review.total) * 100).toFixed(2)}" height="4"/></svg>`
      : '';
  return `<div class="facts">${dl(view, [
    [
      'Functions',
      html(functionsText(model)),
      model.sameFunctions > 0 ? `${model.sameFunctions} compared and the same` : '',
    ],
    ['Findings', html(findingsText(model)), ''],
    ['Payload', html(payloadText(model)) + bar, ''],
    ['Reviewed', html(reviewText(model)) + review, ''],
    ['Made for', html(TARGETS[model.target] ?? model.target), ''],
    ['Compared with', html(baselineText(model.baseline, 12)), ''],
  ])}</div>`;
}

const MARKS = { blocker: '✕', review: '!', note: 'i' } as const;

function findings(model: ReportModel, view: View): string {
  if (model.findings.length === 0) return '';
  return section(
    'findings',
    said(view, 'Findings'),
    `<ul class="cards">${model.findings.map((each, index) => finding(each, index, view)).join('\n')}</ul>`,
  );
}

function finding(each: ReportFinding, index: number, view: View): string {
  const state =
    each.accepted !== undefined
      ? `<p class="state ok"><strong>Accepted:</strong> ${html(each.accepted)}</p>`
      : each.overridden !== undefined
        ? `<p class="state ok"><strong>Overridden for this patch:</strong> ${html(each.overridden)}</p>`
        : each.outdated !== undefined
          ? `<p class="state again"><strong>Was accepted</strong> (${html(each.outdated)}), but the evidence is another now: it is to be judged anew.</p>`
          : '';
  const place =
    each.place === '' ? '' : ` <span class="place">${link(view, { kind: 'finding', index }, html(each.place))}</span>`;
  const related =
    each.related.length > 0
      ? `<ul class="related">${each.related.map((one) => `<li>${html(one)}</li>`).join('')}</ul>`
      : '';
  const told =
    each.units.length > 1
      ? `<p class="quiet">Told by ${each.units.map((file) => `<code>${html(file)}</code>`).join(', ')}.</p>`
      : '';
  const done = each.accepted !== undefined || each.overridden !== undefined;
  return `<li class="card finding finding-${done ? 'done' : each.severity}" id="finding-${index}">
<p class="card-head"><span class="badge badge-${each.severity}"><span aria-hidden="true">${MARKS[each.severity]}</span> ${said(view, SEVERITIES[each.severity])}</span> <strong>${link(view, { kind: 'docs', code: each.code }, html(each.code))}</strong> <code>${html(each.symbol)}</code>${place}${tick(view, each.reviewed, { kind: 'finding', index }, `${each.code} of ${each.symbol}`)}</p>
<p>${html(each.message)}</p>
${state}${told}${related}</li>`;
}

/** Whether somebody looked at it: a box to tick in an editor, words elsewhere. */
function tick(
  view: View,
  reviewed: boolean | undefined,
  what: { readonly kind: 'function' | 'finding'; readonly index: number },
  name: string,
): string {
  if (reviewed === undefined) return '';
  if (!view.links) return `<span class="reviewed">${reviewed ? '✓ looked at' : '○ not looked at yet'}</span>`;
  const label = (view.words?.of('Looked at: {0}') ?? 'Looked at: {0}').replace('{0}', () => name);
  return `<label class="reviewed"><input type="checkbox" data-review="${html(JSON.stringify(what))}"${reviewed ? ' checked' : ''}${langOf(view)} aria-label="${html(label)}"> ${said(view, 'looked at')}</label>`;
}

function functions(model: ReportModel, view: View): string {
  if (model.functions.length === 0) return '';
  const known = model.review !== undefined;
  const rows = model.functions.map((each, index) => {
    const name = link(view, { kind: 'function', unit: each.unit, name: each.name }, `<code>${html(each.name)}</code>`);
    const place = each.place === '' ? '' : `<br><span class="quiet">${html(each.place)}</span>`;
    const what =
      each.leftOut === undefined
        ? `<span class="badge status-${each.status}">${said(view, statusText(each.status))}</span>`
        : `<span class="badge status-out">${said(view, 'left out')}</span><br><span class="quiet">${html(each.leftOut)}</span>`;
    const reviewed =
      each.leftOut === undefined ? tick(view, each.reviewed, { kind: 'function', index }, each.name) : '';
    return [
      cell(`${name}${place}`, 'row'),
      cell(what),
      cell(html(bytesText(each)), 'number'),
      cell(html(instructionsText(each)), 'number'),
      cell(each.reasons.map(html).join('<br>')),
      ...(known ? [cell(reviewed)] : []),
    ];
  });
  const head: readonly PageWord[] = [
    ...(['Function', 'What', 'Bytes', 'Instructions', 'Why'] as const),
    ...(known ? (['Reviewed'] as const) : []),
  ];
  // In an editor a name opens the comparison itself.
  const listings = view.links ? [] : model.functions.filter((each) => each.code.length > 0);
  const code = listings.map((each) => {
    const lines = each.code.map((line) => codeLine(line.mark, line.text));
    if (each.codeLeft > 0) lines.push(codeLine('gap', `${each.codeLeft} more lines`));
    return `<details><summary>Machine code of <code>${html(each.name)}</code></summary>
<div class="scroll" tabindex="0" role="region" aria-label="${html(`Machine code of ${each.name}`)}"><pre class="code">${lines.join('')}</pre></div></details>`;
  });
  const left =
    model.listingsLeft > 0
      ? `<p class="quiet">The machine code of ${model.listingsLeft} more functions is left out.</p>`
      : '';
  return section('functions', said(view, 'Functions'), table(view, 'Functions that differ', head, rows), ...code, left);
}

const CODE_MARKS = { same: ' ', base: '−', next: '+', gap: '…', source: ';' } as const;

const codeLine = (mark: keyof typeof CODE_MARKS, text: string): string => {
  const tag = mark === 'base' ? 'del' : mark === 'next' ? 'ins' : 'span';
  return `<${tag} class="line line-${mark}">${CODE_MARKS[mark]} ${html(text)}\n</${tag}>`;
};

function added({ payload }: ReportModel, view: View): string {
  if (payload.kind !== 'payload' || payload.adds.length === 0) return '';
  const rows = payload.adds.map((each) => [
    cell(`<code>${html(each.name)}</code>`, 'row'),
    cell(each.kind),
    cell(`${each.size}`, 'number'),
  ]);
  return section(
    'added',
    said(view, 'New code and data'),
    table(view, 'What the payload adds', ['Name', 'Kind', 'Bytes'], rows),
  );
}

function calls(model: ReportModel, view: View): string {
  const lines = callLines(model.calls);
  if (lines.length === 0) return '';
  const names = (list: readonly CallEnd[], none: string): string =>
    list.length === 0
      ? `<span class="quiet">${none}</span>`
      : `<ul class="inline">${list.map(({ name, note }) => `<li><code>${html(name)}</code>${note === '' ? '' : ` (${html(note)})`}</li>`).join('')}</ul>`;
  const rows = lines.map((line) => [
    cell(
      `<code>${html(line.name)}</code>${line.addressTaken ? '<br><span class="quiet">its address is taken</span>' : ''}`,
      'row',
    ),
    cell(line.kind),
    cell(names(line.calls, 'nothing')),
    cell(names(line.calledBy, 'nothing that is known')),
  ]);
  const picture = callsSvg(model.calls, 'calls-picture');
  return section(
    'calls',
    said(view, 'Calls'),
    picture === ''
      ? ''
      : `<div class="scroll picture" tabindex="0" role="region" aria-label="Picture of the calls">${picture}</div><p class="legend"><span><span aria-hidden="true">~</span> changed</span> <span><span aria-hidden="true">+</span> new</span> <span><span aria-hidden="true">−</span> gone</span> <span><span aria-hidden="true">×</span> left out</span> <span>thick line: a new call</span> <span>dashed line: a call that is gone</span> <span>dashed box: in another unit or library</span></p>`,
    notDrawn(model.calls) > 0
      ? `<p class="quiet">${notDrawn(model.calls)} more functions of the patch are in the list only.</p>`
      : '',
    `<details><summary>${said(view, 'Each call, as a list')}</summary>${table(view, 'Each call', ['Function', 'What', 'Calls', 'Called by'], rows)}</details>`,
    `<p class="quiet">${html(model.callersKnown)}</p>`,
  );
}

function payload({ payload }: ReportModel, view: View): string {
  if (payload.kind === 'refused')
    return section(
      'payload',
      said(view, 'Payload and what it depends on'),
      `<p>There is none while these stand:</p><ul>${payload.reasons.map((each) => `<li><strong>${html(each.code)}</strong>: ${html(each.message)}</li>`).join('')}</ul>`,
    );
  const modules = payload.modules.map((each) => [
    cell(`<code>${html(each.name)}</code>`, 'row'),
    cell(`<code class="long">${html(each.buildId)}</code>`),
    cell(html(each.role)),
  ]);
  const imports = payload.imports.map((each) => [
    cell(`<code>${html(each.name)}</code>`, 'row'),
    cell(html(each.kind)),
    cell(html(each.where)),
  ]);
  return section(
    'payload',
    said(view, 'Payload and what it depends on'),
    `<p>${html(payloadSentence(payload))}</p>`,
    payload.baseline === undefined ? '' : `<p>${html(baselineSentence(payload))}</p>`,
    modules.length > 0 ? table(view, 'Files that have to be the same', ['Needs', 'Build id', 'Role'], modules) : '',
    imports.length > 0
      ? `<details><summary>${imports.length} symbol${imports.length === 1 ? '' : 's'} that it takes from there</summary>${table(view, 'Symbols that it takes', ['Symbol', 'Kind', 'Found'], imports)}</details>`
      : '',
  );
}

function notCovered(model: ReportModel, view: View): string {
  if (model.functions.length === 0 && model.notCovered.length === 0) return '';
  if (model.notCovered.length === 0)
    return section('not-covered', said(view, 'Not covered'), `<p>${html(ALL_COVERED)}</p>`);
  const items = model.notCovered.map(({ what, why }) => `<li><code>${html(what)}</code>: ${html(why)}</li>`);
  return section('not-covered', said(view, 'Not covered'), `<ul>${items.join('')}</ul>`);
}

function provenance(model: ReportModel, view: View): string {
  if (model.provenance.length === 0) return '';
  const command = (title: string, text: string): string =>
    `<p class="quiet">${title}</p><div class="scroll" tabindex="0" role="region" aria-label="${title}"><pre><code>${html(text)}</code></pre></div>`;
  const units = model.provenance.map(
    (each) =>
      `<details><summary><code>${html(each.file)}</code>: ${html(each.compiler || 'compiler not known')}</summary>${
        each.baseCommand === each.nextCommand
          ? command(`Command of both sides of ${html(each.file)}`, each.nextCommand)
          : `${command(`Command of ${html(each.file)} before`, each.baseCommand)}${command(`Command of ${html(each.file)} after`, each.nextCommand)}`
      }<p class="quiet">Compared with ${html(baselineText(each.baseline))}.</p></details>`,
  );
  return section('built', said(view, 'How it was built'), ...units);
}
