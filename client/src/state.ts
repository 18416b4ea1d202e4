import type { PatchState } from '../../server/src/protocol.ts';

/** The state of a folder whose server has told nothing yet. */
export const EMPTY: PatchState = {
  root: '',
  verdict: 'none',
  busy: false,
  units: [],
  problems: [],
  fingerprint: '',
};
