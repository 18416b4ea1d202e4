/** Counts the leaves of a TAP stream. */
export function readTap(text: string): {
  passed: number;
  failed: number;
  skipped: number;
  skips: string[];
  failures: string[];
};
