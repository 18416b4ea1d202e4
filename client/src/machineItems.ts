import { l10n, ThemeColor, ThemeIcon, TreeItem, TreeItemCollapsibleState } from 'vscode';
import type { MachineItem, MachineState } from './machines.ts';
import { commands, items } from './names.ts';

const STATE: Readonly<Record<MachineState, string>> = {
  absent: l10n.t('not made yet'),
  creating: l10n.t('is being made'),
  created: l10n.t('never started'),
  starting: l10n.t('starting'),
  running: l10n.t('running'),
  stopping: l10n.t('stopping'),
  stopped: l10n.t('stopped'),
};

const ICON: Readonly<Record<MachineState, ThemeIcon>> = {
  absent: new ThemeIcon('vm-outline', new ThemeColor('disabledForeground')),
  creating: new ThemeIcon('loading~spin'),
  created: new ThemeIcon('vm-outline'),
  starting: new ThemeIcon('loading~spin'),
  running: new ThemeIcon('vm-running', new ThemeColor('charts.green')),
  stopping: new ThemeIcon('loading~spin'),
  stopped: new ThemeIcon('vm-outline'),
};

/** Heading of the machines. */
export function machinesItem(): TreeItem {
  const item = new TreeItem(l10n.t('Test machines'), TreeItemCollapsibleState.Expanded);
  item.id = 'machines';
  item.contextValue = items.machines;
  item.iconPath = new ThemeIcon('vm');
  return item;
}

/** A machine with its state; `contextValue` says the state, so that only what makes sense is offered. */
export function machineItem(machine: MachineItem): TreeItem {
  const { name, state, version, accelerator } = machine;
  const item = new TreeItem(name);
  item.id = `machine ${name}`;
  item.contextValue = `${items.machine} ${state}`;
  item.iconPath = ICON[state];
  const words = [STATE[state], version ? `Xen ${version}` : ''].filter(Boolean);
  item.description = words.join(', ');
  const how = accelerator === 'tcg' ? l10n.t('emulated, without hardware virtualisation') : accelerator;
  item.tooltip = [`${name}: ${item.description}`, machine.tree ?? '', how ?? ''].filter(Boolean).join('\n');
  item.accessibilityInformation = { label: l10n.t('Test machine {0}: {1}', name, item.description) };
  if (state === 'running')
    item.command = { title: l10n.t('Console'), command: commands.vmConsole, arguments: [{ machine }] };
  return item;
}
