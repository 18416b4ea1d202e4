import { html } from './text.ts';

/** Words of the page's own that an editor says in its language; what core found out (findings, reasons, remarks) stays as it is quoted elsewhere. */
export const PAGE_WORDS = [
  'Contents',
  'Findings',
  'Functions',
  'New code and data',
  'Calls',
  'Data',
  'Types',
  'Payload and what it depends on',
  'Not covered',
  'How it was built',
  'Payload',
  'Reviewed',
  'Made for',
  'Compared with',
  'Function',
  'What',
  'Bytes',
  'Instructions',
  'Why',
  'Called by',
  'Name',
  'Kind',
  'Value',
  'Before',
  'After',
  'Member',
  'Needs',
  'Build id',
  'Role',
  'Symbol',
  'Found',
  'Each call, as a list',
  'Each member, as a table',
  'Layout as text',
  'looked at',
  'Looked at: {0}',
  'blocker',
  'to review',
  'note',
  'changed',
  'new',
  'gone',
  'left out',
  'Nothing to patch: the machine code and the data are the same.',
  'Can be patched.',
  'Blocked: at least one finding stands in the way.',
] as const;
export type PageWord = (typeof PAGE_WORDS)[number];

/** How the page is shown. */
export interface View {
  /** In an editor: names open what they stand for, reviews can be ticked. */
  readonly links: boolean;
  /** The page's own words in another language than English. */
  readonly words?: { readonly language: string; readonly of: (word: PageWord) => string };
}

/** ` lang="de"` for an element whose text is in the view's language, not in the page's. */
export const langOf = ({ words }: View): string => (words ? ` lang="${html(words.language)}"` : '');

/** A word of the page's own, as HTML; one in another language says so, since a screen reader reads it by that. */
export function said(view: View, word: PageWord): string {
  const text = view.words?.of(word) ?? word;
  return text === word ? html(word) : `<span${langOf(view)}>${html(text)}</span>`;
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

/** A section with its heading (HTML already); empty parts are left out. */
export const section = (id: string, title: string, ...body: readonly string[]): string =>
  `<section id="${id}" aria-labelledby="${id}-h"><h2 id="${id}-h">${title}</h2>\n${body.filter((each) => each !== '').join('\n')}\n</section>`;

/** A cell: `row` heads its row. */
export interface Cell {
  readonly inner: string;
  readonly kind: 'row' | 'number' | 'plain';
}

export const cell = (inner: string, kind: Cell['kind'] = 'plain'): Cell => ({ inner, kind });

/** A table that scrolls within itself, with a caption for screen readers. */
export function table(
  view: View,
  caption: string,
  head: readonly PageWord[],
  rows: readonly (readonly Cell[])[],
): string {
  const heads = head
    .map(
      (each, at) =>
        `<th scope="col"${rows[0]?.[at]?.kind === 'number' ? ' class="number"' : ''}>${said(view, each)}</th>`,
    )
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
export const dl = (view: View, rows: readonly (readonly [name: PageWord, inner: string, note: string])[]): string =>
  `<dl>${rows.map(([name, inner, note]) => `<div><dt>${said(view, name)}</dt><dd>${inner}${note === '' ? '' : `<br><span class="quiet">${html(note)}</span>`}</dd></div>`).join('')}</dl>`;
