import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';
import { MACROS } from '../special/macros.ts';

const args = ['-O2', '-g', '-fno-pic', '-ffunction-sections', '-fdata-sections'];
const files = { base: { 'kernel.h': MACROS }, next: { 'kernel.h': MACROS } };
/** Plain functions have no ftrace hook; that is not what these are about. */
const ignore = ['not-traceable', 'func-too-small', 'fnptr-identity'];
const common = { args, files, ignore } as const;

const load = (to: string, last = 'r') => `#include "kernel.h"
int f(int *a) {
  int r = 1;
  asm volatile("1: mov (%1),%0\\n2: incl %0\\n3:\\n" EX12("1b", "${to}", 3) : "+r"(r) : "r"(a));
  return ${last};
}
`;
const at = (source: string, marker: string, line: number) => source.split('\n').toSpliced(line, 0, marker).join('\n');

hazard('special-section-changed: a fault continues elsewhere', {
  ...common,
  target: 'linux',
  base: load('2b'),
  next: at(load('3b'), '//^^^ special-section-changed review', 4),
});
hazard('special-section-changed: what programs do not know stays old', {
  ...common,
  base: load('2b'),
  next: at(load('3b'), '//^^^ special-section-changed blocker', 4),
});
hazard('special-section-changed: not for the same entries at other lines', {
  ...common,
  target: 'linux',
  base: `${load('3b')}int g(int a) { if (a) WARN(); return ext(a); }\n`,
  next: `\n/* more */\n${load('3b')}\n\nint g(int a) { if (a) WARN(); return ext(a); }\n`,
});

hazard('special-section: Xen does not read .ex_table.pre from a payload', {
  ...common,
  target: 'xen',
  base: `#include "kernel.h"
int f(int *a) { int r = 1; asm volatile("1: mov (%1),%0\\n2:\\n.pushsection .ex_table.pre,\\"a\\"\\n.long 1b-.\\n.long 2b-.\\n.popsection" : "+r"(r) : "r"(a)); return ext(r); }
`,
  next: `#include "kernel.h"
int f(int *a) { int r = 1; asm volatile("1: mov (%1),%0\\n2:\\n.pushsection .ex_table.pre,\\"a\\"\\n.long 1b-.\\n.long 2b-.\\n.popsection" : "+r"(r) : "r"(a)); return ext(r) + 2; }
//^^^ special-section blocker
`,
});
const probe = (value: number, table: string) => `extern int ext(int);
int f(int a) { asm volatile("1: nop\\n${table}"); return ext(a) + ${value}; }
`;
const OWN = '.pushsection my_probes,\\"a\\"\\n.quad 1b\\n.popsection';
hazard("special-section: a table of the program's own names a place inside of the function", {
  ...common,
  base: probe(1, OWN),
  next: at(probe(2, OWN), '//^^^ special-section blocker', 2),
});
hazard('special-section: not for a function that is not replaced, nor for notes that are not loaded', {
  ...common,
  base: `${probe(1, OWN)}int g(int a) { asm volatile("1: nop\\n.pushsection .note.probe,\\"\\"\\n.quad 1b\\n.popsection"); return ext(a) * 3; }\n`,
  next: `${probe(1, OWN)}int g(int a) { asm volatile("1: nop\\n.pushsection .note.probe,\\"\\"\\n.quad 1b\\n.popsection"); return ext(a) * 5; }\n`,
});
hazard('special-section: near miss, a list of function addresses', {
  ...common,
  base: 'int f(int a) { return a * 3 + 1; }\nasm(".pushsection my_functions,\\"aw\\"\\n.quad f\\n.popsection");\n',
  next: 'int f(int a) { return a * 3 + 999; }\nasm(".pushsection my_functions,\\"aw\\"\\n.quad f\\n.popsection");\n',
});

const branch = (key: string, value: number, module = true) => `#include "kernel.h"
${module ? 'extern int __this_module; int *owner(void) { return &__this_module; }' : ''}
struct key mine, __tracepoint_mine; extern struct key exported;
int f(int a) { if (BRANCH(&${key}, 1)) return ext(a); return a + ${value}; }
`;
hazard("static-call-or-key: a module's own key", {
  ...common,
  target: 'linux',
  base: branch('mine', 1),
  next: at(branch('mine', 200), '//^^^ static-call-or-key blocker', 4),
});
hazard("static-call-or-key: a module's tracepoint stays off", {
  ...common,
  target: 'linux',
  base: branch('__tracepoint_mine', 1),
  next: at(branch('__tracepoint_mine', 200), '//^^^ static-call-or-key review', 4),
});
hazard('static-call-or-key: not for the kernel proper', {
  ...common,
  target: 'linux',
  base: branch('mine', 1, false),
  next: branch('mine', 200, false),
});
hazard('static-call-or-key: near miss, an exported key used by a module', {
  ...common,
  target: 'linux',
  base: branch('exported', 1),
  next: branch('exported', 200),
});
hazard('static-call-or-key: near miss, a key that the edit adds', {
  ...common,
  target: 'linux',
  base: branch('exported', 1),
  next: at(branch('added', 200).replace('struct key mine', 'struct key added, mine'), '//     ^^^ new-global note', 3),
});

const alternative = (value: number) => `#include "kernel.h"
int f(int a) { asm volatile(ALT14("nop;nop;nop", "stac", 0x134)); return ext(a) + ${value}; }
`;
hazard('cpu-dependent-code: an alternative', {
  ...common,
  target: 'linux',
  base: alternative(1),
  next: at(alternative(2), '//^^^ cpu-dependent-code review', 2),
  check: ({ findings }) => {
    const found = findings.find(({ code }) => code === 'cpu-dependent-code')!;
    assert.match(found.message, /SMAP/);
    assert.doesNotMatch(found.message, /numbered/);
  },
});
hazard('cpu-dependent-code: an alternative for a feature without a name here', {
  ...common,
  target: 'xen',
  base: alternative(1).replace('0x134', '19*32+11'),
  next: at(alternative(2).replace('0x134', '19*32+11'), '//^^^ cpu-dependent-code review', 2),
  check: ({ findings }) => {
    const found = findings.find(({ code }) => code === 'cpu-dependent-code')!;
    assert.match(found.message, /has feature 19\*32\+11 \(numbered as in cpufeatures\.h\)\./);
  },
});
const features = (value: number, other = 1) => `int avx(int), plain(int);
int f(int a) { return __builtin_cpu_supports("avx2") ? avx(a) : plain(a) + ${value}; }
int g(int a) { return plain(a) * ${other}; }
`;
hazard('cpu-dependent-code: a branch on features', {
  ...common,
  base: features(1),
  next: at(features(2), '//^^^ cpu-dependent-code review', 2),
});
const clones = (factor: number, other = 1) => `int plain(int);
__attribute__((target_clones("avx2", "default"))) int dot(const int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i] * ${factor}; return s; }
int g(int a) { return plain(a) * ${other}; }
`;
hazard('cpu-dependent-code: clones for processors, one finding for all', {
  ...common,
  base: clones(3),
  next: at(clones(5), '//^^^ cpu-dependent-code review', 2),
  check: ({ findings }) =>
    assert.match(findings[0]!.message, /^Whether dot\.\S+ runs .* taken for dot\(\) at start-up/),
});
const chosen = (value: number, other = 1) => `int plain(int); extern int fast_cpu;
static int f1(int x) { return x + 1; }
static int f2(int x) { return x * 2 + ${value}; }
static int (*resolve(void))(int) { return fast_cpu ? f1 : f2; }
int fast(int) __attribute__((ifunc("resolve")));
int g(int a) { return plain(a) * ${other}; }
`;
hazard('cpu-dependent-code: a function that is chosen at start-up', {
  ...common,
  base: chosen(1),
  next: at(chosen(3), '//^^^ cpu-dependent-code review', 3),
});
hazard('cpu-dependent-code: near miss, a function beside those that are chosen', {
  ...common,
  base: chosen(1, 1) + clones(3).split('\n')[1],
  next: chosen(1, 7) + clones(3).split('\n')[1],
});
hazard('cpu-dependent-code: near miss, a function whose address another one picks while the program runs', {
  ...common,
  base: chosen(1).replace(/^int fast\(.*$/m, 'int pick(int x) { return resolve()(x); }'),
  next: chosen(3).replace(/^int fast\(.*$/m, 'int pick(int x) { return resolve()(x); }'),
});
hazard('cpu-dependent-code: not where another function changed', {
  ...common,
  base: features(1, 1),
  next: features(1, 7),
});
hazard('cpu-dependent-code: near miss, an alternative for every processor', {
  ...common,
  target: 'linux',
  base: alternative(1).replace('0x134', '0x75'),
  next: alternative(2).replace('0x134', '0x75'),
});
