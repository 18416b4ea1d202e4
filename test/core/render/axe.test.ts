import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '../../..');
const { cacheFolder, findBrowser } = await import(pathToFileURL(join(root, 'scripts/editor-host.mjs')).href);
// The editor's host brings the driver; without it these tests wait for the editor's suites.
const driver = join(cacheFolder(), 'host', 'node_modules', 'playwright-core');
const browserPath: string | undefined = findBrowser();
const skip = !browserPath ? 'no Chromium is installed' : !existsSync(driver) && 'the editor host is not installed';

interface Page {
  goto(url: string): Promise<unknown>;
  evaluate<T>(code: string): Promise<T>;
  close(): Promise<void>;
}
interface Browser {
  newPage(options: Readonly<Record<string, unknown>>): Promise<Page>;
  close(): Promise<void>;
}

describe('the exported page, by axe', { skip }, () => {
  let browser: Browser;
  before(async () => {
    const { chromium } = createRequire(import.meta.url)(driver);
    browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox', '--disable-gpu'] });
  });
  after(() => browser?.close());

  const page = pathToFileURL(join(import.meta.dirname, 'golden', 'report.html')).href;
  const axe = readFileSync(join(root, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8');
  for (const [name, options] of [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['forced colours', { colorScheme: 'dark', forcedColors: 'active' }],
    ['a narrow window', { colorScheme: 'light', viewport: { width: 420, height: 800 } }],
  ] as const)
    test(name, { timeout: 120_000 }, async () => {
      const shown = await browser.newPage(options);
      try {
        await shown.goto(page);
        await shown.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })");
        await shown.evaluate(`${axe};undefined`);
        const faults = await shown.evaluate<string[]>(
          "axe.run(document).then(({ violations }) => violations.map((each) => each.id + ': ' + each.nodes.map((node) => node.html.slice(0, 200)).join(' | ')))",
        );
        assert.deepEqual(faults, []);
        const overflow = await shown.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
        assert.ok(overflow <= 0, `the page is ${overflow} pixels wider than the window`);
      } finally {
        await shown.close();
      }
    });
});
