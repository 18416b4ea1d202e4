import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { readElf } from '../../server/src/core/elf/index.ts';
import { mustBuild, openRoom, options, type Room, testIn } from './room.ts';

/**
 * Asks the hypervisor for its extra version at an address that is not mapped, and at one of which the first half is: the program is domain 0's, without a
 * C library. Status 0 where both were refused with EFAULT and the half arrived.
 */
const PROGRAM = `
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    long result;
    asm volatile ("syscall" : "=a"(result)
                  : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}
static void quit(int status) { call(231, status, 0, 0, 0, 0, 0); }
static long hypervisor(long fd, unsigned long number, unsigned long command, unsigned long at)
{
    struct { unsigned long op, arg[5]; } hypercall = { number, { command, at } };
    return call(16 /* ioctl */, fd, 0x305000 /* IOCTL_PRIVCMD_HYPERCALL */, (long)&hypercall, 0, 0, 0);
}
static long version(long fd, unsigned long at) { return hypervisor(fd, 17 /* xen_version */, 1 /* XENVER_extraversion */, at); }
__attribute__((force_align_arg_pointer)) void _start(void)
{
    long fd = call(2, (long)"/dev/xen/privcmd", 02000002, 0, 0, 0, 0);
    char whole[16] = { 0 };
    char *page;
    int at;
    if (fd < 0) quit(1);
    if (version(fd, (unsigned long)whole)) quit(2);
    if (version(fd, 0x1000) != -14) quit(3);
    /* Two pages, of which the second goes away again. */
    page = (char *)call(9, 0, 8192, 3, 0x22, -1, 0);
    if ((unsigned long)page > -4096UL) quit(4);
    page[0] = 0;
    page[4095] = 0;
    call(11, (long)page + 4096, 4096, 0, 0, 0, 0);
    if (version(fd, (unsigned long)page + 4088) != -14) quit(5);
    for (at = 0; at < 8; at++) if (page[4088 + at] != whole[at]) quit(6);
    /* What is to be read: the request of memory_op, 32 bytes; and 8 bytes of XENVER_get_features. */
    hypervisor(fd, 12, 1 /* XENMEM_decrease_reservation */, 0x1000);
    if (hypervisor(fd, 17, 6, 0x1000) != -14) quit(7);
    quit(0);
}
`;

describe('special sections of carried functions, in the running hypervisor', { timeout: 900_000 }, () => {
  let room: Room | undefined;
  let program: Uint8Array;

  before(async () => {
    room = await openRoom(undefined);
    if (!room) return;
    const folder = mkdtempSync(join(tmpdir(), 'livepatch-guarded-'));
    try {
      writeFileSync(join(folder, 'ask.c'), PROGRAM);
      const args = [
        '-O1',
        '-static',
        '-nostdlib',
        '-fno-stack-protector',
        '-o',
        join(folder, 'ask'),
        join(folder, 'ask.c'),
      ];
      execFileSync('gcc', args, { stdio: ['ignore', 'ignore', 'inherit'] });
      program = new Uint8Array(readFileSync(join(folder, 'ask')));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
  after(() => room?.close());
  const test = testIn(() => room);

  /** Runs the program in domain 0; what the hypervisor said meanwhile. */
  const ask = async (): Promise<string> => {
    const { machine } = room!;
    const { size } = await machine.console(Number.MAX_SAFE_INTEGER);
    const script =
      'file=$(mktemp) && cat > "$file" && chmod +x "$file" && "$file"; status=$?; rm -f "$file"; exit $status';
    const { status, stderr } = await machine.ssh.script(script, [], { input: program, seconds: 60 });
    assert.equal(status, 0, `status ${status} ${stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
    return (await machine.console(size)).text;
  };

  test('a guarded copy to a bad address: exception table, alternatives and bug frame of the new code', async () => {
    const { tree, target, hypervisor, syms, machine } = room!;
    assert.doesNotMatch(await ask(), /WARN|bytes were not copied/);
    const [place, next] = ['    clac();\n\n    return n;\n}\n\n', 'unsigned int copy_from_guest_ll('];
    const says = `    if ( unlikely(n) )
    {
        unsigned int which;

        asm volatile ( ALTERNATIVE("mov $7, %0", "mov $9, %0", X86_FEATURE_LM) : "=r" (which) );
        printk("guarded: %u bytes were not copied, alternative %u\\n", n, which);
    }
    WARN_ON(n == 8);

`;
    const edited = place.replace('    return n;', `${says}    return n;`);
    await tree.edit('arch/x86/usercopy.c', place + next, edited + next);
    // Its fixups run on into one another: the payload has to carry them whole.
    const behind = '#if GUARD(1) + 0\n\n/**';
    const reads = '    if ( unlikely(n) )\n        printk("guarded: %u bytes were not read\\n", n);\n\n';
    await tree.edit(
      'arch/x86/usercopy.c',
      place + behind,
      place.replace('    return n;', `${reads}    return n;`) + behind,
    );
    const payload = mustBuild(await tree.units(), hypervisor(), options('guarded'));
    const { elf } = readElf(payload.bytes);
    for (const section of ['.ex_table', '.fixup', '.altinstructions', '.bug_frames.1'])
      assert.ok((elf!.sectionsNamed(section)[0]?.size ?? 0) > 0, `the payload has ${section}`);
    const names = payload.manifest.replaces.map(({ name }) => name);
    assert.ok(names.includes('copy_to_guest_ll'), names.join());
    assert.ok(syms.symbols.some(({ name }) => name === 'copy_to_guest_ll'));
    const result = await target.load(payload.bytes);
    assert.equal(result.kind, 'done', JSON.stringify(result));
    const said = await ask();
    // Without its entries in .ex_table the hypervisor would have died of the fault. They led to the payload's .fixup, which counts what is left: all of it, and the second half.
    assert.match(said, /guarded: 16 bytes were not copied, alternative 9[\s\S]*guarded: 8 bytes were not copied/);
    assert.doesNotMatch(said, /alternative 7/);
    assert.match(said, /guarded: 32 bytes were not read[\s\S]*guarded: 8 bytes were not read/);
    assert.match(said, /Xen WARN at arch\/x86\/usercopy\.c:\d+/);
    assert.match(said, /copy_to_guest_ll\+/);
    assert.equal((await target.act('revert', 'guarded')).kind, 'done');
    assert.doesNotMatch(await ask(), /WARN|bytes were not copied/);
    assert.equal((await target.act('unload', 'guarded')).kind, 'done');
    assert.equal(await machine.death(), undefined);
  });
});
