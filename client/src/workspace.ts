import { FileType, type TextDocument, Uri, type WorkspaceFolder, workspace } from 'vscode';

/** Where a workspace folder says that it is meant for us, nearest first. Looked at, never searched for. */
const SIGNS = [
  'livepatch.json',
  'compile_commands.json',
  'build/compile_commands.json',
  'builddir/compile_commands.json',
  'out/compile_commands.json',
];

async function isFile(uri: Uri): Promise<boolean> {
  try {
    return ((await workspace.fs.stat(uri)).type & FileType.File) !== 0;
  } catch {
    return false;
  }
}

/** The first folder of the window that has a livepatch.json or a compile_commands.json in a usual place. */
export async function configuredFolder(): Promise<WorkspaceFolder | undefined> {
  for (const folder of workspace.workspaceFolders ?? []) {
    if (folder.uri.scheme !== 'file') continue;
    for (const sign of SIGNS) if (await isFile(Uri.joinPath(folder.uri, sign))) return folder;
  }
  return undefined;
}

/** A C source that the extension may work for. */
export function isSource(document: TextDocument): boolean {
  return document.uri.scheme === 'file' && document.languageId === 'c';
}
