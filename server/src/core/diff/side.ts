import { scannerFor } from '../asm/machine.ts';
import { branchTargets, paddingOf } from '../asm/normalise.ts';
import { type Body, placesOf } from '../asm/places.ts';
import { instructionAt } from '../asm/scan.ts';
import { dropRelocated } from '../asm/targets.ts';
import type { ObjectModel } from '../object.ts';
import type { BodyScan, Side } from './meaning.ts';

/** Prepares one object of a pair. */
export function createSide(object: ObjectModel): Side {
  const scans = new Map<Body, BodyScan>();
  const scanner = scannerFor(object.elf.machine);
  return {
    object,
    elf: object.elf,
    places: placesOf(object.elf),
    scanOf(body) {
      if (!scanner) return undefined;
      let found = scans.get(body);
      if (!found) {
        const code = object.elf.sections[body.section]!.data.subarray(body.start, body.start + body.size);
        const scan = scanner.scan(code);
        dropRelocated(scan, object.elf.relocationsOf(body.section), body.start);
        const targets = branchTargets(scan);
        const padding = paddingOf(scan, body.start, (index) => targets[index] === 1);
        const ordinal = new Uint32Array(scan.count);
        let count = 0;
        for (let i = 0; i < scan.count; i++) {
          ordinal[i] = count;
          if (!padding[i]) count++;
        }
        found = {
          scan,
          padding,
          ordinal,
          count,
          ordinalAt(offset) {
            const at = instructionAt(scan, offset);
            return at >= 0 && scan.start[at] === offset ? ordinal[at]! : -1;
          },
        };
        scans.set(body, found);
      }
      return found;
    },
  };
}
