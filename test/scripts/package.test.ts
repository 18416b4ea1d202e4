import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { basesOf, packagedMarkdown, relativeLinks } from '../../scripts/lib/markdown-links.mjs';
import { filesInZip } from '../../scripts/lib/zip.mjs';

const { packageExtension } = (await import(String(new URL('../../scripts/package.mjs', import.meta.url)))) as {
  readonly packageExtension: (options: Readonly<Record<string, unknown>>) => Promise<string>;
};
const HOME = 'https://github.com/someone/patches';

describe('links of packaged texts', () => {
  const packaged = new Set(['docs/hazards/a.md', 'docs/hazards/b.md']);
  const text =
    '[b](b.md#x) [code](../../src/c.ts) [web](https://e.org/) [below](#here) `[no](link.md)`\n\n![seen](../m.png)\n\nend\n';
  const about = { path: 'docs/hazards/a.md', packaged };

  it('finds those that are relative, and none in code', () => {
    assert.deepEqual(relativeLinks(text, about.path), ['docs/hazards/b.md', 'src/c.ts', 'docs/m.png']);
    assert.deepEqual(relativeLinks('```\n[no](link.md)\n```\n', about.path), []);
  });

  it('become plain text where they lead out of the package and no repository is known', () => {
    assert.equal(
      packagedMarkdown(text, { ...about, isPage: false }),
      '[b](b.md#x) code [web](https://e.org/) [below](#here) `[no](link.md)`\n\nend\n',
    );
    assert.match(packagedMarkdown(text, { ...about, isPage: true }), /^b code \[web\]/);
  });

  it('become addresses where the repository is known', () => {
    const bases = basesOf({ repository: `${HOME}.git` });
    assert.equal(
      packagedMarkdown(text, { ...about, isPage: true, bases }),
      `[b](${HOME}/blob/HEAD/docs/hazards/b.md#x) [code](${HOME}/blob/HEAD/src/c.ts) [web](https://e.org/) [below](#here) \`[no](link.md)\`\n\n![seen](${HOME}/raw/HEAD/docs/m.png)\n\nend\n`,
    );
  });

  it('have the addresses of GitHub, of GitLab, and of those who are told', () => {
    assert.equal(basesOf({}), undefined);
    assert.equal(basesOf({ repository: 'https://gitlab.com/a/b/c' })?.pictures, 'https://gitlab.com/a/b/c/-/raw/HEAD');
    assert.throws(() => basesOf({ repository: 'https://git.example.org/a' }), /--links URL and --pictures URL/);
    const given = { links: 'https://git.example.org/a/tree/', pictures: 'https://git.example.org/a/plain' };
    assert.equal(
      basesOf({ repository: 'https://git.example.org/a', ...given })?.links,
      'https://git.example.org/a/tree',
    );
    assert.throws(() => basesOf({ repository: 'http://github.com/a/b' }), /https/);
  });
});

describe('the package', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-vsix-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** The files of a package by name; vsce spells some of them its own way. */
  async function made(options: Readonly<Record<string, unknown>>) {
    const out = join(folder, `${Object.keys(options).join('-') || 'plain'}.vsix`);
    const files = filesInZip(await packageExtension({ quiet: true, log: () => {}, out, ...options }));
    const inside = [...files.keys()].filter((name) => name.startsWith('extension/'));
    const text = (name: string): string => {
      const known = [...files.keys()].find((each) => each.toLowerCase() === name.toLowerCase());
      assert.ok(known, `${name} is in the package`);
      return files.get(known)!().toString('utf8');
    };
    const texts = inside
      .map((name) => name.replace(/^extension\//, ''))
      .filter((name) => name.endsWith('.md'))
      .map((name) => ({ name, text: text(`extension/${name}`) }));
    return { names: new Set(inside.map((name) => name.replace(/^extension\//, ''))), text, texts };
  }
  /** Texts that are a page of the extension: nobody follows a relative link there. */
  const isPage = (name: string): boolean => /^(?:readme|changelog)\.md$/i.test(name);

  it('says that it is for Linux on x86-64 only, and has no link that leads nowhere', async () => {
    const { names, text, texts } = await made({});
    assert.match(text('extension.vsixmanifest'), /<Identity [^>]*TargetPlatform="linux-x64"/);
    const manifest = JSON.parse(text('extension/package.json')) as Record<string, unknown>;
    assert.equal(manifest.repository, undefined);
    assert.ok(texts.length > 50);
    for (const { name, text: content } of texts) {
      const links = relativeLinks(content, name);
      assert.deepEqual(isPage(name) ? links : links.filter((link) => !names.has(link)), [], name);
      assert.doesNotMatch(content, /data:image/, name);
    }
    assert.doesNotMatch(text('extension/README.md'), /!\[/);
  });

  it('has the addresses of its repository in manifest and pages, where it is told', async () => {
    const { names, text, texts } = await made({ repository: HOME, built: true });
    const manifest = JSON.parse(text('extension/package.json')) as Record<string, unknown>;
    assert.deepEqual(
      [manifest.repository, manifest.bugs, manifest.homepage],
      [{ type: 'git', url: `${HOME}.git` }, { url: `${HOME}/issues` }, `${HOME}#readme`],
    );
    const xml = text('extension.vsixmanifest');
    for (const kind of ['Source', 'Support', 'Learn'])
      assert.match(xml, new RegExp(`Links\\.${kind}" Value="${HOME}`), kind);
    const readme = text('extension/README.md');
    assert.ok(readme.includes(`](${HOME}/blob/HEAD/docs/xen.md)`));
    const pictures = [...readme.matchAll(/!\[[^\]]*\]\(([^)]+)\)/g)].map(([, to]) => to ?? '');
    assert.ok(pictures.length >= 5);
    for (const to of pictures) assert.ok(to.startsWith(`${HOME}/raw/HEAD/media/`), to);
    for (const { name, text: content } of texts) {
      const links = relativeLinks(content, name);
      assert.deepEqual(isPage(name) ? links : links.filter((link) => !names.has(link)), [], name);
    }
  });
});
