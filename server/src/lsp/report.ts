import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import * as l10n from '@vscode/l10n';
import { layoutPicture } from '../core/render/layout-picture.ts';
import { reportTypes } from '../core/render/report/build.ts';
import { reportBody, reportHtml } from '../core/render/report/html.ts';
import { pictureHtml, usersHtml } from '../core/render/report/html-details.ts';
import { reportMarkdown } from '../core/render/report/markdown.ts';
import { reportStyle } from '../core/render/report/style.ts';
import { html } from '../core/render/report/text.ts';
import type { CallersElsewhere, ReportModel } from '../core/render/report/types.ts';
import type { LayoutSubject, OverviewDocument, PageDocument, Reviewed } from '../protocol.ts';
import { makeReport } from '../report.ts';
import type { Session } from '../session.ts';
import type { Keeper } from './keeper.ts';
import { labelOf } from './layoutContent.ts';
import type { Model } from './model.ts';
import { editorView } from './pageWords.ts';

const NO_SESSION: PageDocument = { title: 'Live Patch', style: reportStyle, body: '' };

/** Files that a session was asked to compare for a report. */
const asked = new WeakMap<Session, Set<string>>();
/** What the build may be made of; a text or a script in the same commit is none of it. */
const SOURCES = /\.(c|h|inc|def|S)$/;

/**
 * Has every edit compared that is in the working tree, not only those that an editor showed so far: a report is about the whole patch.
 * Returns at once; what comes of it is told like any other comparison.
 */
async function compareAll(model: Model, session: Session): Promise<void> {
  const known = asked.get(session) ?? new Set<string>();
  asked.set(session, known);
  const changed = await session.changedFiles().catch((): readonly string[] => []);
  for (const path of changed) {
    if (known.has(path) || !SOURCES.test(path) || !existsSync(path)) continue;
    known.add(path);
    const isCompared = model.unitsWith(path).length > 0;
    if (!isCompared) session.looked(path);
  }
}

/** Milliseconds that a page waits for the rest of the build to be read; then it is drawn without, and again when that is done. */
const CALLERS_WAIT = 300;

/** Who calls what, as it was asked of a session last: what `key` says, and whether the answer is there. */
interface Asked {
  readonly key: string;
  readonly answer: Promise<CallersElsewhere>;
  done: boolean;
}

const askedCallers = new WeakMap<Session, Asked>();

/** Asks the rest of the build who calls functions. The same question again waits for the same answer. */
function callersOf(session: Session, names: readonly string[], but: ReadonlySet<string>): Asked {
  const key = JSON.stringify([names, [...but].sort()]);
  const known = askedCallers.get(session);
  if (known?.key === key) return known;
  const asked: Asked = { key, answer: session.callers(names, but), done: false };
  void asked.answer.then(
    () => {
      asked.done = true;
    },
    () => {
      asked.done = true;
      // The next one asks again.
      if (askedCallers.get(session) === asked) askedCallers.delete(session);
    },
  );
  askedCallers.set(session, asked);
  return asked;
}

/** The report of the session as it is now. */
async function modelOf(keeper: Keeper, reviewed: Reviewed, listings: boolean): Promise<ReportModel | undefined> {
  const session = await keeper.session();
  if (!session) return undefined;
  const { model } = keeper;
  await compareAll(model, session);
  // A file is of everything; a page is drawn again when there is more.
  if (listings) await session.idle();
  const findings = new Set(reviewed.findings);
  const owner = new Map(
    model.units.flatMap((state) => (state.result?.findings ?? []).map((each) => [each, state.result!] as const)),
  );
  const { verdict } = keeper.state();
  return makeReport(model.units, session.config, {
    ...model.choices,
    from: session.config.root,
    listings,
    callers: async (names, but) => {
      const { answer } = callersOf(session, names, but);
      return listings ? answer : Promise.race([answer, setTimeout(CALLERS_WAIT, undefined, { ref: false })]);
    },
    verdict: verdict === 'none' ? 'unchanged' : verdict,
    notCompared: keeper.withoutCommand().map(([file, why]) => ({ what: basename(file), why })),
    reviewed: {
      function: (unit, name) => {
        const found = model.find(unit, name);
        return (
          found !== undefined &&
          reviewed.functions[`${unit}\n${name}`] === model.fingerprint(found.result, found.change)
        );
      },
      finding: (finding) => {
        const result = owner.get(finding);
        return result !== undefined && findings.has(model.findingFingerprint(result, finding));
      },
    },
  });
}

/** The overview for a webview: links open editors, boxes are ticked. */
export async function overviewPage(keeper: Keeper, reviewed: Reviewed): Promise<OverviewDocument> {
  const report = await modelOf(keeper, reviewed, false);
  if (!report)
    return {
      ...NO_SESSION,
      body: `<main><h1>${html(l10n.t('No session is open'))}</h1></main>`,
      functions: [],
      findings: [],
      unfinished: false,
    };
  const { model } = keeper;
  const session = await keeper.session();
  return {
    unfinished: session !== undefined && askedCallers.get(session)?.done === false,
    title: report.title,
    style: reportStyle,
    body: reportBody(report, editorView()),
    functions: report.functions.map(({ unit, name }) => {
      const found = model.find(unit, name);
      return { unit, name, fingerprint: found ? model.fingerprint(found.result, found.change) : '' };
    }),
    findings: report.findings.map((each) => {
      const state = model.units.find(({ unit }) => unit.id === each.unit);
      const finding = state?.result?.findings.find(
        ({ code, symbol, message }) => code === each.code && symbol === each.symbol && message === each.message,
      );
      const place = state && model.place(state, finding?.at);
      return {
        fingerprint: state?.result && finding ? model.findingFingerprint(state.result, finding) : '',
        ...(place ? { place } : {}),
      };
    }),
  };
}

/** The report as a file. */
export async function exportReport(
  keeper: Keeper,
  { reviewed, format }: { readonly reviewed: Reviewed; readonly format: 'markdown' | 'html' },
): Promise<{ readonly text: string; readonly name: string }> {
  const report = await modelOf(keeper, reviewed, true);
  if (!report)
    throw new Error(
      l10n.t('No session is open: open a C source of a folder that is trusted and has a compile_commands.json.'),
    );
  return format === 'html'
    ? { text: reportHtml(report), name: 'live-patch.html' }
    : { text: reportMarkdown(report), name: 'live-patch.md' };
}

/** The picture of a changed type's layout, with who uses it. */
export function picturePage(model: Model, { unit, type: label }: Pick<LayoutSubject, 'unit' | 'type'>): PageDocument {
  const states = model.units.filter((state) => state.result?.diff.types.some((each) => labelOf(each) === label));
  const state = states.find((each) => each.unit.id === unit) ?? states[0];
  const change = state?.result?.diff.types.find((each) => labelOf(each) === label);
  const picture = state?.result && change && layoutPicture(state.result.pair, change);
  if (!picture) {
    const words = l10n.t('The layout of {0} is the same as in the baseline.', label);
    return { title: label, style: reportStyle, body: `<main><h1>${html(label)}</h1><p>${html(words)}</p></main>` };
  }
  const units = states.map(({ unit: each, result }) => ({
    id: each.id,
    file: basename(each.command.file),
    ...(result ? { result } : {}),
  }));
  const carried = model.units.flatMap(({ result }) =>
    (result?.diff.functions ?? []).filter((each) => !model.isLeftOut(each)),
  );
  const types = reportTypes(units, new Set(carried.map(({ name }) => name)), label);
  return {
    title: label,
    style: reportStyle,
    body: `<main><h1><code>${html(label)}</code></h1>${types[0] ? usersHtml(types[0]) : ''}${pictureHtml(picture, 'picture', editorView())}</main>`,
  };
}
