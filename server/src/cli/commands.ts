import type { Command } from './command.ts';

/** A command as the overview lists it; its code is loaded only when it runs, so that a short command starts fast. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

export const commands: readonly CommandEntry[] = [
  {
    name: 'diff',
    summary: 'compare two object files: what changed, and can it be live patched',
    load: async () => (await import('./diff.ts')).command,
  },
  {
    name: 'check',
    summary: 'compare the working tree with the baseline',
    load: async () => (await import('./check.ts')).command,
  },
  {
    name: 'asm',
    summary: 'show the machine code of a function, before and after',
    load: async () => (await import('./asm.ts')).command,
  },
  {
    name: 'accept',
    summary: 'accept a finding with a written reason',
    load: async () => (await import('./accept.ts')).command,
  },
  {
    name: 'report',
    summary: 'write one page about the whole patch, as Markdown or HTML',
    load: async () => (await import('./patchReport.ts')).command,
  },
  {
    name: 'baseline',
    summary: 'compare the baseline with the hypervisor that runs, function by function',
    load: async () => (await import('./baseline.ts')).command,
  },
  { name: 'build', summary: 'write the payload', load: async () => (await import('./build.ts')).command },
  {
    name: 'apply',
    summary: 'apply a payload to a running process or hypervisor',
    load: async () => (await import('./apply.ts')).command,
  },
  { name: 'revert', summary: 'take a patch out again', load: async () => (await import('./revert.ts')).command },
  {
    name: 'unload',
    summary: 'take an uploaded payload out of a hypervisor',
    load: async () => (await import('./unload.ts')).command,
  },
  { name: 'status', summary: 'list what is applied', load: async () => (await import('./status.ts')).command },
  {
    name: 'inspect',
    summary: 'print what a payload holds',
    load: async () => (await import('./inspect.ts')).command,
  },
  {
    name: 'record',
    summary: 'run a build and keep its compiler commands',
    load: async () => (await import('./record.ts')).command,
  },
  {
    name: 'doctor',
    summary: 'check that this machine has what is needed',
    load: async () => (await import('./doctor.ts')).command,
  },
  {
    name: 'cache',
    summary: 'show or clear the cache of base objects',
    load: async () => (await import('./cache.ts')).command,
  },
  {
    name: 'vm',
    summary: 'make and run virtual machines to try patches in',
    load: async () => (await import('./vm.ts')).command,
  },
];
