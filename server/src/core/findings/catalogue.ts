import type { ObjectDiff } from '../diff/types.ts';
import { alwaysOnStack } from './always-on-stack.ts';
import { cloneLeftUnpatched } from './clone-left-unpatched.ts';
import { compilerMismatch } from './compiler-mismatch.ts';
import { configUnsupported } from './config-unsupported.ts';
import { cpuDependentCode } from './cpu-dependent-code.ts';
import { dataAlignChanged } from './data-align-changed.ts';
import { dataInitChanged } from './data-init-changed.ts';
import { dataSectionMoved } from './data-section-moved.ts';
import { dataSizeChanged } from './data-size-changed.ts';
import { editNotCovered } from './edit-not-covered.ts';
import { enumValueChanged } from './enum-value-changed.ts';
import { fnptrIdentity } from './fnptr-identity.ts';
import { funcTooSmall } from './func-too-small.ts';
import { functionRemoved } from './function-removed.ts';
import { handWrittenAsm } from './hand-written-asm.ts';
import { hookNotReappliable, hookWithoutUndo } from './hooks.ts';
import { initCodeChanged } from './init-code-changed.ts';
import { initOnceData } from './init-once-data.ts';
import { inlineDecisionFlip, inlineWidened } from './inline-widened.ts';
import { lineOnlyChange } from './line-only-change.ts';
import { lockSemantics } from './lock-semantics.ts';
import { newGlobal } from './new-global.ts';
import { notTraceable } from './not-traceable.ts';
import { patchingMachinery } from './patching-machinery.ts';
import { percpuChanged } from './percpu-changed.ts';
import { rodataChanged } from './rodata-changed.ts';
import { signatureChanged } from './signature-changed.ts';
import { specialSection } from './special-section.ts';
import { specialSectionChanged } from './special-section-changed.ts';
import { staticCallOrKey } from './static-call-or-key.ts';
import { staticLocalNew, staticLocalRemoved, staticLocalResized } from './static-local.ts';
import { staticLocalAmbiguous } from './static-local-ambiguous.ts';
import { staticLocalShared } from './static-local-shared.ts';
import { structGrown } from './struct-grown.ts';
import { structLayout } from './struct-layout.ts';
import { structPaddingUsed } from './struct-padding-used.ts';
import { symbolScopeChanged } from './symbol-scope-changed.ts';
import { tlsChanged } from './tls-changed.ts';
import { typeChangedSameSize } from './type-changed-same-size.ts';
import type { Finding, Hazard, HazardInput, Severity } from './types.ts';
import { unwindMissing } from './unwind-missing.ts';
import { varargsOrJumptable } from './varargs-or-jumptable.ts';

/** Every rule that works on a pair of objects. Rules about the build, the target and the payload live in their rooms. */
export const hazards: readonly Hazard[] = [
  structLayout,
  structGrown,
  structPaddingUsed,
  typeChangedSameSize,
  enumValueChanged,
  signatureChanged,
  dataSizeChanged,
  dataInitChanged,
  rodataChanged,
  dataSectionMoved,
  dataAlignChanged,
  symbolScopeChanged,
  staticLocalNew,
  staticLocalRemoved,
  staticLocalResized,
  staticLocalAmbiguous,
  staticLocalShared,
  tlsChanged,
  percpuChanged,
  initOnceData,
  newGlobal,
  initCodeChanged,
  funcTooSmall,
  functionRemoved,
  inlineWidened,
  inlineDecisionFlip,
  cloneLeftUnpatched,
  lineOnlyChange,
  alwaysOnStack,
  patchingMachinery,
  lockSemantics,
  fnptrIdentity,
  varargsOrJumptable,
  handWrittenAsm,
  unwindMissing,
  hookWithoutUndo,
  hookNotReappliable,
  editNotCovered,
  specialSection,
  specialSectionChanged,
  staticCallOrKey,
  cpuDependentCode,
  notTraceable,
  configUnsupported,
  compilerMismatch,
];

const rank: Readonly<Record<Severity, number>> = { blocker: 0, review: 1, note: 2 };

/**
 * Applies every rule. Sorted by severity, then file, line, code and symbol: the same input gives the same list. Each fact is reported by its
 * own code, no code twice for one symbol.
 */
export function findHazards(input: HazardInput): Finding[] {
  return hazards.flatMap(({ find }) => find(input)).sort(inOrder);
}

/** Order of findings: severity, then file, line, code and symbol. */
export const inOrder = (a: Finding, b: Finding): number =>
  rank[a.severity] - rank[b.severity] ||
  text(a.at?.file ?? '', b.at?.file ?? '') ||
  (a.at?.line ?? 0) - (b.at?.line ?? 0) ||
  text(a.code, b.code) ||
  text(a.symbol, b.symbol);

const text = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * `blocked` where a blocker stands that nobody accepted; `unchanged` where a payload would be empty: no function changed, is new or gone but for
 * line numbers (which are left out by default), and no data differs; else `patchable`. Findings below a blocker about types alone do
 * not make something to patch.
 */
export function verdictOf(diff: ObjectDiff, findings: readonly Finding[]): 'unchanged' | 'patchable' | 'blocked' {
  if (findings.some(({ severity, accepted }) => severity === 'blocker' && accepted === undefined)) return 'blocked';
  const code = diff.functions.some(({ lineOnly }) => !lineOnly);
  return code || diff.data.length > 0 ? 'patchable' : 'unchanged';
}
