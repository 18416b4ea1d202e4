import type { Analyser } from '../analyse.ts';
import type { ElfFile } from '../core/elf/types.ts';
import type { ObjectModel } from '../core/object.ts';
import { CannotError } from './command.ts';
import { readInput } from './files.ts';

/** First bytes of what is often taken for an object file, and what to do instead. */
const others: readonly (readonly [magic: readonly number[], what: string])[] = [
  [[...Buffer.from('!<arch>\n')], 'It is an archive: take the objects out (ar x) and compare them one by one.'],
  [
    [...Buffer.from('!<thin>\n')],
    'It is a thin archive, which only names objects: compare those (ar t lists them) one by one.',
  ],
  [[0x42, 0x43, 0xc0, 0xde], 'It holds LLVM bitcode (clang -flto), no machine code: compile without -flto.'],
  [[0xde, 0xc0, 0x17, 0x0b], 'It holds LLVM bitcode (clang -flto), no machine code: compile without -flto.'],
  [[0xcf, 0xfa, 0xed, 0xfe], 'It is a Mach-O file of macOS; only ELF files of x86-64 and AArch64 are compared.'],
  [[0xca, 0xfe, 0xba, 0xbe], 'It is a Mach-O file of macOS; only ELF files of x86-64 and AArch64 are compared.'],
  [[0x64, 0x86], 'It is a COFF object of Windows; only ELF files of x86-64 and AArch64 are compared.'],
  [[0x1f, 0x8b], 'It is compressed (gzip): unpack it first.'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'It is compressed (zstd): unpack it first.'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'It is compressed (xz): unpack it first.'],
];

/** What the bytes are instead of an ELF file, as a sentence with the way out; undefined where nothing is known. */
function instead(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return 'It is empty: did the compiler fail, or run out of disk?';
  const known = others.find(([magic]) => magic.every((byte, at) => bytes[at] === byte));
  if (known) return known[1];
  const head = bytes.subarray(0, 512);
  if (head.every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte !== 127)))
    return 'It is text: give the compiled objects (gcc -g -c), not their sources.';
  return undefined;
}

const linked: Readonly<Partial<Record<ElfFile['kind'], string>>> = {
  exec: 'a linked executable',
  dyn: 'a linked executable or shared object',
  core: 'a core dump',
  other: 'not a relocatable object',
};

/** Reads and loads an object file. Throws a `CannotError` that names the file, what is wrong with it, and the way out. */
export async function loadObjectFile(analyser: Analyser, path: string, cwd: string): Promise<ObjectModel> {
  const bytes = await readInput(path, cwd);
  const { object, problems } = analyser.load(bytes);
  if (!object) {
    const why = instead(bytes) ?? problems.map((problem) => problem.message).join(' ');
    throw new CannotError(`${path} is not an object file that can be compared. ${why}`);
  }
  const kind = linked[object.elf.kind];
  if (kind) {
    throw new CannotError(
      `${path} is ${kind}: the objects that it was linked from (*.o) are compared, one by one. In a working tree, livepatch check does that.`,
    );
  }
  // Without its section headers, or with half of them, every function that is not seen would count as removed.
  const damage = object.elf.problems.find((problem) => problem.area === 'elf');
  if (damage) throw new CannotError(`${path} is damaged or cut off: ${damage.message} Compile it again.`);
  return object;
}

const machineNames: Readonly<Record<number, string>> = { 62: 'x86-64', 183: 'AArch64' };
const machine = (object: ObjectModel) => machineNames[object.elf.machine] ?? `machine ${object.elf.machine}`;

/** Loads both sides. Throws a `CannotError` where they are for different processors. */
export async function loadPair(
  analyser: Analyser,
  base: string,
  next: string,
  cwd: string,
): Promise<{ readonly base: ObjectModel; readonly next: ObjectModel }> {
  const pair = { base: await loadObjectFile(analyser, base, cwd), next: await loadObjectFile(analyser, next, cwd) };
  if (pair.base.elf.machine !== pair.next.elf.machine) {
    throw new CannotError(
      `${base} is for ${machine(pair.base)}, ${next} for ${machine(pair.next)}: compile both with the same compiler and options.`,
    );
  }
  return pair;
}
