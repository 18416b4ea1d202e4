import type { Dirent } from 'node:fs';
import { lstat, mkdir, readdir, readlink, realpath, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { PathMap } from './commandLine.ts';

/** What stands in the mirror in place of a file: other contents, a symbolic link's text, or nothing. */
export type Replacement = { readonly content: Uint8Array } | { readonly link: string } | 'absent';

/** Folders that no compiler reads and that change all the time. */
const SKIPPED = new Set(['.git', '.hg', '.svn']);
/** Folders that are large and that nobody edits: one link. */
const LINKED = new Set(['node_modules']);

/** Most folders that one mirror may hold: a home folder under version control must not be copied by accident. */
const MAX_FOLDERS = 100_000;

/** True for `folder` itself and everything below it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

/**
 * A tree in scratch space that looks like folders of the user's disk, except for some files: real directories, one symbolic
 * link per file, real files for replacements. It holds full paths (`MIRROR/home/me/project/...`) and links to the neighbours
 * of each folder above, so that relative paths out of the mirrored folders lead where they lead in the real tree.
 * The user's tree is only read.
 */
export class Mirror implements PathMap {
  /** Top of the mirror; absolute, without symbolic links. */
  readonly top: string;
  /** Whether a folder is mirrored file by file; others are one link. */
  private readonly descend: (folder: string) => boolean;
  /** Mirrored folders, real paths. */
  private readonly trees: string[] = [];
  /** Those of them that are mirrored down to the last folder. */
  private readonly wholes: string[] = [];
  /** Other spellings (through symbolic links) of mirrored folders, with the mirror's own link for each. */
  private readonly aliases: { spelling: string; mirror: string }[] = [];
  private replacements = new Map<string, Replacement>();
  /** Links of the user's tree that were copied: what stands there may become a plain file. */
  private readonly copied = new Set<string>();
  private synced = false;
  private working: Promise<void> = Promise.resolve();

  private constructor(top: string, descend: (folder: string) => boolean) {
    this.top = top;
    this.descend = descend;
  }

  /** Makes an empty mirror in a folder, which is created. */
  static async create(folder: string, descend: (folder: string) => boolean = () => true): Promise<Mirror> {
    await mkdir(folder, { recursive: true });
    return new Mirror(await realpath(folder), descend);
  }

  /**
   * Adds a folder in the spelling that commands use. Folders inside a mirrored one are already there.
   * @param whole every folder in it is mirrored, whatever `descend` says
   */
  async addTree(spelling: string, whole: boolean): Promise<void> {
    const real = await realpath(spelling).catch(() => spelling);
    if (whole && !this.wholes.some((tree) => isWithin(real, tree))) {
      this.wholes.push(real);
      this.synced = false;
    }
    if (!this.trees.some((tree) => isWithin(real, tree))) {
      this.trees.push(real);
      this.synced = false;
    }
    if (real !== spelling && !this.aliases.some((alias) => isWithin(spelling, alias.spelling))) {
      const mirror = join(this.top, `alias${this.aliases.length}`);
      await mkdir(dirname(this.place(real)), { recursive: true });
      await mkdir(this.place(real), { recursive: true });
      await symlink(this.place(real), mirror).catch(() => {});
      this.aliases.push({ spelling, mirror });
    }
  }

  get prefixes(): PathMap['prefixes'] {
    return [
      ...this.trees.map((tree) => ({ mirror: this.place(tree), real: tree })),
      ...this.aliases.map(({ spelling, mirror }) => ({ mirror, real: spelling })),
    ];
  }

  /** Where a real path stands in the mirror. */
  private place(path: string): string {
    // Not `join`: `..` stays as the command has it, since the compiler keeps it in names.
    return `${this.top}/tree${path}`;
  }

  map(path: string): string | undefined {
    // Spelled with `..`, the path has to be cut where the mirrored folder begins, and nowhere else.
    for (const { spelling, mirror } of this.aliases) {
      if (isWithin(path, spelling)) return mirror + path.slice(spelling.length);
    }
    if (this.trees.some((tree) => isWithin(path, tree))) return this.place(path);
    const plain = resolve(path);
    return plain !== path &&
      (this.trees.some((tree) => isWithin(plain, tree)) ||
        this.aliases.some(({ spelling }) => isWithin(plain, spelling)))
      ? this.map(plain)
      : undefined;
  }

  /** The user's path for a path in the mirror; any other text with mirror paths in it (a log) likewise. */
  readonly unmap = (text: string): string => {
    let plain = text;
    for (const { spelling, mirror } of this.aliases) plain = plain.replaceAll(mirror, spelling);
    return plain.replaceAll(join(this.top, 'tree'), '');
  };

  /** Real (link-free) spelling of a user's path whose folder is mirrored under another spelling. */
  realSpelling(path: string): string {
    for (const { spelling, mirror } of this.aliases) {
      if (isWithin(path, spelling)) {
        const tree = this.trees.find((candidate) => join(this.top, 'tree', candidate) === mirror);
        if (tree) return tree + path.slice(spelling.length);
      }
    }
    return path;
  }

  /** True where the path (real spelling) belongs to a mirrored folder. */
  covers(path: string): boolean {
    return this.trees.some((tree) => isWithin(path, tree));
  }

  /**
   * Makes the mirror right: the replacements given (keys: real paths) and links for every other file that exists now.
   * Calls are serialised. With `walk: false` only the replacements are brought up to date (after the first time).
   */
  sync(replacements: ReadonlyMap<string, Replacement>, options: { readonly walk?: boolean } = {}): Promise<void> {
    const work = this.working.then(async () => {
      const before = this.replacements;
      this.replacements = new Map(replacements);
      if (!this.synced || options.walk !== false) {
        const counter = { folders: 0 };
        for (const tree of this.trees) {
          await this.linkNeighbours(tree);
          await this.walk(tree, counter);
        }
        this.synced = true;
      }
      for (const [path, replacement] of this.replacements) {
        if (!same(before.get(path), replacement) || options.walk !== false) await this.put(path, replacement);
      }
      for (const path of before.keys()) {
        if (!this.replacements.has(path)) await this.relink(path);
      }
    });
    this.working = work.catch(() => {});
    return work;
  }

  /** Links the entries beside each folder above a tree, so that `../../elsewhere` is found from inside. */
  private async linkNeighbours(tree: string): Promise<void> {
    for (let folder = dirname(tree), inner = tree; inner !== folder; inner = folder, folder = dirname(folder)) {
      if (this.trees.some((other) => other !== tree && isWithin(folder, other))) return;
      const place = this.place(folder);
      await mkdir(place, { recursive: true });
      for (const name of await readdir(folder).catch(() => [])) {
        const path = join(folder, name);
        if (this.trees.some((other) => isWithin(other, path))) continue;
        await symlink(path, join(place, name)).catch(() => {});
      }
    }
  }

  private async walk(folder: string, counter: { folders: number }): Promise<void> {
    if (++counter.folders > MAX_FOLDERS) {
      throw new Error(`${this.trees.join(', ')} holds more than ${MAX_FOLDERS} folders: open a smaller folder`);
    }
    // The mirror itself may lie inside the tree (a cache folder configured so).
    if (isWithin(folder, this.top)) return;
    const place = this.place(folder);
    await mkdir(place, { recursive: true });
    const [wanted, present] = await Promise.all([
      readdir(folder, { withFileTypes: true }).catch(() => [] as Dirent[]),
      readdir(place, { withFileTypes: true }).catch(() => [] as Dirent[]),
    ]);
    const there = new Map(present.map((entry) => [entry.name, entry]));
    const folders: string[] = [];
    const links: Promise<void>[] = [];
    for (const entry of wanted) {
      const path = join(folder, entry.name);
      const old = there.get(entry.name);
      there.delete(entry.name);
      if (this.replacements.has(path)) continue;
      if (entry.isDirectory()) {
        if (SKIPPED.has(entry.name) || isWithin(path, this.top)) continue;
        if (
          !this.holdsReplacement(path) &&
          (LINKED.has(entry.name) ||
            (!this.wholes.some((tree) => isWithin(path, tree) || isWithin(tree, path)) && !this.descend(path)))
        ) {
          links.push(this.putLink(join(place, entry.name), path, old));
          continue;
        }
        if (old && !old.isDirectory()) await rm(join(place, entry.name), { force: true });
        folders.push(path);
      } else if (entry.isSymbolicLink()) {
        links.push(this.linkText(path).then((text) => this.putLink(join(place, entry.name), text, old)));
        this.copied.add(path);
      } else if (entry.isFile() && (!old?.isSymbolicLink() || this.copied.has(path))) {
        links.push(this.putLink(join(place, entry.name), path, old));
        this.copied.delete(path);
      }
    }
    await Promise.all(links);
    for (const [name, entry] of there) {
      const path = join(folder, name);
      const kept = this.replacements.get(path);
      if (kept !== undefined && kept !== 'absent') continue;
      // A folder that only replacements fill (deleted in the work tree) stays; `put` fills it again.
      await rm(join(place, name), { recursive: entry.isDirectory(), force: true });
    }
    for (const path of folders) await this.walk(path, counter);
  }

  private holdsReplacement(folder: string): boolean {
    for (const path of this.replacements.keys()) if (isWithin(path, folder)) return true;
    return false;
  }

  /** A link of the user's tree: relative ones keep their text (they lead to the mirror's own files), absolute ones are moved. */
  private async linkText(path: string): Promise<string> {
    const text = await readlink(path);
    if (!text.startsWith('/')) return text;
    return this.map(text) ?? text;
  }

  private async putLink(place: string, text: string, old: Dirent | undefined): Promise<void> {
    if (old?.isSymbolicLink() && (await readlink(place).catch(() => '')) === text) return;
    if (old) await rm(place, { recursive: true, force: true });
    await symlink(text, place);
  }

  /** Puts the link to the user's file back after a replacement ends. */
  private async relink(path: string): Promise<void> {
    const place = this.place(path);
    await rm(place, { recursive: true, force: true });
    const now = await lstat(path).catch(() => undefined);
    if (now?.isFile()) await symlink(path, place);
    else if (now?.isSymbolicLink()) await symlink(await this.linkText(path), place);
    else if (now?.isDirectory()) await this.walk(path, { folders: 0 });
  }

  private async put(path: string, replacement: Replacement): Promise<void> {
    if (!this.covers(path)) return;
    const place = this.place(path);
    if (replacement === 'absent') {
      await rm(place, { recursive: true, force: true });
      return;
    }
    await this.makeFolder(dirname(path));
    const old = await lstat(place).catch(() => undefined);
    if (old?.isDirectory()) await rm(place, { recursive: true, force: true });
    // Written beside and renamed: a compiler that still reads the old file keeps it.
    const fresh = `${place}.livepatch-${process.pid}`;
    if ('link' in replacement) await symlink(replacement.link, fresh);
    else await writeFile(fresh, replacement.content);
    await rename(fresh, place);
  }

  /** Makes a folder of the mirror real, where a link or a file stands in its way. */
  private async makeFolder(path: string): Promise<void> {
    const tree = this.trees.find((candidate) => isWithin(path, candidate))!;
    let at = tree;
    for (const name of ['', ...relative(tree, path).split(sep)].filter((part, index) => index === 0 || part !== '')) {
      at = name === '' ? at : join(at, name);
      const there = await lstat(this.place(at)).catch(() => undefined);
      if (there && !there.isDirectory()) await unlink(this.place(at));
    }
    await mkdir(this.place(path), { recursive: true });
  }

  async remove(): Promise<void> {
    await this.working;
    await rm(this.top, { recursive: true, force: true });
  }
}

function same(a: Replacement | undefined, b: Replacement): boolean {
  if (a === b) return true;
  if (a === undefined || a === 'absent' || b === 'absent') return false;
  if ('link' in a || 'link' in b) return 'link' in a && 'link' in b && a.link === b.link;
  return Buffer.compare(a.content, b.content) === 0;
}
