import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnalyser } from '../../../server/src/analyse.ts';
import { compile, hasTool } from '../../support/cc.ts';

// Objects for other machines: refused in words that name the machine, never half read.
const TARGETS: readonly (readonly [target: string, words: RegExp])[] = [
  ['i386-linux-gnu', /32-bit ELF file \(i386 \(machine 3\)\).*x86-64 or AArch64/],
  ['x86_64-linux-gnux32', /32-bit ELF file \(x32\)/],
  ['arm-linux-gnueabihf', /32-bit ELF file \(32-bit ARM/],
  ['riscv64-linux-gnu', /for RISC-V \(machine 243\); only x86-64 and AArch64/],
  ['riscv32-linux-gnu', /32-bit ELF file \(RISC-V/],
  ['powerpc64le-linux-gnu', /for 64-bit PowerPC \(machine 21\)/],
  ['powerpc64-linux-gnu', /big-endian ELF file \(64-bit PowerPC/],
  ['s390x-linux-gnu', /big-endian ELF file \(s390/],
  ['mips64-linux-gnuabi64', /big-endian ELF file \(MIPS/],
  ['mips64el-linux-gnuabi64', /for MIPS \(machine 8\)/],
  ['aarch64_be-linux-gnu', /big-endian ELF file \(AArch64/],
  ['bpfel', /for BPF \(machine 247\)/],
];
const SOURCE = 'extern int ext(int); int f(int a) { return ext(a) + 1; }\n';

for (const [target, words] of TARGETS) {
  test(`an object for ${target}`, { skip: !hasTool('clang') && 'clang is not installed' }, async (t) => {
    let bytes: Uint8Array;
    try {
      bytes = compile(SOURCE, { compiler: 'clang', args: [`--target=${target}`, '-O2', '-g'] });
    } catch {
      t.skip(`this clang has no ${target}`);
      return;
    }
    const { object, problems } = (await createAnalyser()).load(bytes);
    assert.equal(object, undefined);
    assert.match(problems.map(({ message }) => message).join('\n'), words);
  });
}
