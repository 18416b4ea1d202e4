import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAnalyser } from '../../server/src/analyse.ts';
import { buildPatch } from '../../server/src/patch.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import type { UnitState } from '../../server/src/shell/types.ts';
import { compile } from '../support/cc.ts';
import { sh } from './project.ts';

const source = (text: string) => `int puts(const char *);\nint shown(int x)\n{\n  puts("${text}");\n  return x;\n}\n`;

test('a library of libtool, in .libs, is found; other hidden folders are not looked into', async () => {
  const root = mkdtempSync(join(tmpdir(), 'lpa-linked-'));
  try {
    const analyser = await createAnalyser();
    const [base, next] = ['old', 'new'].map(
      (text) => analyser.load(compile(source(text), { name: 'part.c', extra: ['-fPIC'] })).object!,
    );
    const provenance = { unit: 'part.c', baseCommand: [], nextCommand: [], compiler: '', baseline: '' };
    const pair = { base: base!, next: next!, provenance };
    const result = { ...analyser.compare(base!, next!, provenance), generation: 1, edits: new Map(), pair };
    const command = { file: join(root, 'part.c'), directory: root, arguments: ['gcc', '-c', 'part.c'], origin: '' };
    const state: UnitState = {
      unit: { id: 'part.o', command },
      phase: 'ready',
      generation: 1,
      result,
      stale: false,
      errors: [],
      dependencies: [],
    };
    writeFileSync(join(root, 'part.c'), source('old'));
    const { config } = await loadConfig(root);
    for (const [folder, kind] of [
      ['.cache', 'refused'],
      ['src/.libs', 'payload'],
    ] as const) {
      mkdirSync(join(root, folder), { recursive: true });
      const library = join(root, folder, 'libpart.so');
      sh(root, 'gcc', '-O2', '-g', '-fPIC', '-shared', '-Wl,--build-id', 'part.c', '-o', library);
      const outcome = await buildPatch([state], config);
      assert.equal(outcome.kind, kind, JSON.stringify(outcome));
      rmSync(library);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
