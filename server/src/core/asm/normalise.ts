import { instructionAt, KIND, type Scan } from './scan.ts';

/**
 * Which instructions are only there to align what follows: nops before a branch target, after the end of a path, or at the
 * end of the function. They differ whenever something before them changes its length, and do nothing.
 * A nop in the middle of straight code is kept: it may be a place that is patched at run time.
 *
 * `isTarget` says whether the instruction of an index is jumped to; `base` is the section offset of the code (alignment
 * counts from the section's start). Returns 1 per padding instruction.
 */
export function paddingOf(scan: Scan, base: number, isTarget: (index: number) => boolean): Uint8Array {
  const padding = new Uint8Array(scan.count);
  for (let i = 0; i < scan.count; i++) {
    if (scan.kind[i] !== KIND.nop) continue;
    let end = i;
    while (end < scan.count && scan.kind[end] === KIND.nop && (end === i || !isTarget(end))) end++;
    const before = i === 0 ? -1 : scan.kind[i - 1]!;
    const afterEnd =
      before === KIND.jump || before === KIND.return || before === KIND.indirectJump || before === KIND.trap;
    const aligned = end < scan.count && (base + scan.start[end]!) % 8 === 0 && isTarget(end);
    if (end === scan.count || ((afterEnd || aligned) && !isTarget(i))) padding.fill(1, i, end);
    i = end - 1;
  }
  return padding;
}

/** Marks the instructions that direct branches within the code jump to. */
export function branchTargets(scan: Scan): Uint8Array {
  const targets = new Uint8Array(scan.count);
  for (let i = 0; i < scan.count; i++) {
    const at = branchTargetOf(scan, i);
    if (at >= 0) targets[at] = 1;
  }
  return targets;
}

/** Index of the instruction that a direct branch or jump goes to within the same code; -1 where it leaves, or is none. */
export function branchTargetOf(scan: Scan, index: number): number {
  const kind = scan.kind[index]!;
  if (scan.relSize[index] === 0 || (kind !== KIND.branch && kind !== KIND.jump)) return -1;
  const offset = scan.target[index]!;
  const at = instructionAt(scan, offset);
  return at >= 0 && scan.start[at] === offset ? at : -1;
}
