import { spawn } from 'node:child_process';
import type { ExtensionContext, Progress } from 'vscode';
import { type CancellationToken, l10n, ProgressLocation, window, workspace } from 'vscode';

/** What a run of the command line came to. */
export interface CliResult {
  readonly status: number;
  readonly stdout: string;
  /** What it said for people: progress, and why it failed. */
  readonly stderr: string;
  readonly cancelled: boolean;
}

/** Milliseconds for the command line to end its children and to take back what it began, after a cancel. */
const GRACE = 8000;

/** Program and arguments that run the command line in a terminal of the editor. */
export function cliCommand(context: ExtensionContext, args: readonly string[]) {
  const cli = context.asAbsolutePath('dist/cli.cjs');
  return { shellPath: process.execPath, shellArgs: [cli, ...args], env: { ELECTRON_RUN_AS_NODE: '1' } };
}

/** Runs the command line to its end; a cancel lets it undo what it began. Never rejects. */
export function runCli(
  context: ExtensionContext,
  args: readonly string[],
  token?: CancellationToken,
  say: (line: string) => void = () => {},
): Promise<CliResult> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [context.asAbsolutePath('dist/cli.cjs'), ...args], {
      env: { ...process.env, ELECTRON_RUN_AS_NODE: '1', NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr, line] = ['', '', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      const lines = (line + text).split('\n');
      line = lines.pop() ?? '';
      const last = lines.filter((each) => each.trim() !== '').at(-1);
      if (last) say(last);
    });
    let killing: NodeJS.Timeout | undefined;
    const cancel = token?.onCancellationRequested(() => {
      child.kill('SIGINT');
      killing = setTimeout(() => child.kill('SIGKILL'), GRACE);
    });
    const finish = (status: number): void => {
      clearTimeout(killing);
      cancel?.dispose();
      resolve({ status, stdout, stderr, cancelled: token?.isCancellationRequested ?? false });
    };
    child.on('error', (error) => {
      stderr += error.message;
      finish(127);
    });
    child.on('close', (code) => finish(code ?? 1));
  });
}

/** The same with a notification that says how far it is and can be cancelled. A failure is told, with the rest as a document. */
export async function runWithProgress(
  context: ExtensionContext,
  title: string,
  args: readonly string[],
): Promise<CliResult> {
  const result = await window.withProgress(
    { location: ProgressLocation.Notification, title, cancellable: true },
    (progress: Progress<{ message?: string }>, token) =>
      runCli(context, args, token, (message) => progress.report({ message })),
  );
  if (result.status !== 0 && !result.cancelled) void tellFailure(result.stderr);
  return result;
}

async function tellFailure(text: string): Promise<void> {
  const lines = text.trim().split('\n');
  const at = lines.findIndex((line) => line.startsWith('livepatch: '));
  const first = (lines[Math.max(0, at)] ?? '').replace(/^livepatch: /, '');
  const details = l10n.t('Details');
  const more = lines.length > 1 ? [details] : [];
  const chosen = await window.showErrorMessage(first || l10n.t('The command line did not start.'), ...more);
  if (chosen !== details) return;
  const document = await workspace.openTextDocument({ language: 'plaintext', content: `${text.trim()}\n` });
  await window.showTextDocument(document, { preview: true });
}
