/** Why Xen refused something: a stable word, and a sentence that says what to do. */
export interface XenRefusal {
  readonly reason: string;
  readonly message: string;
}

/** What was asked of the hypervisor. */
export type XenAction = 'upload' | 'apply' | 'revert' | 'unload' | 'replace' | 'list';

type Explain = (match: RegExpMatchArray, id: string) => XenRefusal;

const say =
  (reason: string, message: (match: RegExpMatchArray, id: string) => string): Explain =>
  (match, id) => ({ reason, message: message(match, id) });

/** What the hypervisor's console says, most telling first; texts of common/livepatch.c, common/livepatch_elf.c and arch/x86/livepatch.c. */
const consoleReasons: readonly (readonly [RegExp, Explain])[] = [
  [
    /check against hypervisor build-id failed/,
    say(
      'other-hypervisor',
      (_, id) =>
        `${id} is made for another hypervisor, or goes on top of a patch that is not applied. Build it against the xen-syms of the hypervisor that runs, and apply what it depends on first.`,
    ),
  ],
  [
    /check against (\S+) build-id failed/,
    say(
      'not-on-top',
      (match, id) =>
        `${match[1]} is on top of the stack, and ${id} does not depend on it. Build ${id} on top of ${match[1]}, or replace what is applied with it.`,
    ),
  ],
  [
    /can't unload\. Top is (\S+)/,
    say('not-top', (match, id) => `${match[1]} is applied on top of ${id}: revert that first.`),
  ],
  [
    /can't revert as payload has \.data/,
    say(
      'not-reappliable',
      (_, id) =>
        `${id} has writable data and was reverted: Xen does not apply it again as it is. Unload it, and upload it anew; its data then starts afresh.`,
    ),
  ],
  [
    /Timed out on semaphore in (\S+) quiesce phase (\S+)/,
    say(
      'quiesce-timeout',
      (match, id) =>
        `The processors could not be brought to rest in time for ${id} (${match[1]} phase, ${match[2]} arrived): nothing was changed. Try again when the machine is less busy.`,
    ),
  ],
  [
    /unable to (?:quiesce|get cpu_maps lock)/,
    say(
      'quiesce-timeout',
      (_, id) => `The hypervisor could not be brought to rest for ${id}: nothing was changed. Try again.`,
    ),
  ],
  [
    /Wrong version \((\d+)\)\. Expected (\d+)/,
    say(
      'wrong-version',
      (match, id) =>
        `${id} has a function table of version ${match[1]}, and this hypervisor takes ${match[2]}. Build it against the xen-syms of this hypervisor.`,
    ),
  ],
  [
    /Unknown symbol: (\S+)/,
    say(
      'unknown-symbol',
      (match, id) =>
        `${id} needs ${match[1]}, which the hypervisor has not. Build it against the xen-syms of the hypervisor that runs.`,
    ),
  ],
  [
    /Could not resolve old address of (\S+)/,
    say(
      'unknown-function',
      (match, id) =>
        `${id} replaces ${match[1]}, which the hypervisor has not. Build it against the xen-syms of the hypervisor that runs.`,
    ),
  ],
  [
    /duplicate new symbol: (\S+)/,
    say(
      'duplicate-symbol',
      (match, id) =>
        `${id} brings ${match[1]}, which the hypervisor or another patch has already. Rename it, or unload that patch.`,
    ),
  ],
  [
    /(\.\S+) is (missing|empty)/,
    say(
      'incomplete',
      (match, id) => `${id} lacks what Xen asks for: ${match[1]} is ${match[2]}. Build it again with livepatch build.`,
    ),
  ],
  [
    /expectations? (?:of \S+ )?failed/,
    say(
      'expectation',
      (_, id) =>
        `The code that ${id} wants to replace is not what it expects to find there. Another patch may have replaced it, or it is another hypervisor.`,
    ),
  ],
  [
    /hook failed \(rc=(-?\d+)\)/,
    say('hook-refused', (match, id) => `A hook of ${id} refused with ${match[1]}: nothing was changed.`),
  ],
  [
    /REPLACE action is not supported on livepatches with vetoing hooks/,
    say(
      'not-replaceable',
      (_, id) =>
        `${id}, or a patch that is applied, has hooks around apply or revert: Xen does not replace those. Revert the applied patches one by one, then apply ${id}.`,
    ),
  ],
  [/Nothing to patch/, say('incomplete', (_, id) => `${id} replaces no function and has no hook.`)],
  [
    /(Bogus e_shoff|Section header|Not an ELF|Invalid ELF|is past end|corrupted|not within|Bad offset|past \S+ section)/,
    say(
      'damaged-file',
      (match, id) =>
        `The file of ${id} is damaged (${match[1]}): it was cut off, or is no payload. Build it again, or copy it again.`,
    ),
  ],
  [
    /(Unhandled relocation \d+|SHT_REL relocation unsupported|Encountered STN_UNDEF|Unexpected common symbol: \S+|Overflow in relocation .*|alignment .* is not supported)/,
    say(
      'unloadable',
      (match, id) =>
        `${id} holds what Xen's loader cannot load: ${match[1]}. Build it with livepatch build, which checks for this.`,
    ),
  ],
  [
    /(Could not allocate memory)/,
    say('no-memory', (_, id) => `The hypervisor has no room for ${id}. Unload patches that are not applied.`),
  ],
  [
    /Safety checks failed/,
    say('unsafe-now', (_, id) => `The hypervisor held it unsafe to apply ${id} now. Try again.`),
  ],
];

/** Error numbers (Linux), for refusals of which the console says nothing. */
const errors: Readonly<Record<number, (action: XenAction, id: string) => XenRefusal>> = {
  1: () => ({
    reason: 'no-permission',
    message:
      'The hypervisor refuses live patching to this machine: it has to be domain 0, and the user root (or sudo without a password).',
  }),
  2: (action, id) =>
    action === 'upload'
      ? { reason: 'unknown-symbol', message: `${id} needs a symbol that the hypervisor has not; its console names it.` }
      : {
          reason: 'not-uploaded',
          message: `The hypervisor has no patch ${id}. ${action === 'apply' || action === 'replace' ? 'Upload it first.' : 'Look at the list of what it has.'}`,
        },
  11: (_, id) => ({ reason: 'busy', message: `Another operation on ${id} is under way. Try again.` }),
  12: (_, id) => ({ reason: 'no-memory', message: `The hypervisor has no room for ${id}.` }),
  13: () => ({
    reason: 'no-permission',
    message: 'The tools on the target do not fit the hypervisor, or have no permission to it.',
  }),
  16: (_, id) => ({
    reason: 'busy',
    message: `The hypervisor was busy, and nothing was changed for ${id}. Try again.`,
  }),
  17: (_, id) => ({
    reason: 'already-uploaded',
    message: `The hypervisor has ${id}, or a patch of the same build id, already. Unload that first, or apply it.`,
  }),
  22: (action, id) => ({
    reason: 'refused',
    message: `The hypervisor refuses to ${action} ${id}. Its console has the reason (xl dmesg).`,
  }),
  27: (_, id) => ({ reason: 'too-large', message: `${id} is larger than the hypervisor takes (2 MiB).` }),
  38: () => ({
    reason: 'no-livepatching',
    message: 'The hypervisor is built without live patching (CONFIG_LIVEPATCH).',
  }),
  75: (_, id) => ({ reason: 'too-far', message: `The hypervisor would have to jump further than 2 GiB for ${id}.` }),
  95: (_, id) => ({
    reason: 'unsupported',
    message: `${id} holds something that this hypervisor does not support; its console names it.`,
  }),
};

/**
 * Explains a refusal.
 * @param output of xen-livepatch, both streams.
 * @param console new lines of the hypervisor's console.
 */
export function explainRefusal(
  action: XenAction,
  id: string,
  output: string,
  console: string,
): XenRefusal & { readonly lines: readonly string[] } {
  // A name of its own: a patch may be called like a part of a function, and metadata (`  functions=...`) tell no reason.
  const ofPatch = new RegExp(`(?<![\\w.-])${id.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w-])(?!\\.\\w)`);
  const lines = console
    .split('\n')
    .map((line) =>
      line
        .replace(/^.*?\(XEN\)\s*/, '')
        .replace(/^\[[^\]]*\]\s*/, '')
        .trim(),
    )
    .filter(
      (line) =>
        line.startsWith('livepatch: ') &&
        (ofPatch.test(line) || /build-id|Top is/.test(line)) &&
        !/^livepatch: {2,}\w+=/.test(line) &&
        !/Verifying enabled|Applying \d|finished \S+ with rc=0|Reverting|Calling /.test(line),
    );
  const told = lines.length > 0 ? ` The hypervisor says: ${lines.at(-1)}` : '';
  for (const line of lines.toReversed()) {
    for (const [pattern, explain] of consoleReasons) {
      const match = pattern.exec(line);
      if (match) {
        const { reason, message } = explain(match, id);
        return { reason, message: `${message}${told}`, lines };
      }
    }
  }
  const wrong = /is in the wrong state\.\s*Current state: (\S+)\s*Expected state: (\S+)/.exec(output);
  if (wrong) {
    const advice =
      action === 'unload' ? 'Revert it first.' : action === 'revert' ? 'It is not applied.' : 'Look at the list.';
    return {
      reason: 'wrong-state',
      message: `${id} is ${wrong[1]!.toLowerCase()}, and has to be ${wrong[2]!.toLowerCase()} to ${action} it. ${advice}`,
      lines,
    };
  }
  if (/Operation already in progress|Operation didn't complete/.test(output))
    return {
      reason: 'quiesce-timeout',
      message: `The hypervisor did not finish in time with ${id}. Look at the list, and try again.`,
      lines,
    };
  if (
    /\bsudo: (?:(?:command )?not found|a (?:password|terminal) is required)|not in the sudoers file|not allowed to (?:run sudo|execute)/.test(
      output,
    )
  )
    return {
      reason: 'no-permission',
      message:
        'The user there is not root, and may not become it without a password: log in as root ("ssh": "root@host"), or let sudo run xen-livepatch without one.',
      lines,
    };
  if (/failed to get the handler|Could not obtain handle/i.test(output))
    return {
      reason: 'no-permission',
      message:
        'The tools cannot talk to the hypervisor: this has to be domain 0 of a machine that runs Xen, and the user root (or sudo without a password).',
      lines,
    };
  const number = Number(/Error (\d+):/.exec(output)?.[1]);
  const known = errors[number];
  if (known) {
    const { reason, message } = known(action, id);
    return { reason, message: `${message}${told}`, lines };
  }
  return {
    reason: 'refused',
    message: `The hypervisor did not ${action} ${id}: ${output.trim().split('\n').slice(-2).join(' ')}${told}`,
    lines,
  };
}
