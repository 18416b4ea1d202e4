import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { buildSync } from 'esbuild';
import type { Seed } from './seeds.ts';
import type { Job, Message } from './worker.ts';

/** Limits that every single object has to keep. */
export const TIME_LIMIT = 5_000;
export const MEMORY_LIMIT = 500 * 1024 * 1024;

const ROOT = join(import.meta.dirname, '../..');
/** The disassembler that the comparison needs. */
export const wasmPath = (): string => join(ROOT, 'node_modules/capstone-wasm/dist/capstone.wasm');

/** A run with so many failures ends: they have few causes. */
const MAX_FAILURES = 50;

/** An object that broke a rule; `index` and the run's seed make it again. */
export interface Failure {
  readonly index: number;
  readonly kind: 'hang' | 'out of memory' | 'crash' | 'threw';
  readonly detail: string;
}

/** Figures of a run. */
export interface FuzzResult {
  readonly objects: number;
  /** Objects that were compared with the one they were made from as well. */
  readonly compared: number;
  /** Payloads that were still accepted. */
  readonly payloads: number;
  readonly opened: number;
  readonly debug: number;
  readonly withProblems: number;
  readonly slowest: number;
  readonly slowestIndex: number;
  /** Largest heap and buffers seen, bytes. */
  readonly memory: number;
  readonly seconds: number;
  readonly failures: readonly Failure[];
}

/**
 * Runs objects [0, count) in a worker that is watched from outside: one that takes longer than the limit or more memory is
 * a failure, the worker is ended, and the run goes on behind it.
 */
export async function fuzz(
  seeds: readonly Seed[],
  seed: number,
  count: number,
  compareEvery: number,
  onProgress: (done: number, result: FuzzResult) => void = () => {},
  drill?: Job['drill'],
): Promise<FuzzResult> {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-fuzz-'));
  try {
    return await run(
      bundle(folder),
      { seeds, seed, from: 0, to: count, compareEvery, ...(drill ? { drill } : {}) },
      onProgress,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Workers of Node 20 do not go through the TypeScript loader: they get one plain file. */
function bundle(folder: string): string {
  const outfile = join(folder, 'worker.cjs');
  buildSync({
    entryPoints: [join(import.meta.dirname, 'worker.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    alias: { 'capstone-wasm': join(ROOT, 'node_modules/capstone-wasm/dist/index.cjs') },
    absWorkingDir: ROOT,
    logLevel: 'warning',
  });
  return outfile;
}

async function run(
  file: string,
  whole: Stretch,
  onProgress: (done: number, result: FuzzResult) => void,
): Promise<FuzzResult> {
  const started = Date.now();
  const failures: Failure[] = [];
  const sum = {
    objects: 0,
    compared: 0,
    payloads: 0,
    opened: 0,
    debug: 0,
    withProblems: 0,
    slowest: 0,
    slowestIndex: -1,
    memory: 0,
  };
  const result = (): FuzzResult => ({ ...sum, seconds: (Date.now() - started) / 1000, failures });
  for (let from = whole.from; from < whole.to && failures.length < MAX_FAILURES; ) {
    const end = await stretch(file, { ...whole, from }, (message) => {
      if (message.kind === 'threw') {
        if (failures.length < MAX_FAILURES)
          failures.push({ index: message.index, kind: 'threw', detail: message.error });
        return;
      }
      sum.objects += message.objects;
      sum.compared += message.compared;
      sum.payloads += message.payloads;
      sum.opened += message.opened;
      sum.debug += message.debug;
      sum.withProblems += message.problems;
      sum.memory = Math.max(sum.memory, message.memory);
      if (message.slowest > sum.slowest) {
        sum.slowest = message.slowest;
        sum.slowestIndex = message.slowestIndex;
      }
      onProgress(sum.objects, result());
    });
    if (end.failure) failures.push(end.failure);
    from = end.next;
  }
  return result();
}

type Stretch = Pick<Job, 'seeds' | 'seed' | 'from' | 'to' | 'compareEvery' | 'drill'>;

function stretch(
  file: string,
  part: Stretch,
  onMessage: (message: Message) => void,
): Promise<{ next: number; failure?: Failure }> {
  const progress = new SharedArrayBuffer(8);
  const state = new Int32Array(progress);
  Atomics.store(state, 0, -1);
  const epoch = Date.now();
  const resident = process.memoryUsage.rss();
  const worker = new Worker(file, {
    workerData: { ...part, progress, epoch, wasm: readFileSync(wasmPath()) } satisfies Job,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_LIMIT / 1048576, maxYoungGenerationSizeMb: 32 },
  });
  return new Promise((resolve) => {
    let failure: Failure | undefined;
    const index = () => Atomics.load(state, 0);
    const watch = setInterval(() => {
      const grown = process.memoryUsage.rss() - resident;
      if (grown > MEMORY_LIMIT) end({ index: index(), kind: 'out of memory', detail: `${grown} bytes resident` });
      const running = Date.now() - epoch - Atomics.load(state, 1);
      if (index() >= 0 && running > TIME_LIMIT) end({ index: index(), kind: 'hang', detail: `${running} ms` });
    }, 200);
    const end = (why: Failure) => {
      failure ??= why;
      void worker.terminate();
    };
    worker.on('message', onMessage);
    worker.on('error', (error: Error & { code?: string }) => {
      const kind = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'out of memory' : 'crash';
      failure ??= { index: index(), kind, detail: error.stack ?? error.message };
    });
    worker.on('exit', () => {
      clearInterval(watch);
      resolve(failure ? { next: Math.max(index(), part.from) + 1, failure } : { next: part.to });
    });
  });
}
