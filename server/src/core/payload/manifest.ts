import { address, buildId, checked, count, list, oneOf, optional, record, type Shape, text } from './shapes.ts';
import type { Manifest } from './types.ts';

/** Section of the payload that holds the manifest: UTF-8 JSON, not loaded. */
export const MANIFEST_SECTION = '.livepatch.manifest';

/** Identifiers of patches: letters, digits, `-`, `_`, `.`; at most 63. */
export const isPatchId = (id: string): boolean => /^[A-Za-z0-9._-]{1,63}$/.test(id);

/** The manifest as it stands in the payload. */
export const encodeManifest = (manifest: Manifest): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(manifest, null, 1)}\n`);

const FIELDS: Readonly<Record<keyof Manifest, Shape>> = {
  schema: oneOf(1),
  id: (value) => typeof value === 'string' && isPatchId(value),
  description: text,
  created: text,
  target: oneOf('process'),
  units: list(record({ unit: text, compiler: text, command: list(text), baseline: text })),
  modules: list(record({ buildId, name: text, role: oneOf('patched', 'imported') })),
  replaces: list(
    record({
      name: text,
      file: text,
      module: buildId,
      address,
      size: count,
      oldCode: (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
      replacement: text,
      newSize: count,
      jumpAt: oneOf(0, 4),
      parts: list(record({ name: text, address, size: count })),
    }),
  ),
  adds: list(record({ name: text, size: count, kind: oneOf('function', 'data') })),
  imports: list(
    record({
      name: text,
      kind: oneOf('function', 'data', 'tls', 'unknown'),
      module: optional(buildId),
      address: optional(address),
      size: optional(count),
      resolver: optional(oneOf(true, false)),
      slot: optional(address),
    }),
  ),
  leftOut: list(record({ name: text, why: text })),
  findings: list(record({ code: text, severity: text, symbol: text, message: text })),
  overrides: (value) => typeof value === 'object' && value !== null && Object.values(value).every(text),
};

/** Reads a manifest; a string says what is wrong with it. */
export function decodeManifest(bytes: Uint8Array): Manifest | string {
  return checked<Manifest>(bytes, FIELDS);
}
