// Makes the listings of a function as the diff editor shows them, in a process that has not done so before. Arguments: two objects, and the
// function. Output: one line of JSON, milliseconds of this thread: for reading and comparing the objects (done when a file is saved), and for the
// listings of both sides (done when they are opened).
import { readFileSync } from 'node:fs';
import { createAnalyser, fileProvenance } from '../../server/src/analyse.ts';
import { listFunction } from '../../server/src/core/asm/listing.ts';
import { rowKinds } from '../../server/src/core/diff/noise.ts';
import { alignRows } from '../../server/src/core/diff/rows.ts';
import { renderPair } from '../../server/src/core/render/asm.ts';

const [base, next, name] = process.argv.slice(2) as [string, string, string];
/** Milliseconds that this thread has run: waiting for a processor that others use does not count. */
function threadTime(): number {
  // Makes the kernel bring the figure up to date, which it else does a few hundred times a second.
  process.cpuUsage();
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

async function main(): Promise<void> {
  const began = threadTime();
  const analyser = await createAnalyser();
  const [before, after] = [base, next].map((path) => analyser.load(readFileSync(path)).object);
  if (!before || !after) throw new Error('the objects do not load');
  const { diff } = analyser.compare(before, after, fileProvenance(base, next), undefined, ['process']);
  const change = diff.functions.find((one) => one.name === name);
  if (!change?.base || !change.next) throw new Error(`${name} was not found to have changed`);
  const compared = threadTime();
  const rows = alignRows(listFunction(before, change.base), listFunction(after, change.next));
  const kinds = rowKinds(rows, undefined);
  const pair = renderPair(rows);
  const texts = [pair.base, pair.next].map((lines) => lines.map(({ text }) => `${text}\n`).join(''));
  const listed = threadTime();
  console.log(
    JSON.stringify({
      instructions: change.nextInstructions,
      differing: kinds.filter((kind) => kind !== 'same').length,
      characters: texts.reduce((sum, text) => sum + text.length, 0),
      compare: compared - began,
      listing: listed - compared,
    }),
  );
}

void main();
