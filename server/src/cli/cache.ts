import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '../shell/store.ts';
import { type Command, exitStatus, flag, UsageError } from './command.ts';
import { jsonSchema, jsonText } from './report.ts';
import { count } from './text.ts';
import { openConfig } from './workspace.ts';

/** Files and bytes below a folder; an absent folder has none. */
async function measure(folder: string): Promise<{ files: number; bytes: number }> {
  let files = 0;
  let bytes = 0;
  for (const name of await readdir(folder, { recursive: true }).catch(() => [])) {
    const info = await stat(join(folder, name)).catch(() => undefined);
    if (!info?.isFile()) continue;
    files++;
    bytes += info.size;
  }
  return { files, bytes };
}

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export const command: Command = {
  name: 'cache',
  usage: ['[show]', 'clear'],
  about:
    'The objects of the baseline are kept between sessions, and those of edits that the command line compared: by compiler, arguments and the contents of ' +
    'every source. They can be cleared at any time: what is needed is compiled again. The limit is cacheLimitMiB in livepatch.json.',
  options: { json: { type: 'boolean', help: 'print JSON (docs/json.md)' } },
  examples: [
    { line: 'livepatch cache', what: 'where it is, and how large' },
    { line: 'livepatch cache clear', what: 'empty it' },
  ],
  async run(values, positionals, context) {
    const [what = 'show', ...more] = positionals;
    if (more.length > 0 || (what !== 'show' && what !== 'clear'))
      throw new UsageError("cache takes 'show' or 'clear'.");
    const folder = join(cacheFolder(context.env), 'objects');
    const { files, bytes } = await measure(folder);
    const json = flag(values, 'json');
    if (what === 'clear') {
      await rm(folder, { recursive: true, force: true });
      context.out(
        json
          ? jsonText({ schema: jsonSchema, folder, removedBytes: bytes })
          : `Removed ${count(files, 'file')}, ${mebibytes(bytes)}, from ${folder}\n`,
      );
      return exitStatus.fine;
    }
    const { config } = await openConfig({ cwd: context.cwd, build: undefined, base: undefined });
    const limitBytes = config.cacheLimitMiB * 2 ** 20;
    context.out(
      json
        ? jsonText({ schema: jsonSchema, folder, entries: files, bytes, limitBytes })
        : `${folder}: ${count(files, 'file')}, ${mebibytes(bytes)} of at most ${mebibytes(limitBytes)}\n`,
    );
    return exitStatus.fine;
  },
};
