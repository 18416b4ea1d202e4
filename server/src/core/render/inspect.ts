import { readElf } from '../elf/index.ts';
import type { ElfFile, Section } from '../elf/types.ts';
import { type ProcessPayload, readPayload } from '../payload/read.ts';
import type { Manifest } from '../payload/types.ts';
import { readXenManifest, type XenManifest } from '../payload/xen-manifest.ts';
import { readFuncs } from '../payload/xen-symbols.ts';

const TABLE_LIMIT = 200;

/** Columns of text, as wide as their widest cell. */
function table(rows: readonly (readonly string[])[], indent = '  '): string[] {
  const shown = rows.slice(0, TABLE_LIMIT);
  const widths = (shown[0] ?? []).map((_, column) => Math.max(...shown.map((row) => (row[column] ?? '').length)));
  const lines = shown.map((row) =>
    `${indent}${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd(),
  );
  if (rows.length > shown.length) lines.push(`${indent}and ${rows.length - shown.length} more`);
  return lines;
}

const bytes = (count: number): string => `${count} B`;

/** Control characters would let a payload's author write to the reader's terminal. */
const plain = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to be taken out
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '�');

/** A payload of either kind, read and described. */
export interface Described {
  readonly manifest: Manifest | XenManifest;
  /** As `livepatch inspect` prints it. */
  readonly text: string;
}

/** Reads and describes a payload for a process or for Xen; a string says in one sentence why the file is neither. */
export function describePayload(bytes: Uint8Array): Described | string {
  const { elf } = readElf(bytes);
  const xen = elf && readXenManifest(elf);
  if (elf && xen) return { manifest: xen, text: renderXenPayload(elf, xen) };
  const payload = readPayload(bytes);
  return typeof payload === 'string' ? payload : { manifest: payload.manifest, text: renderPayload(payload) };
}

/** Lines under headings. */
class Page {
  readonly #lines: string[] = [];

  say(...lines: readonly string[]): void {
    this.#lines.push(...lines);
  }

  /** A heading with its lines; left out where there are none. */
  part(title: string, lines: readonly string[]): void {
    if (lines.length > 0) this.#lines.push('', title, ...lines);
  }

  text(): string {
    return plain(`${this.#lines.join('\n')}\n`);
  }
}

/** Who it is, for what. */
function begin(page: Page, what: string, manifest: Manifest | XenManifest, size: number): void {
  page.say(`Live patch ${manifest.id} for ${what}`);
  if (manifest.description) page.say(`  ${manifest.description}`);
  page.say(`  built ${manifest.created}, ${size} bytes`);
}

/** How it was made, which all kinds of payloads say alike. */
function end(page: Page, manifest: Manifest | XenManifest, elf: ElfFile): void {
  page.part(
    'Findings',
    manifest.findings.map((one) => `  ${one.severity} ${one.code} ${one.symbol}: ${one.message}`),
  );
  page.part('Overridden', table(Object.entries(manifest.overrides)));
  page.part(
    'Units',
    manifest.units.flatMap((one) => [
      `  ${one.unit} (${one.compiler || 'compiler unknown'}, baseline ${one.baseline})`,
      ...(one.command.length > 0 ? [`    ${one.command.join(' ')}`] : []),
    ]),
  );
  page.part(
    'Problems',
    elf.problems.map((one) => `  ${one.area}: ${one.message}`),
  );
}

const adds = (manifest: Manifest | XenManifest): string[] =>
  table(manifest.adds.map((one) => [one.name, one.kind, bytes(one.size)]));
const leftOut = (manifest: Manifest | XenManifest): string[] =>
  table(manifest.leftOut.map((one) => [one.name, one.why]));
const sections = (list: readonly { section: Section; relocations: number }[]): string[] =>
  table(
    list.map(({ section, relocations }) => [
      section.name,
      bytes(section.size),
      (section.flags & 4) !== 0 ? 'code' : (section.flags & 1) !== 0 ? 'data' : 'constants',
      `${relocations} relocations`,
    ]),
  );

/** Readable description of a payload for a process: plain text, lines of any length. */
export function renderPayload(payload: ProcessPayload): string {
  const { manifest, elf } = payload;
  const page = new Page();
  begin(page, 'a process', manifest, payload.bytes.length);
  page.part('Depends on', table(manifest.modules.map((one) => [one.name, `build id ${one.buildId}`, one.role])));
  page.part(
    'Replaces',
    table(
      manifest.replaces.map((one) => [
        one.file ? `${one.file}#${one.name}` : one.name,
        `at ${one.address}`,
        `${bytes(one.size)} → ${bytes(one.newSize)}`,
        `old code sha256 ${one.oldCode.slice(0, 16)}…`,
        one.parts.map((part) => `with ${part.name}`).join(', '),
      ]),
    ),
  );
  page.part('Adds', adds(manifest));
  page.part(
    'Uses of the program',
    table(
      manifest.imports.map((one) => [
        one.name,
        one.kind,
        one.address === undefined
          ? 'found when applied'
          : `at ${one.address}${one.resolver ? ' (chosen at start-up)' : ''}`,
      ]),
    ),
  );
  page.part('Left out', leftOut(manifest));
  page.part(
    'Sections',
    sections(payload.sections.map((one) => ({ section: one.section, relocations: one.relocations.length }))),
  );
  end(page, manifest, elf);
  return page.text();
}

/** Readable description of a payload for Xen. What its function table holds is read from the table itself, not from the manifest. */
export function renderXenPayload(elf: ElfFile, manifest: XenManifest): string {
  const page = new Page();
  begin(page, `Xen (payload version ${manifest.version})`, manifest, elf.bytes.length);
  const onTop =
    manifest.depends === manifest.xen ? 'the hypervisor itself' : `the patch with build id ${manifest.depends}`;
  page.part('Depends on', [`  hypervisor with build id ${manifest.xen}`, `  goes on top of ${onTop}`]);
  const known = new Map(manifest.replaces.map((one) => [one.name, one]));
  const entries = readFuncs(elf);
  page.part(
    'Replaces',
    table(
      entries
        .filter(({ code }) => code !== undefined)
        .map(({ name, oldSize, newSize, expect }) => {
          const one = known.get(name);
          const expected = (expect[0] ?? 0) & 1 ? `first ${(expect[0]! >> 1) & 31} bytes compared by Xen` : '';
          return [
            name,
            one ? `at ${one.address}` : '',
            `${bytes(oldSize)} → ${bytes(newSize)}`,
            one ? `old code sha256 ${one.oldCode.slice(0, 16)}…` : 'not in the manifest',
            expected,
          ];
        }),
    ),
  );
  page.part(
    'Turns into NOPs',
    table(
      entries.filter(({ code }) => code === undefined).map(({ name, newSize }) => [name, `first ${newSize} bytes`]),
    ),
  );
  page.part('Hooks', table(manifest.hooks.map((one) => [one.kind, one.name])));
  page.part('Adds', adds(manifest));
  page.part('Uses of the hypervisor', table(manifest.imports.map((name) => [name])));
  page.part('Left out', leftOut(manifest));
  page.part(
    'Sections',
    sections(
      elf.sections
        .filter((section) => (section.flags & 2) !== 0)
        .map((section) => ({ section, relocations: elf.relocationsOf(section.index).length })),
    ),
  );
  page.part('Base objects', [`  ${manifest.baseline.text} in the hypervisor that it was built for`]);
  end(page, manifest, elf);
  return page.text();
}
