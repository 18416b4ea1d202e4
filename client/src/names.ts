/**
 * Every command, setting, context key, view and language of the extension, named once. `test/extension/names.test.ts`
 * compares this file with package.json. Imports nothing of VS Code, so that tests and the server side can read it.
 */

export const commands = {
  checkNow: 'livepatch.checkNow',
  cancel: 'livepatch.cancel',
  reviewFunction: 'livepatch.reviewFunction',
  markReviewed: 'livepatch.markReviewed',
  compareLayout: 'livepatch.compareLayout',
  compareSides: 'livepatch.compareSides',
  nextChange: 'livepatch.nextChange',
  previousChange: 'livepatch.previousChange',
  goToSource: 'livepatch.goToSource',
  revealFunction: 'livepatch.revealFunction',
  buildPatch: 'livepatch.buildPatch',
  applyPatch: 'livepatch.applyPatch',
  revertPatch: 'livepatch.revertPatch',
  inspectPatch: 'livepatch.inspectPatch',
  refreshTargets: 'livepatch.refreshTargets',
  leaveOut: 'livepatch.leaveOut',
  takeIn: 'livepatch.takeIn',
  override: 'livepatch.override',
  dropOverride: 'livepatch.dropOverride',
  openDocs: 'livepatch.openDocs',
  openOutput: 'livepatch.openOutput',
  openConfig: 'livepatch.openConfig',
  recordBuild: 'livepatch.recordBuild',
  clearCache: 'livepatch.clearCache',
  restartServer: 'livepatch.restartServer',
  openWalkthrough: 'livepatch.openWalkthrough',
} as const;

/** Settings below `livepatch.`. */
export const settings = {
  checkUnsaved: 'checkUnsaved',
  checkUnsavedDelay: 'checkUnsavedDelay',
  codeLens: 'codeLens',
  inlayHints: 'inlayHints',
  gutter: 'gutter',
  compileErrors: 'compileErrors',
  patchFolder: 'patchFolder',
  cacheFolder: 'cacheFolder',
  trace: 'trace.server',
} as const;

/** Context keys for `when` clauses. */
export const contexts = {
  /** The language server runs for this window. */
  active: 'livepatch.active',
  /** The window's folder has a livepatch.json or a compile_commands.json. */
  configured: 'livepatch.configured',
  building: 'livepatch.building',
  /** Some function's machine code changed. */
  hasChanges: 'livepatch.hasChanges',
} as const;

export const views = { container: 'livepatch', patch: 'livepatch.patch' } as const;

/** `contextValue` of the view's items. */
export const items = {
  patch: 'patch',
  file: 'file',
  function: 'function',
  functionLeftOut: 'functionLeftOut',
  finding: 'finding',
  blocker: 'blocker',
  overridden: 'overridden',
  targets: 'targets',
  target: 'target',
  targetPatched: 'targetPatched',
  applied: 'applied',
} as const;

/** Colours that themes may change. */
export const colors = {
  changedLine: 'livepatch.changedLine',
  reachedLine: 'livepatch.reachedLine',
  linkedLine: 'livepatch.linkedLine',
  linkedLineBorder: 'livepatch.linkedLineBorder',
} as const;

export const asm = { scheme: 'livepatch-asm', language: 'livepatch-asm' } as const;
/** Layouts of types are shown as C. */
export const layout = { scheme: 'livepatch-layout' } as const;
export const section = 'livepatch';
export const walkthrough = 'livepatch.start';
