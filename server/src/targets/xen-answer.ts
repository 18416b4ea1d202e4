import { deathIn } from '../vm/qemu.ts';
import type { RunResult } from './transport/local.ts';
import { whyUnreachable } from './transport/ssh.ts';
import type { Step } from './xen-script.ts';

/** What the script printed, and what the console said meanwhile. */
export interface Answer {
  readonly run: RunResult;
  readonly steps: readonly Step[];
  readonly console: string;
  /** Last lines of the serial console, where the host gave no answer and the console is at hand. */
  readonly tail: string;
  /** Why the host is not there any more, where that is known. */
  readonly gone?: string | undefined;
  /** For messages: the host. */
  readonly where: string;
}

/** Console text without what the machine's ssh server tells of each connection. */
export const withoutLogins = (text: string): string =>
  text.replaceAll(/^\[\d+\] \w{3} +\d+ [\d:]{8} (?:Child connection|Pubkey auth succeeded|Exit \().*\n?/gm, '');

/**
 * Why there is no answer to read, where that is so: a stable word, and a sentence that says what to do.
 * @param name the target's, for messages
 * @param seconds that it had
 */
export function whyNoAnswer(
  { run, where, console: words, tail, gone }: Answer,
  name: string,
  seconds: number,
): { reason: string; message: string } | undefined {
  const last = tail === '' ? '' : `\nLast lines of its console:\n${tail}`;
  const death = run.status === 0 ? undefined : deathIn(words);
  if (death !== undefined)
    return {
      reason: 'died',
      message: `${name} died: ${death}.${last}`,
    };
  if (run.ended === 'cancelled')
    return { reason: 'cancelled', message: `Cancelled. The list of ${name} tells what was done.` };
  if (run.ended === 'timeout')
    return {
      reason: 'timeout',
      message: `${name} gave no answer in ${seconds} s. What was under way may still happen there: look at the list.${last}`,
    };
  if (gone !== undefined)
    return {
      reason: 'died',
      message: `${name} went away meanwhile: ${gone}. Started again it runs without patches.${last}`,
    };
  // It had answered before.
  if (run.status === 255 && run.stdout !== '')
    return {
      reason: 'unreachable',
      message: `The connection to ${where} broke in the middle. What was under way may still happen there: look at the list.${last}`,
    };
  if (run.status === 255)
    return {
      reason: 'unreachable',
      message: `${whyUnreachable(where, run.stderr)}${last}`,
    };
  if (run.status === 127)
    return { reason: 'no-ssh', message: 'There is no ssh program here: sudo apt-get install openssh-client' };
  if (run.stdout.includes('@@no-tool'))
    return {
      reason: 'no-tool',
      message: `${where} has no xen-livepatch: install Xen's tools there (Debian: xen-utils), of the hypervisor's version.`,
    };
  if (run.stdout.includes('@@not-copied'))
    return {
      reason: 'not-copied',
      message: `The file did not arrive whole on ${where} (${run.stderr.trim().split('\n').at(-1) || 'the connection ended'}): nothing was uploaded to the hypervisor. Is there room in its temporary folder?`,
    };
  if (run.stdout.trim() === '')
    return {
      reason: 'failed',
      message: `${where}: ${run.stderr.trim().split('\n').at(-1) || 'no answer'}`,
    };
  return undefined;
}
