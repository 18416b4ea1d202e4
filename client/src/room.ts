import type { ExtensionContext, LogOutputChannel } from 'vscode';
import type { Server } from './client.ts';
import type { Decisions } from './decisions.ts';
import type { Machines } from './machines.ts';
import type { Targets } from './targets.ts';

/** What every feature gets: the extension's context, the language server, the user's decisions and the output channel. */
export interface Room {
  readonly context: ExtensionContext;
  readonly server: Server;
  readonly decisions: Decisions;
  readonly targets: Targets;
  readonly machines: Machines;
  readonly log: LogOutputChannel;
}

/** A part of the editor's side: one file, one `activate`. */
export interface Feature {
  readonly activate: (room: Room) => void;
}
