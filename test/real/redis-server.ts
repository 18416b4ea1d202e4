import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RedisTree } from './redis-tree.ts';
import { RedisClient } from './resp.ts';

/** A port of loopback that was free a moment ago. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}

/** A running redis-server with four I/O threads. */
export interface RedisServer {
  readonly pid: number;
  readonly port: number;
  readonly alive: () => boolean;
  readonly connect: () => RedisClient;
  readonly stop: () => Promise<void>;
}

/** Starts a server on a free port, without persistence, and waits until it answers. */
export async function startServer(tree: RedisTree): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-redis-'));
  const port = await freePort();
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    dir: folder,
    save: '',
    appendonly: 'no',
    'io-threads': '4',
    'io-threads-do-reads': 'yes',
    'enable-debug-command': 'yes',
    // A crash must end the server, not keep it busy with a memory test.
    'crash-memcheck-enabled': 'no',
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(tree.server, args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const gone = once(child, 'exit');
  const alive = () => child.exitCode === null && child.signalCode === null;
  const stop = async () => {
    if (alive()) child.kill('SIGKILL');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
  // Long enough for a machine that is busy with other things; a server that dies ends the wait at once.
  for (let attempt = 0; attempt < 1200; attempt++) {
    const client = new RedisClient(port);
    const answer = await client.call('PING').catch(() => undefined);
    client.close();
    if (answer === 'PONG') return { pid: child.pid!, port, alive, connect: () => new RedisClient(port), stop };
    if (!alive()) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await stop();
  throw new Error('redis-server did not answer within a minute, or ended');
}

/** What redis-benchmark sends, and how many requests of each kind in one run. */
const KINDS = ['ping_mbulk', 'set', 'get', 'incr', 'lpush', 'lpop', 'sadd', 'hset', 'mset'] as const;
const PER_KIND = 1000;

/** Load on a server: redis-benchmark in a loop, and a client of our own that checks every single answer. */
export interface Load {
  /** Resolves when that many more answers of our own client came in, or when something failed. */
  readonly more: (answers: number) => Promise<void>;
  /** Ends the load and says what it saw. */
  readonly finish: () => Promise<{ readonly requests: number; readonly failures: string[] }>;
}

/** Starts the load and returns once the first answers are in. */
export async function startLoad(tree: RedisTree, server: RedisServer): Promise<Load> {
  let stopping = false;
  let requests = 0;
  let watched = 0;
  const failures: string[] = [];

  const benchmark = async () => {
    // Short runs, each to its end: every one has to report every kind of command, and to end well.
    while (!stopping && server.alive()) {
      const args = [
        '-h',
        '127.0.0.1',
        '-p',
        String(server.port),
        '-c',
        '32',
        '-n',
        String(PER_KIND),
        '-P',
        '4',
        '--csv',
      ];
      const child = spawn(tree.benchmark, [...args, '-t', KINDS.join(',')], { stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text) => {
          output += text;
        });
      }
      const [code] = await once(child, 'close');
      const reported = [...output.matchAll(/^"[A-Z][^"]*","\d/gm)].length;
      requests += reported * PER_KIND;
      if (code !== 0 || reported < KINDS.length || /error|refused|reset by|lost|closed/i.test(output)) {
        failures.push(`redis-benchmark: status ${code}, ${reported} of ${KINDS.length} kinds: ${output.slice(-400)}`);
      }
    }
  };

  const watcher = async () => {
    const client = server.connect();
    try {
      for (let i = 0; !stopping; i++) {
        const value = `value ${i}`;
        const set = await client.call('SET', 'watched', value);
        const get = await client.call('GET', 'watched');
        const lua = i % 8 === 0 ? await client.call('EVAL', `return ${i} + 1`, '0') : i + 1;
        requests += 3;
        watched += 3;
        if (set !== 'OK' || get !== value || lua !== i + 1)
          failures.push(`wrong answer: ${JSON.stringify([set, get, lua])}`);
      }
    } catch (error) {
      failures.push(`watcher: ${(error as Error).message}`);
    } finally {
      client.close();
    }
  };

  const all = Promise.all([benchmark(), watcher()]);
  const more = async (answers: number) => {
    const until = watched + answers;
    while (watched < until && failures.length === 0 && server.alive())
      await new Promise((resolve) => setTimeout(resolve, 10));
  };
  await more(100);
  return {
    more,
    async finish() {
      stopping = true;
      await all;
      return { requests, failures };
    },
  };
}
