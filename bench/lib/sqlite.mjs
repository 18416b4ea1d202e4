// A pair of large objects: SQLite's amalgamation from Debian's source, before and after one edit in one function.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot, fetchSource } from '../../scripts/lib/debian-source.mjs';
import { must } from '../../scripts/lib/run.mjs';

/** The edit: the hash of identifiers. The function is small and inlined in places, and lines behind it move. */
const EDIT = { from: '    h += sqlite3UpperToLower[c];\n', to: '    h ^= c;\n    h += sqlite3UpperToLower[c];\n' };

/** Builds both objects, or takes them from the cache. Returns their paths. */
export async function sqlitePair(say) {
  const source = await fetchSource('sqlite3', { say });
  const compiler = await must('gcc', ['--version'], { seconds: 20 });
  const recipe = readFileSync(import.meta.filename);
  const key = createHash('sha256')
    .update(source.version)
    .update(compiler.stdout)
    .update(recipe)
    .digest('hex')
    .slice(0, 12);
  const folder = join(cacheRoot(), `sqlite-${key}`);
  const paths = {
    base: join(folder, 'base', 'sqlite3.o'),
    next: join(folder, 'next', 'sqlite3.o'),
    version: source.version,
  };
  if (existsSync(join(folder, 'built'))) return paths;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const tree = join(folder, 'source');
  cpSync(source.folder, tree, { recursive: true });
  say('making the amalgamation');
  await must('./configure', ['--disable-tcl'], { cwd: tree, seconds: 300 });
  await must('make', ['sqlite3.c'], { cwd: tree, seconds: 300 });
  const text = readFileSync(join(tree, 'sqlite3.c'), 'utf8');
  if (text.split(EDIT.from).length !== 2)
    throw new Error('the place of the edit is not in this version of SQLite once');
  for (const [side, content] of [
    ['base', text],
    ['next', text.replace(EDIT.from, () => EDIT.to)],
  ]) {
    say(`compiling the ${side} object`);
    mkdirSync(join(folder, side));
    writeFileSync(join(folder, side, 'sqlite3.c'), content);
    const args = ['-O2', '-g', '-ffunction-sections', '-fdata-sections', '-c', 'sqlite3.c', '-o', 'sqlite3.o'];
    await must('gcc', args, { cwd: join(folder, side), seconds: 300 });
  }
  rmSync(tree, { recursive: true, force: true });
  writeFileSync(join(folder, 'built'), '');
  return paths;
}
