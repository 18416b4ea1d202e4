import { basename } from 'node:path';
import { commands as editorCommands, l10n, type QuickPickItem, Uri, window, workspace } from 'vscode';
import { detach } from './apply.ts';
import { cliCommand, runWithProgress } from './cli.ts';
import { type MachineItem, type MachineState, xenTrees } from './machines.ts';
import { commands, contexts } from './names.ts';
import type { Room } from './room.ts';

/** Milliseconds between questions for the machines while a Xen tree is open and the view can be seen. */
const POLL = 4000;

/** The machine that a command is about: the view's item, the only one that fits, or the one that the user picks. */
async function choose(room: Room, argument: unknown, fits: readonly MachineState[]): Promise<MachineItem | undefined> {
  const given = (argument as { readonly machine?: MachineItem } | undefined)?.machine;
  if (given) return given;
  await room.machines.refresh();
  const list = room.machines.all.filter(({ state }) => fits.includes(state));
  if (list.length === 0) {
    const make = l10n.t('Make One');
    const chosen = await window.showInformationMessage(
      l10n.t('There is no test machine for which that can be done.'),
      make,
    );
    if (chosen === make) await editorCommands.executeCommand(commands.vmCreate);
    return undefined;
  }
  if (list.length === 1) return list[0];
  const picks = list.map((machine): QuickPickItem & { machine: MachineItem } => ({
    label: machine.name,
    ...(machine.version ? { description: `Xen ${machine.version}` } : {}),
    machine,
  }));
  return (await window.showQuickPick(picks, { placeHolder: l10n.t('Test machine') }))?.machine;
}

/** Where the hypervisor comes from: `--source` of the command line; undefined where nobody chose. */
async function chooseSource(): Promise<{ readonly args: readonly string[]; readonly tree?: Uri } | undefined> {
  const trees = await xenTrees();
  const picks = [
    ...trees.map((tree) => ({
      label: l10n.t('The Xen tree of this window'),
      description: tree.fsPath,
      detail: l10n.t('As it is built: xen/xen and xen/xen-syms.'),
      source: { args: ['--source', tree.fsPath], tree },
    })),
    {
      label: l10n.t('Debian’s source of Xen'),
      description: '',
      detail: l10n.t('Fetched and built here: two minutes of processor time. Nothing is installed.'),
      source: { args: [] },
    },
    {
      label: l10n.t('Another built tree…'),
      description: '',
      detail: l10n.t('With CONFIG_LIVEPATCH and CONFIG_DEBUG_INFO.'),
      source: undefined,
    },
  ];
  const chosen = await window.showQuickPick(picks, {
    title: l10n.t('Make a Test Machine with Xen'),
    placeHolder: l10n.t('Which hypervisor shall it boot?'),
  });
  if (!chosen) return undefined;
  if (chosen.source) return chosen.source;
  const folder = (
    await window.showOpenDialog({
      title: l10n.t('Built Xen tree'),
      canSelectFolders: true,
      canSelectFiles: false,
      canSelectMany: false,
    })
  )?.[0];
  return folder && { args: ['--source', folder.fsPath], tree: folder };
}

/** Makes a machine; afterwards it can be started, and the fetched tree opened. */
async function create(room: Room, argument: unknown): Promise<boolean> {
  const given = argument as { readonly machine?: MachineItem; readonly source?: string } | undefined;
  const source =
    given?.source === undefined
      ? await chooseSource()
      : { args: given.source === '' ? [] : ['--source', given.source], tree: undefined };
  if (!source) return false;
  await room.machines.refresh();
  const taken = new Set(room.machines.all.filter(({ state }) => state !== 'absent').map(({ name }) => name));
  // The button in the view's title gets the item that has the focus: one that there is already is not replaced.
  const asked = given?.machine?.name;
  const wanted =
    asked !== undefined && !taken.has(asked) ? asked : room.targets.list.find(({ vm }) => vm && !taken.has(vm))?.vm;
  const free = (base: string): string => {
    for (let count = 2; ; count++) if (!taken.has(`${base}-${count}`)) return `${base}-${count}`;
  };
  const plain = source.tree
    ? `xen-${basename(source.tree.fsPath)
        .replaceAll(/[^\w.-]/g, '-')
        .slice(0, 30)}`
    : 'xen';
  const name = wanted ?? (taken.has('xen') ? (taken.has(plain) ? free(plain) : plain) : 'xen');
  const result = await room.machines.during(name, 'creating', () =>
    runWithProgress(room.context, l10n.t('Making the test machine {0}', name), [
      'vm',
      'create',
      'xen',
      '--name',
      name,
      ...source.args,
    ]),
  );
  room.log.info(result.stderr.trim());
  if (result.status !== 0) return false;
  await room.targets.renew().catch(() => []);
  const [begin, openTree] = [l10n.t('Start'), l10n.t('Open Its Source')];
  const made = room.machines.all.find((each) => each.name === name);
  const isOpen = (await xenTrees()).some((tree) => tree.fsPath === made?.tree);
  const more = made?.tree && !isOpen ? [openTree] : [];
  const told = window.showInformationMessage(l10n.t('The test machine {0} is made.', name), begin, ...more);
  detach(
    told.then((chosen): Thenable<unknown> | undefined => {
      if (chosen === begin) return start(room, { machine: made });
      if (chosen === openTree && made?.tree)
        return editorCommands.executeCommand('vscode.openFolder', Uri.file(made.tree), { forceNewWindow: true });
      return undefined;
    }),
  );
  return true;
}

async function start(room: Room, argument: unknown): Promise<boolean> {
  const machine = await choose(room, argument, ['created', 'stopped']);
  if (!machine) return false;
  const { name } = machine;
  const result = await room.machines.during(name, 'starting', () =>
    runWithProgress(room.context, l10n.t('Starting the test machine {0}', name), ['vm', 'start', name]),
  );
  room.log.info(result.stderr.trim());
  await room.targets.renew().catch(() => []);
  return result.status === 0;
}

async function stop(room: Room, argument: unknown): Promise<boolean> {
  const machine = await choose(room, argument, ['running']);
  if (!machine) return false;
  const { name } = machine;
  const result = await room.machines.during(name, 'stopping', () =>
    runWithProgress(room.context, l10n.t('Stopping the test machine {0}', name), ['vm', 'stop', name]),
  );
  await room.targets.renew().catch(() => []);
  return result.status === 0;
}

/** The serial line in a terminal: read, and typed at; of a machine that does not run, its last words as a document. */
async function console(room: Room, argument: unknown): Promise<void> {
  const machine = await choose(room, argument, ['running', 'stopped']);
  if (!machine) return;
  if (machine.state === 'running')
    return terminal(room, l10n.t('Console of {0}', machine.name), ['vm', 'console', '--follow', machine.name]);
  if (machine.consoleLog) await window.showTextDocument(Uri.file(machine.consoleLog), { preview: true });
}

async function ssh(room: Room, argument: unknown): Promise<void> {
  const machine = await choose(room, argument, ['running']);
  if (machine) terminal(room, l10n.t('ssh to {0}', machine.name), ['vm', 'ssh', machine.name]);
}

function terminal({ context }: Room, name: string, args: readonly string[]): void {
  const open = window.terminals.find((each) => each.name === name && each.exitStatus === undefined);
  const shown = open ?? window.createTerminal({ name, ...cliCommand(context, args) });
  shown.show();
}

/** Commands for the machines to try patches in, and the list's life. */
export function activate(room: Room): void {
  const { context, machines, targets } = room;
  const register = (name: string, action: (room: Room, argument: unknown) => unknown): void => {
    context.subscriptions.push(editorCommands.registerCommand(name, (argument: unknown) => action(room, argument)));
  };
  register(commands.vmCreate, create);
  register(commands.vmStart, start);
  register(commands.vmStop, stop);
  register(commands.vmConsole, console);
  register(commands.vmSsh, ssh);
  const tell = (): void => {
    void editorCommands.executeCommand('setContext', contexts.xen, machines.hasXen);
  };
  const ask = (): void => {
    if (machines.hasXen && room.server.running) void machines.refresh().catch(() => {});
  };
  const timer = setInterval(ask, POLL);
  context.subscriptions.push(
    { dispose: () => clearInterval(timer) },
    machines.onDidChange(tell),
    targets.onDidChange(() => {
      tell();
      ask();
    }),
  );
  context.subscriptions.push(workspace.onDidChangeWorkspaceFolders(() => void machines.look().then(tell)));
  void machines.look().then(tell);
}
