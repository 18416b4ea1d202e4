import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { createDecoders } from '../../server/src/core/asm/decode.ts';
import { loadObject } from '../../server/src/core/load-object.ts';
import type { ObjectModel } from '../../server/src/core/object.ts';
import { compare, drive } from './drive.ts';
import { mutant } from './mutate.ts';
import type { Seed } from './seeds.ts';

/** What the main thread gives to a worker. */
export interface Job {
  readonly seeds: readonly Seed[];
  readonly seed: number;
  readonly from: number;
  readonly to: number;
  /** [object in work, milliseconds since `epoch` at which it began]; written before each object. */
  readonly progress: SharedArrayBuffer;
  readonly epoch: number;
  /** The disassembler. */
  readonly wasm: Uint8Array;
  /** Every how many objects are compared too; 0 = none. */
  readonly compareEvery: number;
  /** A defect to act out at one object, to test the watch itself. */
  readonly drill?: { readonly index: number; readonly kind: 'hang' | 'memory' | 'throw' };
}

/** What a worker sends: figures of a stretch, or an object that threw. */
export type Message =
  | {
      readonly kind: 'figures';
      readonly objects: number;
      readonly compared: number;
      readonly payloads: number;
      readonly opened: number;
      readonly debug: number;
      readonly problems: number;
      readonly slowest: number;
      readonly slowestIndex: number;
      readonly memory: number;
    }
  | { readonly kind: 'threw'; readonly index: number; readonly error: string };

const job = workerData as Job;
const progress = new Int32Array(job.progress);
let figures = {
  objects: 0,
  compared: 0,
  payloads: 0,
  opened: 0,
  debug: 0,
  problems: 0,
  slowest: 0,
  slowestIndex: -1,
  memory: 0,
};
const send = (message: Message) => parentPort!.postMessage(message);
const flush = () => {
  send({ kind: 'figures', ...figures });
  figures = {
    objects: 0,
    compared: 0,
    payloads: 0,
    opened: 0,
    debug: 0,
    problems: 0,
    slowest: 0,
    slowestIndex: -1,
    memory: 0,
  };
};

const DRILLS = {
  hang: () => {
    for (;;) Math.sqrt(index());
  },
  memory: () => {
    const kept: number[][] = [];
    for (;;) kept.push(new Array(1000).fill(index()));
  },
  throw: () => {
    throw new Error('a drill');
  },
};
const index = () => Atomics.load(progress, 0);

async function work(): Promise<void> {
  const decoders = await createDecoders(job.wasm);
  let thrown = 0;
  const originals = new Map<Seed, ObjectModel>();
  for (let index = job.from; index < job.to; index++) {
    const started = Date.now();
    Atomics.store(progress, 1, started - job.epoch);
    Atomics.store(progress, 0, index);
    const { bytes, seed } = mutant(job.seeds, job.seed, index);
    try {
      if (job.drill?.index === index) DRILLS[job.drill.kind]();
      const outcome = drive(bytes);
      figures.opened += outcome.opened ? 1 : 0;
      figures.payloads += outcome.payload ? 1 : 0;
      figures.debug += outcome.debug ? 1 : 0;
      figures.problems += outcome.problems > 0 ? 1 : 0;
      if (job.compareEvery > 0 && index % job.compareEvery === 0) {
        const original = originals.get(seed) ?? loadObject(seed.bytes, decoders).object!;
        originals.set(seed, original);
        compare(decoders, original, bytes, index / job.compareEvery);
        figures.compared++;
      }
    } catch (error) {
      if (++thrown > 50) break;
      send({ kind: 'threw', index, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
    const took = Date.now() - started;
    if (took > figures.slowest) {
      figures.slowest = took;
      figures.slowestIndex = index;
    }
    figures.objects++;
    if (took > 50 || index % 64 === 0) {
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      figures.memory = Math.max(figures.memory, heapUsed + arrayBuffers);
    }
    if (figures.objects >= 1000) {
      flush();
      // What zlib holds of damaged sections is given back by a callback that waits for its turn.
      await setImmediate();
    }
  }
  flush();
}

void work();
