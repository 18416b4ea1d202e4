import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { a64Scanner } from '../../../server/src/core/asm/a64.ts';
import { KIND, type Scan } from '../../../server/src/core/asm/scan.ts';
import { x86Scanner } from '../../../server/src/core/asm/x86.ts';
import { hasTool } from '../../support/cc.ts';
import { load } from '../diff/support.ts';

/** Assembles text and returns the bytes of .text and the offsets at which objdump sees instructions. */
async function assembled(source: string): Promise<{ bytes: Uint8Array; starts: number[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-scan-'));
  try {
    const file = join(folder, 'a.s');
    const object = join(folder, 'a.o');
    writeFileSync(file, source);
    const run = spawnSync('as', ['-o', object, file], { encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);
    const { elf } = await load(new Uint8Array(readFileSync(object)));
    const dump = spawnSync('objdump', ['-d', '--no-show-raw-insn', object], { encoding: 'utf8', maxBuffer: 1 << 28 });
    const starts = [...dump.stdout.matchAll(/^\s+([0-9a-f]+):\t/gm)].map((match) => Number.parseInt(match[1]!, 16));
    return { bytes: elf.sections.find((section) => section.name === '.text')!.data, starts };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const starts = (scan: Scan) => [...scan.start.subarray(0, scan.count)];

const FORMS = `
  mov 0x12345678(%rip), %rax\n movabs $0x1122334455667788, %rax\n movabs 0x1122334455667788, %al\n mov $5, %ax\n mov $5, %eax
  movb $1, 5(%rax,%rbx,4)\n movw $1, (%rsp)\n movl $1, (,%rax,8)\n movq $1, 0x1000(%rbp)\n testb $1, (%rax)\n testl $1, (%rax)
  notl (%rax)\n imul $3, %eax, %ebx\n imul $300, (%rax), %ebx\n enter $16, $1\n ret $8\n int $3\n int3\n ud2\n ud1 (%rax), %eax\n hlt
  jmp 1f\n 1: jne 1b\n jmp . + 0x1000\n je . + 0x1000\n call . + 0x1000\n loop 1b\n jrcxz 1b\n jmp *%rax\n jmp *(%rax)\n call *8(%rax)
  data16 lea 0(%rip), %rdi\n .byte 0x66, 0x66, 0x48\n call . + 5\n xbegin 1b\n xabort $1\n lock cmpxchg16b (%rdi)\n rep movsb\n pause\n nop
  nopw 0x0(%rax,%rax,1)\n endbr64\n mov %cr0, %rax\n mov %rax, %dr7\n bswap %r15\n shld $4, %eax, %ebx\n bt $4, %rax\n pshufd $1, %xmm0, %xmm1
  cmpps $1, %xmm0, %xmm1\n pinsrw $1, %eax, %xmm0\n pextrw $1, %xmm0, %eax\n shufps $1, %xmm0, %xmm1\n psrlw $3, %xmm1\n roundsd $1, %xmm0, %xmm1
  palignr $3, %xmm0, %xmm1\n pshufb %xmm0, %xmm1\n crc32b %al, %eax\n vmovdqa 0(%rip), %xmm0\n vpshufd $1, %xmm0, %xmm1\n vzeroupper
  vpermq $1, %ymm0, %ymm1\n vblendvps %xmm0, %xmm1, %xmm2, %xmm3\n vextracti128 $1, %ymm0, 4(%rax)\n vfmadd213pd %ymm0, %ymm1, %ymm2
  vmovdqu64 64(%rax), %zmm0\n vpternlogd $1, %zmm0, %zmm1, %zmm2\n vaddps {rn-sae}, %zmm0, %zmm1, %zmm2\n kmovw %eax, %k1\n vcmpps $1, %zmm0, %zmm1, %k1
  vgf2p8affineqb $1, %xmm0, %xmm1, %xmm2\n vaddph %zmm0, %zmm1, %zmm2\n tileloadd (%rax,%rbx,1), %tmm1\n tilerelease\n serialize\n enqcmd (%rax), %rbx
  vpcomltb %xmm0, %xmm1, %xmm2\n vpperm %xmm0, %xmm1, %xmm2, %xmm3\n bextr $0x11223344, %eax, %ebx\n extrq $1, $2, %xmm0\n pfadd (%rax), %mm0
  fldl (%rax)\n fstpt 8(%rsp)\n xchg %r8, %rax\n movsxd (%rax), %rcx\n adcx %eax, %ebx\n movbe (%rax), %ecx\n sha1rnds4 $1, %xmm0, %xmm1
  addr32 mov 0x12(%eax), %ebx\n mov %fs:0, %rax\n mov %fs:0x28, %rax\n push $0x12345\n push $1\n wrfsbase %rax\n rdrand %eax\n uiret\n hreset $1
`;

test('x86-64: lengths of every kind of encoding are those of the assembler', { skip: !hasTool('as') }, async () => {
  const { bytes, starts: expected } = await assembled(FORMS);
  assert.deepEqual(starts(x86Scanner.scan(bytes)), expected);
});

test('x86-64: every instruction of a big library', { skip: !hasTool('objdump') }, () => {
  const file = '/lib/x86_64-linux-gnu/libc.so.6';
  const header = spawnSync('objdump', ['-h', file], { encoding: 'utf8' }).stdout;
  const match = / \.text\s+([0-9a-f]+)\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)/.exec(header);
  if (!match) return;
  const [size, address, offset] = match.slice(1).map((text) => Number.parseInt(text, 16)) as [number, number, number];
  const scan = x86Scanner.scan(new Uint8Array(readFileSync(file)).subarray(offset, offset + size));
  const dump = spawnSync('objdump', ['-d', '--no-show-raw-insn', '-j', '.text', file], {
    encoding: 'utf8',
    maxBuffer: 1 << 29,
  });
  const expected = [...dump.stdout.matchAll(/^\s+([0-9a-f]+):\t/gm)].map(
    (one) => Number.parseInt(one[1]!, 16) - address,
  );
  assert.ok(expected.length > 100_000);
  assert.deepEqual(starts(scan), expected);
});

test('x86-64: kinds, targets and operand fields', () => {
  const scan = x86Scanner.scan(
    Uint8Array.from([
      0xe8, 1, 0, 0, 0, 0x74, 0xfe, 0xeb, 2, 0xc3, 0xff, 0xe0, 0xff, 0x10, 0xf, 0xb, 0x90, 0xf, 0x1f, 0x40, 0, 0xc7, 5,
      8, 0, 0, 0, 1, 0, 0, 0,
    ]),
  );
  const { call, branch, jump, return: ret, indirectJump, indirectCall, trap, nop, plain } = KIND;
  assert.deepEqual(
    [...scan.kind.subarray(0, scan.count)],
    [call, branch, jump, ret, indirectJump, indirectCall, trap, nop, nop, plain],
  );
  assert.deepEqual([...scan.target.subarray(0, 3)], [6, 5, 11]);
  assert.deepEqual(
    [scan.dispAt[9], scan.dispSize[9], scan.immAt[9], scan.immSize[9], scan.target[9]],
    [2, 4, 6, 4, 39],
  );
});

test('x86-64: sizes add up for any bytes', () => {
  let state = 1;
  const bytes = Uint8Array.from({ length: 50_000 }, () => {
    state = (state * 48271) % 2147483647;
    return state & 255;
  });
  const scan = x86Scanner.scan(bytes);
  let at = 0;
  for (let i = 0; i < scan.count; i++) {
    assert.equal(scan.start[i], at);
    assert.ok(scan.size[i]! >= 1 && scan.size[i]! <= 15);
    at += scan.size[i]!;
  }
  assert.equal(at, bytes.length);
});

test('AArch64: kinds and targets', () => {
  const words = [
    0x94000002, 0x54000040, 0x14000003, 0xd65f03c0, 0xd61f0000, 0xd63f0000, 0xd4200000, 0xd503201f, 0xb4ffffe0,
    0x3607ffe0, 0x58000040, 0x91000400,
  ];
  const bytes = new Uint8Array(Uint32Array.from(words).buffer);
  const scan = a64Scanner.scan(bytes);
  const { call, branch, jump, return: ret, indirectJump, indirectCall, trap, nop, plain } = KIND;
  assert.deepEqual(
    [...scan.kind.subarray(0, scan.count)],
    [call, branch, jump, ret, indirectJump, indirectCall, trap, nop, branch, branch, plain, plain],
  );
  assert.deepEqual(
    [scan.target[0], scan.target[1], scan.target[2], scan.target[8], scan.target[9], scan.target[10]],
    [8, 12, 20, 28, 32, 48],
  );
});
