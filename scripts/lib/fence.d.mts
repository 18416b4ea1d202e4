/** Module names that a source imports. */
export function importsOf(text: string): string[];
/** Why a file (relative to the repository) may not import a module; undefined where it may. */
export function fenceProblem(file: string, name: string): string | undefined;
/** Problems of all the files, as `file: why`. */
export function checkFence(root: string, files: readonly string[]): string[];
