import {
  commands as editorCommands,
  l10n,
  ProcessExecution,
  Task,
  TaskScope,
  tasks,
  Uri,
  type WorkspaceFolder,
  window,
  workspace,
} from 'vscode';
import { acceptFinding, cancelBuild, checkNow, clearCache, type PatchState } from '../../server/src/protocol.ts';
import { rootOf } from './apply.ts';
import type { Server } from './client.ts';
import { commands, walkthrough } from './names.ts';
import type { Room } from './room.ts';
import { tell } from './status.ts';
import { xenFolder } from './workspace.ts';

const CONFIG = `{
  "buildDir": "build",
  "baseline": { "git": "HEAD" },
  "targets": [{ "name": "program", "kind": "process", "executable": "build/program" }]
}
`;

/** A first livepatch.json for a Xen tree: where its commands are, the machine that boots it, and what shows whether a patch took. */
const xenConfig = (buildDir: string): string => `{
  "buildDir": "${buildDir}",
  "baseline": { "git": "HEAD" },
  "targets": [
    {
      "name": "test machine",
      "kind": "xen",
      "vm": "xen",
      "verify": "cat /sys/hypervisor/version/extra"
    }
  ]
}
`;

/** The folder that a command is about: of its argument, of the active editor, the only one, or the one that the user picks. */
async function chooseFolder(argument: unknown): Promise<WorkspaceFolder | undefined> {
  const folders = workspace.workspaceFolders ?? [];
  const root = rootOf(argument);
  const active = window.activeTextEditor?.document.uri;
  const known = folders.find(({ uri }) => uri.fsPath === root) ?? (active && workspace.getWorkspaceFolder(active));
  if (known || folders.length < 2) return known ?? folders[0];
  return window.showWorkspaceFolderPick();
}

/** Opens livepatch.json, written with a first content where there is none. */
async function openConfig(argument: unknown): Promise<void> {
  if (!workspace.workspaceFolders?.length) return tell(l10n.t('Open the folder of a C project first.'));
  const folder = await chooseFolder(argument);
  if (!folder) return;
  const file = Uri.joinPath(folder.uri, 'livepatch.json');
  try {
    await workspace.fs.stat(file);
  } catch {
    const xen = await xenFolder(folder.uri);
    await workspace.fs.writeFile(file, new TextEncoder().encode(xen ? xenConfig(xen) : CONFIG));
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
  await accept(server, { code, symbol, reason: reason.trim() });
}

/** Writes an acceptance into livepatch.json of the folder that has the finding, or takes it out; a failure is told. */
async function accept(
  server: Server,
  about: { readonly code: string; readonly symbol: string; readonly reason?: string },
): Promise<void> {
  const has = ({ units }: PatchState): boolean =>
    units.some(({ findings }) => findings.some(({ code, symbol }) => code === about.code && symbol === about.symbol));
  const { root } = has(server.state) ? server.state : (server.states.find(has) ?? server.state);
  const { ok, message } = await server.request(acceptFinding, about, undefined, root);
  if (!ok) void window.showErrorMessage(message);
}

/** Ends the running check in every folder that has one. */
async function cancel({ server, log }: Room): Promise<void> {
  const busy = server.states.filter((state) => state.busy);
  const ended = await Promise.allSettled(
    (busy.length > 0 ? busy : [server.state]).map(({ root }) => server.request(cancelBuild, {}, undefined, root)),
  );
  for (const each of ended) if (each.status === 'rejected') log.warn(String(each.reason));
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
  register(commands.cancel, () => cancel(room));
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
    const key = `${code}:${symbol}`;
    // The view does not know which of the two a reason comes from.
    const isKept = (argument as { keep?: boolean }).keep || !(key in decisions.choices.overrides);
    if (isKept) await accept(server, { code, symbol });
    else await decisions.override(key, undefined);
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
    tell(message);
  });
  register(commands.restartServer, () => server.restart());
  register(commands.openWalkthrough, () =>
    editorCommands.executeCommand('workbench.action.openWalkthrough', `${context.extension.id}#${walkthrough}`, false),
  );
}
