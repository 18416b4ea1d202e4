import type { ElfFile } from '../elf/types.ts';
import type { Finding } from '../findings/types.ts';
import { bytesAt } from './home.ts';
import { isPatchId, MANIFEST_SECTION } from './manifest.ts';
import { hexAddress } from './refusal.ts';
import type { Selection } from './select.ts';
import { sha256Hex } from './sha256.ts';
import { address, buildId, checked, count, list, oneOf, record, type Shape, text } from './shapes.ts';
import type { PlanOptions } from './types.ts';
import { baselineText, type XenBaseline } from './xen-baseline.ts';
import type { XenVersion } from './xen-format.ts';
import type { FunctionEntry } from './xen-link.ts';
import type { XenPlan, XenUnit } from './xen-pieces.ts';
import { type Hypervisor, xenSymbols } from './xen-symbols.ts';

/** Choices of the person who builds a payload for Xen. */
export interface XenOptions extends PlanOptions {
  /** Version of the function table; absent: what the hypervisor wants. */
  readonly version?: XenVersion;
  /** Fill in expectations: Xen then compares the old code before it applies. */
  readonly expectations?: boolean;
  /** Functions, by Xen's name, whose first bytes become NOPs. */
  readonly nops?: readonly { readonly name: string; readonly size: number }[];
  /** Leave the units' debug information in the payload: Xen does not load it, but it counts for the limit of 2 MiB. */
  readonly keepDebug?: boolean;
}

/** Readable description of a payload for Xen (section `.livepatch.manifest`, JSON). */
export interface XenManifest {
  readonly schema: 1;
  readonly id: string;
  readonly description: string;
  readonly created: string;
  readonly target: 'xen';
  readonly version: XenVersion;
  /** Build ids, hexadecimal: of the hypervisor, and of what it goes on top of. */
  readonly xen: string;
  readonly depends: string;
  readonly units: readonly {
    readonly unit: string;
    readonly compiler: string;
    readonly command: readonly string[];
    readonly baseline: string;
  }[];
  readonly replaces: readonly {
    readonly name: string;
    readonly address: string;
    readonly size: number;
    readonly oldCode: string;
    readonly newSize: number;
  }[];
  readonly nops: readonly { readonly name: string; readonly size: number }[];
  readonly adds: readonly { readonly name: string; readonly size: number; readonly kind: 'function' | 'data' }[];
  readonly imports: readonly string[];
  readonly hooks: readonly { readonly kind: string; readonly name: string }[];
  readonly leftOut: readonly { readonly name: string; readonly why: string }[];
  readonly findings: readonly {
    readonly code: string;
    readonly severity: string;
    readonly symbol: string;
    readonly message: string;
  }[];
  readonly overrides: Readonly<Record<string, string>>;
  /** Functions of the base objects that are the same in the hypervisor. */
  readonly baseline: { readonly checked: number; readonly same: number; readonly text: string };
}

/** Describes a payload for its reader. */
export function makeManifest(
  units: readonly XenUnit[],
  plan: XenPlan,
  functions: readonly FunctionEntry[],
  hypervisor: Hypervisor,
  depends: string,
  version: XenVersion,
  baseline: XenBaseline,
  notes: readonly Finding[],
  selections: readonly Selection[],
  options: XenOptions,
): XenManifest {
  const symbols = xenSymbols(hypervisor);
  const brief = ({ code, severity, symbol, message }: Finding) => ({ code, severity, symbol, message });
  return {
    schema: 1,
    id: options.id,
    description: options.description,
    created: options.created,
    target: 'xen',
    version,
    xen: hypervisor.elf.buildId ?? '',
    depends,
    units: units.map(({ unit: { pair } }) => ({
      unit: pair.provenance.unit,
      compiler: pair.provenance.compiler,
      command: pair.provenance.nextCommand,
      baseline: pair.provenance.baseline,
    })),
    replaces: functions
      .filter((entry) => entry.piece !== undefined)
      .map((entry) => {
        const address = symbols.inXen(entry.name)[0]?.address ?? 0n;
        return {
          name: entry.name,
          address: hexAddress(address),
          size: entry.oldSize,
          oldCode: sha256Hex(bytesAt(hypervisor.elf, address, entry.oldSize) ?? new Uint8Array()),
          newSize: entry.newSize,
        };
      }),
    nops: functions
      .filter((entry) => entry.piece === undefined)
      .map((entry) => ({ name: entry.name, size: entry.newSize })),
    adds: plan.pieces
      .filter((piece) => piece.added && piece.symbol)
      .map((piece) => ({
        name: piece.symbol!.name,
        size: piece.symbol!.size,
        kind: piece.kind === 'function' ? 'function' : 'data',
      })),
    imports: [...plan.imports].sort(),
    hooks: plan.pieces.filter((piece) => piece.kind === 'hook').map((piece) => ({ kind: piece.out, name: piece.name })),
    leftOut: selections.flatMap((one) => one.leftOut),
    findings: [...units.flatMap(({ unit }) => unit.findings.map(brief)), ...notes.map(brief)],
    overrides: options.overrides,
    baseline: { checked: baseline.checked, same: baseline.same, text: baselineText(baseline) },
  };
}

const FIELDS: Readonly<Record<keyof XenManifest, Shape>> = {
  schema: oneOf(1),
  id: (value) => typeof value === 'string' && isPatchId(value),
  description: text,
  created: text,
  target: oneOf('xen'),
  version: oneOf(1, 2),
  xen: buildId,
  depends: buildId,
  units: list(record({ unit: text, compiler: text, command: list(text), baseline: text })),
  replaces: list(record({ name: text, address, size: count, oldCode: text, newSize: count })),
  nops: list(record({ name: text, size: count })),
  adds: list(record({ name: text, size: count, kind: oneOf('function', 'data') })),
  imports: list(text),
  hooks: list(record({ kind: text, name: text })),
  leftOut: list(record({ name: text, why: text })),
  findings: list(record({ code: text, severity: text, symbol: text, message: text })),
  overrides: (value) => typeof value === 'object' && value !== null && Object.values(value).every(text),
  baseline: record({ checked: count, same: count, text }),
};

/** Largest manifest that is read, bytes. */
const LIMIT = 8 << 20;

/** The manifest of a payload for Xen; undefined where it has none or a damaged one. */
export function readXenManifest(elf: ElfFile): XenManifest | undefined {
  const section = elf.sectionsNamed(MANIFEST_SECTION)[0];
  if (!section || section.size > LIMIT) return undefined;
  const manifest = checked<XenManifest>(section.data, FIELDS);
  return typeof manifest === 'string' ? undefined : manifest;
}
