import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import type { CodeLens, TextDocument } from 'vscode';
import { PromptLenses } from '../../client/src/promptLenses.ts';

const lens = (title: string): CodeLens => ({ range: {}, command: { title, command: 'c' } }) as unknown as CodeLens;
const titles = (lenses: readonly CodeLens[]): (string | undefined)[] => lenses.map((each) => each.command?.title);
const document = {} as TextDocument;

/** An answer that comes when the test says so. */
function awaited(): { readonly promise: Promise<CodeLens[]>; readonly resolve: (lenses: CodeLens[]) => void } {
  let resolve: (lenses: CodeLens[]) => void = () => {};
  const promise = new Promise<CodeLens[]>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

describe('lenses that the editor does not wait for', () => {
  it('are those of the answer where it comes at once', async () => {
    const lenses = new PromptLenses(() => assert.fail('nobody has to ask again'));
    assert.deepEqual(titles(await lenses.provide(document, async () => [lens('a')])), ['a']);
    assert.deepEqual(titles(await lenses.provide(document, async () => [])), []);
  });

  it('are those of before while an answer is late, and the editor is told when it has come', async () => {
    let told = 0;
    const lenses = new PromptLenses(() => told++);
    await lenses.provide(document, async () => [lens('a')]);
    const slow = awaited();
    const began = performance.now();
    assert.deepEqual(titles(await lenses.provide(document, () => slow.promise)), ['a']);
    assert.ok(performance.now() - began < 5000);
    assert.equal(told, 0);
    slow.resolve([lens('b')]);
    await later(1);
    assert.equal(told, 1);
    // Late again, and still the same: telling again would go on for ever.
    const same = awaited();
    assert.deepEqual(titles(await lenses.provide(document, () => same.promise)), ['b']);
    same.resolve([lens('b')]);
    await later(1);
    assert.equal(told, 1);
  });

  it('never go back to the answer to an earlier question', async () => {
    const lenses = new PromptLenses(() => assert.fail('the newest is shown already'));
    const slow = awaited();
    await lenses.provide(document, () => slow.promise);
    assert.deepEqual(titles(await lenses.provide(document, async () => [lens('new')])), ['new']);
    slow.resolve([lens('old')]);
    await later(1);
    assert.deepEqual(titles(await lenses.provide(document, () => new Promise(() => {}))), ['new']);
  });

  it('stay where there is no answer, and are kept apart by document', async () => {
    const lenses = new PromptLenses(() => {});
    await lenses.provide(document, async () => [lens('a')]);
    assert.deepEqual(titles(await lenses.provide(document, () => Promise.reject(new Error('gone')))), ['a']);
    assert.deepEqual(titles(await lenses.provide(document, async () => null)), ['a']);
    assert.deepEqual(titles(await lenses.provide({} as TextDocument, async () => null)), []);
  });
});
