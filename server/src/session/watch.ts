import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Milliseconds after the last change: files are written in several steps. */
const SETTLE = 300;

/**
 * Calls back when one of the files appears, changes or goes. Folders are watched, since files are replaced by renaming. Where
 * the system cannot watch, nothing happens: the session looks at the files with every edit anyway.
 * @returns the function that ends it
 */
export function watchFiles(paths: readonly string[], changed: () => void): () => void {
  const watchers: FSWatcher[] = [];
  let timer: NodeJS.Timeout | undefined;
  for (const path of paths) {
    try {
      const watcher = watch(dirname(path), { persistent: false }, (_, name) => {
        if (name !== basename(path)) return;
        clearTimeout(timer);
        timer = setTimeout(changed, SETTLE);
        timer.unref();
      });
      watcher.on('error', () => watcher.close());
      watchers.push(watcher);
    } catch {
      // No such folder yet, or no watches left.
    }
  }
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}
