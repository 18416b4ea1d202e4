import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findXenTree, machineOf } from '../shell/xenTree.ts';
import { findHelper } from '../targets/helper.ts';
import { type Command, exitStatus, flag } from './command.ts';
import { jsonSchema, jsonText } from './report.ts';
import { painter, wrap } from './text.ts';
import { findRoot } from './workspace.ts';

/** One thing that was looked at. `needed`: without it the main job does not work; else something lesser is lost. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly needed: boolean;
  /** What was found. */
  readonly found: string;
  /** What to do about it, where it is not fine; empty where it is. */
  readonly advice: string;
}

/** First line of what a program prints for `args`, or undefined where it does not run. */
function firstLine(program: string, args: readonly string[]): string | undefined {
  const run = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 });
  if (run.error || run.status !== 0) return undefined;
  return (run.stdout || run.stderr).split('\n')[0]?.trim() || program;
}

function tool(name: string, args: readonly string[], needed: boolean, advice: string): Check {
  const found = firstLine(name, args);
  return {
    name,
    ok: found !== undefined,
    needed,
    found: found ?? 'not found',
    advice: found === undefined ? advice : '',
  };
}

/** A C compiler: any one of those that builds use will do. */
function compilers(): Check[] {
  const names = ['cc', 'gcc', 'clang'];
  const found = names
    .map((name) => ({ name, line: firstLine(name, ['--version']) }))
    .filter((c) => c.line !== undefined);
  if (found.length === 0) {
    return [
      {
        name: 'C compiler',
        ok: false,
        needed: true,
        found: 'none of cc, gcc, clang',
        advice: 'sudo apt-get install gcc libc6-dev (the compiler must be the one that built the running program)',
      },
    ];
  }
  return found.map(({ name, line }) => ({ name, ok: true, needed: true, found: line ?? '', advice: '' }));
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Bit of CAP_SYS_PTRACE in capability masks (linux/capability.h). */
const CAP_SYS_PTRACE = 19n;

/** May we attach to processes that are not our children? Yama's ptrace_scope (Documentation/admin-guide/LSM/Yama.rst) and our capabilities decide. */
export function ptracePermission(scope: string | undefined, effective: string | undefined): Check {
  const capable = effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_SYS_PTRACE) & 1n) === 1n;
  const base = { name: 'ptrace permission', needed: true };
  if (scope === '3') {
    return {
      ...base,
      ok: false,
      found: 'kernel.yama.ptrace_scope is 3: nobody may attach',
      advice:
        'it cannot be lowered while the system runs: set kernel.yama.ptrace_scope = 1 in /etc/sysctl.d and boot again',
    };
  }
  if (capable) return { ...base, ok: true, found: 'CAP_SYS_PTRACE', advice: '' };
  if (scope === undefined || scope === '0') return { ...base, ok: true, found: 'own processes', advice: '' };
  const advice =
    scope === '1'
      ? 'run livepatch apply/revert with sudo, or allow it until the next boot: sudo sysctl kernel.yama.ptrace_scope=0'
      : 'only root may attach (ptrace_scope is 2): run livepatch apply/revert with sudo';
  return { ...base, ok: false, found: `kernel.yama.ptrace_scope is ${scope}, and we lack CAP_SYS_PTRACE`, advice };
}

function platform(): Check {
  const ok = process.platform === 'linux' && process.arch === 'x64';
  return {
    name: 'platform',
    ok,
    needed: true,
    found: `${process.platform} ${process.arch}, Node ${process.versions.node}`,
    advice: ok ? '' : 'patching running processes works on x86-64 Linux; comparing x86-64 objects works everywhere',
  };
}

/** The native helper: beside the bundle in an installed product, under server/native in a working copy. */
function helper(): Check {
  const path = findHelper();
  const runs = path !== undefined && spawnSync(path, [], { input: '', timeout: 5000 }).error === undefined;
  return {
    name: 'native helper',
    needed: true,
    ok: runs,
    found: path === undefined ? 'not found' : runs ? path : `${path} does not run here`,
    advice: runs
      ? ''
      : 'build it: sudo apt-get install gcc make libunwind-dev liblzma-dev zlib1g-dev, then npm run native',
  };
}

/** Can a virtual machine be run, and how fast? For trying patches of Xen and Linux. */
function virtualMachines(): Check {
  const qemu = firstLine('qemu-system-x86_64', ['--version']);
  let kvm = false;
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    kvm = true;
  } catch {
    // Emulation then: slower, but it works.
  }
  return {
    name: 'virtual machines',
    ok: qemu !== undefined,
    needed: false,
    found: qemu
      ? `${qemu}, ${kvm ? '/dev/kvm can be opened' : 'no /dev/kvm: emulation'}`
      : 'qemu-system-x86_64 not found',
    advice: qemu ? '' : 'only for test machines: sudo apt-get install qemu-system-x86',
  };
}

/** What a Xen tree has of what a live patch for its hypervisor needs; nothing to say of any other folder. */
function xenTree(root: string): Check[] {
  const tree = findXenTree(root);
  if (!tree) return [];
  const kernel = join(tree.buildDir, 'common', '.kernel.o.cmd');
  const problems = [
    ...tree.problems,
    ...(existsSync(kernel) ? [] : [`there is no ${kernel}: run make in ${tree.buildDir}`]),
  ];
  return [
    {
      name: 'Xen tree',
      ok: problems.length === 0,
      needed: false,
      found: `${tree.buildDir}${tree.syms === undefined ? ', not built' : `: commands of Kbuild, xen-syms; patches are made for the machine '${machineOf(tree.buildDir)}' unless livepatch.json names other targets`}`,
      advice: problems.join(' '),
    },
  ];
}

function workspace(cwd: string): Check {
  const found = ['compile_commands.json', 'build/compile_commands.json'].find((name) => existsSync(join(cwd, name)));
  const config = existsSync(join(cwd, 'livepatch.json'));
  const xen = findXenTree(cwd);
  const ok = found !== undefined || config || xen !== undefined;
  return {
    name: 'this folder',
    ok,
    needed: false,
    found:
      [config ? 'livepatch.json' : '', found ?? '', xen ? 'a Xen tree' : ''].filter(Boolean).join(', ') ||
      'no livepatch.json and no compile_commands.json',
    advice: ok ? '' : 'record the build here: livepatch record -- make',
  };
}

/** Looks at everything. */
export function examine(cwd: string): Check[] {
  const status = readText('/proc/self/status');
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status ?? '')?.[1];
  return [
    platform(),
    ...compilers(),
    tool(
      'git',
      ['--version'],
      true,
      'sudo apt-get install git (or set a folder with the original sources as baseline)',
    ),
    tool('make', ['--version'], false, 'sudo apt-get install make'),
    tool(
      'bear',
      ['--version'],
      false,
      'sudo apt-get install bear (only to record builds that write no compile_commands.json)',
    ),
    helper(),
    ptracePermission(readText('/proc/sys/kernel/yama/ptrace_scope'), effective),
    virtualMachines(),
    workspace(cwd),
    ...xenTree(findRoot(cwd)),
  ];
}

export const command: Command = {
  name: 'doctor',
  usage: ['[--json]'],
  about:
    'Checks what this machine and this folder have of what live patching needs, and says what to do about the rest. Status 2 where something is missing that the main job needs.',
  options: { json: { type: 'boolean', help: 'print JSON (docs/json.md)' } },
  examples: [{ line: 'livepatch doctor', what: 'one line for each thing, with advice below what is missing' }],
  async run(values, _positionals, context) {
    const checks = examine(context.cwd);
    const ok = checks.every((check) => check.ok || !check.needed);
    if (flag(values, 'json')) {
      context.out(jsonText({ schema: jsonSchema, ok, checks }));
    } else {
      const paint = painter(context.colour);
      const width = Math.max(...checks.map((check) => check.name.length));
      for (const check of checks) {
        const mark = check.ok ? paint.green('ok     ') : check.needed ? paint.red('missing') : paint.yellow('absent ');
        context.out(`${mark}  ${check.name.padEnd(width)}  ${check.found}\n`);
        if (check.advice)
          for (const line of wrap(check.advice, Math.max(50, context.width - width - 15)))
            context.out(`${' '.repeat(width + 11)}${paint.bold(line)}\n`);
      }
    }
    return ok ? exitStatus.fine : exitStatus.couldNot;
  },
};
