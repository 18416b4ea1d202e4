import { spawnSync } from 'node:child_process';
import { deflateSync } from 'node:zlib';
import * as d from '../../server/src/core/dwarf/constants.ts';
import { DwarfData } from '../../server/src/core/dwarf/data.ts';
import { skipForm } from '../../server/src/core/dwarf/die.ts';
import { readDwarf } from '../../server/src/core/dwarf/index.ts';
import { ProblemLog } from '../../server/src/core/dwarf/problems.ts';
import { readElf } from '../../server/src/core/elf/index.ts';
import { specialKind } from '../../server/src/core/special/index.ts';
import { inflate } from '../../server/src/shell/inflate.ts';
import { COMPILERS } from '../core/dwarf/matrix.ts';
import { runIn } from '../core/elf/readelf.ts';
import { MACROS } from '../core/special/macros.ts';
import { Program } from '../process/program.ts';
import { compile } from '../support/cc.ts';
import { packDebugSections } from '../support/pack-sections.ts';

/** A region of a seed by what it holds, so that mutations hit meaning and not padding. */
export interface Region {
  readonly kind:
    | 'header'
    | 'section-table'
    | 'symbols'
    | 'relocations'
    | 'info'
    | 'abbrev'
    | 'line'
    | 'lists'
    | 'strings'
    | 'code'
    | 'special'
    | 'packed'
    | 'other';
  readonly start: number;
  readonly end: number;
}

/** A real object to mutate. */
export interface Seed {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly regions: readonly Region[];
  /** File offsets of 4-byte references in .debug_info, and the unit-relative offsets of all entries: to redirect one to another. */
  readonly references: readonly number[];
  readonly entries: readonly number[];
}

const SOURCES: Readonly<Record<string, string>> = {
  layout: `
    typedef unsigned u; enum e { A, B = 5 };
    struct s { int a:3; u b:7; struct s *next; union { char c[3][2]; long l; }; enum e k; int (*f)(struct s *, ...); int tail[]; };
    typedef struct { struct s *p; const volatile u cv; } t;
    extern t made; t made; int get(struct s *s) { return s->b + made.cv; }`,
  inline: `
    static inline int leaf(int x) { static int n; return x + n++; }
    static inline int mid(int x) { for (int i = 0; i < x; i++) x += leaf(i); return x; }
    extern int out(int); __thread int tls;
    __attribute__((noinline)) static int cold(int x) { if (__builtin_expect(x > 9, 0)) __builtin_abort(); return out(x); }
    int top(int a) { struct loc { int q; } l = { a }; tls += l.q; return mid(a) + cold(a); }
    int sw(int a) { switch (a) { case 0: return out(1); case 1: return 7; case 2: return out(4); case 3: return 9; case 4: return 2; } return 0; }`,
  data: `
    const char *names[] = {"a", "bc"}; static int arr[4] = {1, 2}; int zero[10]; const double pi = 3.14;
    const char *name(int i) { return names[i & 1]; } int add(int i) { return arr[i & 3] += zero[i]; }`,
};

/** Uses every macro of special sections. */
const SPECIAL = `
  struct key k; extern struct key other;
  int f(int a) { asm volatile(ALT14("nop;nop;nop", "stac", 0x134)); if (a > 3) WARN(); if (BRANCH(&k, 1)) return ext(a); if (BRANCH(&other, 0)) return 7; return a; }
  int g(int *a) { int r = 0; asm volatile("1: mov (%1),%0\\n2:\\n.pushsection .fixup,\\"ax\\"\\n3: xor %0,%0\\n jmp 2b\\n.popsection\\n" EX12("1b","3b",1) : "+r"(r) : "r"(a)); asm volatile(LOCK "incl %0" : "+m"(*a)); CALL_STATIC(thing); return r; }
  int x(int a) { if (a) XBUG(); asm volatile(XEX("661b", "662b") ALT14(".nops 5", "call ext", 0x75)); return ext(a); }
  struct _ddebug { const char *m, *f, *n, *t; unsigned lineno : 18; } site __attribute__((section("__dyndbg"), used)) = {"a", "b", "c", "d", 77};
  void naked(void); asm(".pushsection .text.naked,\\"ax\\"\\n.type naked,@function\\nnaked: " RETSITE "ret\\n.size naked,.-naked\\n.popsection");`;

const FLAGS: readonly (readonly string[])[] = [
  ['-O2', '-gdwarf-5', '-ffunction-sections', '-fdata-sections'],
  ['-O2', '-gdwarf-4', '-ffunction-sections', '-fdata-sections'],
  ['-O1', '-gdwarf-5', '-fdebug-types-section'],
  ['-O2', '-gdwarf-5', '-gdwarf64'],
  ['-O0', '-gdwarf-4', '-fdebug-types-section'],
];

/** A payload of the process target: code, strings, new data and calls to the program, to mutate like any object. */
async function payloadBytes(): Promise<Uint8Array[]> {
  const source = (step: string) => `#include <stdio.h>
    int state = 1; static int seen[4]; __thread int mine;
    __attribute__((noinline)) int next(int a) { seen[a & 3]++; return a * 3 + state + seen[1]; }
    __attribute__((noinline)) int tick(int a) { ${step} return next(a) + 1; }
    int main(int argc, char **argv) { for (;;) printf("%d\\n", tick(argc) + next(argc)); }`;
  const program = new Program({ 'unit.c': source('') }, { link: ['-Wl,--build-id'] });
  try {
    const step = 'static int ticks; printf("tick %d\\n", ++ticks); state += a;';
    // Thread-local and far data, a jump table, a wide string and a 16-byte constant.
    const more = `fputs("", stderr); mine += ticks; static int made_common; made_common++;
      switch (a) { case 0: a = printf("%ls", L"wide"); break; case 1: state = 5; break; case 2: a *= state; break; case 3: puts("three"); break; case 4: next(5); break; case 5: seen[1] = 2; }`;
    return [
      await program.payload({ 'unit.c': source(step) }),
      await program.payload({ 'unit.c': source(step + more) }, { overrides: { 'tls-changed': 'a seed' } }),
    ];
  } finally {
    program.dispose();
  }
}

/** Compiles the seeds: small, so that each mutation matters and a hundred thousand of them are quick. */
export async function makeSeeds(): Promise<Seed[]> {
  const seeds: Seed[] = [];
  for (const compiler of COMPILERS) {
    for (const [name, source] of Object.entries(SOURCES)) {
      for (const args of FLAGS) {
        const bytes = compile(source, { compiler, args: [...args, '-fno-asynchronous-unwind-tables', '-w'] });
        seeds.push(prepare(`${name} ${compiler} ${args.join(' ')}`, bytes));
      }
    }
    const shared = [
      '-shared',
      '-fPIC',
      '-nostdlib',
      '-g',
      '-O1',
      '-Wl,--build-id',
      '-Wl,-z,noseparate-code',
      '-o',
      'out',
      'in.c',
    ];
    seeds.push(prepare(`shared ${compiler}`, runIn({ 'in.c': SOURCES.data! }, compiler, shared, 'out').bytes));
  }
  seeds.push(...unusualSeeds());
  const payloads = (await payloadBytes()).map((bytes, index) => prepare(`payload ${index + 1}`, bytes));
  // Twice each, to have them drawn more often.
  seeds.push(...payloads, ...payloads);
  return seeds;
}

/** Kernel code with every special section, compressed debug sections, and objects for another machine. */
function unusualSeeds(): Seed[] {
  const seeds: Seed[] = [];
  const kernel = ['-O2', '-g', '-fno-pic', '-ffunction-sections', '-fdata-sections', '-w'];
  for (const compiler of COMPILERS)
    seeds.push(prepare(`special ${compiler}`, compile(MACROS + SPECIAL, { compiler, args: kernel })));
  for (const source of [SOURCES.layout!, SOURCES.inline!]) {
    const plain = compile(source, { args: ['-O1', '-gdwarf-5'] });
    seeds.push(
      prepare(
        'zlib',
        packDebugSections(plain, 1, (data) => deflateSync(data)),
      ),
    );
    const zstd = (data: Uint8Array) => {
      const run = spawnSync('zstd', ['-q', '-c', '-9'], { input: data });
      return run.status === 0 ? new Uint8Array(run.stdout) : storedZstd(data);
    };
    seeds.push(prepare('zstd', packDebugSections(plain, 2, zstd)));
    if (!COMPILERS.includes('clang')) continue;
    const args = ['--target=aarch64-linux-gnu', '-O2', '-g', '-ffunction-sections', '-w'];
    seeds.push(prepare('aarch64', compile(source, { compiler: 'clang', args })));
  }
  // Each twice, to have them drawn more often.
  return [...seeds, ...seeds];
}

/** A frame of one stored block, for machines without the zstd tool. */
function storedZstd(data: Uint8Array): Uint8Array {
  const head = Buffer.from('28b52ffda000000000010000', 'hex');
  head.writeUInt32LE(data.length, 5);
  head.writeUIntLE(data.length * 8 + 1, 9, 3);
  return new Uint8Array(Buffer.concat([head, data]));
}

/** Finds out where in a seed what lies. */
export function prepare(name: string, bytes: Uint8Array): Seed {
  const elf = readElf(bytes, { inflate }).elf!;
  const regions: Region[] = [{ kind: 'header', start: 0, end: 64 }];
  const table = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(40, true));
  regions.push({ kind: 'section-table', start: table, end: table + elf.sections.length * 64 });
  for (const section of elf.sections) {
    if (section.type === 8 || section.type === 0 || section.size === 0) continue;
    regions.push({
      kind: section.flags & 0x800 ? 'packed' : kindOf(section.name, section.type),
      start: section.offset,
      end: section.offset + section.size,
    });
  }
  const references: number[] = [];
  const entries: number[] = [];
  // In a compressed section there are no places to change.
  const packed = elf.sections.some(({ flags }) => flags & 0x800);
  if (!packed && readDwarf(elf).present) collect(new DwarfData(elf, new ProblemLog()), references, entries);
  return { name, bytes, regions, references, entries };
}

function kindOf(name: string, type: number): Region['kind'] {
  if (type === 2 || type === 11) return 'symbols';
  if (type === 4) return 'relocations';
  if (/^\.debug_(info|types)/.test(name)) return 'info';
  if (name === '.debug_abbrev') return 'abbrev';
  if (name === '.debug_line') return 'line';
  if (/^\.debug_(rnglists|ranges|addr|str_offsets|loclists|loc)$/.test(name)) return 'lists';
  if (type === 3 || name.includes('str')) return 'strings';
  if (name.startsWith('.text')) return 'code';
  return specialKind(name) ? 'special' : 'other';
}

/** Walks all entries and notes their offsets and those of their references. */
function collect(data: DwarfData, references: number[], entries: number[]): void {
  for (const unit of data.units) {
    const base = data.elf.sections[unit.section.index]!.offset;
    const reader = unit.reader();
    while (reader.pos < unit.end) {
      const at = reader.pos;
      const abbrev = unit.next(reader);
      if (!abbrev) continue;
      entries.push(at - unit.start);
      for (const form of abbrev.forms) {
        if (form === d.DW_FORM_ref4) references.push(base + reader.pos);
        const size = unit.fixedFormSize(form);
        if (size >= 0) reader.pos += size;
        else skipForm(reader, form, unit);
      }
    }
  }
}
