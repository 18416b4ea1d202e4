import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import { readDwarf } from '../../../server/src/core/dwarf/index.ts';
import type { DwarfFunction, DwarfInfo, LineRow, TypeRef } from '../../../server/src/core/dwarf/types.ts';
import { SHF_EXECINSTR } from '../../../server/src/core/elf/constants.ts';
import { readElf } from '../../../server/src/core/elf/index.ts';
import type { ElfFile } from '../../../server/src/core/elf/types.ts';
import { CASE_COMPILERS, compile, hasTool } from '../../support/cc.ts';
import { COMPILERS, FLAVOURS } from './matrix.ts';
import { PROGRAM, SHARED_HEADER } from './programs.ts';
import { link, SYMBOLIZER, stacksAt } from './symbolizer.ts';

const OPTIONS = { files: { 'shared.h': SHARED_HEADER }, name: 'program.c' };
const SECTIONS = ['-ffunction-sections', '-fdata-sections'];

function read(object: Uint8Array): { elf: ElfFile; dwarf: DwarfInfo } {
  const { elf } = readElf(object);
  assert.ok(elf);
  return { elf, dwarf: readDwarf(elf) };
}

/** Functions and lines at an offset, innermost first, as `addr2line -i` shows them. */
function stackAt(dwarf: DwarfInfo, fn: DwarfFunction, section: number, offset: number): string {
  const covers = (r: { section: number; start: number; end: number }) =>
    r.section === section && offset >= r.start && offset < r.end;
  const chain = fn.inlined.filter((call) => call.ranges.some(covers)).sort((a, b) => a.depth - b.depth);
  const row = rowAt(dwarf.linesOf(section), offset);
  const frames: string[] = [];
  let place = row?.line ? `${basename(row.file)}:${row.line}` : ':0';
  for (const call of chain.reverse()) {
    frames.push(`${call.name} ${place}`);
    place = `${basename(call.call?.file ?? '')}:${call.call?.line ?? 0}`;
  }
  frames.push(`${fn.name} ${place}`);
  return frames.join(' < ');
}

/** The same for an address of an executable. */
function stackAtAddress(elf: ElfFile, dwarf: DwarfInfo, address: bigint): string {
  const section = elf.sections.find(
    (s) => s.flags & SHF_EXECINSTR && address >= s.address && address < s.address + BigInt(s.size),
  );
  assert.ok(section);
  const offset = Number(address - section.address);
  const fn = dwarf.functions.find((f) =>
    f.ranges.some((r) => r.section === section.index && offset >= r.start && offset < r.end),
  );
  assert.ok(fn, `no function at 0x${address.toString(16)}`);
  return stackAt(dwarf, fn, section.index, offset);
}

function rowAt(rows: readonly LineRow[], offset: number): LineRow | undefined {
  return rows.findLast((row) => row.offset <= offset);
}

for (const compiler of COMPILERS) {
  for (const { name, args } of FLAVOURS) {
    for (const level of ['-O0', '-O2', '-O3']) {
      const oracle = SYMBOLIZER !== undefined || name === 'DWARF 4';
      const label = `ranges, lines and inlined calls are those of a symbolizer: ${compiler}, ${name}, ${level}`;
      test(label, { skip: oracle ? false : 'llvm-addr2line is not installed' }, () => {
        const object = compile(PROGRAM, { ...OPTIONS, compiler, args: [level, ...SECTIONS, ...args] });
        const executable = link(object, compiler);
        const linked = read(executable);
        const { elf, dwarf } = read(object);
        const questions: { address: bigint; fromObject: string; fromExecutable: string }[] = [];
        for (const fn of dwarf.functions) {
          for (const range of fn.ranges) {
            const symbol = elf.symbols.find(
              (s) => s.type === 'func' && s.place === range.section && s.offset === range.start,
            );
            const address = linked.elf.symbols.find((s) => s.name === symbol?.name)?.value;
            assert.ok(address !== undefined, `${fn.name} is not in the executable`);
            for (const row of dwarf.linesOf(range.section)) {
              if (row.offset < range.start || row.offset >= range.end) continue;
              const at = address + BigInt(row.offset - range.start);
              questions.push({
                address: at,
                fromObject: stackAt(dwarf, fn, range.section, row.offset),
                fromExecutable: stackAtAddress(linked.elf, linked.dwarf, at),
              });
            }
          }
        }
        const expected = stacksAt(
          executable,
          questions.map((q) => q.address),
          name === 'DWARF 4',
        );
        assert.ok(expected.length > 50, `only ${expected.length} addresses`);
        if (level !== '-O0') assert.ok(expected.filter((stack) => stack.includes(' < ')).length > 10);
        assert.deepEqual(
          questions.map((q) => q.fromObject),
          expected,
        );
        assert.deepEqual(
          questions.map((q) => q.fromExecutable),
          expected,
        );
        assert.deepEqual([...dwarf.problems, ...linked.dwarf.problems], []);
      });
    }

    test(`functions cover their symbols: ${compiler}, ${name}`, () => {
      const object = compile(PROGRAM, { ...OPTIONS, compiler, args: ['-O2', ...SECTIONS, ...args] });
      const { elf, dwarf } = read(object);
      for (const symbol of elf.symbols) {
        if (symbol.type !== 'func' || typeof symbol.place !== 'number' || symbol.size === 0) continue;
        const fn = dwarf.functions.find((f) =>
          f.ranges.some(
            (r) => r.section === symbol.place && r.start <= symbol.offset && r.end >= symbol.offset + symbol.size,
          ),
        );
        assert.ok(fn, `no function covers ${symbol.name}`);
        assert.equal(fn.name, symbol.name.replace(/\..*$/, ''));
        assert.equal(fn.external, symbol.bind === 'global' || symbol.name.includes('.cold'), symbol.name);
      }
      const covered = dwarf.functions.flatMap((fn) => fn.ranges).map((r) => elf.sections[r.section]!);
      for (const section of covered) assert.ok(section.flags & SHF_EXECINSTR);
    });

    test(`variables are where their symbols are: ${compiler}, ${name}`, () => {
      const object = compile(PROGRAM, { ...OPTIONS, compiler, args: ['-O2', ...SECTIONS, ...args] });
      const { elf, dwarf } = read(object);
      const placed = new Map<string, string>();
      for (const symbol of elf.symbols) {
        if (symbol.type !== 'object' && symbol.type !== 'tls') continue;
        if (typeof symbol.place !== 'number' || symbol.name.startsWith('.')) continue;
        if (/^(switch\.table|reltable)\./.test(symbol.name)) continue; // made by the compiler
        // clang names static locals function.name, gcc name.number.
        const bare = symbol.name.replace(/\.\d+$/, '').replace(/^\w+\./, '');
        placed.set(`${symbol.place}:${symbol.offset}`, bare);
        const variables = dwarf.variables.filter(
          (v) => v.place?.section === symbol.place && v.place.offset === symbol.offset,
        );
        assert.deepEqual(
          variables.map((v) => [v.name, v.external, v.declaration]),
          [[bare, symbol.bind === 'global', false]],
          symbol.name,
        );
        assert.equal(dwarf.types[variables[0]!.type]?.size, symbol.size, symbol.name);
      }
      for (const variable of dwarf.variables) {
        if (!variable.place) continue;
        if (variable.name === '') {
          // clang 15 and later describe string literals, too.
          assert.match(elf.sections[variable.place.section]!.name, /^\.rodata\.str/);
          continue;
        }
        assert.equal(placed.get(`${variable.place.section}:${variable.place.offset}`), variable.name);
      }
      const scopes = Object.fromEntries(dwarf.variables.filter((v) => v.scope).map((v) => [v.name, v.scope]));
      assert.deepEqual(scopes, {
        calls: 'counts',
        calls_inner: 'counts',
        leaf_calls: 'leaf',
        // clang folds the table away.
        ...(compiler.startsWith('clang') ? {} : { names: 'counts' }),
        seen: 'in_header',
      });
      const outside = dwarf.variables.find((v) => v.name === 'outside_int');
      // clang does not write declarations of variables.
      if (outside || !compiler.startsWith('clang'))
        assert.deepEqual([outside?.declaration, outside?.external, outside?.place], [true, true, undefined]);
    });

    test(`signatures are those of the source: ${compiler}, ${name}`, () => {
      const args0 = ['-O2', ...SECTIONS, ...args];
      const { dwarf } = read(compile(PROGRAM, { ...OPTIONS, compiler, args: args0 }));
      const defined = dwarf.prototypes.filter((p) => p.defined);
      assert.deepEqual([...new Set(defined.map((p) => p.name))].sort(), [
        'counts',
        'format',
        'give_up',
        'in_header',
        'leaf',
        'main',
        'middle',
        'specialised',
        'top',
        'wide',
      ]);
      const checked = dwarf.prototypes.filter((p) => !p.name.startsWith('__builtin'));
      const asserts = checked.map(({ name: fn, returnType, parameters, variadic }) => {
        const list = parameters.map((p) => cType(dwarf, p.type)).concat(variadic ? ['...'] : []);
        const type = `${cType(dwarf, returnType)} (${list.join(', ') || 'void'})`;
        return `_Static_assert(__builtin_types_compatible_p(__typeof__(${fn}), ${type}), "${fn} is not ${type}");`;
      });
      // The compiler is the judge: it refuses the source where a signature differs.
      compile(`${PROGRAM}\n${asserts.join('\n')}\n`, { ...OPTIONS, compiler, args: args0 });
      assert.throws(() =>
        compile(`${PROGRAM}\n${asserts.join('\n').replace('int (int, int)', 'int (int, long)')}\n`, {
          ...OPTIONS,
          compiler,
          args: args0,
        }),
      );
      const wide = dwarf.functions.find((f) => f.name === 'wide');
      assert.deepEqual(
        wide?.parameters.map((p) => p.name),
        ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'],
      );
      assert.deepEqual(
        wide?.parameters.map((p) => p.type),
        dwarf.prototypes.find((p) => p.name === 'wide')?.parameters.map((p) => p.type),
      );
      assert.equal(dwarf.functions.find((f) => f.name === 'give_up')?.noreturn, name !== 'DWARF 3');
      assert.equal(dwarf.functions.find((f) => f.name === 'top')?.noreturn, false);
      assert.equal(dwarf.functions.find((f) => f.name === 'format')?.variadic, true);
      assert.equal(dwarf.prototypes.find((p) => p.name === 'leaf')?.inlined, true);
      assert.equal(dwarf.prototypes.find((p) => p.name === 'main')?.inlined, false);
    });

    test(`places and local types: ${compiler}, ${name}`, () => {
      const { dwarf } = read(compile(PROGRAM, { ...OPTIONS, compiler, args: ['-O2', ...SECTIONS, ...args] }));
      const lines = PROGRAM.split('\n');
      const top = dwarf.functions.find((f) => f.name === 'top')!;
      const start = lines.findIndex((text) => text.startsWith('int top(')) + 1;
      assert.deepEqual([top.decl?.file, top.decl?.line], ['/src/program.c', start]);
      // gcc gives the closing brace a line, clang only the return.
      const brace = lines.findIndex((text, i) => i >= start && text === '}') + 1;
      assert.ok(top.endLine === brace || (compiler.startsWith('clang') && top.endLine === brace - 1), `${top.endLine}`);
      const names = top.localTypes.map((type) => dwarf.types[type]!.name);
      assert.ok(names.includes('item') && names.includes('rare') && names.includes('int'), names.join());
      const counts = dwarf.functions.find((f) => f.name === 'counts')!;
      // Its statics are no automatic variables: only the parameter is left.
      const locals = counts.localTypes.map((type) => dwarf.types[type]!);
      // (A static that clang folded away has no place any more and cannot be told from an automatic one.)
      const told = compiler.startsWith('clang') ? locals.filter((type) => type.kind !== 'array') : locals;
      assert.deepEqual(
        told.map((type) => type.name),
        ['int'],
      );
      const header = top.inlined.find((call) => call.name === 'in_header');
      assert.equal(header?.decl?.file, '/src/shared.h');
      assert.equal(header?.call?.line, lines.findIndex((text) => text.includes('in_header(b)')) + 1);
      assert.equal(dwarf.units.length, 1);
      assert.match(dwarf.units[0]!.producer, compiler.startsWith('clang') ? /clang version/ : /GNU C/);
      assert.deepEqual([dwarf.units[0]!.name, dwarf.units[0]!.compDir], ['program.c', '/src']);
      assert.equal(dwarf.units[0]!.version, Number(/\d/.exec(args[0]!)![0]));
    });
  }
}

/** A type in C, as an abstract declarator that the compiler accepts. */
function cType(dwarf: DwarfInfo, ref: TypeRef): string {
  const type = dwarf.types[ref];
  if (!type) return 'void';
  switch (type.kind) {
    case 'base':
    case 'typedef':
      return type.name;
    case 'pointer':
      // The compiler's own tag cannot be written; its typedef decays to the pointer.
      if (dwarf.types[type.target]?.name === '__va_list_tag') return '__builtin_va_list';
      return `__typeof__(${cType(dwarf, type.target)}) *`;
    case 'struct':
    case 'union':
    case 'enum':
      return `${type.kind} ${type.name}`;
    case 'const':
    case 'volatile':
    case 'restrict':
      return `${cType(dwarf, type.target)} ${type.kind}`;
    case 'function':
      return `__typeof__(${cType(dwarf, type.target)} (${type.parameters.map((p) => cType(dwarf, p)).join(', ') || 'void'}))`;
    default:
      throw new Error(`No C for ${type.kind} ${type.name}`);
  }
}

for (const compiler of CASE_COMPILERS) {
  test(`statics of one name in blocks of an inlined function, which has no body of its own: ${compiler}`, {
    skip: !hasTool(compiler) && `${compiler} is not installed`,
  }, () => {
    const source = `int ext(int);
static inline __attribute__((always_inline)) int both(int a)
{
  if (a > 3) { static int seen; return seen += ext(a); }
  if (a > 2) { static int seen; return seen ^= ext(a); }
  static int seen;
  return seen -= ext(a);
}
int f(int a) { return both(a) + 1; }
int g(int a) { return both(a) * 2; }
`;
    const { dwarf } = read(compile(source, { compiler }));
    const statics = dwarf.variables.filter(({ place }) => place !== undefined);
    assert.deepEqual(
      statics.map(({ name, scope, decl }) => `${scope}: ${name}, line ${decl?.line}`).sort(),
      [4, 5, 6].map((line) => `both: seen, line ${line}`),
    );
  });
}
