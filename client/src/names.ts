/**
 * Every command, setting, context key, view and language of the extension, named once. `test/extension/names.test.ts`
 * compares this file with package.json. Imports nothing of VS Code, so that tests and the server side can read it.
 */

export const commands = {
  checkNow: 'livepatch.checkNow',
  cancel: 'livepatch.cancel',
  reviewFunction: 'livepatch.reviewFunction',
  markReviewed: 'livepatch.markReviewed',
  toggleReviewed: 'livepatch.toggleReviewed',
  reviewNext: 'livepatch.reviewNext',
  compareLayout: 'livepatch.compareLayout',
  showLayoutPicture: 'livepatch.showLayoutPicture',
  compareData: 'livepatch.compareData',
  showOverview: 'livepatch.showOverview',
  exportMarkdown: 'livepatch.exportMarkdown',
  exportHtml: 'livepatch.exportHtml',
  compareSides: 'livepatch.compareSides',
  nextChange: 'livepatch.nextChange',
  previousChange: 'livepatch.previousChange',
  toggleSource: 'livepatch.toggleSource',
  goToSource: 'livepatch.goToSource',
  revealFunction: 'livepatch.revealFunction',
  buildPatch: 'livepatch.buildPatch',
  applyPatch: 'livepatch.applyPatch',
  applyPatchFromView: 'livepatch.applyPatchFromView',
  revertPatch: 'livepatch.revertPatch',
  revertPatchFromView: 'livepatch.revertPatchFromView',
  inspectPatch: 'livepatch.inspectPatch',
  refreshTargets: 'livepatch.refreshTargets',
  vmCreate: 'livepatch.vmCreate',
  vmStart: 'livepatch.vmStart',
  vmStop: 'livepatch.vmStop',
  vmConsole: 'livepatch.vmConsole',
  vmSsh: 'livepatch.vmSsh',
  xenUpload: 'livepatch.xenUpload',
  xenReplaceWith: 'livepatch.xenReplaceWith',
  xenApply: 'livepatch.xenApply',
  xenRevert: 'livepatch.xenRevert',
  xenUnload: 'livepatch.xenUnload',
  xenReplace: 'livepatch.xenReplace',
  xenAddHooks: 'livepatch.xenAddHooks',
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
  /** A folder of the window is a Xen tree, or a target is a hypervisor. */
  xen: 'livepatch.xen',
} as const;

export const views = { container: 'livepatch', patch: 'livepatch.patch' } as const;

/** `contextValue` of the view's items. */
export const items = {
  patch: 'patch',
  file: 'file',
  function: 'function',
  functionLeftOut: 'functionLeftOut',
  /** Left out because only line numbers differ: nothing to take in. */
  functionLineOnly: 'functionLineOnly',
  finding: 'finding',
  data: 'data',
  blocker: 'blocker',
  overridden: 'overridden',
  targets: 'targets',
  target: 'target',
  targetPatched: 'targetPatched',
  /** A hypervisor that answers, with and without an applied patch; and one that does not. */
  targetXen: 'targetXen',
  targetXenPatched: 'targetXenPatched',
  targetXenDown: 'targetXenDown',
  machines: 'machines',
  /** Followed by its state. */
  machine: 'machine',
  /** A payload in a hypervisor, followed by the actions that are legal now. */
  xenPatch: 'xenPatch',
  applied: 'applied',
  running: 'running',
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
/** Values of data are shown as C. */
export const data = { scheme: 'livepatch-data' } as const;
/** Pictures of the extension's own panels, below media/. */
export const panelIcons = { light: 'panel-light.svg', dark: 'panel-dark.svg' } as const;
/** Kinds of webview panels. */
export const panels = { overview: 'livepatch.overview', layout: 'livepatch.layoutPicture' } as const;
export const section = 'livepatch';
export const walkthrough = 'livepatch.start';
