/** Addresses that a repository's files are served from. */
export interface Bases {
  readonly home?: string;
  readonly issues?: string;
  readonly links: string;
  readonly pictures: string;
}

/** Targets of the relative links and pictures in a text, from the repository's top. */
export function relativeLinks(text: string, path: string): string[];
/** Where files and pictures of a repository can be fetched from; undefined where no repository is known. */
export function basesOf(given: {
  readonly repository?: string;
  readonly links?: string;
  readonly pictures?: string;
}): Bases | undefined;
/** A text as it is packaged: none of its links leads nowhere. */
export function packagedMarkdown(
  text: string,
  about: {
    readonly path: string;
    readonly isPage: boolean;
    readonly packaged: ReadonlySet<string>;
    readonly bases?: Bases | undefined;
  },
): string;
