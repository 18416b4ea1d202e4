import * as l10n from '@vscode/l10n';
import type { PageWord, View } from '../core/render/report/html-parts.ts';

/** The words of the pages in the editor's language: each as a plain string, so that it is found for the bundles. */
const WORDS: Readonly<Record<PageWord, () => string>> = {
  Contents: () => l10n.t('Contents'),
  Findings: () => l10n.t('Findings'),
  Functions: () => l10n.t('Functions'),
  'New code and data': () => l10n.t('New code and data'),
  Calls: () => l10n.t('Calls'),
  Data: () => l10n.t('Data'),
  Types: () => l10n.t('Types'),
  'Payload and what it depends on': () => l10n.t('Payload and what it depends on'),
  'Not covered': () => l10n.t('Not covered'),
  'How it was built': () => l10n.t('How it was built'),
  Payload: () => l10n.t('Payload'),
  Reviewed: () => l10n.t('Reviewed'),
  'Made for': () => l10n.t('Made for'),
  'Compared with': () => l10n.t('Compared with'),
  Function: () => l10n.t('Function'),
  What: () => l10n.t('What'),
  Bytes: () => l10n.t('Bytes'),
  Instructions: () => l10n.t('Instructions'),
  Why: () => l10n.t('Why'),
  'Called by': () => l10n.t('Called by'),
  Name: () => l10n.t('Name'),
  Kind: () => l10n.t('Kind'),
  Value: () => l10n.t('Value'),
  Before: () => l10n.t('Before'),
  After: () => l10n.t('After'),
  Member: () => l10n.t('Member'),
  Needs: () => l10n.t('Needs'),
  'Build id': () => l10n.t('Build id'),
  Role: () => l10n.t('Role'),
  Symbol: () => l10n.t('Symbol'),
  Found: () => l10n.t('Found'),
  'Each call, as a list': () => l10n.t('Each call, as a list'),
  'Each member, as a table': () => l10n.t('Each member, as a table'),
  'Layout as text': () => l10n.t('Layout as text'),
  'looked at': () => l10n.t('looked at'),
  'Looked at: {0}': () => l10n.t('Looked at: {0}', '{0}'),
  blocker: () => l10n.t('blocker'),
  'to review': () => l10n.t('to review'),
  note: () => l10n.t('note'),
  changed: () => l10n.t('changed'),
  new: () => l10n.t('new'),
  gone: () => l10n.t('gone'),
  'left out': () => l10n.t('left out'),
  'Nothing to patch: the machine code and the data are the same.': () =>
    l10n.t('Nothing to patch: the machine code and the data are the same.'),
  'Can be patched.': () => l10n.t('Can be patched.'),
  'Blocked: at least one finding stands in the way.': () => l10n.t('Blocked: at least one finding stands in the way.'),
};

let language = 'en';

/** Says which language the texts are in that the editor gave. */
export function speak(code: string): void {
  language = code;
}

/** How pages are shown in the editor: with links and boxes, their own words in its language. */
export const editorView = (): View => ({
  links: true,
  words: { language, of: (word) => WORDS[word]() },
});
