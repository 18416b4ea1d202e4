import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DwarfInfo, DwarfType } from '../../../server/src/core/dwarf/types.ts';

/** One thing that the compiled program can measure about itself. */
export interface Probe {
  /** C expression of the type, e.g. `struct foo`. */
  readonly type: string;
  /** Member path, e.g. `s.z`; empty for the type itself. */
  readonly path: string;
  /** What was read from the debug information: first bit and number of bits. */
  readonly bit: number;
  readonly bits: number;
  readonly bitField: boolean;
}

/** Everything measurable about the named structs and unions: sizes, and each named member through anonymous ones. */
export function probesOf(info: DwarfInfo): Probe[] {
  const probes: Probe[] = [];
  const seen = new Set<string>();
  for (const type of info.types) {
    if ((type.kind !== 'struct' && type.kind !== 'union') || type.name === '' || type.declaration) continue;
    const name = `${type.kind} ${type.name}`;
    if (seen.has(name)) continue;
    seen.add(name);
    probes.push({ type: name, path: '', bit: 0, bits: (type.size ?? -1) * 8, bitField: false });
    members(info, type, name, '', 0, probes);
  }
  return probes;
}

function members(info: DwarfInfo, type: DwarfType, name: string, prefix: string, base: number, into: Probe[]): void {
  for (const member of type.members) {
    let inner = info.types[member.type];
    while (inner && (inner.kind === 'const' || inner.kind === 'volatile')) inner = info.types[inner.target];
    const nested = inner && (inner.kind === 'struct' || inner.kind === 'union') && inner.name === '';
    const path = prefix + member.name;
    if (nested) {
      members(info, inner!, name, member.name === '' ? prefix : `${path}.`, base + member.bitOffset, into);
    }
    if (member.name === '') continue;
    into.push({ type: name, path, bit: base + member.bitOffset, bits: member.bitSize, bitField: member.bitField });
  }
}

/** Compiles a program that sets each member to all ones and finds where they are; gives `first bit, number of bits` for each probe. */
export function measure(source: string, probes: readonly Probe[], compiler: string): { bit: number; bits: number }[] {
  const body = probes.map(({ type, path, bitField, bits }) => {
    if (path === '') return `printf("0 %zu\\n", sizeof(${type}) * 8);`;
    // Sizes of flexible arrays and of members without bytes cannot be asked for.
    if (!bitField && bits === 0) return `printf("%zu 0\\n", __builtin_offsetof(${type}, ${path}) * 8);`;
    if (!bitField) {
      return `printf("%zu %zu\\n", __builtin_offsetof(${type}, ${path}) * 8, sizeof(((${type} *)0)->${path}) * 8);`;
    }
    return `{ static union { ${type} v; unsigned char b[sizeof(${type})]; } u; u.v.${path} = -1; if (!u.v.${path}) u.v.${path} = 1; scan(u.b, sizeof u.b); }`;
  });
  const program = `${source}
#include <stdio.h>
static void scan(const unsigned char *b, unsigned long n) {
  long first = -1, last = -1;
  for (unsigned long i = 0; i < n * 8; i++) if (b[i / 8] >> (i % 8) & 1) { if (first < 0) first = (long)i; last = (long)i; }
  printf("%ld %ld\\n", first, last - first + 1);
}
int main(void) { ${body.join('\n')} return 0; }
`;
  const folder = mkdtempSync(join(tmpdir(), 'lpa-probe-'));
  try {
    writeFileSync(join(folder, 'probe.c'), program);
    const built = spawnSync(compiler, ['-w', '-O0', 'probe.c', '-o', 'probe'], { cwd: folder, encoding: 'utf8' });
    if (built.status !== 0) throw new Error(`${compiler} failed:\n${built.stderr}`);
    const run = spawnSync(join(folder, 'probe'), [], { encoding: 'utf8' });
    if (run.status !== 0) throw new Error(`The probe ended with ${run.status ?? run.signal}.`);
    return run.stdout
      .trim()
      .split('\n')
      .map((line) => {
        const [bit, bits] = line.split(' ').map(Number);
        return { bit: bit!, bits: bits! };
      });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
