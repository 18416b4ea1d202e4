// How long a process with 8 busy threads stands still while a patch goes in and out, against gdb writing the same jump. The
// program checks its own answers and measures the longest time in which none of its threads got anywhere.
// Last line of output: the figures as JSON.
import { spawnSync } from 'node:child_process';
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { readPayload } from '../server/src/core/payload/read.ts';
import type { TargetEvent } from '../server/src/targets/types.ts';
import { ensureHelper, Program, type RunningProgram } from '../test/process/program.ts';
import { keep, median, round } from './lib/measure.mjs';

const LIMIT = { median: 1000, longest: 5000 };

const MAIN = `
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
uint64_t work(uint64_t seed, int *version);
static _Atomic uint64_t last, longest, wrong, done;
static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void *busy(void *number) {
  uint64_t seed = (uint64_t)(uintptr_t)number;
  for (;;) {
    int version = 0;
    uint64_t value = work(++seed, &version), expected = 0;
    for (int i = 0; i < 64; i++) expected = expected * 31 + (seed ^ (uint64_t)i);
    if ((version != 1 && version != 2) || value != expected + (uint64_t)version) wrong++;
    uint64_t here = now(), before = atomic_exchange(&last, here), gap = here > before ? here - before : 0, most = longest;
    while (gap > most && !atomic_compare_exchange_weak(&longest, &most, gap)) { }
    done++;
  }
  return 0;
}
int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  last = now();
  for (int i = 0; i < 8; i++) { pthread_t t; pthread_create(&t, 0, busy, (void *)(uintptr_t)(i * 1000003)); }
  puts("ready");
  char line[64];
  while (fgets(line, sizeof line, stdin))
    printf("%llu %llu %llu\\n", (unsigned long long)atomic_exchange(&longest, 0), (unsigned long long)wrong, (unsigned long long)done);
  return 0;
}
`;
const part = (version: number): string => `
#include <stdint.h>
uint64_t work(uint64_t seed, int *version) {
  uint64_t value = 0;
  for (int i = 0; i < 64; i++) value = value * 31 + (seed ^ (uint64_t)i);
  *version = ${version};
  return value + ${version};
}
`;

const { values } = parseArgs({ options: { rounds: { type: 'string' } } });
const rounds = Math.max(1, Number(values.rounds ?? 200));
// An even number: the last one reverts.
const turns = 2 * Math.min(15, rounds);

/** The program's own figures since the last question. */
async function ask(running: RunningProgram): Promise<{ standstill: number; wrong: number; done: number }> {
  const [standstill, wrong, done] = ((await running.ask('?')) ?? '').split(' ').map(Number);
  if (done === undefined) throw new Error('the program ended');
  return { standstill: standstill! / 1000, wrong: wrong!, done };
}

const figures = (list: readonly number[]): { median: number; p99: number; longest: number } => ({
  median: round(median(list), 1),
  p99: round([...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * 0.99))]!, 1),
  longest: round(Math.max(...list), 1),
});

/** The same jump by a debugger's script: attach, write five bytes, detach. */
function gdb(pid: number, address: string, bytes: string): void {
  const list = bytes.match(/../g)!.map((byte) => `0x${byte}`);
  const commands = ['set pagination off', `set {unsigned char[5]}${address} = {${list.join(', ')}}`, 'detach'];
  const run = spawnSync('gdb', ['-nx', '-batch', '-p', String(pid), ...commands.flatMap((one) => ['-ex', one])], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (run.error) throw run.error;
}

function check(event: TargetEvent): TargetEvent & { readonly kind: 'applied' | 'reverted' } {
  if (event.kind !== 'applied' && event.kind !== 'reverted') throw new Error(event.message);
  return event;
}

ensureHelper();
const program = new Program({ 'main.c': MAIN, 'part.c': part(1) });
try {
  const bytes = await program.payload({ 'part.c': part(2) });
  const payload = readPayload(bytes);
  if (typeof payload === 'string') throw new Error(payload);
  const running = program.start();
  await running.line();
  const target = running.target();
  const stops: number[] = [];
  const tries: number[] = [];
  const switchOnce = async (apply: boolean): Promise<void> => {
    const event = check(await (apply ? target.apply(bytes) : target.revert(undefined)));
    stops.push(event.longestStopMicroseconds ?? event.stopMicroseconds);
    tries.push(event.attempts);
  };
  for (let i = 0; i < rounds; i++) {
    await switchOnce(true);
    await switchOnce(false);
    if ((i + 1) % 50 === 0) console.log(`round ${i + 1} of ${rounds}: ${JSON.stringify(figures(stops))} µs`);
  }
  const applied = check(await target.apply(bytes));
  const patch = (await target.status()).patches.find((one) => one.id === applied.id)!;
  const at = Number(patch.functions[0]!.oldAddress) + payload.manifest.replaces[0]!.jumpAt;
  check(await target.revert(undefined));
  // A script does not look at the stacks: it writes what is there already, or a thread would fall into the middle of the jump.
  const written = async (): Promise<string> => Buffer.from(await bytesNow(running.pid, at)).toString('hex');
  // Windows of one length, in turns: what else the machine does hits all three alike.
  const quiet: number[] = [];
  const own: number[] = [];
  const withGdb: number[] = [];
  let length = 1000;
  const turn = async (list: number[], work: () => Promise<void> | void): Promise<void> => {
    await ask(running);
    const began = performance.now();
    await work();
    const took = performance.now() - began;
    if (took < length) await new Promise((resolve) => setTimeout(resolve, length - took));
    list.push((await ask(running)).standstill);
    length = Math.max(length, took);
  };
  for (let i = 0; i < turns; i++) {
    await turn(quiet, () => {});
    await turn(own, () => switchOnce(i % 2 === 0));
    const now = await written();
    await turn(withGdb, () => gdb(running.pid, `0x${at.toString(16)}`, now));
    if ((i + 1) % 10 === 0) console.log(`turn ${i + 1} of ${turns}`);
  }
  const stop = figures(stops);
  const end = await ask(running);
  const ok = stop.median <= LIMIT.median && stop.longest <= LIMIT.longest && end.wrong === 0;
  keep('stop', {
    what: 'microseconds that a process with 8 busy threads stands still; stop = first interrupt to last release, own = longest time without progress in a window with one switch, with gdb writing the same bytes, and with nothing, as the program sees it',
    limit: LIMIT,
    rounds,
    stop,
    tries: figures(tries),
    own: figures(own),
    ownWithoutPatches: figures(quiet),
    ownWithGdb: figures(withGdb),
    windows: { count: turns, milliseconds: round(length, 0) },
    wrongAnswers: end.wrong,
    load: loadavg()[0],
    processors: availableParallelism(),
    ok,
  });
  console.log(
    `own standstill: patched ${JSON.stringify(figures(own))}, quiet ${JSON.stringify(figures(quiet))}, gdb ${JSON.stringify(figures(withGdb))} µs`,
  );
  console.log(
    JSON.stringify([
      { name: 'stop: median, µs', value: stop.median, limit: LIMIT.median, ok: stop.median <= LIMIT.median },
      { name: 'stop: longest, µs', value: stop.longest, limit: LIMIT.longest, ok: stop.longest <= LIMIT.longest },
      { name: 'stop: wrong answers', value: end.wrong, limit: 0, ok: end.wrong === 0 },
      {
        name: 'stop: own standstill / with gdb',
        value: round(figures(own).median / figures(withGdb).median),
        limit: 1,
        ok: figures(own).median <= figures(withGdb).median,
      },
    ]),
  );
} finally {
  program.dispose();
}

async function bytesNow(pid: number, address: number): Promise<Uint8Array> {
  const { Helper } = await import('../server/src/targets/helper.ts');
  const helper = await Helper.open(pid);
  try {
    return await helper.read(address, 5);
  } finally {
    helper.close();
  }
}
