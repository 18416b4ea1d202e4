/** What fields of a manifest may hold. Manifests come from files that anybody may have written. */

/** Is a value what the format says? */
export type Shape = (value: unknown) => boolean;

export const text: Shape = (value) => typeof value === 'string';
export const count: Shape = (value) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 40;
export const address: Shape = (value) => typeof value === 'string' && /^0x[0-9a-f]{1,16}$/.test(value);
export const buildId: Shape = (value) => typeof value === 'string' && /^[0-9a-f]{2,128}$/.test(value);
export const optional =
  (shape: Shape): Shape =>
  (value) =>
    value === undefined || shape(value);
export const list =
  (shape: Shape): Shape =>
  (value) =>
    Array.isArray(value) && value.length <= 100_000 && value.every(shape);
export const oneOf =
  (...words: readonly unknown[]): Shape =>
  (value) =>
    words.includes(value);
export const record =
  (fields: Readonly<Record<string, Shape>>): Shape =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(fields).every(([name, shape]) => shape((value as Record<string, unknown>)[name]));

/** Reads JSON in UTF-8 whose fields have to be as the format says; a string says what is wrong with it. */
export function checked<T>(bytes: Uint8Array, fields: Readonly<Record<keyof T, Shape>>): T | string {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return 'The manifest is not JSON in UTF-8.';
  }
  if (typeof value !== 'object' || value === null) return 'The manifest is not a JSON object.';
  const found = value as Record<string, unknown>;
  if (typeof found.schema === 'number' && found.schema !== 1)
    return `The manifest has schema ${found.schema}; this version reads schema 1.`;
  for (const [name, shape] of Object.entries<Shape>(fields))
    if (!shape(found[name])) return `The manifest's "${name}" is not as the format says.`;
  return value as T;
}
