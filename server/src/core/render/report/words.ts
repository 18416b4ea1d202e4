import { count, size } from './text.ts';
import type { ReportData, ReportFunction, ReportModel } from './types.ts';

/** Sentences that both forms of the report share. Plain text: each form escapes it. */

export const VERDICTS = {
  unchanged: 'Nothing to patch: the machine code and the data are the same.',
  patchable: 'Can be patched.',
  blocked: 'Blocked: at least one finding stands in the way.',
} as const satisfies Readonly<Record<ReportModel['verdict'], string>>;

export const SEVERITIES = { blocker: 'blocker', review: 'to review', note: 'note' } as const;

/** `2 functions changed, 1 new`; what is left out does not count. */
export function functionsText(model: ReportModel): string {
  const inPatch = model.functions.filter((each) => each.leftOut === undefined);
  const parts = (['changed', 'new', 'removed'] as const).flatMap((status) => {
    const n = inPatch.filter((each) => each.status === status).length;
    return n === 0 ? [] : [`${n} ${status === 'removed' ? 'gone' : status}`];
  });
  return parts.length === 0 ? 'none' : parts.join(', ');
}

export function findingsText(model: ReportModel): string {
  const parts = (['blocker', 'review', 'note'] as const).flatMap((severity) => {
    const n = model.findings.filter((each) => each.severity === severity).length;
    return n === 0
      ? []
      : [severity === 'blocker' ? count(n, 'blocker') : severity === 'note' ? count(n, 'note') : `${n} to review`];
  });
  return parts.length === 0 ? 'none' : parts.join(', ');
}

export function payloadText({ payload }: ReportModel): string {
  if (payload.kind === 'refused') return 'none: it is refused';
  const share = (payload.bytes / payload.limit) * 100;
  const percent = share < 0.1 ? 'less than 0.1' : share.toFixed(1);
  return `${size(payload.bytes)} of ${size(payload.limit)} (${percent}\u00a0%)`;
}

/** The size with its limit as a sentence: whole bytes too, for who compares them with a file. */
export const payloadSentence = (payload: Extract<ReportModel['payload'], { kind: 'payload' }>): string =>
  `The payload has ${payload.bytes} bytes (${size(payload.bytes)}); ${payload.limitText}.`;

/** How far the base objects are what runs, as a sentence; empty where that is not counted. */
export const baselineSentence = ({ baseline }: Extract<ReportModel['payload'], { kind: 'payload' }>): string =>
  baseline === undefined ? '' : `Base objects, compiled again from the baseline, against the hypervisor: ${baseline}.`;

/** Told where nothing is left out, since a reader looks for it. */
export const ALL_COVERED = 'Nothing: all that differs is in the patch.';

export const reviewText = (model: ReportModel): string =>
  model.review === undefined
    ? 'not known here'
    : model.review.total === 0
      ? 'nothing to look at'
      : `${model.review.done} of ${model.review.total} looked at`;

const changeText = (before: number, after: number, status: string): string =>
  status === 'changed'
    ? before === after
      ? `${after}`
      : `${before} → ${after}`
    : `${status === 'new' ? after : before}`;

export const bytesText = (each: ReportFunction | ReportData): string =>
  changeText(each.baseSize, each.nextSize, each.status);

export const instructionsText = (each: ReportFunction): string =>
  changeText(each.baseInstructions, each.nextInstructions, each.status);

export const statusText = (status: 'changed' | 'new' | 'removed'): 'changed' | 'new' | 'gone' =>
  status === 'removed' ? 'gone' : status;

/** `git:1a2b…` as words; a revision in `length` digits. */
export function baselineText(baseline: string, length = 64): string {
  const [kind, ...rest] = baseline.split(':');
  const what = rest.join(':');
  if (kind === 'git') return `git revision ${what.slice(0, length)}`;
  if (kind === 'folder') return `folder ${what}`;
  return kind === 'start' ? 'the files as they were when the session started' : baseline;
}

export const TARGETS: Readonly<Record<string, string>> = {
  process: 'a running process',
  xen: 'the Xen hypervisor',
  linux: 'the Linux kernel',
};
