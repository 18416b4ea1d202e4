import { FileType, type TextDocument, Uri, type WorkspaceFolder, workspace } from 'vscode';

const CONFIG = 'livepatch.json';
const COMMANDS = 'compile_commands.json';

async function isFile(uri: Uri): Promise<boolean> {
  try {
    return ((await workspace.fs.stat(uri)).type & FileType.File) !== 0;
  } catch {
    return false;
  }
}

/** True where a folder has a livepatch.json, or a compile_commands.json in itself or in a folder right below. */
async function isConfigured(folder: Uri): Promise<boolean> {
  for (const name of [CONFIG, COMMANDS]) if (await isFile(Uri.joinPath(folder, name))) return true;
  const entries = await workspace.fs.readDirectory(folder).then(undefined, () => []);
  for (const [name, type] of entries)
    if (
      (type & FileType.Directory) !== 0 &&
      !name.startsWith('.') &&
      (await isFile(Uri.joinPath(folder, name, COMMANDS)))
    )
      return true;
  return false;
}

/** The first folder of the window that says how its files are compiled, or names a build folder. Nothing else is searched. */
export async function configuredFolder(): Promise<WorkspaceFolder | undefined> {
  for (const folder of workspace.workspaceFolders ?? [])
    if (folder.uri.scheme === 'file' && (await isConfigured(folder.uri))) return folder;
  return undefined;
}

/** A C source that the extension may work for. */
export function isSource(document: TextDocument): boolean {
  return document.uri.scheme === 'file' && document.languageId === 'c';
}
