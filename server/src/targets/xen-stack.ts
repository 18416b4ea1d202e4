import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readElf } from '../core/elf/index.ts';
import { readXenManifest } from '../core/payload/xen.ts';
import type { XenManifest } from '../core/payload/xen-manifest.ts';
import { legalActions, type XenPatch } from './xen.ts';
import type { XenAction } from './xen-reasons.ts';

/** What this machine remembers of a payload that it sent: its build id, and the one that it goes on top of (hexadecimal). */
export interface KnownPayload {
  readonly buildId: string;
  readonly depends: string;
}

/** A payload in a hypervisor, with its place in the stack and what may be done with it now. */
export interface StackedPatch extends XenPatch {
  /** 1 = applied first, right above the hypervisor; absent where it is not applied. */
  readonly depth?: number;
  /** Applied, and no other payload is on top. */
  readonly top: boolean;
  /** Only these are legal: the state machine of Xen, and what is on top of what. */
  readonly actions: readonly XenAction[];
}

/** One build of a payload: several may have one name. */
export interface PayloadVersion {
  readonly id: string;
  /** When it was built, as its manifest says. */
  readonly created: string;
  /** When it was sent last, milliseconds. */
  readonly sentAt: number;
}

/**
 * The build that a hypervisor lists: it says when what it holds was built. Of payloads that do not say so (an older version made them)
 * it is taken to be the one that was sent last.
 */
export function versionOf<T extends PayloadVersion>(versions: readonly T[], patch: XenPatch): T | undefined {
  const created = patch.metadata.get('created');
  return versions
    .filter((one) => one.id === patch.id && (created === undefined || one.created === created))
    .reduce<T | undefined>((last, one) => (last && last.sentAt >= one.sentAt ? last : one), undefined);
}

type Version = KnownPayload & PayloadVersion;
const read = new Map<string, { readonly stamp: string; readonly version: Version | undefined }>();

/** What was sent from here of the payloads that a hypervisor lists, by name. Files are read once. */
export async function knownPayloads(
  folder: string,
  patches: readonly XenPatch[],
): Promise<ReadonlyMap<string, KnownPayload>> {
  const versions: Version[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const info = await stat(path).catch(() => undefined);
    if (!info) continue;
    const stamp = `${info.ino} ${info.size} ${info.mtimeMs}`;
    let known = read.get(path);
    if (known?.stamp !== stamp) {
      const { elf } = readElf(new Uint8Array(await readFile(path).catch(() => Buffer.alloc(0))));
      const manifest = elf && readXenManifest(elf);
      const version = elf?.buildId &&
        manifest && { ...manifestPart(manifest), buildId: elf.buildId, sentAt: info.mtimeMs };
      known = { stamp, version: version || undefined };
      read.set(path, known);
    }
    if (known.version) versions.push(known.version);
  }
  const found = new Map<string, KnownPayload>();
  for (const patch of patches) {
    const version = versionOf(versions, patch);
    if (version) found.set(patch.id, version);
  }
  return found;
}

const manifestPart = ({ id, created, depends }: XenManifest) => ({ id, created, depends });

/**
 * Puts what a hypervisor lists into the order of the stack, the top first, then what is uploaded and not applied; and says what may be done with each. A
 * payload that was not sent from here keeps the place in which the hypervisor lists it.
 * @param hypervisor build id of the hypervisor, where it is known
 */
export function stackOf(
  patches: readonly XenPatch[],
  known: ReadonlyMap<string, KnownPayload>,
  hypervisor?: string,
): StackedPatch[] {
  const applied = bottomUp(
    patches.filter(({ state }) => state === 'applied'),
    known,
  );
  const top = applied.at(-1);
  /** Build id that the next payload has to go on top of; undefined where it is not known. */
  const above = top ? known.get(top.id)?.buildId : hypervisor;
  const stacked = applied.map((patch, at): StackedPatch => {
    const isTop = patch === top;
    return { ...patch, depth: at + 1, top: isTop, actions: isTop ? legalActions.applied : [] };
  });
  const waiting = patches
    .filter(({ state }) => state === 'checked')
    .map((patch): StackedPatch => {
      const depends = known.get(patch.id)?.depends;
      const isLegal = (action: XenAction): boolean => {
        if (depends === undefined) return true;
        if (action === 'apply') return above === undefined || depends === above;
        // In place of all others: it has to go on top of the hypervisor itself, and there has to be something to replace.
        if (action === 'replace') return top !== undefined && (hypervisor === undefined || depends === hypervisor);
        return true;
      };
      return { ...patch, top: false, actions: legalActions.checked.filter(isLegal) };
    });
  return [...stacked.reverse(), ...waiting];
}

/** The oldest first: each goes on top of the one before it. */
function bottomUp(patches: readonly XenPatch[], known: ReadonlyMap<string, KnownPayload>): readonly XenPatch[] {
  if (!patches.every(({ id }) => known.has(id))) return patches;
  const ids = new Set(patches.map(({ id }) => known.get(id)!.buildId));
  const sorted: XenPatch[] = [];
  let next = patches.find(({ id }) => !ids.has(known.get(id)!.depends));
  while (next && !sorted.includes(next)) {
    sorted.push(next);
    const { buildId } = known.get(next.id)!;
    next = patches.find(({ id }) => known.get(id)!.depends === buildId);
  }
  return sorted.length === patches.length ? sorted : patches;
}
