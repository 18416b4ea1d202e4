import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isNoDownload } from '../../scripts/lib/debian-source.mjs';
import { commit, edit, type HaproxyTree, haproxyTree, restore } from './haproxy-tree.ts';

/*
 * A program of another kind than Redis: its own Makefile, functions of headers inlined into many units, four threads that all do the work,
 * registrations named after their line. The edits are of the everyday kind: a function in a header, a message, a new static counter.
 */

const cli = [process.execPath, join(import.meta.dirname, '../../dist/cli.cjs')] as const;
const folder = mkdtempSync(join(tmpdir(), 'lpa-haproxy-'));
const socket = join(folder, 'stats');
const agent = new Agent({ keepAlive: true, maxSockets: 8 });

let tree: HaproxyTree;
let unavailable: string | false = false;
let server: ChildProcess | undefined;
let port = 0;
let warnings = '';

/** Runs `livepatch` in the tree, beside the load; fails with its words on another exit status than expected. */
async function livepatch(args: readonly string[], expected = 0): Promise<string> {
  const child = spawn(cli[0], [cli[1], ...args], {
    cwd: tree.root,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 600_000,
  });
  let [out, all] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
    all += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    all += text;
  });
  const [status] = await once(child, 'close');
  assert.equal(status, expected, `livepatch ${args.join(' ')}:\n${all}`);
  return out;
}

/** What HAProxy answers to a request: the parameter `x` of the address. */
function ask(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, agent, timeout: 10_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text.trim()));
    });
    request.on('error', reject);
    request.on('timeout', () => request.destroy(new Error('no answer within 10 s')));
  });
}

/** The first line of what the command socket says to something that it does not know. */
async function unknownCommand(): Promise<string> {
  const client = connect(socket);
  client.end('nonsense\n');
  let text = '';
  client.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  await once(client, 'close');
  return text.split('\n')[0] ?? '';
}

async function startServer(): Promise<void> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  port = (probe.address() as { port: number }).port;
  probe.close();
  await once(probe, 'close');
  const config = join(folder, 'haproxy.cfg');
  writeFileSync(
    config,
    `global
  nbthread 4
  stats socket ${socket} level admin
defaults
  mode http
  timeout client 20s
  timeout server 20s
  timeout connect 5s
frontend f
  bind 127.0.0.1:${port}
  http-request return status 200 content-type text/plain lf-string "x=%[urlp(x)]\\n"
`,
  );
  server = spawn(tree.program, ['-f', config], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  server.stderr!.setEncoding('utf8').on('data', (text) => {
    warnings += text;
  });
  for (let attempt = 0; ; attempt++) {
    if (await ask('/').catch(() => undefined)) return;
    assert.ok(attempt < 200 && server.exitCode === null, `haproxy does not answer: ${warnings}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

before(
  async () => {
    if (!existsSync(cli[1])) throw new Error('dist/cli.cjs is missing: node esbuild.mjs');
    try {
      tree = await haproxyTree(cli, (text) => console.log(`    ${text}`));
    } catch (error) {
      const message = (error as Error).message;
      if (!isNoDownload(error)) throw error;
      unavailable = `Debian's haproxy source cannot be had: ${message.split('\n')[0]}`;
      return;
    }
    await startServer();
  },
  { timeout: 1_200_000 },
);

after(async () => {
  agent.destroy();
  if (server && server.exitCode === null) {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
  rmSync(folder, { recursive: true, force: true });
  if (tree) await restore(tree);
});

describe('HAProxy: everyday edits in the running program, one on top of the other, under load', () => {
  it('a function of a header, then a message and a counter; taken back in order', { timeout: 900_000 }, async (t) => {
    if (unavailable) return t.skip(unavailable);
    const pid = String(server!.pid);
    const [first, second] = ['first', 'second'].map((name) => join(folder, `${name}.lpp`)) as [string, string];
    let stopping = false;
    let answers = 0;
    const failures: string[] = [];
    const loads = Array.from({ length: 8 }, async () => {
      while (!stopping) {
        const text = await ask('/?y=2&x=5').catch((error: Error) => error.message);
        answers++;
        if (text !== 'x=5') failures.push(text);
      }
    });
    try {
      assert.equal(await ask('/?y=2,x=7'), 'x=');
      assert.match(await unknownCommand(), /^Unknown command, but maybe/);

      edit(
        tree,
        'include/haproxy/http.h',
        "return c == '&' || c == ';' || c == delim;",
        "return c == '&' || c == ';' || c == ',' || c == delim;",
      );
      await livepatch(['build', '-o', first]);
      await livepatch(['apply', first, '--pid', pid]);
      assert.equal(await ask('/?y=2,x=7'), 'x=7');
      await commit(tree);

      edit(tree, 'src/cli.c', 'Unknown command, but maybe', 'Unknown command, but perhaps');
      edit(
        tree,
        'src/http_fetch.c',
        "\tchar delim = '?';\n\tconst char *name;\n\tint name_len;\n\n\tif ((args[0].type",
        '\tchar delim = \'?\';\n\tconst char *name;\n\tint name_len;\n\tstatic unsigned int calls;\n\n\tif ((__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) & 0xff) == 0)\n\t\tha_warning("urlp: %u calls\\n", calls);\n\n\tif ((args[0].type',
      );
      const checked = JSON.parse(await livepatch(['check', '--json']));
      const changes = checked.units.flatMap(
        (unit: { diff: { functions: { name: string }[]; data: { name: string }[] } }) => [
          ...unit.diff.functions.map(({ name }) => name.replace(/\..*/, '')),
          ...unit.diff.data.map(({ name }) => name.replace(/\..*/, '')),
        ],
      );
      assert.deepEqual(
        changes.sort(),
        ['calls', 'cli_gen_usage_msg', 'smp_fetch_url_param'],
        'what is registered under the number of its line is not new',
      );
      await livepatch(['build', '-o', second]);
      await livepatch(['apply', second, '--pid', pid]);
      assert.match(await unknownCommand(), /^Unknown command, but perhaps/);
      assert.equal(await ask('/?y=2,x=7'), 'x=7', 'the first patch holds below the second');
      const from = answers;
      while (answers < from + 600) await new Promise((resolve) => setTimeout(resolve, 20));
      assert.match(warnings, /urlp: 256 calls/);

      const { patches } = JSON.parse(await livepatch(['status', '--pid', pid, '--json']));
      // The lower one does not come off first.
      await livepatch(['revert', patches[0].id, '--pid', pid], 1);
      await livepatch(['revert', '--pid', pid]);
      assert.match(await unknownCommand(), /^Unknown command, but maybe/);
      assert.equal(await ask('/?y=2,x=7'), 'x=7');
      await livepatch(['revert', '--pid', pid]);
      assert.equal(await ask('/?y=2,x=7'), 'x=');
      // Over and over, while all threads work.
      for (let round = 0; round < 5; round++) {
        await livepatch(['apply', first, '--pid', pid]);
        await livepatch(['revert', '--pid', pid]);
      }
    } finally {
      stopping = true;
      await Promise.all(loads);
    }
    assert.equal(server!.exitCode, null);
    assert.deepEqual(failures, []);
    assert.ok(answers > 1000, `${answers} answers`);
    t.diagnostic(`${answers} requests answered`);
  });
});
