import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isNoDownload } from '../../scripts/lib/debian-source.mjs';
import { hyperloglogAnswers, hyperloglogAttack, hyperloglogFixed, LUA_SCRIPT, luaFixed } from './commands.ts';
import { type Load, type RedisServer, startLoad, startServer } from './redis-server.ts';
import { applyFix, type FIXES, type RedisTree, redisTree, restore } from './redis-tree.ts';
import { errorOf, type RedisClient } from './resp.ts';

const repository = join(import.meta.dirname, '../..');
const cli = [process.execPath, join(repository, 'dist/cli.cjs')] as const;

/** Runs `livepatch` in the tree; fails with its words on another exit status than expected. */
function livepatch(tree: RedisTree, args: readonly string[], expected = 0): string {
  const run = spawnSync(cli[0], [cli[1], ...args], {
    cwd: tree.root,
    encoding: 'utf8',
    timeout: 300_000,
    maxBuffer: 1 << 28,
  });
  assert.equal(run.status, expected, `livepatch ${args.join(' ')}:\n${run.stdout}\n${run.stderr}`);
  return run.stdout;
}

interface FunctionPlace {
  readonly name: string;
  readonly address: number;
  readonly size: number;
}

/** Address (before the load bias) and size of functions, from the server's symbol table as binutils reads it. */
function places(tree: RedisTree, names: readonly string[]): FunctionPlace[] {
  const table = spawnSync('nm', ['-S', tree.server], { encoding: 'utf8', maxBuffer: 1 << 26 }).stdout;
  return names.map((name) => {
    const row = new RegExp(`^([0-9a-f]+) ([0-9a-f]+) [tT] ${name}$`, 'm').exec(table);
    assert.ok(row, `${name} is not in the server's symbol table`);
    return { name, address: Number.parseInt(row[1]!, 16), size: Number.parseInt(row[2]!, 16) };
  });
}

/** Code of a function in the running process, as hexadecimal text. */
function runningCode(server: RedisServer, tree: RedisTree, place: FunctionPlace): string {
  const maps = readFileSync(`/proc/${server.pid}/maps`, 'utf8');
  const bias = Number.parseInt(
    maps
      .split('\n')
      .find((line) => line.endsWith(tree.server))!
      .split('-')[0]!,
    16,
  );
  const memory = openSync(`/proc/${server.pid}/mem`, 'r');
  try {
    const bytes = Buffer.alloc(place.size);
    readSync(memory, bytes, 0, place.size, bias + place.address);
    return bytes.toString('hex');
  } finally {
    closeSync(memory);
  }
}

interface Scenario {
  readonly fix: keyof typeof FIXES;
  readonly unit: string;
  /** Functions that the patch must carry; others (clones, callers by inlining) may come along. */
  readonly functions: readonly string[];
  /** Asserts that the running server has the fix. */
  readonly assertFixed: (client: RedisClient) => Promise<void>;
  /** Asserts that it has not; absent where the old behaviour may end the server. */
  readonly assertOld?: (client: RedisClient) => Promise<void>;
}

const scenarios: readonly Scenario[] = [
  {
    fix: 'hyperloglog',
    unit: 'src/hyperloglog.c',
    functions: ['hllSparseToDense', 'hllSparseRegHisto', 'hllMerge'],
    async assertFixed(client) {
      assert.ok(
        hyperloglogFixed(await hyperloglogAnswers(client)),
        'the overflowing value is refused by all three commands',
      );
      for (const answer of await hyperloglogAttack(client))
        assert.match(errorOf(answer) ?? String(answer), /^INVALIDOBJ/);
    },
    async assertOld(client) {
      assert.deepEqual(await hyperloglogAnswers(client), [0, 0, 16384], 'the overflowing value is taken for valid');
    },
  },
  {
    fix: 'lua',
    unit: 'deps/lua/src/lparser.c',
    functions: ['luaY_parser'],
    async assertFixed(client) {
      for (let i = 0; i < 20; i++) {
        const reply = await client.call('EVAL', LUA_SCRIPT, '0');
        assert.ok(luaFixed(reply), `the chunk keeps its name: ${JSON.stringify(reply)}`);
      }
    },
  },
];

let tree: RedisTree;
let unavailable: string | false = false;

before(
  async () => {
    if (!existsSync(cli[1])) throw new Error('dist/cli.cjs is missing: node esbuild.mjs');
    try {
      tree = await redisTree(cli, (text) => console.log(`    ${text}`));
    } catch (error) {
      const message = (error as Error).message;
      // Only what the machine cannot do is a reason to skip; a source that does not build is a failure.
      if (!isNoDownload(error)) throw error;
      unavailable = `Debian's redis source cannot be had: ${message.split('\n')[0]}`;
    }
  },
  { timeout: 1_200_000 },
);

after(async () => {
  if (tree) await restore(tree);
});

for (const scenario of scenarios) {
  describe(`Redis ${scenario.fix}: a security fix in the running server, under load`, () => {
    const payload = join(tmpdir(), `lpa-redis-${process.pid}-${scenario.fix}.lpp`);
    let server: RedisServer | undefined;
    let load: Load | undefined;

    after(async () => {
      await load?.finish();
      await server?.stop();
      rmSync(payload, { force: true });
      if (tree) await restore(tree);
    });

    it('is checked, built, applied, seen to work, and reverted, without a failed request', {
      timeout: 900_000,
    }, async (t) => {
      if (unavailable) return t.skip(unavailable);

      await restore(tree);
      assert.match(livepatch(tree, ['check']), /No file differs/, 'the tree starts clean');
      if (!scenario.assertOld) {
        // What tells old from new may end an unpatched server: shown on one that nobody needs.
        const victim = await startServer(tree);
        try {
          const client = victim.connect();
          const reply = await client.call('EVAL', LUA_SCRIPT, '0').catch((error: Error) => ({ error: error.message }));
          client.close();
          assert.ok(!luaFixed(reply), `the unpatched server reads freed memory: ${JSON.stringify(reply)}`);
        } finally {
          await victim.stop();
        }
      }

      server = await startServer(tree);
      const client = server.connect();
      const functions = places(tree, scenario.functions);
      const oldCode = functions.map((place) => runningCode(server!, tree, place));
      load = await startLoad(tree, server);
      await scenario.assertOld?.(client);

      await applyFix(tree, scenario.fix);
      const checked = JSON.parse(livepatch(tree, ['check', '--json']));
      assert.equal(checked.verdict, 'patchable');
      const unit = checked.units.find((candidate: { file: string }) => candidate.file.endsWith(scenario.unit));
      const changed = unit.diff.functions.map((change: { name: string }) => change.name);
      for (const name of scenario.functions)
        assert.ok(changed.includes(name), `${name} is among ${changed.join(', ')}`);

      livepatch(tree, ['build', '-o', payload]);
      livepatch(tree, ['apply', payload, '--pid', String(server.pid)]);
      await scenario.assertFixed(client);
      for (const [index, place] of functions.entries()) {
        assert.notEqual(runningCode(server, tree, place), oldCode[index], `${place.name} is redirected`);
      }
      const applied = JSON.parse(livepatch(tree, ['status', '--pid', String(server.pid), '--json']));
      assert.deepEqual(
        applied.patches.map((patch: { state: string }) => patch.state),
        ['applied'],
      );
      // Load over the patched code, too: counted in answers, not in time.
      await load.more(3000);
      await scenario.assertFixed(client);

      livepatch(tree, ['revert', '--pid', String(server.pid)]);
      for (const [index, place] of functions.entries()) {
        assert.equal(runningCode(server, tree, place), oldCode[index], `${place.name} has its old bytes back`);
      }
      const reverted = JSON.parse(livepatch(tree, ['status', '--pid', String(server.pid), '--json']));
      assert.deepEqual(
        reverted.patches.filter((patch: { state: string }) => patch.state === 'applied'),
        [],
      );
      await load.more(300);
      await scenario.assertOld?.(client);

      const seen = await load.finish();
      load = undefined;
      assert.equal(await client.call('PING'), 'PONG');
      client.close();
      assert.deepEqual(seen.failures, []);
      assert.ok(seen.requests > 5_000, `${seen.requests} requests were answered`);
      t.diagnostic(`${seen.requests} requests answered while the server was patched and reverted`);
    });
  });
}
