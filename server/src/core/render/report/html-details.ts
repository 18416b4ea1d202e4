import { type LayoutPicture, pictureLines, pictureSvg } from '../layout-picture.ts';
import { cell, link, said, section, table, type View } from './html-parts.ts';
import { html, htmlLines } from './text.ts';
import type { ReportData, ReportModel, ReportType } from './types.ts';
import { bytesText, statusText } from './words.ts';

/** Data objects by value. */
export function dataSection(model: ReportModel, view: View): string {
  return model.data.length === 0
    ? ''
    : section('data', said(view, 'Data'), ...model.data.map((each) => dataHtml(each, view)));
}

function dataHtml(each: ReportData, view: View): string {
  const facts = [
    `${bytesText(each)} bytes`,
    ...(each.section === '' ? [] : [`in ${each.section}`]),
    each.readOnly ? 'read-only' : 'writable',
    ...(each.differs.length > 0 ? [`differs in ${each.differs.join(', ')}`] : []),
    ...(each.typed ? [] : ['no debug information: shown as bytes']),
  ];
  const rows = each.values.map(({ path, base, next, note }) => [
    cell(`<code>${html(path)}</code>${note === '' ? '' : `<br><span class="quiet">${html(note)}</span>`}`, 'row'),
    cell(base === undefined ? '<span class="quiet">–</span>' : `<del><code>${html(base)}</code></del>`),
    cell(next === undefined ? '<span class="quiet">gone</span>' : `<ins><code>${html(next)}</code></ins>`),
  ]);
  const name = link(view, { kind: 'data', unit: each.unit, name: each.symbol }, `<code>${html(each.name)}</code>`);
  const declaration = each.declaration === '' ? '' : `<p><code>${html(each.declaration)}</code></p>`;
  const left = each.valuesLeft > 0 ? `<p class="quiet">… and ${each.valuesLeft} more values.</p>` : '';
  return `<article><h3>${name} <span class="badge status-${each.status}">${said(view, statusText(each.status))}</span></h3>
<p class="quiet">${html(facts.join(' · '))}</p>${declaration}
${rows.length === 0 ? '' : table(view, `Values of ${each.name}`, ['Value', 'Before', 'After'], rows)}${left}</article>`;
}

/** Changed types with their pictures. */
export function typesSection(model: ReportModel, view: View): string {
  if (model.types.length === 0) return '';
  return section(
    'types',
    said(view, 'Types'),
    ...model.types.map((each, index) => typeHtml(each, `type-${index}`, view)),
  );
}

/** Names in a row that are shown at once; of more the others are behind a summary. */
const MOST_NAMES = 12;

/** `a, b and others` with the others to be opened. */
function folded(items: readonly string[], between: string, noun: string, tail = ''): string {
  if (items.length <= MOST_NAMES + 1) return `${items.join(between)}${tail}`;
  const rest = items.slice(MOST_NAMES);
  return `${items.slice(0, MOST_NAMES).join(between)} and others${tail}<details><summary>${rest.length} more ${noun}</summary><p>${rest.join(between)}</p></details>`;
}

/** Sizes of a changed type, and who uses it. */
export function usersHtml(each: ReportType): string {
  const sizes =
    each.status === 'changed'
      ? `${each.baseSize} → ${each.nextSize} bytes`
      : `${each.status === 'new' ? each.nextSize : each.baseSize} bytes`;
  const list = (names: readonly string[]): string => names.map((name) => `<code>${html(name)}</code>`).join(', ');
  const users = each.users.map(({ name, inPatch }) => `<code>${html(name)}</code>${inPatch ? ' (in the patch)' : ''}`);
  const more = each.unitsNotAsked > 0 ? `, and maybe by functions of ${each.unitsNotAsked} more units` : '';
  const facts = [
    `<li>${sizes}; in ${folded(
      each.units.map((file) => `<code>${html(file)}</code>`),
      ', ',
      'units',
    )}</li>`,
    ...(each.causes.length > 0 ? [`<li>Only because of ${list(each.causes)} in it</li>`] : []),
    ...(users.length > 0 ? [`<li>Used by ${folded(users, ', ', 'functions', more)}</li>`] : []),
    ...(each.status !== 'changed'
      ? []
      : each.outlivesBy.length > 0
        ? [`<li>Instances outlive the patch: ${folded(each.outlivesBy.map(html), '; ', 'reasons')}</li>`]
        : ['<li>No instance outlives the patch</li>']),
  ];
  return `<ul class="plain">${facts.join('')}</ul>`;
}

function typeHtml(each: ReportType, id: string, view: View): string {
  const name = link(view, { kind: 'type', unit: each.unit, type: each.label }, `<code>${html(each.label)}</code>`);
  const changes =
    each.picture === undefined && each.changes.length > 0
      ? `<ul>${each.changes.map((change) => `<li>${html(change)}</li>`).join('')}</ul>`
      : '';
  return `<article><h3>${name} <span class="badge status-${each.status}">${said(view, statusText(each.status))}</span></h3>
${usersHtml(each)}
${each.picture ? pictureHtml(each.picture, id, view) : ''}${changes}
<details><summary>${said(view, 'Layout as text')}</summary><div class="scroll" tabindex="0" role="region" aria-label="${html(`Layout of ${each.label} as text`)}"><pre>${htmlLines(each.layout)}</pre></div></details></article>`;
}

/** The picture of a layout with its table: for the report, and for a page of its own. */
export function pictureHtml(picture: LayoutPicture, id: string, view: View): string {
  const rows = pictureLines(picture).map((line) => [
    cell(`<code>${html(line.member)}</code>`, 'row'),
    cell(html(line.before)),
    cell(html(line.after)),
    cell(html(line.words)),
  ]);
  return `<div class="scroll picture" tabindex="0" role="region" aria-label="${html(`Picture of ${picture.label}`)}">${pictureSvg(picture, id)}</div>
<p class="legend"><span><span aria-hidden="true">+</span> new member</span> <span><span aria-hidden="true">−</span> gone</span> <span><span aria-hidden="true">±</span> another size or type</span> <span>numbers at the left: offset in bytes</span> <span>hatched: hole or padding</span> <span>dashed across: cache line of 64 bytes</span></p>
<details><summary>${said(view, 'Each member, as a table')}</summary>${table(view, `Members of ${picture.label}`, ['Member', 'Before', 'After', 'What'], rows)}</details>`;
}
