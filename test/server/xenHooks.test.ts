import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { offerFixes } from '../../server/src/core/findings/fixes/index.ts';
import { applyChanges } from '../../server/src/core/findings/fixes/text.ts';
import type { Finding } from '../../server/src/core/findings/types.ts';
import { createSession, type Session } from '../../server/src/session.ts';
import { loadConfig } from '../../server/src/shell/config.ts';
import { Project, sh } from './project.ts';

// A tree laid out like Xen's, with the macros of its header for two of the hooks (the real tree is tried in test/vm/hooks.test.ts).
const FILES = {
  'xen/.config': 'CONFIG_LIVEPATCH=y\nCONFIG_DEBUG_INFO=y\n',
  'xen/include/xen/lib.h': '#include <xen/compiler.h>\n',
  'xen/include/xen/compiler.h': '#define cf_check\n',
  'xen/include/xen/livepatch.h': '#define __section(s) __attribute__((section(s)))\n',
  'xen/include/xen/livepatch_payload.h': `typedef struct payload livepatch_payload_t;
#define LIVEPATCH_LOAD_HOOK(_fn) \\
    void (*const livepatch_load_data_##_fn)(void) __section(".livepatch.hooks.load") = _fn;
#define LIVEPATCH_UNLOAD_HOOK(_fn) \\
    void (*const livepatch_unload_data_##_fn)(void) __section(".livepatch.hooks.unload") = _fn;
`,
  'xen/common/livepatch.c': '#include <xen/lib.h>\n',
  'xen/common/limits.c': `#include <xen/lib.h>
int limit = 5;
int allowed(int x)
{
    return x < limit;
}

/*
 * Local variables:
 * mode: C
 * End:
 */
`,
  '.gitignore': '*.o\n*.cmd\nxen-syms\n',
};
const UNIT = 'xen/common/limits.c';
const projects: Project[] = [];
const sessions: Session[] = [];
after(async () => {
  for (const session of sessions) await session.dispose();
  for (const project of projects) project.remove();
});

async function begin() {
  const project = new Project(FILES, 'xen');
  projects.push(project);
  const line = 'gcc -O2 -g -Iinclude -c common/limits.c -o common/limits.o';
  sh(project.path('xen'), ...line.split(' '));
  project.write('xen/common/.limits.o.cmd', `cmd_common/limits.o := ${line}\n`);
  project.commit();
  const { config } = await loadConfig(project.root);
  const session = await createSession(config, { cacheDir: project.cache, watch: false });
  sessions.push(session);
  /** Compares the unit as it is now. */
  const compare = async () => {
    session.saved(project.path(UNIT));
    await session.idle();
    const [state] = session.units();
    assert.ok(state?.result, `${state?.phase} ${state?.errors.map(({ message }) => message)}`);
    assert.equal(state.phase, 'ready', state.errors.map(({ message }) => message).join());
    return state.result;
  };
  const now = (path: string): readonly string[] | undefined => {
    try {
      return readFileSync(path, 'utf8').split('\n');
    } catch {
      return undefined;
    }
  };
  const fixes = (result: Awaited<ReturnType<typeof compare>>, finding: Finding) =>
    offerFixes({
      finding,
      pair: result.pair,
      diff: result.diff,
      target: 'xen',
      unit: project.path(UNIT),
      edits: result.edits,
      now,
      base: () => undefined,
    });
  return { project, compare, fixes };
}

test('a changed initial value: the hooks are written with their headers, in front of the settings; one that assigns it lifts the block', async () => {
  const { project, compare, fixes } = await begin();
  project.edit(UNIT, 'limit = 5', 'limit = 9');
  const before = await compare();
  const finding = before.findings.find(({ code }) => code === 'data-init-changed');
  assert.equal(finding?.severity, 'blocker');
  const offered = fixes(before, finding!);
  const titles = offered.map(({ title }) => title);
  assert.ok(titles.includes('Add a load hook and an unload hook'), titles.join());
  assert.ok(
    !titles.includes('Add a check before applying and its undo after a revert'),
    'this tree has no such macros',
  );

  const { changes } = offered.find(({ title }) => title === 'Add a load hook and an unload hook')!;
  project.write(UNIT, applyChanges(project.read(UNIT), changes));
  const text = project.read(UNIT);
  assert.match(text, /#include <xen\/lib\.h>\n#include <xen\/livepatch\.h>\n#include <xen\/livepatch_payload\.h>\n/);
  assert.match(text, /LIVEPATCH_UNLOAD_HOOK\(livepatch_limit_unload\);\n\n\/\*\n \* Local variables:/);
  const empty = await compare();
  assert.deepEqual(
    ['load', 'unload'].map((name) => empty.pair.next.elf.sectionsNamed(`.livepatch.hooks.${name}`).length),
    [1, 1],
  );
  assert.equal(empty.findings.find(({ code }) => code === 'data-init-changed')?.severity, 'blocker');

  project.edit(UNIT, 'livepatch_limit_load(void)\n{\n', 'livepatch_limit_load(void)\n{\n    limit = 9;\n');
  const written = (await compare()).findings.find(({ code }) => code === 'data-init-changed');
  assert.equal(written?.severity, 'review');
  assert.deepEqual(written?.evidence.hooks, ['livepatch_limit_load']);
});

test('a hook without its counterpart gets it, once', async () => {
  const { project, compare, fixes } = await begin();
  project.edit(
    UNIT,
    '\n/*\n * Local',
    '#include <xen/livepatch.h>\n#include <xen/livepatch_payload.h>\nstatic void mine(void)\n{\n    limit++;\n}\nLIVEPATCH_LOAD_HOOK(mine);\n\n/*\n * Local',
  );
  const before = await compare();
  const finding = before.findings.find(({ code }) => code === 'hook-without-undo');
  assert.ok(finding, before.findings.map(({ code }) => code).join());
  const fix = fixes(before, finding).find(({ title }) => title === 'Add the hook that undoes it (unload)');
  assert.ok(fix);
  project.write(UNIT, applyChanges(project.read(UNIT), fix.changes));
  assert.equal(project.read(UNIT).split('#include <xen/livepatch_payload.h>').length, 2, 'included once');
  const done = await compare();
  assert.equal(
    done.findings.find(({ code }) => code === 'hook-without-undo'),
    undefined,
  );
});
