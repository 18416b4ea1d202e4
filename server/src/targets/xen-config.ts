import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readElf } from '../core/elf/index.ts';
import type { ElfFile } from '../core/elf/types.ts';
import type { PatchUnit } from '../core/payload/types.ts';
import { buildXenPayload, readXenManifest, type XenOptions, type XenOutcome } from '../core/payload/xen.ts';
import type { Hypervisor, XenBelow } from '../core/payload/xen-symbols.ts';
import type { Config, TargetConfig } from '../shell/types.ts';
import { cacheRoot } from '../vm/cache.ts';
import { readVm, runningVm, sshOf } from '../vm/machine.ts';
import { readFrom } from '../vm/qemu.ts';
import { openSsh } from './transport/ssh.ts';
import { createXenTarget, type XenTarget } from './xen.ts';

/** Payloads that were applied from here: a later patch depends on them, and refers to what they brought. */
const stored = (): string => join(cacheRoot(), 'xen-payloads');

async function keep(bytes: Uint8Array): Promise<void> {
  const id = readElf(bytes).elf?.buildId;
  if (id === undefined) return;
  await mkdir(stored(), { recursive: true });
  await writeFile(join(stored(), `${id}.livepatch`), bytes);
}

/** The target of a configuration entry of kind `xen`: a machine of `livepatch vm`, or a host that ssh reaches. */
export function xenTargetOf(entry: TargetConfig): XenTarget {
  const { name, vm, ssh, verify } = entry;
  const target = createXenTarget({
    name,
    ...(verify === undefined ? {} : { verify }),
    async connect() {
      if (vm === undefined) return { ssh: openSsh({ destination: ssh ?? '' }) };
      await readVm(vm);
      const state = await runningVm(vm);
      if (!state) throw new Error(`the machine does not run (livepatch vm start${vm === 'xen' ? '' : ` ${vm}`})`);
      return { ssh: sshOf(state), console: (offset) => readFrom(state.consoleLog, offset) };
    },
  });
  return {
    ...target,
    async apply(payload, signal) {
      const event = await target.apply(payload, signal);
      if (event.kind === 'applied') await keep(payload);
      return event;
    },
  };
}

const read = new Map<string, { readonly stamp: string; readonly elf: ElfFile }>();

/** Reads a linked file, once for each version of it. */
async function elfOf(path: string): Promise<ElfFile> {
  const info = await stat(path).catch(() => undefined);
  if (!info)
    throw new Error(
      `There is no ${path}: the payload is made for a hypervisor whose xen-syms is known ("syms" of the target in livepatch.json)`,
    );
  const stamp = `${info.ino} ${info.size} ${info.mtimeMs}`;
  const known = read.get(path);
  if (known?.stamp === stamp) return known.elf;
  const { elf, problems } = readElf(new Uint8Array(await readFile(path)));
  if (!elf) throw new Error(`${path} cannot be read: ${problems[0]?.message ?? 'not an ELF file'}`);
  read.set(path, { stamp, elf });
  return elf;
}

/**
 * The hypervisor that a target runs: its xen-syms, and the payloads that are applied to it (asked from it, where it answers).
 * @throws Error where xen-syms is not there, or an applied payload is not known here.
 */
export async function hypervisorOf(entry: TargetConfig, config: Config): Promise<Hypervisor> {
  const path =
    entry.syms ?? (entry.vm === undefined ? join(config.buildDir, 'xen-syms') : (await readVm(entry.vm)).syms);
  const elf = await elfOf(path);
  const listed = await xenTargetOf(entry).list();
  const applied = 'patches' in listed ? listed.patches.filter((patch) => patch.state === 'applied') : [];
  if (applied.length === 0) return { path, elf, below: [] };
  const known = await storedPayloads(elf.buildId);
  const below = applied.map((patch): XenBelow => {
    const found = known.find((payload) => payload.id === patch.id);
    if (!found)
      throw new Error(
        `${entry.name} has the patch ${patch.id} applied, which was not applied from here: a patch on top of it cannot be built. Revert it, or apply it with livepatch.`,
      );
    return found;
  });
  return { path, elf, below: inOrder(below) };
}

async function storedPayloads(xen: string | undefined): Promise<XenBelow[]> {
  const found: XenBelow[] = [];
  for (const name of await readdir(stored()).catch(() => [])) {
    const { elf } = readElf(new Uint8Array(await readFile(join(stored(), name))));
    const manifest = elf && readXenManifest(elf);
    if (elf && manifest && manifest.xen === xen) found.push({ id: manifest.id, elf });
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

/** Builds a payload for the hypervisor of a configuration entry. */
export async function buildForXen(
  units: readonly PatchUnit[],
  entry: TargetConfig,
  config: Config,
  options: XenOptions,
): Promise<XenOutcome> {
  return buildXenPayload(units, await hypervisorOf(entry, config), options);
}
