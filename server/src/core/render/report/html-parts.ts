import { html } from './text.ts';

/** How the page is shown. */
export interface View {
  /** In an editor: names open what they stand for, reviews can be ticked. */
  readonly links: boolean;
}

/** What a link of the page opens in an editor. */
export type ReportLink =
  | { readonly kind: 'function'; readonly unit: string; readonly name: string }
  | { readonly kind: 'type'; readonly unit: string; readonly type: string }
  | { readonly kind: 'data'; readonly unit: string; readonly name: string }
  /** The place of a finding, by its index in the model. */
  | { readonly kind: 'finding'; readonly index: number }
  | { readonly kind: 'docs'; readonly code: string };

/** `inner` (HTML already) as a link in an editor, as it is elsewhere. */
export const link = (view: View, to: ReportLink, inner: string): string =>
  view.links ? `<a href="#" data-open="${html(JSON.stringify(to))}">${inner}</a>` : inner;

/** A section with its heading; empty parts are left out. */
export const section = (id: string, title: string, ...body: readonly string[]): string =>
  `<section id="${id}" aria-labelledby="${id}-h"><h2 id="${id}-h">${title}</h2>\n${body.filter((each) => each !== '').join('\n')}\n</section>`;

/** A cell: `row` heads its row. */
export interface Cell {
  readonly inner: string;
  readonly kind: 'row' | 'number' | 'plain';
}

export const cell = (inner: string, kind: Cell['kind'] = 'plain'): Cell => ({ inner, kind });

/** A table that scrolls within itself, with a caption for screen readers. */
export function table(caption: string, head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const heads = head
    .map((each, at) => `<th scope="col"${rows[0]?.[at]?.kind === 'number' ? ' class="number"' : ''}>${html(each)}</th>`)
    .join('');
  const body = rows.map(
    (row) =>
      `<tr>${row
        .map(({ inner, kind }) =>
          kind === 'row'
            ? `<th scope="row">${inner}</th>`
            : `<td${kind === 'number' ? ' class="number"' : ''}>${inner}</td>`,
        )
        .join('')}</tr>`,
  );
  return `<div class="scroll" tabindex="0" role="region" aria-label="${html(caption)}"><table><caption>${html(caption)}</caption><thead><tr>${heads}</tr></thead><tbody>
${body.join('\n')}
</tbody></table></div>`;
}

/** Names with what they are; `note` stands below in small type. */
export const dl = (rows: readonly (readonly [name: string, inner: string, note: string])[]): string =>
  `<dl>${rows.map(([name, inner, note]) => `<div><dt>${html(name)}</dt><dd>${inner}${note === '' ? '' : `<br><span class="quiet">${html(note)}</span>`}</dd></div>`).join('')}</dl>`;
