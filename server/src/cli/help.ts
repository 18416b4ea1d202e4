import type { Command } from './command.ts';
import type { CommandEntry } from './commands.ts';
import { type Paint, wrap } from './text.ts';

/** Text of `livepatch --help`. */
export function overview(commands: readonly CommandEntry[], paint: Paint): string {
  const width = Math.max(...commands.map((entry) => entry.name.length));
  return [
    `${paint.bold('livepatch')}: author live patches for running C programs`,
    '',
    `Usage: livepatch COMMAND [ARGUMENTS]`,
    '',
    'Commands:',
    ...commands.map((entry) => `  ${paint.bold(entry.name.padEnd(width))}  ${entry.summary}`),
    '',
    'Options:',
    '  -h, --help     this text; after a command, the help of that command with examples',
    '  -V, --version  the version',
    '',
    'Exit status: 0 fine, 1 blocked (the change cannot be live patched, or the target refused), 2 could not (bad arguments,',
    'compile error, missing file).',
    '',
  ].join('\n');
}

/** Text of `livepatch COMMAND --help`. */
export function commandHelp(command: Command, paint: Paint, columns: number): string {
  const lines: string[] = [];
  command.usage.forEach((usage, index) => {
    lines.push(`${index === 0 ? 'Usage:' : '      '} livepatch ${command.name} ${usage}`.trimEnd());
  });
  lines.push('', ...wrap(command.about, Math.min(columns, 100)), '');
  const rows = Object.entries({
    ...command.options,
    help: { type: 'boolean', short: 'h', help: 'this text' } as const,
  }).map(([name, spec]) => {
    const value = 'value' in spec && spec.value ? ` ${spec.value}` : '';
    return { left: `${spec.short ? `-${spec.short}, ` : '    '}--${name}${value}`, right: spec.help };
  });
  const width = Math.max(...rows.map((row) => row.left.length));
  lines.push('Options:');
  for (const row of rows) {
    const [first = '', ...rest] = wrap(row.right, Math.max(40, Math.min(columns, 100) - width - 4));
    lines.push(`  ${row.left.padEnd(width)}  ${first}`, ...rest.map((line) => `  ${' '.repeat(width)}  ${line}`));
  }
  lines.push('', command.examples.length > 1 ? 'Examples:' : 'Example:');
  for (const example of command.examples) {
    lines.push(`  ${paint.bold(example.line)}`, ...wrap(example.what, 90).map((line) => `      ${line}`));
  }
  return `${lines.join('\n')}\n`;
}
