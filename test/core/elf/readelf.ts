import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs a tool in a scratch folder that holds `files`; gives standard output and, where asked for, a file that it wrote. */
export function runIn(
  files: Readonly<Record<string, string | Uint8Array>>,
  command: string,
  args: readonly string[],
  result?: string,
): { text: string; bytes: Uint8Array } {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-elf-'));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    const run = spawnSync(command, args, { cwd: folder, encoding: 'utf8', maxBuffer: 1 << 30 });
    if (run.error) throw run.error;
    if (run.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${run.stderr}`);
    return { text: run.stdout, bytes: result ? new Uint8Array(readFileSync(join(folder, result))) : new Uint8Array() };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What `readelf` prints about a file. */
export function readelf(file: Uint8Array, ...args: string[]): string[] {
  return runIn({ file }, 'readelf', ['-W', ...args, 'file']).text.split('\n');
}
