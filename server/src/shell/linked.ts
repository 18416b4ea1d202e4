import { open, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readElf } from '../core/elf/index.ts';
import type { LinkedModule } from '../core/payload/types.ts';
import type { Config } from './types.ts';

const DEPTH = 8;
const FILES = 50_000;
const LARGEST = 2 ** 31;
/** Where libtool puts shared objects and the programs that its scripts start. */
const LIBTOOL = '.libs';
const SKIPPED = new Set(['node_modules', 'CMakeFiles', '__pycache__']);

const known = new Map<string, { readonly stamp: string; readonly module: LinkedModule | undefined }>();

/** Linked files that units may be part of: those that the configuration names, else all in the build folder and in the workspace. */
export async function linkedFiles(config: Pick<Config, 'binaries' | 'buildDir' | 'root'>): Promise<LinkedModule[]> {
  const paths =
    config.binaries.length > 0
      ? config.binaries
      : [...new Set([...(await walk(config.buildDir)), ...(await walk(config.root))])];
  const modules: LinkedModule[] = [];
  for (const path of paths) {
    const module = await readModule(path);
    if (module) modules.push(module);
  }
  return modules;
}

/** Regular files below a folder that begin as an ELF executable or shared object; symbolic links are not followed. */
async function walk(folder: string): Promise<string[]> {
  const found: string[] = [];
  let seen = 0;
  const visit = async (path: string, depth: number): Promise<void> => {
    const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (++seen > FILES) return;
      const child = join(path, entry.name);
      if (entry.isDirectory()) {
        if (depth < DEPTH && (!entry.name.startsWith('.') || entry.name === LIBTOOL) && !SKIPPED.has(entry.name))
          await visit(child, depth + 1);
      } else if (entry.isFile() && !/\.(o|c|h|a|lo|d|py|md|txt|json|cmd)$/.test(entry.name) && (await isLinked(child)))
        found.push(child);
    }
  };
  await visit(await realpath(folder).catch(() => folder), 0);
  return found;
}

async function isLinked(path: string): Promise<boolean> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return false;
  try {
    const head = new Uint8Array(18);
    const { bytesRead } = await file.read(head, 0, 18, 0);
    const type = head[16]! | (head[17]! << 8);
    return bytesRead === 18 && head[0] === 0x7f && head[1] === 0x45 && head[4] === 2 && (type === 2 || type === 3);
  } catch {
    return false;
  } finally {
    await file.close();
  }
}

/** Reads a linked file, once for each version of it; undefined for anything else. */
export async function readModule(path: string): Promise<LinkedModule | undefined> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isFile() || info.size > LARGEST) return undefined;
  const stamp = `${info.ino} ${info.size} ${info.mtimeMs}`;
  const cached = known.get(path);
  if (cached?.stamp === stamp) return cached.module;
  const { elf } = readElf(new Uint8Array(await readFile(path)));
  const module = elf && (elf.kind === 'exec' || elf.kind === 'dyn') ? { path, elf } : undefined;
  known.set(path, { stamp, module });
  return module;
}
