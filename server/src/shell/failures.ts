import { basename } from 'node:path';
import { cleanLog, type PathsBack, parseDiagnostics } from './diagnostics.ts';
import type { RunResult } from './runner.ts';
import { quoteCommand } from './tokenize.ts';
import type { BuildOutcome } from './types.ts';

const FULL = /No space left on device|Disk quota exceeded|ENOSPC|EDQUOT/i;
const TOO_LARGE = /File too large|File size limit exceeded|EFBIG/i;
const NO_PASS =
  /cannot execute ['‘`"]?(cc1|as|cc1plus|ld)|installation problem, cannot exec|error trying to exec '(cc1|as)'/;

/** A full disk, with the ways out. `where` is the folder that was written to. */
export function diskFull(where: string, log: string): Extract<BuildOutcome, { kind: 'failed' }> {
  return {
    kind: 'failed',
    reason: 'disk-full',
    message:
      `The disk is full (or a quota or size limit is reached): the object could not be written to ${where}. ` +
      'Free some space, clear the cache of original objects (command "Live Patch: Clear Cache"), or set XDG_CACHE_HOME to a folder with space.',
    log,
  };
}

/** True for an error of the file system that means "no space". */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');
}

/** What a failed run means for the build, in words that name the command and the way out. Undefined for a run that went well. */
export function failureOf(
  result: RunResult,
  vector: readonly string[],
  file: string,
  scratch: string,
  back: PathsBack,
): Exclude<BuildOutcome, { kind: 'built' }> | undefined {
  const program = vector[0]!;
  const name = basename(file);
  const failed = (reason: Extract<BuildOutcome, { kind: 'failed' }>['reason'], message: string, log = '') =>
    ({ kind: 'failed', reason, message, log }) as const;
  switch (result.kind) {
    case 'cancelled':
      return { kind: 'cancelled' };
    case 'untrusted':
      return failed(
        'untrusted',
        'The workspace is not trusted: no compiler is run. Trust the workspace to check edits.',
      );
    case 'missing':
      return failed(
        'missing-compiler',
        `${result.message} ${name} is built with it. Install this compiler (the same version that built the running program), or make it reachable through PATH.`,
      );
    case 'failed':
      if (FULL.test(result.message)) return diskFull(scratch, result.message);
      return failed('other', result.message);
    case 'timeout':
      return failed(
        'timeout',
        `${basename(program)} did not finish ${name} within ${Math.round(result.milliseconds / 1000)} s and was stopped. ` +
          'Raise `compileTimeout` in livepatch.json if the file takes this long, or run the command by hand to see what it waits for.',
        cleanLog(result.stderr.toString(), back),
      );
    case 'exited': {
      const output = `${result.stderr.toString()}${result.stdout.toString()}`;
      if (result.status === 0) return undefined;
      const log = cleanLog(output, back);
      if (FULL.test(output) || TOO_LARGE.test(output) || result.signal === 'SIGXFSZ') return diskFull(scratch, log);
      if (NO_PASS.test(output) || result.status === 127) {
        return failed(
          'missing-compiler',
          `${basename(program)} cannot run one of its own programs: ${firstLine(log)} Repair or reinstall the compiler.`,
          log,
        );
      }
      const errors = parseDiagnostics(output, back);
      if (errors.some(({ severity }) => severity === 'error') && !/internal compiler error/.test(output)) {
        return { kind: 'compileError', errors, log, command: vector };
      }
      const how = result.signal ? `was ended by ${result.signal}` : `ended with status ${result.status}`;
      const memory = result.signal === 'SIGKILL' ? ' It may have run out of memory.' : '';
      return failed(
        'other',
        `${basename(program)} ${how} on ${name}: ${firstLine(log) || 'it said nothing.'}${memory} The command: ${quoteCommand(vector)}`,
        log,
      );
    }
  }
}

function firstLine(log: string): string {
  const line =
    log
      .split('\n')
      .find((text) => text.trim() !== '')
      ?.trim() ?? '';
  return line === '' || /[.!?]$/.test(line) ? line : `${line}.`;
}
