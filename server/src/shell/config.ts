import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { Accepted } from '../core/findings/accept.ts';
import { type JsonNode, lineAndColumn, parseJson } from './jsonPlaces.ts';
import type { Config, TargetConfig } from './types.ts';
import { defaultXenTarget, findXenTree } from './xenTree.ts';

/** Name of the configuration file in the workspace folder. */
export const CONFIG_FILE = 'livepatch.json';

/** What the command line sets over the file. */
export interface ConfigOverrides {
  /** `-p`: the build folder. */
  readonly buildDir?: string;
  /** `--base`: a git revision, or a folder with the original sources. */
  readonly base?: string;
  /** Folder that relative override paths start from. The workspace folder by default. */
  readonly cwd?: string;
}

/** The kinds of target that a patch of this workspace is made for, each once; processes where livepatch.json names none. */
export function targetKinds({ targets }: Pick<Config, 'targets'>): readonly TargetConfig['kind'][] {
  return targets.length === 0 ? ['process'] : [...new Set(targets.map(({ kind }) => kind))];
}

const DEFAULT_TIMEOUT = 120;
const DEFAULT_CACHE_MIB = 1024;
/** Most bytes that Xen turns into NOPs at the start of a function. */
const MAX_NOP = 31;

/** Reports one node: where, what, and what is expected. */
type Report = (node: { readonly offset: number }, message: string) => void;

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The folder of compile_commands.json: the root, build/, any other folder right below (in order of name); else where make runs for Xen; else the root. */
function findBuildDir(root: string, xen: string | undefined): string {
  const below = (() => {
    try {
      return readdirSync(root, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
        .map((entry) => entry.name)
        .sort();
    } catch {
      return [];
    }
  })();
  for (const folder of ['.', 'build', ...below]) {
    if (existsSync(join(root, folder, 'compile_commands.json'))) return resolve(root, folder);
  }
  return xen ?? root;
}

/** Whether a folder has a compile_commands.json where it is looked for. */
export function hasCommands(root: string): boolean {
  return existsSync(join(findBuildDir(root, undefined), 'compile_commands.json'));
}

/** True where the folder lies in a git work tree; decided without running git. */
function inGit(folder: string): boolean {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return true;
    if (dirname(at) === at) return false;
  }
}

function stringAt(node: JsonNode, what: string, report: Report): string | undefined {
  if (typeof node.value === 'string' && node.value !== '') return node.value;
  report(node, `${what} must be a text that is not empty`);
  return undefined;
}

function numberAt(node: JsonNode, what: string, least: number, report: Report): number | undefined {
  if (typeof node.value === 'number' && node.value >= least) return node.value;
  report(node, `${what} must be a number of at least ${least}`);
  return undefined;
}

function membersOf(node: JsonNode, what: string, known: readonly string[], report: Report): Map<string, JsonNode> {
  const members = new Map<string, JsonNode>();
  if (!node.members) report(node, `${what} must be an object`);
  for (const { key, keyOffset, node: member } of node.members ?? []) {
    if (known.includes(key)) members.set(key, member);
    else report({ offset: keyOffset }, `${what} has no \`${key}\`; it may have ${known.join(', ')}`);
  }
  return members;
}

function readTarget(node: JsonNode, root: string, report: Report): TargetConfig | undefined {
  const members = membersOf(
    node,
    'a target',
    ['name', 'kind', 'pid', 'pidFile', 'executable', 'ssh', 'vm', 'syms', 'verify', 'expect', 'nops'],
    report,
  );
  const text = (key: string) => {
    const member = members.get(key);
    return member && stringAt(member, `\`${key}\``, report);
  };
  const name = text('name');
  if (name === undefined) {
    if (!members.has('name')) report(node, 'a target needs a `name`');
    return undefined;
  }
  const kind = text('kind') ?? 'process';
  if (kind !== 'process' && kind !== 'xen' && kind !== 'linux') {
    report(members.get('kind') ?? node, `target \`${name}\`: \`kind\` must be process, xen or linux`);
    return undefined;
  }
  const pidNode = members.get('pid');
  const pid = pidNode && numberAt(pidNode, `target \`${name}\`: \`pid\``, 1, report);
  const pidFile = text('pidFile');
  const executable = text('executable');
  if (kind === 'process' && pid === undefined && pidFile === undefined && executable === undefined) {
    report(node, `target \`${name}\` needs one of \`pid\`, \`pidFile\` and \`executable\``);
  }
  const [ssh, vm, syms, verify] = [text('ssh'), text('vm'), text('syms'), text('verify')];
  if (kind === 'xen' && (ssh === undefined) === (vm === undefined)) {
    report(node, `target \`${name}\` needs one of \`ssh\` (user@host) and \`vm\` (a machine of livepatch vm create)`);
    return undefined;
  }
  return {
    name,
    kind,
    ...(ssh === undefined ? {} : { ssh }),
    ...(vm === undefined ? {} : { vm }),
    ...(syms === undefined ? {} : { syms: resolve(root, syms) }),
    ...(verify === undefined ? {} : { verify }),
    ...readXenChoices(members, { name, kind }, report),
    ...(pid === undefined ? {} : { pid }),
    ...(pidFile === undefined ? {} : { pidFile: resolve(root, pidFile) }),
    ...(executable === undefined ? {} : { executable: resolve(root, executable) }),
  };
}

/** What only payloads for Xen have. */
function readXenChoices(
  members: ReadonlyMap<string, JsonNode>,
  { name, kind }: Pick<TargetConfig, 'name' | 'kind'>,
  report: Report,
): Pick<TargetConfig, 'expect' | 'nops'> {
  const [expectNode, nopsNode] = [members.get('expect'), members.get('nops')];
  if (kind !== 'xen') {
    for (const [key, node] of [['expect', expectNode] as const, ['nops', nopsNode] as const])
      if (node) report(node, `target \`${name}\`: \`${key}\` is for targets of kind xen`);
    return {};
  }
  if (expectNode && typeof expectNode.value !== 'boolean')
    report(expectNode, `target \`${name}\`: \`expect\` must be true or false`);
  if (nopsNode && !nopsNode.items) report(nopsNode, `target \`${name}\`: \`nops\` must be a list`);
  const nops = (nopsNode?.items ?? []).flatMap((node) => readNop(node, report) ?? []);
  return {
    ...(expectNode?.value === true ? { expect: true } : {}),
    ...(nops.length > 0 ? { nops } : {}),
  };
}

function readNop(node: JsonNode, report: Report): NonNullable<TargetConfig['nops']>[number] | undefined {
  const members = membersOf(node, 'an entry of `nops`', ['function', 'bytes'], report);
  const [nameNode, bytesNode] = [members.get('function'), members.get('bytes')];
  const name = nameNode && stringAt(nameNode, '`function`', report);
  const size = bytesNode?.value;
  const fits = typeof size === 'number' && Number.isInteger(size) && size >= 1 && size <= MAX_NOP;
  if (!nameNode) report(node, 'an entry of `nops` needs a `function`');
  if (!fits) report(bytesNode ?? node, `an entry of \`nops\` needs \`bytes\`, a number from 1 to ${MAX_NOP}`);
  return name !== undefined && fits ? { name, size } : undefined;
}

function readBaseline(node: JsonNode, root: string, report: Report): Config['baseline'] | undefined {
  const members = membersOf(node, '`baseline`', ['git', 'folder'], report);
  const git = members.get('git');
  const folder = members.get('folder');
  if (git && folder) report(folder, '`baseline` has both `git` and `folder`; `folder` is left out');
  if (git) {
    const revision = stringAt(git, '`baseline.git`', report);
    return revision === undefined ? undefined : { kind: 'git', revision };
  }
  if (folder) {
    const path = stringAt(folder, '`baseline.folder`', report);
    if (path === undefined) return undefined;
    if (!isFolder(resolve(root, path))) report(folder, `\`baseline.folder\`: ${resolve(root, path)} is not a folder`);
    return { kind: 'folder', path: resolve(root, path) };
  }
  if (node.members) report(node, '`baseline` needs `git` (a revision) or `folder` (the original sources)');
  return undefined;
}

function readAccepted(node: JsonNode, report: Report): Accepted | undefined {
  const members = membersOf(node, 'an accepted finding', ['code', 'symbol', 'reason', 'evidence'], report);
  const text = (key: string) => {
    const member = members.get(key);
    if (!member) report(node, `an accepted finding needs a \`${key}\``);
    return member && stringAt(member, `\`${key}\``, report);
  };
  const [code, symbol, reason] = [text('code'), text('symbol'), text('reason')];
  const evidence = members.get('evidence');
  if (!evidence?.items)
    report(evidence ?? node, 'an accepted finding needs the list `evidence`, as `livepatch accept` writes it');
  if (code === undefined || symbol === undefined || reason === undefined || !evidence?.items) return undefined;
  return { code, symbol, reason, evidence: evidence.items.flatMap((item) => stringAt(item, 'evidence', report) ?? []) };
}

const KEYS = ['$schema', 'buildDir', 'baseline', 'binaries', 'targets', 'compileTimeout', 'cacheLimitMiB', 'accepted'];

/**
 * Reads livepatch.json of a workspace folder (media/livepatch.schema.json describes it) and fills in the defaults. Never
 * throws: what cannot be used is left at its default and reported as `file:line:column: message`. A missing file is fine.
 * @param root absolute path of the workspace folder
 */
export async function loadConfig(
  root: string,
  overrides: ConfigOverrides = {},
): Promise<{ config: Config; problems: string[] }> {
  root = resolve(root);
  const path = join(root, CONFIG_FILE);
  const problems: string[] = [];
  let members = new Map<string, JsonNode>();
  let report: Report = () => {};
  if (existsSync(path)) {
    try {
      const text = readFileSync(path, 'utf8');
      report = (node, message) => {
        const { line, column } = lineAndColumn(text, node.offset);
        problems.push(`${path}:${line}:${column}: ${message}`);
      };
      try {
        members = membersOf(parseJson(text), CONFIG_FILE, KEYS, report);
      } catch (error) {
        problems.push(`${path}: ${(error as Error).message}; the defaults are used`);
      }
    } catch (error) {
      problems.push(`${path} cannot be read: ${(error as Error).message}; the defaults are used`);
    }
  }
  const get = (key: string) => members.get(key);

  const xen = findXenTree(root);
  const from = overrides.cwd ?? root;
  const buildNode = get('buildDir');
  const configured = buildNode && stringAt(buildNode, '`buildDir`', report);
  const buildDir =
    overrides.buildDir !== undefined
      ? resolve(from, overrides.buildDir)
      : configured !== undefined
        ? resolve(root, configured)
        : findBuildDir(root, xen?.buildDir);
  if (xen && xen.buildDir === buildDir) problems.push(...xen.problems);
  if (!isFolder(buildDir)) {
    if (overrides.buildDir === undefined && buildNode) report(buildNode, `\`buildDir\`: ${buildDir} is not a folder`);
    else problems.push(`the build folder ${buildDir} is not a folder`);
  }

  const baseNode = get('baseline');
  let baseline = baseNode && readBaseline(baseNode, root, report);
  if (overrides.base !== undefined) {
    const folder = resolve(from, overrides.base);
    const named = isAbsolute(overrides.base) || isFolder(folder);
    baseline = named ? { kind: 'folder', path: folder } : { kind: 'git', revision: overrides.base };
    if (named && !isFolder(folder)) problems.push(`the baseline ${folder} is not a folder`);
  }
  baseline ??= inGit(root) ? { kind: 'git', revision: 'HEAD' } : { kind: 'start' };

  const binaryNode = get('binaries');
  if (binaryNode && !binaryNode.items) report(binaryNode, '`binaries` must be a list of paths');
  const binaries = (binaryNode?.items ?? []).flatMap((item) => stringAt(item, 'an entry of `binaries`', report) ?? []);
  const targetNode = get('targets');
  if (targetNode && !targetNode.items) report(targetNode, '`targets` must be a list');
  const targets: TargetConfig[] = [];
  for (const item of targetNode?.items ?? []) {
    const target = readTarget(item, root, report);
    if (target && targets.some((other) => other.name === target.name)) {
      report(item, `two targets are named \`${target.name}\`; the second is left out`);
    } else if (target) targets.push(target);
  }
  // A Xen tree is patched as Xen, also where nobody has written that down.
  if (!targetNode && xen) targets.push(defaultXenTarget(xen));
  const acceptedNode = get('accepted');
  if (acceptedNode && !acceptedNode.items) report(acceptedNode, '`accepted` must be a list');
  const timeoutNode = get('compileTimeout');
  const limitNode = get('cacheLimitMiB');
  const config: Config = {
    root,
    buildDir,
    baseline,
    binaries: binaries.map((binary) => resolve(root, binary)),
    targets,
    compileTimeout: (timeoutNode && numberAt(timeoutNode, '`compileTimeout`', 1, report)) ?? DEFAULT_TIMEOUT,
    cacheLimitMiB: (limitNode && numberAt(limitNode, '`cacheLimitMiB`', 0, report)) ?? DEFAULT_CACHE_MIB,
    ...(acceptedNode && { accepted: (acceptedNode.items ?? []).flatMap((item) => readAccepted(item, report) ?? []) }),
  };
  return { config, problems };
}
