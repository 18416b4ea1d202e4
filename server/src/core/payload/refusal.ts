import type { SourceLocation } from '../dwarf/types.ts';
import type { Finding } from '../findings/types.ts';

/** A reason not to build, as a finding of severity `blocker`. */
export function refusal(
  code: string,
  symbol: string,
  message: string,
  evidence: Finding['evidence'] = {},
  at?: SourceLocation,
): Finding {
  return { code, severity: 'blocker', symbol, message, ...(at && { at }), evidence, related: [], fixes: [] };
}

/** `0x…`, as the manifest spells addresses. */
export const hexAddress = (address: number | bigint): string => `0x${address.toString(16)}`;
