import { type RunOptions, type RunResult, run } from './local.ts';

/** Which host, and with whose configuration. */
export interface SshHost {
  /** `user@host`, or a `Host` of the configuration. */
  readonly destination: string;
  /** Configuration file instead of the user's own. */
  readonly config?: string;
}

/** Commands on another host, through the system's ssh: the user's keys, agents, jump hosts and known_hosts work as they have them. */
export interface SshTransport {
  readonly destination: string;
  /** Runs a program there: an argument vector, quoted for the other side's shell. Status 255 is ssh's own: the host did not answer. */
  run(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Runs a shell script there; `args` become `$1`, `$2`, ... */
  script(text: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Argument vector of an interactive session, for a terminal. */
  interactive(args: readonly string[]): string[];
}

/** One word for a POSIX shell (XCU 2.2.2: nothing is special in single quotes but the quote itself). */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Why ssh itself failed (status 255), from what it printed, with what to do: a sentence. */
export function whyUnreachable(destination: string, stderr: string): string {
  const last = stderr.trim().split('\n').at(-1)?.trim() || 'ssh gave no reason';
  if (/Permission denied|Too many authentication failures|no mutual signature/i.test(stderr))
    return `${destination} does not let you in: ${last} It takes a key that works without a question: an agent, or IdentityFile in ssh's configuration. Try: ssh ${destination}`;
  if (/Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No \S+ host key is known/.test(stderr))
    return `${destination} is not trusted: ${last} Its host key is not known yet, or is another one than before. Log in once by hand, and look at the key: ssh ${destination}`;
  return `${destination} does not answer: ${last}`;
}

/**
 * @throws Error where the destination would be read as an option or holds white space.
 */
export function openSsh(host: SshHost): SshTransport {
  if (!/^[^\s-]\S*$/.test(host.destination))
    throw new Error(`'${host.destination}' is no ssh destination: expected user@host`);
  const front = [...(host.config === undefined ? [] : ['-F', host.config])];
  // Never a question on a terminal that nobody sees: a missing key or an unknown host is an error.
  const quiet = [
    ...front,
    '-T',
    '-o',
    'BatchMode=yes',
    '-o',
    'ConnectTimeout=10',
    '-o',
    'ServerAliveInterval=10',
    '-o',
    'ServerAliveCountMax=3',
  ];
  const line = (args: readonly string[]): string => args.map(shellWord).join(' ');
  return {
    destination: host.destination,
    run: (args, options) => run('ssh', [...quiet, '--', host.destination, line(args)], { seconds: 60, ...options }),
    script: (text, args, options) =>
      run('ssh', [...quiet, '--', host.destination, line(['sh', '-c', text, 'livepatch', ...args])], {
        seconds: 60,
        ...options,
      }),
    interactive: (args) => [
      'ssh',
      ...front,
      ...(args.length === 0 ? ['-t'] : []),
      '--',
      host.destination,
      ...(args.length > 0 ? [line(args)] : []),
    ],
  };
}
