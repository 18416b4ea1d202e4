/** Folder where fetched sources and built trees are kept between runs: outside the repository. */
export function cacheRoot(): string;
/** Fetches and unpacks the newest version of a Debian source package that downloads. */
export function fetchSource(
  name: string,
  options?: { say?: (text: string) => void; withoutPatches?: boolean },
): Promise<{ folder: string; version: string }>;
/** One-line entries of a sources.list for a release, turned into deb-src. */
export function sourceLines(text: string, release: string): string[];
/** deb822 stanzas of a .sources file for a release, turned into deb-src. */
export function sourceStanzas(text: string, release: string): string[];
