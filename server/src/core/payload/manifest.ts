import type { Manifest } from './types.ts';

/** Section of the payload that holds the manifest: UTF-8 JSON, not loaded. */
export const MANIFEST_SECTION = '.livepatch.manifest';

/** Identifiers of patches: letters, digits, `-`, `_`, `.`; at most 63. */
export const isPatchId = (id: string): boolean => /^[A-Za-z0-9._-]{1,63}$/.test(id);

/** The manifest as it stands in the payload. */
export const encodeManifest = (manifest: Manifest): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(manifest, null, 1)}\n`);

type Shape = (value: unknown) => boolean;

const text: Shape = (value) => typeof value === 'string';
const count: Shape = (value) => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 40;
const address: Shape = (value) => typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value);
const buildId: Shape = (value) => typeof value === 'string' && /^[0-9a-f]{2,128}$/.test(value);
const optional =
  (shape: Shape): Shape =>
  (value) =>
    value === undefined || shape(value);
const list =
  (shape: Shape): Shape =>
  (value) =>
    Array.isArray(value) && value.length <= 100_000 && value.every(shape);
const oneOf =
  (...words: readonly unknown[]): Shape =>
  (value) =>
    words.includes(value);
const record =
  (fields: Readonly<Record<string, Shape>>): Shape =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(fields).every(([name, shape]) => shape((value as Record<string, unknown>)[name]));

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
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return 'The manifest is not JSON in UTF-8.';
  }
  if (typeof value !== 'object' || value === null) return 'The manifest is not a JSON object.';
  const fields = value as Record<string, unknown>;
  if (typeof fields.schema === 'number' && fields.schema !== 1)
    return `The manifest has schema ${fields.schema}; this version reads schema 1.`;
  for (const [name, shape] of Object.entries(FIELDS))
    if (!shape(fields[name])) return `The manifest's "${name}" is not as the format says.`;
  return value as Manifest;
}
