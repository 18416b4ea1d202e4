import type { Decoders } from './asm/decode.ts';
import { remembering } from './asm/remember.ts';
import { readDwarf } from './dwarf/index.ts';
import { type ReadElfOptions, readElf } from './elf/index.ts';
import type { ObjectModel } from './object.ts';
import type { Problem } from './problem.ts';

/**
 * Reads an object file: container, debug information and the decoder for its machine. Never throws; without `object`
 * the problems say why. Debug information that is absent or damaged leaves an object with less in it.
 */
export function loadObject(
  bytes: Uint8Array,
  decoders: Decoders,
  options: ReadElfOptions = {},
): { object?: ObjectModel; problems: Problem[] } {
  const { elf, problems } = readElf(bytes, options);
  if (!elf) return { problems };
  const decode = decoders.forMachine(elf.machine);
  if (!decode) {
    if (problems.every((p) => p.area !== 'elf.machine')) {
      problems.push({ area: 'elf.machine', message: `There is no instruction decoder for machine ${elf.machine}.` });
    }
    return { problems };
  }
  return { object: { elf, dwarf: readDwarf(elf), decode: remembering(decode) }, problems };
}
