import { typeTable } from '../diff/type-table.ts';
import type { ObjectPair, TypeChange } from '../diff/types.ts';
import { type LayoutRow, layoutRows } from './layout.ts';
import { html } from './report/text.ts';

/** What became of a member between the sides. */
export type MemberFate = 'same' | 'moved' | 'changed' | 'added' | 'removed';

/** One row of one side. Offsets and sizes in bits. */
export interface PictureRow {
  readonly what: LayoutRow['what'];
  readonly path: string;
  /** C text of a member; words for holes and cache lines. */
  readonly text: string;
  readonly depth: number;
  readonly offset: number;
  readonly size: number;
  readonly fate: MemberFate;
}

/** Old and new layout of a struct or union beside each other. */
export interface LayoutPicture {
  readonly label: string;
  readonly baseSize: number;
  readonly nextSize: number;
  readonly base: readonly PictureRow[];
  readonly next: readonly PictureRow[];
  /** Members that are on both sides: indices into `base` and `next`. */
  readonly links: readonly { readonly base: number; readonly next: number; readonly fate: MemberFate }[];
}

/** Rows of one side that are drawn; the text has the rest. */
const MOST_ROWS = 400;

/** The picture of a changed struct or union; undefined for anything else and for incomplete types. */
export function layoutPicture(pair: ObjectPair, change: TypeChange): LayoutPicture | undefined {
  if (change.kind !== 'struct' && change.kind !== 'union') return undefined;
  const rows = (side: 'base' | 'next'): LayoutRow[] => {
    const type = change[side];
    return type ? layoutRows(typeTable(pair[side].dwarf), type.index).slice(0, MOST_ROWS) : [];
  };
  const base = rows('base');
  const next = rows('next');
  if (base.length === 0 && next.length === 0) return undefined;
  // A renamed member is the same one under another path.
  const renamed = new Map<string, string>();
  for (const member of change.members)
    if (member.what === 'renamed' && member.base && member.next) {
      const prefix = member.path.slice(0, Math.max(0, member.path.lastIndexOf('.') + 1));
      renamed.set(`${prefix}${member.base.name}`, `${prefix}${member.next.name}`);
    }
  const shown = (row: LayoutRow): boolean => row.path !== '' && (row.what === 'member' || row.what === 'open');
  const byPath = new Map<string, number>();
  for (const [index, row] of next.entries()) if (shown(row) && !byPath.has(key(row))) byPath.set(key(row), index);
  const links: { base: number; next: number; fate: MemberFate }[] = [];
  const taken = new Set<number>();
  for (const [index, row] of base.entries()) {
    if (!shown(row)) continue;
    const partner = byPath.get(key(row)) ?? byPath.get(key({ ...row, path: renamed.get(row.path) ?? row.path }));
    if (partner === undefined || taken.has(partner)) continue;
    taken.add(partner);
    links.push({ base: index, next: partner, fate: fateOf(row, next[partner]!) });
  }
  const fates = (side: 'base' | 'next', list: readonly LayoutRow[]): PictureRow[] => {
    const known = new Map(links.map((link) => [link[side], link.fate]));
    const missing: MemberFate = side === 'base' ? 'removed' : 'added';
    return list.map(({ what, path, text, depth, offset, size }, index) => ({
      ...{ what, path, text, depth, offset, size },
      fate: known.get(index) ?? (shown(list[index]!) ? missing : 'same'),
    }));
  };
  return {
    label: change.label ?? change.name,
    baseSize: change.baseSize,
    nextSize: change.nextSize,
    base: fates('base', base),
    next: fates('next', next),
    links,
  };
}

const key = (row: Pick<LayoutRow, 'what' | 'path'>): string => `${row.what} ${row.path}`;

function fateOf(base: LayoutRow, next: LayoutRow): MemberFate {
  if (base.size !== next.size || base.text !== next.text || base.bitField !== next.bitField) return 'changed';
  return base.offset === next.offset ? 'same' : 'moved';
}

/** `12`, `12:3` for a place within a byte. */
export const offsetText = (bits: number): string =>
  bits % 8 === 0 ? `${bits / 8}` : `${Math.floor(bits / 8)}:${bits % 8}`;

const sizeText = (bits: number): string => (bits % 8 === 0 ? `${bits / 8}` : `${bits} bit${bits === 1 ? '' : 's'}`);

/** One member of both sides: the picture's text equivalent. */
export interface PictureLine {
  readonly member: string;
  readonly before: string;
  readonly after: string;
  readonly fate: MemberFate;
  /** `moved by 8 bytes`, `new`, `gone`. */
  readonly words: string;
}

const placeOf = (row: PictureRow | undefined): string =>
  row === undefined ? '–' : `at ${offsetText(row.offset)}, ${sizeText(row.size)}`;

/** The picture as a table: members, holes and padding in the order of the new layout, those that are gone where they were. */
export function pictureLines(picture: LayoutPicture): PictureLine[] {
  const partner = new Map(picture.links.map((link) => [link.next, link]));
  const linked = new Set(picture.links.map((link) => link.base));
  const lines: PictureLine[] = [];
  let at = 0;
  const isGap = (row: PictureRow): boolean => row.what === 'hole' || row.what === 'padding';
  const name = (row: PictureRow): string =>
    isGap(row)
      ? row.what
      : row.what === 'open'
        ? `${row.text.replace(/\{$/, '{…}')} ${row.path.slice(row.path.lastIndexOf('.') + 1)}`
        : row.text.replace(/;$/, '');
  const goneUntil = (end: number): void => {
    for (; at < end; at++) {
      const row = picture.base[at]!;
      if (row.fate === 'removed' && !linked.has(at))
        lines.push({ member: name(row), before: placeOf(row), after: '–', fate: 'removed', words: 'gone' });
    }
  };
  for (const [index, row] of picture.next.entries()) {
    if (row.what === 'cacheline' || row.what === 'close') continue;
    if (isGap(row)) {
      const sameWhat = picture.base.filter((other) => other.what === row.what);
      const before = row.what === 'padding' ? sameWhat.at(-1) : sameWhat.find((other) => other.offset === row.offset);
      const isSame = before?.offset === row.offset && before.size === row.size;
      const fate = isSame ? 'same' : before ? 'changed' : 'added';
      const words = before ? (before.size === row.size ? '' : 'another size') : 'was not there';
      lines.push({ member: name(row), before: placeOf(before), after: placeOf(row), fate, words });
      continue;
    }
    const link = partner.get(index);
    if (!link) {
      lines.push({
        member: name(row),
        before: '–',
        after: placeOf(row),
        fate: row.fate,
        words: row.fate === 'added' ? 'new' : '',
      });
      continue;
    }
    goneUntil(link.base);
    const base = picture.base[link.base]!;
    lines.push({
      member: name(row),
      before: placeOf(base),
      after: placeOf(row),
      fate: link.fate,
      words: fateWords(base, row),
    });
  }
  goneUntil(picture.base.length);
  return lines;
}

function fateWords(base: PictureRow, next: PictureRow): string {
  const words: string[] = [];
  const distance = next.offset - base.offset;
  if (distance !== 0)
    words.push(
      `moved by ${distance > 0 ? '+' : '−'}${sizeText(Math.abs(distance))}${distance % 8 === 0 ? (Math.abs(distance) === 8 ? ' byte' : ' bytes') : ''}`,
    );
  if (base.size !== next.size) words.push('another size');
  if (base.text !== next.text)
    words.push(base.what === 'member' ? `was ${base.text.replace(/;$/, '')}` : 'another type');
  return words.join(', ');
}

// Measures of the drawing, in user units (CSS pixels at natural size).
const COLUMN = 330;
const GAP = 150;
const OFFSET = 54;
const WIDTH = COLUMN * 2 + GAP + 2;
const HEAD = 34;
/** Width of a character of the drawing's fixed font, in units. */
const CHARACTER = 7.1;

/** Height of a row: what is larger in memory is taller, up to a limit. */
function heightOf(row: PictureRow): number {
  if (row.what === 'cacheline') return 18;
  if (row.what === 'open' || row.what === 'close') return 22;
  const bytes = row.size / 8;
  return 24 + Math.min(40, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes / 8))) * 7));
}

const WORDS: Readonly<Record<MemberFate, string>> = { same: '', moved: '', changed: '±', added: '+', removed: '−' };

/**
 * The picture as SVG without a style of its own: classes `lp-*` are coloured by the page. Its text equivalent is `pictureLines`, which the
 * page has to show as well. `id` makes the names in it unique on a page.
 */
export function pictureSvg(picture: LayoutPicture, id: string): string {
  const tops = { base: topsOf(picture.base), next: topsOf(picture.next) };
  const height = Math.max(tops.base.end, tops.next.end) + 34;
  const { label, baseSize, nextSize } = picture;
  const moved = picture.links.filter((link) => link.fate === 'moved').length;
  const parts = [
    `<svg class="lp-picture" role="img" aria-labelledby="${id}-t ${id}-d" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    `<title id="${id}-t">${html(`Layout of ${label} before and after`)}</title>`,
    `<desc id="${id}-d">${html(`${baseSize} bytes before, ${nextSize} bytes after; ${moved} of its members moved. The table below has each member.`)}</desc>`,
    `<defs><pattern id="${id}-h" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path class="lp-hatch" d="M0 0V7"/></pattern></defs>`,
    heading('before', baseSize, 0),
    heading('after', nextSize, COLUMN + GAP),
  ];
  // Lines lie below the boxes.
  for (const link of picture.links) parts.push(connector(picture, link, tops));
  parts.push(column(picture.base, tops.base.tops, 0, id), column(picture.next, tops.next.tops, COLUMN + GAP, id));
  for (const [side, x] of [
    ['base', 0],
    ['next', COLUMN + GAP],
  ] as const) {
    const bytes = side === 'base' ? baseSize : nextSize;
    if (picture[side].length > 0) {
      const y = tops[side].end + 4;
      parts.push(`<path class="lp-end" d="M${x + OFFSET} ${y - 2}H${x + COLUMN}"/>`);
      parts.push(`<text class="lp-offset" x="${x + OFFSET - 8}" y="${y + 10}" text-anchor="end">${bytes}</text>`);
    }
  }
  return `${parts.filter((part) => part !== '').join('\n')}\n</svg>`;
}

const heading = (word: string, bytes: number, x: number): string =>
  `<text class="lp-head" x="${x + OFFSET}" y="16">${word} · ${bytes === 0 ? 'does not exist' : `${bytes} byte${bytes === 1 ? '' : 's'}`}</text>`;

function topsOf(rows: readonly PictureRow[]): { readonly tops: readonly number[]; readonly end: number } {
  let y = HEAD;
  const tops = rows.map((row) => {
    const top = y;
    y += heightOf(row);
    return top;
  });
  return { tops, end: y };
}

function column(rows: readonly PictureRow[], tops: readonly number[], x: number, id: string): string {
  return rows
    .map((row, index) => {
      const y = tops[index]!;
      const h = heightOf(row);
      if (row.what === 'cacheline') {
        const words = `cache line ${row.offset / 512}, byte ${row.offset / 8}`;
        return `<g class="lp-line"><path d="M${x + OFFSET} ${y + 8}H${x + COLUMN - words.length * 6.2 - 8}"/><text class="lp-linetext" x="${x + COLUMN - 2}" y="${y + 12}" text-anchor="end">${html(words)}</text></g>`;
      }
      const left = x + OFFSET + (row.depth - 1) * 12;
      const width = x + COLUMN - left;
      const middle = y + (h - 2) / 2;
      const offset = `<text class="lp-offset" x="${x + OFFSET - 8}" y="${middle + 4}" text-anchor="end">${offsetText(row.offset)}</text>`;
      if (row.what === 'close')
        return `<text class="lp-text lp-quiet" x="${left + 8}" y="${middle + 4}">${html(row.text)}</text>`;
      const sizeWords = `${sizeText(row.size)}${row.size % 8 === 0 ? ' B' : ''}`;
      const room = Math.floor((width - 26 - sizeWords.length * CHARACTER - (WORDS[row.fate] ? 14 : 0)) / CHARACTER);
      const text = row.what === 'hole' || row.what === 'padding' ? row.what : row.text.replace(/;$/, '');
      const shown = text.length > room ? `${text.slice(0, Math.max(1, room - 1))}…` : text;
      const hatch =
        row.what === 'hole' || row.what === 'padding'
          ? `<rect fill="url(#${id}-h)" x="${left}" y="${y}" width="${width}" height="${h - 2}" rx="3"/>`
          : '';
      const mark =
        WORDS[row.fate] && row.what !== 'hole'
          ? `<text class="lp-mark" x="${left + 8}" y="${middle + 4}">${WORDS[row.fate]}</text>`
          : '';
      const kind = row.what === 'hole' || row.what === 'padding' ? 'lp-hole' : `lp-${row.fate}`;
      return `<g class="lp-row ${kind}"><title>${html(`${text}: offset ${offsetText(row.offset)}, ${sizeText(row.size)}${row.size % 8 === 0 ? ' bytes' : ''}`)}</title>${offset}<rect class="lp-box" x="${left}" y="${y}" width="${width}" height="${h - 2}" rx="3"/>${hatch}${mark}<text class="lp-text" x="${left + (mark ? 22 : 8)}" y="${middle + 4}">${html(shown)}</text><text class="lp-size" x="${x + COLUMN - 8}" y="${middle + 4}" text-anchor="end">${sizeWords}</text></g>`;
    })
    .join('\n');
}

function connector(
  picture: LayoutPicture,
  { base, next, fate }: LayoutPicture['links'][number],
  tops: { readonly base: { readonly tops: readonly number[] }; readonly next: { readonly tops: readonly number[] } },
): string {
  const from = picture.base[base]!;
  const to = picture.next[next]!;
  const y1 = tops.base.tops[base]! + (heightOf(from) - 2) / 2;
  const y2 = tops.next.tops[next]! + (heightOf(to) - 2) / 2;
  const x1 = COLUMN;
  // It ends before the offset of the other side.
  const x2 = COLUMN + GAP + 4;
  const middle = (x1 + x2) / 2;
  const distance = to.offset - from.offset;
  const path = `<path class="lp-link lp-link-${distance === 0 ? 'same' : 'moved'}" d="M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}"/>${distance === 0 ? '' : `<circle class="lp-dot" cx="${x2}" cy="${y2}" r="3"/>`}`;
  if (distance === 0 || fate === 'same') return path;
  const words = `${distance > 0 ? '+' : '−'}${sizeText(Math.abs(distance))}`;
  const width = words.length * CHARACTER + 10;
  const x = COLUMN + 44;
  const y = y1 + (y2 - y1) * 0.2;
  return `${path}<g class="lp-by"><rect x="${x - width / 2}" y="${y - 9}" width="${width}" height="18" rx="9"/><text x="${x}" y="${y + 4}" text-anchor="middle">${words}</text></g>`;
}
