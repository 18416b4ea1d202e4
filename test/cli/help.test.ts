import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { commands } from '../../server/src/cli/commands.ts';
import { cli } from './support.ts';

const wanted = [
  'diff',
  'check',
  'asm',
  'accept',
  'report',
  'baseline',
  'build',
  'apply',
  'revert',
  'unload',
  'status',
  'inspect',
  'record',
  'doctor',
  'cache',
  'vm',
];

describe('help', () => {
  it('has every command, and one loader each that gives the command of that name', async () => {
    assert.deepEqual(
      commands.map((entry) => entry.name),
      wanted,
    );
    for (const entry of commands) assert.equal((await entry.load()).name, entry.name);
  });

  it('lists the commands and the exit statuses', async () => {
    const { status, out } = await cli(['--help']);
    assert.equal(status, 0);
    for (const name of wanted) assert.match(out, new RegExp(`^  ${name} `, 'm'));
    assert.match(out, /Exit status: 0 fine, 1 blocked.*2 could not/s);
  });

  for (const name of wanted) {
    it(`${name} --help: usage, every option, an example that begins with the command`, async () => {
      const { status, out, err } = await cli([name, '--help']);
      assert.equal(status, 0);
      assert.equal(err, '');
      assert.match(out, new RegExp(`^Usage: livepatch ${name}\\b`));
      const command = await commands.find((entry) => entry.name === name)!.load();
      for (const option of Object.keys(command.options)) assert.ok(out.includes(`--${option}`), `--${option}`);
      assert.ok(command.examples.length > 0);
      for (const example of command.examples) assert.ok(example.line.startsWith(`livepatch ${name}`), example.line);
      assert.ok(
        out.split('\n').every((line) => line.length <= 140),
        'no line runs off the screen',
      );
      assert.deepEqual(await cli(['help', name]), { status, out, err });
    });
  }

  it('says the version of the manifest', async () => {
    const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
    assert.deepEqual(await cli(['--version']), { status: 0, out: `livepatch ${manifest.version}\n`, err: '' });
  });

  it('without a command: the overview on standard error, status 2', async () => {
    const { status, out, err } = await cli([]);
    assert.deepEqual([status, out], [2, '']);
    assert.match(err, /Commands:/);
  });

  it('suggests the command that was meant', async () => {
    const { status, err } = await cli(['chekc']);
    assert.equal(status, 2);
    assert.match(err, /no command 'chekc'.*Did you mean 'check'\?/);
  });

  it('refuses an option that there is not, with a pointer to the help', async () => {
    const { status, err } = await cli(['diff', '--jsno', 'a.o', 'b.o']);
    assert.equal(status, 2);
    assert.match(err, /--jsno/);
    assert.match(err, /livepatch diff --help/);
  });

  it('passes --help behind -- on to the recorded program', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lpa-help-'));
    try {
      const { status, out, err } = await cli(['record', '--', 'sh', '-c', 'test "$1" = --help', 'sh', '--help'], {
        cwd: folder,
      });
      assert.deepEqual([status, out], [2, '']);
      assert.match(err, /No compilation was seen/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
