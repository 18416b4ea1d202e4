/** Folder where fetched sources and built trees are kept between runs: outside the repository. */
export function cacheRoot(): string;
/** Fetches and unpacks the newest version of a Debian source package that downloads. */
export function fetchSource(
  name: string,
  options?: { say?: (text: string) => void; withoutPatches?: boolean },
): Promise<{ folder: string; version: string }>;
/** True for errors that mean that something could not be fetched: a reason to skip what needs it. */
export function isNoDownload(error: unknown): boolean;
