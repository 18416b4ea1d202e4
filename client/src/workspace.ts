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

/** The folder in which make runs for the hypervisor, relative to the top or the `xen` folder of a Xen tree; undefined where that is something else. */
export async function xenFolder(folder: Uri): Promise<'xen' | '.' | undefined> {
  for (const name of ['xen', '.'] as const)
    if (
      (await isFile(Uri.joinPath(folder, name, 'common', 'livepatch.c'))) &&
      (await isFile(Uri.joinPath(folder, name, 'include', 'xen', 'livepatch.h')))
    )
      return name;
  return undefined;
}

/** True where a folder has a livepatch.json, or a compile_commands.json in itself or in a folder right below, or is a Xen tree. */
async function isConfigured(folder: Uri): Promise<boolean> {
  for (const name of [CONFIG, COMMANDS]) if (await isFile(Uri.joinPath(folder, name))) return true;
  if (await xenFolder(folder)) return true;
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

/** The folders of the window that say how their files are compiled, or name a build folder. Nothing else is searched. */
export async function configuredFolders(): Promise<WorkspaceFolder[]> {
  const local = (workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === 'file');
  const configured = await Promise.all(local.map((folder) => isConfigured(folder.uri)));
  return local.filter((_folder, index) => configured[index]);
}

/** A C source that the extension may work for. */
export function isSource(document: TextDocument): boolean {
  return document.uri.scheme === 'file' && document.languageId === 'c';
}
