/** Objects of SQLite before and after one edit. */
export function sqlitePair(say: (text: string) => void): Promise<{ base: string; next: string; version: string }>;
