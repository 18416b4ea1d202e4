import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const root = join(import.meta.dirname, '..', '..');
const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8');

/** Words that a source gives as the first argument of a call, also where it chooses one of two. */
function firstArguments(source: string, call: RegExp): string[] {
  return [...source.matchAll(call)].flatMap((match) => {
    const argument = source.slice(match.index + match[0].length).split(/,\s/, 1)[0]!;
    return [...argument.replace(/[=!]== '[^']*'/g, '').matchAll(/'([a-z0-9-]+)'/g)].map((word) => word[1]!);
  });
}

describe('process payload: words are explained', () => {
  it('each code of a refused build has a page, which the index lists', () => {
    const folder = join('server', 'src', 'core', 'payload');
    const sources = readdirSync(join(root, folder)).filter((name) => !name.startsWith('xen'));
    const codes = new Set(
      [...sources.map((name) => read(folder, name)), read('server', 'src', 'patch.ts')].flatMap((source) =>
        firstArguments(source, /\brefusal\(\s*/g),
      ),
    );
    assert.ok(codes.size >= 9, [...codes].join());
    const index = read('docs', 'hazards', 'README.md');
    for (const code of codes) {
      const page = existsSync(join(root, 'docs', 'hazards', `${code}.md`)) ? read('docs', 'hazards', `${code}.md`) : '';
      for (const part of [`# ${code}\n`, '## What happens', '## Example', '## What to do'])
        assert.ok(page.includes(part), `docs/hazards/${code}.md lacks “${part.trim()}”`);
      assert.ok(index.includes(`[${code}](${code}.md)`), `${code} is not in the index`);
    }
  });

  it('each reason of a process target is in the table of reasons', () => {
    const folder = join('server', 'src', 'targets');
    const sources = readdirSync(join(root, folder)).filter((name) => !/^(xen|transport)/.test(name));
    const reasons = new Set(
      sources
        .map((name) => read(folder, name))
        .flatMap((source) => [
          ...firstArguments(source, /new (?:Refusal|HelperError)\(\s*/g),
          ...[...source.matchAll(/\breason: '([a-z0-9-]+)'/g)].map((match) => match[1]!),
        ]),
    );
    assert.ok(reasons.size >= 18, [...reasons].join());
    const table = read('docs', 'process-payload.md').split('## Reasons')[1]?.split('\n## ')[0] ?? '';
    for (const reason of reasons) assert.ok(table.includes(`\`${reason}\``), `${reason} is not in the table`);
  });
});
