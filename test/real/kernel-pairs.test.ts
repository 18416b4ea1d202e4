import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type KernelPair, kernelPairs } from '../../bench/lib/kernel.mjs';
import { createAnalyser } from '../../server/src/analyse.ts';
import type { FunctionChange } from '../../server/src/core/diff/types.ts';
import { relocationWidth } from '../../server/src/core/elf/constants.ts';
import type { ElfFile, ElfSymbol } from '../../server/src/core/elf/types.ts';
import type { ObjectModel } from '../../server/src/core/object.ts';

// Units of a kernel, each with one function edited by rule: what is reported as changed is that function, or has a reason that leads to it, or
// code that really differs, by a comparison that knows nothing of ours. Where the pairs are at hand (npm run bench makes them) all are compared;
// LIVEPATCH_KERNEL=1 makes a dozen of them first.
const DOZEN = `lib/bitmap.c lib/xarray.c fs/pipe.c fs/file.c fs/read_write.c mm/shmem.c mm/filemap.c kernel/fork.c kernel/signal.c kernel/workqueue.c net/socket.c net/ipv4/udp.c`;

const say = (text: string) => console.log(`    ${text}`);
const made =
  (await kernelPairs(say, { smallest: 0, atHand: true })) ??
  (await kernelPairs(say, { smallest: 0, units: DOZEN.split(' '), atHand: true }));
const skip =
  made === undefined && process.env.LIVEPATCH_KERNEL !== '1'
    ? 'no kernel pairs at hand: npm run bench makes them, LIVEPATCH_KERNEL=1 a dozen (about 6 minutes, 140 MB)'
    : false;

const plain = (name: string) => name.replace(/\.\d+(?=\.|$)/g, '');
/** `f` of `f.cold`, `f.isra.0.cold`. */
const root = (name: string) => name.split('.')[0]!;

/**
 * What a function is made of, by name: its bytes with the relocated fields blank, and what the relocations name. Numbers in names, places of
 * strings and of nameless constants are left out: a difference of these alone is none, and is not looked for here.
 */
function codeOf(elf: ElfFile): Map<string, string> {
  const found = new Map<string, string[]>();
  for (const symbol of elf.symbols) {
    if (symbol.type !== 'func' || typeof symbol.place !== 'number' || symbol.size === 0) continue;
    const section = elf.sections[symbol.place]!;
    const end = symbol.offset + symbol.size;
    const bytes = Buffer.from(section.data.subarray(symbol.offset, end));
    const references: string[] = [];
    for (const { offset, type, symbol: index, addend } of elf.relocationsOf(section.index)) {
      if (offset < symbol.offset || offset >= end) continue;
      const width = relocationWidth(elf.machine, type) || 4;
      bytes.fill(0, offset - symbol.offset, Math.min(bytes.length, offset - symbol.offset + width));
      references.push(`${offset - symbol.offset} ${nameOf(elf, elf.symbols[index]!, addend)}`);
    }
    const key = plain(symbol.name);
    found.set(key, [...(found.get(key) ?? []), `${bytes.toString('hex')}\n${references.join('\n')}`]);
  }
  return new Map([...found].map(([name, bodies]) => [name, bodies.sort().join('\n\n')]));
}

function nameOf(elf: ElfFile, symbol: ElfSymbol, addend: number): string {
  const section = typeof symbol.place === 'number' ? elf.sections[symbol.place]! : undefined;
  if (section && (section.flags & 0x10) !== 0) {
    if ((section.flags & 0x20) === 0) return 'constant';
    // The place is in front of the end of the instruction: text from the next start on.
    const at = symbol.offset + addend;
    const from = [at + 4, at].find((one) => one === 0 || section.data[one - 1] === 0) ?? at;
    return `"${Buffer.from(section.data.subarray(from, section.data.indexOf(0, from))).toString('latin1')}"`;
  }
  const name = symbol.type === 'section' ? (section?.name ?? '') : symbol.name;
  return /^\.rodata$|^\.L/.test(name) ? 'constant' : `${plain(name)}+${addend}`;
}

/** Functions that hold an inlined copy of another, by debug information. */
function hostsOf({ dwarf }: ObjectModel, name: string): string[] {
  return dwarf.functions.filter(({ inlined }) => inlined.some((one) => one.name === name)).map((one) => one.name);
}

/** Does a chain of reasons lead from a change to the edited function? */
function leadsTo(change: FunctionChange, edited: string, changes: ReadonlyMap<string, FunctionChange>): boolean {
  const seen = new Set<string>();
  const follow = (one: FunctionChange): boolean => {
    if (seen.has(one.name)) return false;
    seen.add(one.name);
    if (root(one.name) === edited) return true;
    return one.reasons.some(({ kind, detail }) => {
      const words: readonly string[] = detail.match(/[A-Za-z_][\w.]*/g) ?? [];
      if (words.some((word) => root(word) === edited)) return true;
      if (kind !== 'inlined-callee' && kind !== 'clone') return false;
      return words.some((word) => [...changes.values()].some((other) => other.name === word && follow(other)));
    });
  };
  return follow(change);
}

describe('pairs of kernel units', { skip }, () => {
  it('what is reported is the edited function, or follows from it, or differs', async (t) => {
    const pairs: readonly KernelPair[] = made ?? (await kernelPairs(say, { smallest: 0, units: DOZEN.split(' ') }));
    const { load, compare } = await createAnalyser();
    const tally = { edited: 0, lead: 0, differ: 0, lineOnly: 0, same: 0 };
    const wrong: string[] = [];
    for (const { unit, base, next, edited, edit } of pairs) {
      const read = (path: string) => load(new Uint8Array(readFileSync(path))).object!;
      const [from, to] = [read(base), read(next)];
      const provenance = { unit, baseCommand: [], nextCommand: [], compiler: 'gcc', baseline: 'test' };
      const { diff } = compare(from, to, provenance, undefined, ['linux']);
      tally.same += diff.sameFunctions;
      const [before, after] = [codeOf(from.elf), codeOf(to.elf)];
      const differs = (name: string) => before.get(plain(name)) !== after.get(plain(name));
      const changes = new Map(diff.functions.map((one) => [one.name, one]));
      // The edit is seen: in the function, in a part of it, or in what it was inlined into.
      const hosts = new Set([...hostsOf(from, edited), ...hostsOf(to, edited)]);
      const leads = (one: FunctionChange) => hosts.has(root(one.name)) || leadsTo(one, edited, changes);
      const seen = diff.functions.some((one) => !one.lineOnly && leads(one));
      const any = [...new Set([...before.keys(), ...after.keys()])].some(differs);
      if (!seen && any) wrong.push(`${unit}: the edit of ${edited} (${edit}) is not seen`);
      for (const one of diff.functions) {
        if (one.lineOnly) tally.lineOnly++;
        else if (root(one.name) === edited) tally.edited++;
        else if (leads(one)) tally.lead++;
        else if (differs(one.name)) tally.differ++;
        else if (!one.reasons.some(({ kind }) => ['table', 'constant', 'string', 'special', 'clone'].includes(kind)))
          wrong.push(`${unit}: ${one.name} is reported, and nothing says why: ${JSON.stringify(one.reasons)}`);
      }
      // Nothing whose code differs is missed.
      const reported = new Set(diff.functions.map(({ name }) => plain(name)));
      for (const name of new Set([...before.keys(), ...after.keys()]))
        if (differs(name) && !reported.has(name)) wrong.push(`${unit}: ${name} differs and is not reported`);
    }
    t.diagnostic(`${pairs.length} units, ${JSON.stringify(tally)}`);
    assert.deepEqual(wrong, []);
    assert.ok(tally.edited >= pairs.length / 2, JSON.stringify(tally));
  });
});
