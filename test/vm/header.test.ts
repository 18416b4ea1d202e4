import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keep, median, round } from '../../bench/lib/measure.mjs';
import { createAnalyser } from '../../server/src/analyse.ts';
import { createSession, type Session } from '../../server/src/session.ts';
import type { SessionEvent } from '../../server/src/session-types.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import type { UnitState } from '../../server/src/shell/types.ts';
import { lacking, vmOrSkip } from './room.ts';
import { type WorkTree, workTree } from './tree.ts';

/** It compiles most of Xen several times: three minutes of two idle processors, and many more of busy ones. */
const MINUTES = Number(process.env.LIVEPATCH_XEN_HEADER_MINUTES ?? 45);
/** `keep` writes the figures to bench/results as well. */
const wish = process.env.LIVEPATCH_XEN_HEADER ?? '';
const asked = wish === '1' || wish === 'keep';
const HEADER = 'include/xen/sched.h';
const FIELD = '    domid_t          domain_id;';

describe('an edit of a header that most of Xen includes', { timeout: MINUTES * 60_000 }, () => {
  let tree: WorkTree | undefined;
  let session: Session;
  let path = '';
  let original = '';
  const progress: (SessionEvent & { kind: 'progress' })[] = [];
  const figures: Record<string, unknown> = {};

  before(async () => {
    const vm = asked ? await vmOrSkip(undefined) : undefined;
    if (!vm) return;
    tree = await workTree(vm.tree, await createAnalyser());
    path = join(tree.folder, 'xen', HEADER);
    original = readFileSync(path, 'utf8');
    const { config } = await loadConfig(tree.folder);
    session = await createSession(config, { watch: false, cacheDir: join(tree.folder, '..', 'own-cache') });
    let told = 0;
    session.on((event) => {
      if (event.kind !== 'progress') return;
      progress.push(event);
      if (Date.now() - told < 30_000) return;
      told = Date.now();
      console.log(`# ${event.title}: ${event.done} of ${event.total}`);
    });
  });
  after(async () => {
    await session?.dispose();
    await tree?.close();
    if (wish === 'keep' && Object.keys(figures).length === 3)
      keep('xen-header', { what: `Xen: edits of ${HEADER}`, ...figures });
  });
  /** Starts each test: skipped where nothing was opened. */
  const ready = async (context: { skip: (why: string) => void }): Promise<boolean> => {
    if (tree) return true;
    context.skip(asked ? lacking() : 'not asked for: LIVEPATCH_XEN_HEADER=1 compiles most of Xen several times');
    return false;
  };
  /** Saves the header with another text. */
  const save = (from: string, to: string): void => {
    assert.equal(original.split(from).length, 2, `${HEADER} does not hold this once: ${from}`);
    rmSync(path);
    writeFileSync(path, original.replace(from, to));
    session.saved(path);
  };
  const rebuilt = (): readonly UnitState[] => session.units().filter(({ phase }) => phase === 'ready');
  const compilers = (): number =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
          return words.includes('cc1') && words.includes(tree!.folder);
        } catch {
          return false;
        }
      }).length;

  it('is cancelled at once: no compiler goes on, and nothing is left waiting', async (context) => {
    if (!(await ready(context))) return;
    save(FIELD, `${FIELD} /* who it is */`);
    const times: number[] = [];
    for (const units of [4, 8, 12]) {
      while (rebuilt().length < units) await sleep(20);
      const began = performance.now();
      session.cancel();
      await session.idle();
      times.push(performance.now() - began);
      assert.equal(compilers(), 0, 'a compiler outlived the cancel');
      assert.deepEqual(
        session.units().filter(({ phase }) => phase === 'queued' || phase === 'building'),
        [],
      );
      const now = rebuilt().length;
      await sleep(300);
      assert.equal(rebuilt().length, now, 'something is still being built');
      session.saved(path);
    }
    figures.cancel = { milliseconds: times.map((time) => round(time, 0)) };
    console.log(`# cancelled in ${times.map((time) => `${round(time, 0)} ms`).join(', ')}`);
    assert.ok(median(times) < 1000, `cancelling took ${times.join(', ')} ms`);
  });

  it('a comment: most of Xen is rebuilt, with progress, and no code changed', async (context) => {
    if (!(await ready(context))) return;
    const began = performance.now();
    progress.length = 0;
    await session.idle();
    const units = rebuilt();
    const seconds = round((performance.now() - began) / 1000, 0);
    const failed = session.units().filter(({ phase }) => phase === 'failed' || phase === 'compileError');
    assert.deepEqual(
      failed.map(({ unit, message }) => `${unit.id}: ${message}`),
      [],
    );
    const changed = units.filter(({ result }) => (result?.diff.functions.length ?? 0) > 0);
    figures.comment = { rebuilt: units.length, changed: changed.length, seconds };
    console.log(`# a comment: ${units.length} units rebuilt, ${changed.length} changed, ${seconds} s`);
    assert.ok(units.length > 200, `${units.length} units`);
    assert.deepEqual(
      changed.map(({ unit }) => unit.id),
      [],
    );
    const last = progress.at(-1);
    assert.ok(last && last.total >= units.length - 20 && last.done === last.total, JSON.stringify(last));
    assert.ok(progress.length > units.length / 2, 'progress is told as it goes');
  });

  it('a new field: what changed is told for each unit, and the layout is a finding', async (context) => {
    if (!(await ready(context))) return;
    const began = performance.now();
    const generations = new Map(session.units().map(({ unit, generation }) => [unit.id, generation]));
    save(FIELD, `    unsigned long    livepatch_test_field;\n${FIELD}`);
    await session.idle();
    const seconds = round((performance.now() - began) / 1000, 0);
    const units = rebuilt().filter(({ unit, generation }) => generation > (generations.get(unit.id) ?? 0));
    const changed = units.filter(({ result }) => (result?.diff.functions.length ?? 0) > 0);
    const functions = changed.reduce((sum, { result }) => sum + result!.diff.functions.length, 0);
    figures.field = { rebuilt: units.length, changed: changed.length, functions, seconds };
    console.log(
      `# a new field: ${units.length} units rebuilt, ${changed.length} changed with ${functions} functions, ${seconds} s`,
    );
    assert.ok(units.length > 200 && changed.length > 50, `${units.length} rebuilt, ${changed.length} changed`);
    const told = units.flatMap(({ result }) => result?.findings ?? []).filter(({ code }) => code === 'struct-layout');
    assert.ok(
      told.some(({ symbol, severity }) => symbol === 'struct domain' && severity === 'blocker'),
      `struct-layout of ${[...new Set(told.map(({ symbol }) => symbol))].join(', ')}`,
    );
  });
});
