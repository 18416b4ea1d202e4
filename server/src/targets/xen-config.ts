import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readElf } from '../core/elf/index.ts';
import type { ElfFile, ElfSymbol } from '../core/elf/types.ts';
import type { PatchUnit } from '../core/payload/types.ts';
import { buildXenPayload, readXenManifest, type XenOptions, type XenOutcome } from '../core/payload/xen.ts';
import { checkXenPayload } from '../core/payload/xen-check.ts';
import { type Hypervisor, versionOf, type XenBelow } from '../core/payload/xen-symbols.ts';
import type { Config, TargetConfig } from '../shell/types.ts';
import { cacheRoot } from '../vm/cache.ts';
import { sshOf } from '../vm/machine.ts';
import { readVm, runningVm, whyNotRunning } from '../vm/made.ts';
import { readFrom } from '../vm/qemu.ts';
import { openSsh } from './transport/ssh.ts';
import { createXenTarget, type XenTarget } from './xen.ts';
import { knownPayloads, type PayloadVersion, type StackedPatch, stackOf, versionOf as versionIn } from './xen-stack.ts';

/** Payloads that were applied from here: a later patch depends on them, and refers to what they brought. */
export const payloadFolder = (): string => join(cacheRoot(), 'xen-payloads');

/** Why nothing was sent, where a payload could not be remembered. */
const notKept = (error: unknown): string =>
  `Nothing was sent: the payload cannot be kept in ${payloadFolder()} (${error instanceof Error ? error.message : error}).`;

/** Remembers a payload that is about to be sent to a hypervisor. */
async function keepPayload(bytes: Uint8Array): Promise<void> {
  const id = readElf(bytes).elf?.buildId;
  if (id === undefined) return;
  await mkdir(payloadFolder(), { recursive: true });
  await writeFile(join(payloadFolder(), `${id}.livepatch`), bytes);
}

/** The target of a configuration entry of kind `xen`: a machine of `livepatch vm`, or a host that ssh reaches. */
export function xenTargetOf(entry: TargetConfig): XenTarget {
  const { name, vm, ssh, verify } = entry;
  return createXenTarget({
    name,
    ...(verify === undefined ? {} : { verify }),
    async order({ patches, buildId }) {
      const stack = stackOf(patches, await knownPayloads(payloadFolder(), patches), buildId);
      const isApplied = ({ depth }: StackedPatch): boolean => depth !== undefined;
      return [...stack.filter(isApplied).reverse(), ...stack.filter((patch) => !isApplied(patch))];
    },
    async prepare(payload) {
      const broken = await flaws(entry, payload);
      if (broken !== undefined) return { kind: 'refused', reason: 'damaged-file', message: broken };
      // What is applied and not known here could not be built upon, and a full disk is told in time.
      try {
        await keepPayload(payload);
      } catch (error) {
        return { kind: 'failed', reason: 'internal', message: notKept(error) };
      }
      return undefined;
    },
    async connect() {
      if (vm === undefined) return { ssh: openSsh({ destination: ssh ?? '' }) };
      await readVm(vm);
      const state = await runningVm(vm);
      if (!state) throw new Error(await whyNotRunning(vm));
      return {
        ssh: sshOf(state),
        console: (offset) => readFrom(state.consoleLog, offset),
        gone: async () => ((await runningVm(vm)) ? undefined : whyNotRunning(vm)),
      };
    },
  });
}

/**
 * What the hypervisor could not load of a payload, whoever made it, found before anything is sent; undefined where nothing is, or where its xen-syms is
 * not known. Whether it fits what runs now (build ids, the stack) is the hypervisor's to say.
 */
async function flaws(entry: TargetConfig, payload: Uint8Array): Promise<string | undefined> {
  const { elf } = readElf(payload);
  const path = entry.syms ?? (entry.vm === undefined ? undefined : await symsOf(entry.vm).catch(() => undefined));
  if (!elf || path === undefined) return undefined;
  const syms = await elfOf(path).catch(() => undefined);
  if (!syms || readXenManifest(elf)?.xen !== syms.buildId) return undefined;
  const below = await storedPayloads(syms.buildId);
  const found = checkXenPayload(elf, { path, elf: syms, below: [] }, versionOf(syms)).filter(({ code, symbol }) => {
    // Names may be those of patches below.
    if (code === 'symbol-unresolved') return !below.some((one) => one.elf.symbols.some(({ name }) => name === symbol));
    return /^(payload-malformed|payload-too-large|forbidden-relocation|hook-duplicate|func-too-small)$/.test(code);
  });
  return found.length === 0
    ? undefined
    : `Nothing was sent: the hypervisor would refuse this file. ${found
        .slice(0, 3)
        .map(({ message }) => message)
        .join(' ')}`;
}

/** The hypervisor that a payload is to be made for is not known well enough: a sentence for the user. */
export class NoHypervisor extends Error {}

const read = new Map<string, { readonly stamp: string; readonly elf: ElfFile }>();

/** Reads a linked file, once for each version of it. */
async function elfOf(path: string): Promise<ElfFile> {
  const info = await stat(path).catch(() => undefined);
  if (!info)
    throw new NoHypervisor(
      `There is no ${path}: the payload is made for a hypervisor whose xen-syms is known ("syms" of the target in livepatch.json)`,
    );
  const stamp = `${info.ino} ${info.size} ${info.mtimeMs}`;
  const known = read.get(path);
  if (known?.stamp === stamp) return known.elf;
  const { elf, problems } = readElf(new Uint8Array(await readFile(path)));
  if (!elf) throw new NoHypervisor(`${path} cannot be read: ${problems[0]?.message ?? 'not an ELF file'}`);
  if (elf.symbols.length === 0)
    throw new NoHypervisor(`${path} has no symbols: what is wanted is the xen-syms of the hypervisor's build`);
  const livepatches = ({ name, type }: ElfSymbol): boolean =>
    name === 'livepatch_op' || (type === 'file' && /(^|\/)livepatch\.c$/.test(name));
  if (!elf.symbols.some(livepatches))
    throw new NoHypervisor(
      `${path} is a hypervisor without live patching, or none: build it with CONFIG_LIVEPATCH, and boot that`,
    );
  read.set(path, { stamp, elf });
  return elf;
}

async function symsOf(vm: string): Promise<string> {
  const image = await readVm(vm).catch((error: Error) => {
    throw new NoHypervisor(error.message);
  });
  return image.syms;
}

/**
 * The hypervisor that a target runs: its xen-syms, and the payloads that are applied to it (asked from it, where it answers).
 * @throws NoHypervisor where xen-syms is not there, or an applied payload is not known here.
 */
export async function hypervisorOf(entry: TargetConfig, config: Config): Promise<Hypervisor> {
  const path = entry.syms ?? (entry.vm === undefined ? join(config.buildDir, 'xen-syms') : await symsOf(entry.vm));
  const elf = await elfOf(path);
  const listed = await xenTargetOf(entry).list();
  const applied = 'patches' in listed ? listed.patches.filter((patch) => patch.state === 'applied') : [];
  const running =
    'patches' in listed
      ? listed.buildId === undefined
        ? {}
        : { running: listed.buildId }
      : { unasked: listed.message.split('\n')[0]! };
  if (applied.length === 0) return { path, elf, below: [], ...running };
  const known = await storedPayloads(elf.buildId);
  const below = applied.map((patch): XenBelow => {
    const found = versionIn(known, patch);
    if (!found)
      throw new NoHypervisor(
        `${entry.name} has the patch ${patch.id} applied, which was not applied from here: a patch on top of it cannot be built. Revert it, or apply it with livepatch.`,
      );
    return found;
  });
  return { path, elf, below: inOrder(below), ...running };
}

async function storedPayloads(xen: string | undefined): Promise<(XenBelow & PayloadVersion)[]> {
  const found: (XenBelow & PayloadVersion)[] = [];
  for (const name of await readdir(payloadFolder()).catch(() => [])) {
    const path = join(payloadFolder(), name);
    const { elf } = readElf(new Uint8Array(await readFile(path)));
    const manifest = elf && readXenManifest(elf);
    if (!elf || manifest?.xen !== xen || !manifest) continue;
    found.push({ id: manifest.id, created: manifest.created, sentAt: (await stat(path)).mtimeMs, elf });
  }
  return found;
}

/** The oldest first: each depends on the one before it. */
function inOrder(payloads: readonly XenBelow[]): XenBelow[] {
  const rest = [...payloads];
  const sorted: XenBelow[] = [];
  while (rest.length > 0) {
    const at = rest.findIndex((one) => {
      const depends = readXenManifest(one.elf)?.depends;
      return sorted.length === 0
        ? !rest.some((other) => other.elf.buildId === depends)
        : sorted.at(-1)!.elf.buildId === depends;
    });
    sorted.push(...rest.splice(Math.max(0, at), 1));
  }
  return sorted;
}

/** The entry that a patch of this workspace is made for: the first of kind `xen`; undefined where it is made for processes. */
export function xenEntry(config: Config): TargetConfig | undefined {
  return config.targets.find((target) => target.kind === 'xen');
}

/** Builds a payload for the hypervisor of a configuration entry. `unasked`: why it goes on top of the hypervisor itself, whatever is applied there. */
export async function buildForXen(
  units: readonly PatchUnit[],
  entry: TargetConfig,
  config: Config,
  options: XenOptions,
): Promise<XenOutcome & { readonly unasked?: string }> {
  const hypervisor = await hypervisorOf(entry, config);
  const { unasked } = hypervisor;
  return { ...buildXenPayload(units, hypervisor, options), ...(unasked === undefined ? {} : { unasked }) };
}
