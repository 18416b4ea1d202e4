import {
  commands as editorCommands,
  l10n,
  ProcessExecution,
  Task,
  TaskScope,
  tasks,
  Uri,
  window,
  workspace,
} from 'vscode';
import { acceptFinding, cancelBuild, checkNow, clearCache } from '../../server/src/protocol.ts';
import { commands, walkthrough } from './names.ts';
import type { Room } from './room.ts';

const CONFIG = `{
  "buildDir": "build",
  "baseline": "HEAD",
  "targets": [{ "name": "program", "kind": "process", "executable": "build/program" }]
}
`;

/** Opens livepatch.json, written with a first content where there is none. */
async function openConfig(): Promise<void> {
  const folder = workspace.workspaceFolders?.[0];
  if (!folder) return void window.showInformationMessage(l10n.t('Open the folder of a C project first.'));
  const file = Uri.joinPath(folder.uri, 'livepatch.json');
  try {
    await workspace.fs.stat(file);
  } catch {
    await workspace.fs.writeFile(file, new TextEncoder().encode(CONFIG));
  }
  await window.showTextDocument(file);
}

/** Runs the user's own build command in a terminal, through `livepatch record`, which notes the commands that it runs. */
async function recordBuild({ context }: Room): Promise<void> {
  const folder = workspace.workspaceFolders?.[0];
  if (!folder) return;
  const line = await window.showInputBox({
    title: l10n.t('Record the build'),
    prompt: l10n.t(
      'Command that builds everything anew; the compiler commands that it runs are written to compile_commands.json',
    ),
    value: 'make -B',
  });
  if (!line) return;
  const cli = context.asAbsolutePath('dist/cli.cjs');
  const execution = new ProcessExecution(process.execPath, [cli, 'record', '--', 'sh', '-c', line], {
    cwd: folder.uri.fsPath,
    env: { ELECTRON_RUN_AS_NODE: '1' },
  });
  await tasks.executeTask(
    new Task({ type: 'process' }, folder ?? TaskScope.Workspace, 'record the build', 'Live Patch', execution),
  );
}

/** Asks for the written reason without which no blocker is overridden. */
async function override({ decisions, server }: Room, argument: unknown): Promise<void> {
  const keep = (argument as { keep?: boolean })?.keep === true;
  const { code, symbol, message } = (argument as { finding?: unknown })?.finding
    ? (argument as { finding: { code: string; symbol: string; message: string } }).finding
    : (argument as { code: string; symbol: string; message: string });
  const reason = await window.showInputBox({
    title: keep ? l10n.t('Accept {0} ({1})', code, symbol) : l10n.t('Override {0} ({1})', code, symbol),
    prompt: keep
      ? l10n.t('{0} — The reason is kept in livepatch.json, and asked for again when the evidence changes.', message)
      : l10n.t('{0} — The reason is kept in the payload.', message),
    placeHolder: l10n.t('Why is it safe here?'),
    ignoreFocusOut: true,
    validateInput: (text) =>
      text.trim().length < 8 ? l10n.t('Write a reason that another person can judge.') : undefined,
  });
  if (!reason) return;
  if (!keep) return decisions.override(`${code}:${symbol}`, reason.trim());
  const { ok, message: told } = await server.request(acceptFinding, { code, symbol, reason: reason.trim() });
  if (!ok) void window.showErrorMessage(told);
}

const nameOf = (argument: unknown): string | undefined => {
  const given = argument as { readonly name?: string; readonly function?: { readonly name: string } };
  return given?.function?.name ?? given?.name;
};

/** Commands that belong to no single feature. */
export function activate(room: Room): void {
  const { context, server, decisions, log } = room;
  const register = (name: string, action: (argument?: unknown) => unknown): void => {
    context.subscriptions.push(editorCommands.registerCommand(name, action));
  };
  register(commands.checkNow, () => server.request(checkNow, {}));
  register(commands.cancel, () => server.request(cancelBuild, {}));
  register(commands.leaveOut, async (argument) => {
    const name = nameOf(argument);
    if (name) await decisions.leaveOut(name, true);
  });
  register(commands.takeIn, async (argument) => {
    const name = nameOf(argument);
    if (name) await decisions.leaveOut(name, false);
  });
  register(commands.override, (argument) => override(room, argument));
  register(commands.dropOverride, async (argument) => {
    const given = argument as { code?: string; symbol?: string; finding?: { code: string; symbol: string } };
    const { code, symbol } = given?.finding ?? given;
    if (!code || !symbol) return;
    if ((argument as { keep?: boolean }).keep) await server.request(acceptFinding, { code, symbol });
    else await decisions.override(`${code}:${symbol}`, undefined);
  });
  register(commands.openDocs, async (argument) => {
    const given = argument as { code?: string; finding?: { code: string } };
    const code = given?.finding?.code ?? given?.code;
    if (!code || !/^[a-z0-9-]+$/.test(code)) return;
    const page = Uri.joinPath(context.extensionUri, 'docs', 'hazards', `${code}.md`);
    await editorCommands.executeCommand('markdown.showPreview', page);
  });
  register(commands.openOutput, () => log.show(true));
  register(commands.openConfig, openConfig);
  register(commands.recordBuild, () => recordBuild(room));
  register(commands.clearCache, async () => {
    const { message } = await server.request(clearCache, {});
    void window.showInformationMessage(message);
  });
  register(commands.restartServer, () => server.restart());
  register(commands.openWalkthrough, () =>
    editorCommands.executeCommand('workbench.action.openWalkthrough', `${context.extension.id}#${walkthrough}`, false),
  );
}
