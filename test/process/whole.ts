import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { TargetEvent } from '../../server/src/targets/types.ts';
import type { RunningProgram } from './program.ts';

/** How many functions of `many` have to agree. */
export const FUNCTIONS = 120;

/** Many functions that have to agree: half a patch would be seen at once. */
export const many = (version: number): string => `
#include <stdio.h>
${Array.from({ length: FUNCTIONS }, (_, i) => `__attribute__((noinline)) int part${i}(int x) { static int calls; calls++; return x * ${version} + ${i} + (calls & 0); }`).join('\n')}
const char *answer(const char *question) {
  static char text[64];
  int old = 0, new = 0, x = question[0];
${Array.from({ length: FUNCTIONS }, (_, i) => `  if (part${i}(x) == x * 3 + ${i}) old++; else if (part${i}(x) == x * 5 + ${i}) new++;`).join('\n')}
  snprintf(text, sizeof text, "%d %d", old, new);
  return text;
}
`;

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** An event in one line: its kind, and the reason where it is not what was wanted. */
export const outcome = (event: TargetEvent): string =>
  event.kind === 'refused' || event.kind === 'failed' ? `${event.kind} ${event.reason}: ${event.message}` : event.kind;

/** All functions old, all new, or some of each. */
export async function state(running: RunningProgram): Promise<'old' | 'new' | 'mixed'> {
  const answer = await running.ask('x');
  const [old, fresh] = (answer ?? '').split(' ').map(Number);
  assert.equal(old! + fresh!, FUNCTIONS, `the program says ${answer}`);
  return fresh === 0 ? 'old' : old === 0 ? 'new' : 'mixed';
}

/** All functions old, or all new. */
export async function whole(running: RunningProgram): Promise<'old' | 'new'> {
  const seen = await state(running);
  assert.notEqual(seen, 'mixed');
  return seen as 'old' | 'new';
}

/** As `whole`, once the guardian had the time to put things right. */
export async function settled(running: RunningProgram): Promise<'old' | 'new'> {
  const until = Date.now() + 10_000;
  let seen = await state(running);
  while ((seen === 'mixed' || guardians() > 0) && Date.now() < until) {
    await pause(10);
    seen = await state(running);
  }
  assert.notEqual(seen, 'mixed');
  return seen as 'old' | 'new';
}

/** Waits until no helper has the process open any more. */
export async function idle(pid: number): Promise<void> {
  const until = Date.now() + 60_000;
  const opened = (helper: number): boolean => {
    try {
      return readdirSync(`/proc/${helper}/fd`).some(
        (fd) => readlinkSync(`/proc/${helper}/fd/${fd}`) === `/proc/${pid}/mem`,
      );
    } catch {
      return false;
    }
  };
  while (named('livepatch-helpe').some((one) => opened(one.pid))) {
    assert.ok(Date.now() < until, 'a helper without a tool does not end');
    await pause(5);
  }
}

interface Process {
  readonly pid: number;
  readonly parent: number;
}

/** Living processes of a name, as the kernel knows it (15 characters). */
function named(name: string): Process[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const own = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
      return own === name && fields[0] !== 'Z' ? [{ pid: Number(entry), parent: Number(fields[1]) }] : [];
    } catch {
      return [];
    }
  });
}

/** Live patch helpers that this process started. */
export const helpers = (): number[] =>
  named('livepatch-helpe').flatMap(({ pid, parent }) => (parent === process.pid ? [pid] : []));

/** Guardians whose helper is dead: those of other test runs that live under a helper do not count. */
const guardians = (): number => {
  const helping = new Set(named('livepatch-helpe').map(({ pid }) => pid));
  return named('livepatch-guard').filter(({ parent }) => !helping.has(parent)).length;
};

/** What a stop must not leave behind: scheduling classes, blocked signals, tracers of all threads. */
export function traces(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((tid) => {
    const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'latin1');
    const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)![1]!;
    // proc(5): policy is field 41, priority 18; the state is field 3 and the first after the name.
    return `policy ${fields[38]} priority ${fields[15]} blocked ${field('SigBlk')} tracer ${field('TracerPid')}`;
  });
}

/**
 * The same request until the program's threads could be stopped: on a machine with many times more work than processors each
 * single try may rightly be refused as busy, which says nothing of what a test asks.
 */
export async function insist(request: () => Promise<TargetEvent>, seconds = 90): Promise<TargetEvent> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const event = await request();
    if (event.kind !== 'refused' || event.reason !== 'busy' || performance.now() > end) return event;
    await pause(200);
  }
}
