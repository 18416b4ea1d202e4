import type { ProcessPayload } from '../payload/read.ts';

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

/** Readable description of a payload, as `livepatch inspect` prints it: plain text, lines of any length. */
export function renderPayload(payload: ProcessPayload): string {
  const { manifest, elf } = payload;
  const lines: string[] = [];
  const heading = (text: string): void => {
    if (lines.length > 0) lines.push('');
    lines.push(text);
  };
  lines.push(`Live patch ${manifest.id} for a process`);
  if (manifest.description) lines.push(`  ${manifest.description}`);
  lines.push(`  built ${manifest.created}, ${payload.bytes.length} bytes`);

  heading('Depends on');
  lines.push(...table(manifest.modules.map((one) => [one.name, `build id ${one.buildId}`, one.role])));

  heading('Replaces');
  lines.push(
    ...table(
      manifest.replaces.map((one) => [
        one.file ? `${one.file}#${one.name}` : one.name,
        `at ${one.address}`,
        `${bytes(one.size)} → ${bytes(one.newSize)}`,
        `old code sha256 ${one.oldCode.slice(0, 16)}…`,
        one.parts.map((part) => `with ${part.name}`).join(', '),
      ]),
    ),
  );
  if (manifest.adds.length > 0) {
    heading('Adds');
    lines.push(...table(manifest.adds.map((one) => [one.name, one.kind, bytes(one.size)])));
  }
  if (manifest.imports.length > 0) {
    heading('Uses of the program');
    lines.push(
      ...table(
        manifest.imports.map((one) => [
          one.name,
          one.kind,
          one.address === undefined
            ? 'found when applied'
            : `at ${one.address}${one.resolver ? ' (chosen at start-up)' : ''}`,
        ]),
      ),
    );
  }
  if (manifest.leftOut.length > 0) {
    heading('Left out');
    lines.push(...table(manifest.leftOut.map((one) => [one.name, one.why])));
  }
  heading('Sections');
  lines.push(
    ...table(
      payload.sections.map(({ section, relocations }) => [
        section.name,
        bytes(section.size),
        (section.flags & 4) !== 0 ? 'code' : (section.flags & 1) !== 0 ? 'data' : 'constants',
        `${relocations.length} relocations`,
      ]),
    ),
  );
  if (manifest.findings.length > 0) {
    heading('Findings');
    for (const one of manifest.findings) lines.push(`  ${one.severity} ${one.code} ${one.symbol}: ${one.message}`);
  }
  const overrides = Object.entries(manifest.overrides);
  if (overrides.length > 0) {
    heading('Overridden');
    lines.push(...table(overrides));
  }
  heading('Units');
  for (const one of manifest.units) {
    lines.push(`  ${one.unit} (${one.compiler || 'compiler unknown'}, baseline ${one.baseline})`);
    if (one.command.length > 0) lines.push(`    ${one.command.join(' ')}`);
  }
  if (elf.problems.length > 0) {
    heading('Problems');
    for (const one of elf.problems) lines.push(`  ${one.area}: ${one.message}`);
  }
  return plain(`${lines.join('\n')}\n`);
}
