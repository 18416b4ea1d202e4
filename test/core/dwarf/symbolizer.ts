import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { hasTool } from '../../support/cc.ts';

/**
 * Tools that tell functions and lines of an address. binutils 2.40 names the wrong file for DWARF 5 tables and misses
 * inlined calls in 64-bit DWARF, so LLVM's is asked where it is installed, and binutils for plain DWARF 4 only.
 */
export const SYMBOLIZER = ['llvm-addr2line', 'llvm-addr2line-14'].find(hasTool);

/** Links an object on its own, whatever it leaves undefined, and gives the executable. */
export function link(object: Uint8Array, compiler: string): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-link-'));
  try {
    writeFileSync(join(folder, 'unit.o'), object);
    const args = ['unit.o', '-o', 'exe', '-no-pie', '-nostdlib', '-Wl,--unresolved-symbols=ignore-all', '-Wl,-e,main'];
    const run = spawnSync(compiler, args, { cwd: folder, encoding: 'utf8' });
    if (run.status !== 0) throw new Error(run.stderr);
    return new Uint8Array(readFileSync(join(folder, 'exe')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Functions and lines at each address of an executable, innermost first: `leaf a.c:3 < top a.c:9`. */
export function stacksAt(executable: Uint8Array, addresses: readonly bigint[], dwarf4: boolean): string[] {
  const tool = SYMBOLIZER ?? (dwarf4 ? 'addr2line' : undefined);
  if (!tool) throw new Error('There is no symbolizer.');
  const folder = mkdtempSync(join(tmpdir(), 'lpa-a2l-'));
  try {
    const file = join(folder, 'exe');
    writeFileSync(file, executable);
    const run = spawnSync(tool, ['-a', '-i', '-f', '-e', file], {
      encoding: 'utf8',
      input: `${addresses.map((address) => `0x${address.toString(16)}`).join('\n')}\n`,
      maxBuffer: 1 << 28,
    });
    return parse(run.stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function parse(text: string): string[] {
  const stacks: string[] = [];
  const lines = text.trim().split('\n');
  for (let i = 0; i < lines.length; ) {
    i++; // the address
    const frames: string[] = [];
    for (; i < lines.length && !lines[i]!.startsWith('0x'); i += 2) {
      const place = basename(lines[i + 1]!.replace(/ \(discriminator \d+\)$/, ''));
      // Compiler clones are told by their symbol; debug information speaks of the function of the source.
      const name = lines[i]!.replace(/\.(constprop|isra|part|cold)\b.*$/, '');
      frames.push(`${name} ${place.replace(/^.*:[?0]$/, ':0')}`);
    }
    stacks.push(frames.join(' < '));
  }
  return stacks;
}
