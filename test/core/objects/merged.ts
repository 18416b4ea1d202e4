import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CompileOptions, compile } from '../../support/cc.ts';

/** Runs a tool of binutils in a scratch folder with some files in it and returns one that it wrote. Throws with the tool's words. */
export function tool(files: Readonly<Record<string, Uint8Array | string>>, vector: readonly string[], output: string) {
  const folder = mkdtempSync(join(tmpdir(), 'lpa-tool-'));
  try {
    for (const [name, data] of Object.entries(files)) writeFileSync(join(folder, name), data);
    const run = spawnSync(vector[0]!, vector.slice(1), { cwd: folder, encoding: 'utf8' });
    if (run.error) throw run.error;
    if (run.status !== 0) throw new Error(`${vector.join(' ')}:\n${run.stderr}`);
    return new Uint8Array(readFileSync(join(folder, output)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Compiles several units and merges their objects with `ld -r`, as kernels do for a module of several files. */
export function merged(units: Readonly<Record<string, string>>, options: CompileOptions = {}): Uint8Array {
  const objects: Record<string, Uint8Array> = {};
  for (const [name, source] of Object.entries(units))
    objects[name.replace(/\.c$/, '.o')] = compile(source, { ...options, name });
  return tool(objects, ['ld', '-r', '-o', 'all.o', ...Object.keys(objects)], 'all.o');
}
