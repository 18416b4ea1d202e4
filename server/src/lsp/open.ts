import * as l10n from '@vscode/l10n';
import { createSession, type Session } from '../session.ts';
import { loadConfig } from '../shell/config.ts';

/** Opens the session of a workspace folder. `problems` are those of livepatch.json, as sentences. */
export async function openSession(
  root: string,
  options: { readonly cache: string | undefined; readonly isTrusted: () => boolean },
): Promise<{ readonly session: Session; readonly problems: readonly string[] }> {
  const { config, problems } = await loadConfig(root);
  const session = await createSession(config, {
    isTrusted: options.isTrusted,
    say: (text, ...args) => l10n.t(text, ...args),
    ...(options.cache === undefined ? {} : { cacheDir: options.cache }),
  });
  return { session, problems };
}
