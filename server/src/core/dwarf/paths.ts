/**
 * Joins a file name with its directory the way DWARF means it: an absolute name stands for itself. `.`, `..` and doubled
 * slashes are taken out, so that one file has one spelling. Nothing is looked up: links are not followed.
 */
export function joinPath(directory: string, name: string): string {
  const path = name.startsWith('/') || directory === '' ? name : name === '' ? directory : `${directory}/${name}`;
  if (!/\/\.|\/\/|^\.\/|\/$/.test(path)) return path;
  const absolute = path.startsWith('/');
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.length > 0 && parts[parts.length - 1] !== '..') parts.pop();
    else if (!absolute) parts.push('..');
  }
  return (absolute ? '/' : '') + parts.join('/');
}
