// Links of Markdown files that go into a package: none of them is to lead nowhere.
import { dirname, join, normalize } from 'node:path/posix';

/** A link or a picture; text with brackets in it is not used here. Code is matched first, so that links in it are left alone. */
const LINK =
  /(?<code>^(?<fence>```+)[\s\S]*?^\k<fence>|`+[^`\n]+`+)|(?<picture>!?)\[(?<text>[^\][]*)\]\((?<to>[^)\s]+)\)/gm;

const isRelative = (to) => !/^(?:[a-z][a-z0-9+.-]*:|\/\/|#)/i.test(to);

/**
 * Targets of the relative links and pictures in a text, from the repository's top.
 *
 * @param {string} text
 * @param {string} path of the file, from the repository's top
 */
export function relativeLinks(text, path) {
  return [...text.matchAll(LINK)]
    .filter(({ groups }) => groups.to !== undefined && isRelative(groups.to))
    .map(({ groups }) => normalize(join(dirname(path), groups.to.replace(/#.*/, ''))));
}

/**
 * Where files and pictures of a repository can be fetched from; undefined where no repository is known. GitHub's and GitLab's addresses follow
 * from the repository's, those of others have to be given.
 *
 * @param {{repository?: string, links?: string, pictures?: string}} given
 */
export function basesOf({ repository, links, pictures }) {
  if (!repository && !links && !pictures) return undefined;
  const home = repository?.replace(/^git\+/, '').replace(/(?:\.git)?\/*$/, '');
  for (const url of [home, links, pictures])
    if (url !== undefined && !/^https:\/\/[^/]+\/?/.test(url))
      throw new Error(`${url}: the marketplaces take addresses that begin with https:// only.`);
  const host = home && new URL(home).host;
  const known =
    host === 'github.com'
      ? { links: `${home}/blob/HEAD`, pictures: `${home}/raw/HEAD`, issues: `${home}/issues` }
      : host === 'gitlab.com'
        ? { links: `${home}/-/blob/HEAD`, pictures: `${home}/-/raw/HEAD`, issues: `${home}/-/issues` }
        : {};
  const plain = (url) => url?.replace(/\/+$/, '');
  const bases = {
    home,
    issues: known.issues,
    links: plain(links) ?? known.links,
    pictures: plain(pictures) ?? known.pictures,
  };
  if (!bases.links || !bases.pictures)
    throw new Error(
      `It is not known how ${host ?? 'that host'} serves files: say so with --links URL and --pictures URL.`,
    );
  return bases;
}

/**
 * A text as it is packaged. With `bases`, what leads out of the package becomes an address; without, a link becomes its plain text, and a
 * picture goes. `isPage` is for texts that VS Code and the marketplaces show as a page of their own: they follow relative links nowhere, not
 * even inside the package, and show no picture but those behind https.
 *
 * @param {string} text
 * @param {{path: string, isPage: boolean, packaged: ReadonlySet<string>, bases?: {links: string, pictures: string}}} about
 */
export function packagedMarkdown(text, { path, isPage, packaged, bases }) {
  const replaced = text.replace(LINK, (all, ...rest) => {
    const { picture, text: label, to } = rest.at(-1);
    if (to === undefined || !isRelative(to)) return all;
    const [, file, anchor = ''] = /^([^#]*)(#.*)?$/.exec(to);
    const target = normalize(join(dirname(path), file));
    if (!isPage && packaged.has(target)) return all;
    const isOutside = target.startsWith('..');
    if (bases && !isOutside)
      return `${picture}[${label}](${picture ? bases.pictures : bases.links}/${target}${anchor})`;
    return picture ? '' : label;
  });
  // A picture that went leaves no gap.
  return bases ? replaced : replaced.replace(/\n{3,}/g, '\n\n');
}
