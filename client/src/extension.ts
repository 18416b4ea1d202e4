import { type ExtensionContext, window } from 'vscode';
import type { FindingItem, FunctionItem, PatchState } from '../../server/src/protocol.ts';
import * as apply from './apply.ts';
import * as asmDiff from './asmDiff.ts';
import { Server } from './client.ts';
import * as commands from './commands.ts';
import * as dataDiff from './dataDiff.ts';
import { Decisions } from './decisions.ts';
import * as gutter from './gutter.ts';
import * as hooks from './hooks.ts';
import * as layoutDiff from './layoutDiff.ts';
import * as layoutPicture from './layoutPicture.ts';
import { type MachineItem, Machines } from './machines.ts';
import * as overview from './overview.ts';
import * as patchTree from './patchTree.ts';
import * as peek from './peek.ts';
import * as progress from './progress.ts';
import * as reviewed from './reviewed.ts';
import type { Feature, Room } from './room.ts';
import * as status from './status.ts';
import { type TargetItem, Targets } from './targets.ts';
import * as trust from './trust.ts';
import * as vms from './vms.ts';
import * as xenActions from './xenActions.ts';

const features: readonly Feature[] = [
  commands,
  apply,
  asmDiff,
  reviewed,
  layoutDiff,
  layoutPicture,
  dataDiff,
  overview,
  gutter,
  peek,
  patchTree,
  status,
  progress,
  trust,
  vms,
  xenActions,
  hooks,
];

/** What other extensions, and the tests, may read. */
export interface Api {
  /** The state of the folder that the user works in. */
  readonly state: () => PatchState;
  /** One state for each folder whose language server was started. */
  readonly states: () => readonly PatchState[];
  readonly targets: () => readonly TargetItem[];
  readonly machines: () => readonly MachineItem[];
  readonly serverPid: () => number | undefined;
  /** Somebody looked at the function's code as it is now. */
  readonly isReviewed: (item: FunctionItem) => boolean;
  /** Somebody looked at the finding, on the evidence and code that it is about now. */
  readonly isFindingReviewed: (item: FindingItem) => boolean;
}

/** Called by VS Code when the first C document is opened or the view is shown. Starts no program by itself. */
export function activate(context: ExtensionContext): Api {
  const log = window.createOutputChannel('Live Patch', { log: true });
  context.subscriptions.push(log);
  const decisions = new Decisions(context.workspaceState);
  const server = new Server(context, log, () => decisions.choices);
  const targets = new Targets(server);
  const machines = new Machines({ context, server, targets });
  const room: Room = { context, server, decisions, targets, machines, log };
  context.subscriptions.push(decisions.onDidChange(() => server.sendChoices()));
  for (const feature of features) feature.activate(room);
  server.watch();
  return {
    state: () => server.state,
    states: () => server.states,
    targets: () => room.targets.list,
    machines: () => machines.list,
    serverPid: () => server.pid,
    isReviewed: (item) => decisions.isReviewed(item),
    isFindingReviewed: (item) => decisions.isFindingReviewed(item),
  };
}
