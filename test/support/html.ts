import assert from 'node:assert/strict';
import { type DefaultTreeAdapterMap, parse } from 'parse5';

type Node = DefaultTreeAdapterMap['node'];
type Element = DefaultTreeAdapterMap['element'];

const isElement = (node: Node): node is Element => 'tagName' in node;
const children = (node: Node): Node[] => ('childNodes' in node ? node.childNodes : []);

/** All elements below a node, in document order. */
export function elements(node: Node): Element[] {
  return children(node).flatMap((child) => (isElement(child) ? [child, ...elements(child)] : elements(child)));
}

export const attribute = (element: Element, name: string): string | undefined =>
  element.attrs.find((each) => each.name === name)?.value;

/** Text of a node with that of all below it. */
export function textOf(node: Node): string {
  return 'value' in node ? node.value : children(node).map(textOf).join('');
}

const NO_END = new Set([
  'area',
  'base',
  'br',
  'col',
  'embed',
  'hr',
  'img',
  'input',
  'link',
  'meta',
  'source',
  'track',
  'wbr',
]);

/**
 * Checks an HTML page by the parser of the living standard, which must find nothing to repair, and by rules that it does not know: every
 * element is closed where it was opened, ids are there once and what refers to them finds them, headings skip no level, tables have
 * captions and headed columns and rows, pictures have names, nothing comes from outside, and no script or handler is in it.
 */
export function checkHtml(page: string): DefaultTreeAdapterMap['document'] {
  const errors: string[] = [];
  const document = parse(page, {
    sourceCodeLocationInfo: true,
    onParseError: ({ code, startLine, startCol }) => errors.push(`${code} at ${startLine}:${startCol}`),
  });
  assert.deepEqual(errors, [], 'parse errors');
  const all = elements(document);
  for (const element of all) {
    const { tagName, sourceCodeLocation: at } = element;
    // What the parser put in or closed by itself is not as it was written.
    assert.ok(at, `<${tagName}> was put in by the parser`);
    if (!NO_END.has(tagName) && element.namespaceURI.endsWith('xhtml'))
      assert.ok(at.endTag, `<${tagName}> at ${at.startLine} is not closed`);
    assert.ok(!['script', 'iframe', 'object', 'embed', 'link', 'base', 'form'].includes(tagName), `<${tagName}>`);
    for (const { name, value } of element.attrs) {
      assert.ok(!/^on/.test(name) && name !== 'style', `${name} of <${tagName}>`);
      if (name === 'href' || name === 'src' || name === 'xlink:href')
        assert.match(value, /^#/, `${name} of <${tagName}>`);
      assert.doesNotMatch(value, /url\(\s*['"]?(?!#)/, `${name} of <${tagName}>`);
    }
  }
  const ids = all.flatMap((element) => attribute(element, 'id') ?? []);
  assert.equal(new Set(ids).size, ids.length, 'ids are there once');
  for (const element of all) {
    const refers = ['aria-labelledby', 'aria-describedby', 'for'].flatMap(
      (name) => attribute(element, name)?.split(' ') ?? [],
    );
    const anchor = attribute(element, 'href')?.slice(1);
    for (const id of [...refers, ...(anchor ? [anchor] : [])]) assert.ok(ids.includes(id), `#${id} is there`);
    const urls = element.attrs.flatMap(({ value }) =>
      [...value.matchAll(/url\(#([\w-]+)\)/g)].map((match) => match[1]!),
    );
    for (const id of urls) assert.ok(ids.includes(id), `url(#${id}) is there`);
  }
  const levels = all.filter(({ tagName }) => /^h[1-6]$/.test(tagName)).map(({ tagName }) => Number(tagName[1]));
  assert.equal(levels.filter((level) => level === 1).length, 1, 'one first heading');
  for (const [index, level] of levels.entries())
    assert.ok(level <= (levels[index - 1] ?? 0) + 1, 'headings skip no level');
  for (const table of all.filter(({ tagName }) => tagName === 'table')) {
    const inside = elements(table);
    assert.ok(textOf(inside.find(({ tagName }) => tagName === 'caption')!).length > 0, 'a table has a caption');
    const heads = inside.filter(({ tagName }) => tagName === 'th');
    for (const head of heads) assert.match(attribute(head, 'scope') ?? '', /^(col|row)$/);
    const columns = heads.filter((head) => attribute(head, 'scope') === 'col').length;
    for (const row of inside.filter(({ tagName }) => tagName === 'tr')) {
      const cells = row.childNodes.filter((child) => isElement(child));
      assert.equal(cells.length, columns, 'a cell for each column');
      assert.equal((cells[0] as Element).tagName, 'th', 'a row has a heading');
    }
  }
  for (const picture of all.filter(({ tagName }) => tagName === 'svg'))
    assert.ok(
      attribute(picture, 'aria-hidden') === 'true' ||
        (attribute(picture, 'role') === 'img' && elements(picture).some(({ tagName }) => tagName === 'title')),
      'a picture has a name, or is hidden',
    );
  assert.match(attribute(all.find(({ tagName }) => tagName === 'html')!, 'lang') ?? '', /^en/);
  return document;
}
