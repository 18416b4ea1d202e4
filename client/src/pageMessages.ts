import type { OverviewLink } from '../../server/src/protocol.ts';

/** A message of the page, checked: a webview may send anything. */
export type PageMessage =
  | { readonly type: 'open'; readonly to: OverviewLink }
  | { readonly type: 'command'; readonly command: string }
  | {
      readonly type: 'review';
      readonly kind: 'function' | 'finding';
      readonly index: number;
      readonly checked: boolean;
    };

const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= 10_000;
const isIndex = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

function linkOf(value: unknown): OverviewLink | undefined {
  if (!isRecord(value)) return undefined;
  const { kind, unit, name, type, index, code } = value;
  if ((kind === 'function' || kind === 'data') && isText(unit) && isText(name)) return { kind, unit, name };
  if (kind === 'type' && isText(unit) && isText(type)) return { kind, unit, type };
  if (kind === 'finding' && isIndex(index)) return { kind, index };
  return kind === 'docs' && isText(code) && /^[a-z0-9-]+$/.test(code) ? { kind, code } : undefined;
}

/** The message, where it is one. */
export function messageOf(value: unknown): PageMessage | undefined {
  if (!isRecord(value)) return undefined;
  if (value.type === 'open') {
    const to = linkOf(value.to);
    return to && { type: 'open', to };
  }
  if (value.type === 'command' && isText(value.command)) return { type: 'command', command: value.command };
  const { kind, index, checked } = value;
  return value.type === 'review' &&
    (kind === 'function' || kind === 'finding') &&
    isIndex(index) &&
    typeof checked === 'boolean'
    ? { type: 'review', kind, index, checked }
    : undefined;
}
