import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Comparison, createAnalyser } from '../../server/src/analyse.ts';
import type { ObjectDiff } from '../../server/src/core/diff/types.ts';
import type { Finding, TargetKind } from '../../server/src/core/findings/types.ts';
import { CASE_COMPILERS, type CompileOptions, compile, DEFAULT_ARGS, hasTool } from './cc.ts';

/** A finding that a source text asks for: on the line above its marker. */
export interface Mark {
  readonly line: number;
  readonly code: string;
  readonly severity: string;
}

const marker = /^\s*\/\/\s*\^+\s*([a-z-]+)\s+(blocker|review|note)\s*$/;

/**
 * Takes the marker lines out of a source text. A marker is a line `//^^^ code severity` under the line that must be reported; several may follow
 * each other. The text without them is what is compiled, and what the line numbers of the marks count.
 */
export function readMarkers(text: string): { source: string; marks: Mark[] } {
  const kept: string[] = [];
  const marks: Mark[] = [];
  for (const line of text.replace(/^\n/, '').split('\n')) {
    const match = marker.exec(line);
    if (match) marks.push({ line: kept.length, code: match[1]!, severity: match[2]! });
    else kept.push(line);
  }
  return { source: kept.join('\n'), marks };
}

/** C before and after. Markers stand in `next`. */
export interface Fixture {
  readonly base: string;
  readonly next: string;
  /** Compilers to run it with. Default: all of `CASE_COMPILERS`. */
  readonly compilers?: readonly string[];
  readonly args?: readonly string[];
  readonly files?: {
    readonly base?: Readonly<Record<string, string>>;
    readonly next?: Readonly<Record<string, string>>;
  };
  readonly name?: string;
  readonly target?: TargetKind;
  /** Codes that the fixture is not about and that may be there or not. All others must be marked. */
  readonly ignore?: readonly string[];
  /** Further checks on the comparison. */
  readonly check?: (comparison: Comparison, compiler: string) => void;
}

const analyser = createAnalyser();

/** Compiles, reads and compares a fixture, as the program does. */
export async function compareFixture(fixture: Fixture, compiler: string): Promise<Comparison> {
  const { load, compare } = await analyser;
  const side = (which: 'base' | 'next') => {
    const options: CompileOptions = {
      compiler,
      args: fixture.args ?? DEFAULT_ARGS,
      ...(fixture.name !== undefined && { name: fixture.name }),
      ...(fixture.files?.[which] && { files: fixture.files[which] }),
    };
    const { object, problems } = load(compile(readMarkers(fixture[which]).source, options));
    assert.ok(object, `the ${which} object does not load: ${JSON.stringify(problems)}`);
    return object;
  };
  const unit = fixture.name ?? 'unit.c';
  return compare(
    side('base'),
    side('next'),
    { unit, baseCommand: [], nextCommand: [], compiler, baseline: 'test' },
    undefined,
    fixture.target && [fixture.target],
  );
}

/** Registers one test per compiler: the findings must be exactly the marked ones, each once. */
export function hazard(title: string, fixture: Fixture): void {
  for (const compiler of fixture.compilers ?? CASE_COMPILERS) {
    test(`${title} [${compiler}]`, { skip: !hasTool(compiler) && `${compiler} is not installed` }, async () => {
      const comparison = await compareFixture(fixture, compiler);
      const ignored = new Set(fixture.ignore ?? []);
      const text = (line: number, code: string, severity: string): string => `line ${line}: ${code} ${severity}`;
      const expected = readMarkers(fixture.next).marks.map((mark) => text(mark.line, mark.code, mark.severity));
      const found = comparison.findings
        .filter(({ code }) => !ignored.has(code))
        .map(({ at, code, severity }) => text(at?.line ?? 0, code, severity));
      assert.deepEqual(found.sort(), expected.sort(), explain(comparison.findings, comparison.diff));
      for (const finding of comparison.findings) checkShape(finding);
      fixture.check?.(comparison, compiler);
    });
  }
}

/** What every finding owes to its reader. */
function checkShape(finding: Finding): void {
  assert.ok(finding.message.length > 40 && /[.!]$/.test(finding.message), `message: ${finding.message}`);
  assert.ok(!/undefined|NaN|\[object/.test(finding.message), `message: ${finding.message}`);
  assert.ok(finding.symbol !== '', `${finding.code} names nothing`);
  assert.ok(finding.fixes.some(({ kind }) => kind === 'open-docs'));
  JSON.stringify(finding);
}

function explain(findings: readonly Finding[], diff: ObjectDiff): string {
  const lines = findings.map((f) => `  ${f.at?.file}:${f.at?.line} ${f.code} ${f.severity} ${f.symbol}: ${f.message}`);
  const parts = [
    ...diff.functions.map(
      (f) => `  function ${f.name} ${f.status} ${f.reasons.map((r) => `${r.kind} ${r.detail}`).join(', ')}`,
    ),
    ...diff.data.map((d) => `  data ${d.name} ${d.status} ${d.differs.join(',')} ${d.baseSection} ${d.nextSection}`),
    ...diff.types.map(
      (t) =>
        `  type ${t.label} ${t.status} ${t.members.map((m) => `${m.what} ${m.path}`).join(', ')} ${t.outlivesBy.join('; ')}`,
    ),
  ];
  return `findings:\n${lines.join('\n')}\ndifferences:\n${parts.join('\n')}`;
}
