import type { ElfFile } from '../elf/types.ts';
import { scannerFor } from './machine.ts';
import { branchTargets, paddingOf } from './normalise.ts';
import type { Body } from './places.ts';
import { instructionAt, type Scan } from './scan.ts';
import { dropRelocated } from './targets.ts';

/** A scan together with the position of each instruction among those that are not padding. */
export interface BodyScan {
  readonly scan: Scan;
  readonly padding: Uint8Array;
  /** Number of instructions before this one that are not padding. */
  readonly ordinal: Uint32Array;
  /** Number of instructions that are not padding. */
  readonly count: number;
  /** Ordinal of the instruction that starts at an offset from the body's start; -1 where none does. */
  ordinalAt(offset: number): number;
}

const cache = new WeakMap<ElfFile, Map<Body, BodyScan>>();

/** The instructions of a body, with the padding marked; kept with the file. Undefined where the machine has no scanner. */
export function scanOf(elf: ElfFile, body: Body): BodyScan | undefined {
  let scans = cache.get(elf);
  if (!scans) {
    scans = new Map();
    cache.set(elf, scans);
  }
  let found = scans.get(body);
  if (!found) {
    const scanner = scannerFor(elf.machine);
    if (!scanner) return undefined;
    const scan = scanner.scan(elf.sections[body.section]!.data.subarray(body.start, body.start + body.size));
    dropRelocated(scan, elf.relocationsOf(body.section), body.start);
    found = new Scanned(scan, body);
    scans.set(body, found);
  }
  return found;
}

class Scanned implements BodyScan {
  readonly scan: Scan;
  readonly padding: Uint8Array;
  readonly count: number;
  #ordinal: Uint32Array | undefined;

  constructor(scan: Scan, body: Body) {
    this.scan = scan;
    const targets = branchTargets(scan);
    this.padding = paddingOf(scan, body.start, (index) => targets[index] === 1);
    let count = 0;
    for (let i = 0; i < scan.count; i++) if (!this.padding[i]) count++;
    this.count = count;
  }

  get ordinal(): Uint32Array {
    if (!this.#ordinal) {
      const ordinal = new Uint32Array(this.scan.count);
      let count = 0;
      for (let i = 0; i < ordinal.length; i++) {
        ordinal[i] = count;
        if (!this.padding[i]) count++;
      }
      this.#ordinal = ordinal;
    }
    return this.#ordinal;
  }

  ordinalAt(offset: number): number {
    const at = instructionAt(this.scan, offset);
    return at >= 0 && this.scan.start[at] === offset ? this.ordinal[at]! : -1;
  }
}
