import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../server/src/targets/transport/local.ts';
import { type SshTransport, whyUnreachable } from '../../server/src/targets/transport/ssh.ts';
import { createXenTarget } from '../../server/src/targets/xen.ts';
import { script } from '../../server/src/targets/xen-script.ts';

/**
 * A hypervisor of a few lines of shell: xen-livepatch and xl over files in a folder. The script that runs on a target is the real one,
 * run here without ssh in between.
 */
const top = await mkdtemp(join(tmpdir(), 'livepatch-target-'));
after(() => rm(top, { recursive: true, force: true }));
const state = join(top, 'state');
const temporary = join(top, 'tmp');

const tool = `#!/bin/sh
cd ${state}
echo "$@" >> calls
case $1 in
list) [ -e up ] && echo "$(cat up) | $(cat is)" | sed 's/$/ | /;1iheading\\n---' || echo "Nothing to list" ;;
upload) [ -e up ] && { echo "Uploading $3... failed"; echo "Error 17: File exists" >&2; exit 1; }
  cp "$3" file; echo "$2" > up; echo CHECKED > is; echo "Uploading... completed" ;;
apply) [ -e slow ] && sleep 1
  [ -e refuse ] && { cat refuse >> console; echo "Applying... failed"; echo "Error 22: Invalid argument" >&2; exit 1; }
  echo APPLIED > is; echo "Applying... completed" ;;
unload) rm -f up is; echo "Unloading... completed" ;;
esac
`;

beforeEach(async () => {
  await rm(top, { recursive: true, force: true });
  for (const folder of [state, temporary, join(top, 'bin')]) await run('mkdir', ['-p', folder]);
  await writeFile(join(top, 'bin', 'xen-livepatch'), tool);
  await writeFile(join(top, 'bin', 'xl'), `#!/bin/sh\ncat ${state}/console 2>/dev/null\n`);
  // Root is assumed there; here it may be anybody.
  await writeFile(join(top, 'bin', 'sudo'), '#!/bin/sh\nshift\nexec "$@"\n');
  for (const name of ['xen-livepatch', 'xl', 'sudo']) await chmod(join(top, 'bin', name), 0o755);
});

const env = () => ({
  ...process.env,
  PATH: `${join(top, 'bin')}${delimiter}${process.env.PATH}`,
  TMPDIR: temporary,
});
/** `size`: what the other side is told of the payload's size, where that is to be wrong. */
const here = (size?: string): SshTransport => ({
  destination: 'lab',
  run: (args, options) => run(args[0]!, args.slice(1), { ...options, env: env() }),
  script: (text, args, options) =>
    run('sh', ['-c', text, 'livepatch', ...args.slice(0, 4), size ?? args[4] ?? ''], { ...options, env: env() }),
  interactive: () => [],
});
const target = (size?: string) => createXenTarget({ name: 'lab', connect: () => ({ ssh: here(size) }) });
const payload = new Uint8Array(1000).fill(7);
const calls = async (): Promise<string[]> =>
  (await readFile(join(state, 'calls'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');

test('a payload arrives as it was sent, and its file does not stay', async () => {
  const result = await target().upload(payload, undefined, 'fix');
  assert.equal(result.kind, 'done', JSON.stringify(result));
  assert.deepEqual(new Uint8Array(await readFile(join(state, 'file'))), payload);
  assert.deepEqual(await readdir(temporary), []);
});

test('what did not arrive whole, as on a full disk, is not uploaded', async () => {
  const result = await target('2000').upload(payload, undefined, 'fix');
  assert.equal(result.kind === 'failed' && result.reason, 'not-copied', JSON.stringify(result));
  assert.match('message' in result ? result.message : '', /did not arrive whole on lab .*nothing was uploaded/);
  assert.deepEqual(
    (await calls()).filter((line) => !line.startsWith('list')),
    [],
  );
  assert.deepEqual(await readdir(temporary), []);
  // No room even for the file.
  await rm(temporary, { recursive: true });
  const none = await target().upload(payload, undefined, 'fix');
  assert.equal(none.kind === 'failed' && none.reason, 'not-copied', JSON.stringify(none));
  assert.match('message' in none ? none.message : '', /\(mktemp: .*\)/);
});

test("an earlier refusal's words in xl dmesg do not explain a later one", async () => {
  await writeFile(join(state, 'console'), '(XEN) livepatch: fix: check against hypervisor build-id failed\n');
  assert.equal((await target().upload(payload, undefined, 'fix')).kind, 'done');
  const again = await target().upload(payload, undefined, 'fix');
  assert.equal(again.kind === 'refused' && again.reason, 'already-uploaded', JSON.stringify(again));
  // New words do.
  await writeFile(join(state, 'refuse'), '(XEN) livepatch: fix: check against other build-id failed\n');
  const refused = await target().act('apply', 'fix');
  assert.equal(refused.kind === 'refused' && refused.reason, 'not-on-top', JSON.stringify(refused));
});

test('whoever goes away between upload and apply leaves neither a file nor a half-done job', async () => {
  await writeFile(join(state, 'slow'), '');
  const argv = ['-c', script, 'livepatch', 'load', 'fix', '', '', String(payload.length)];
  await writeFile(join(state, 'refuse'), '');
  const child = spawn('sh', argv, { env: env(), stdio: ['pipe', 'pipe', 'ignore'] });
  child.stdin.end(payload);
  while (!(await calls()).some((line) => line.startsWith('apply'))) await sleep(20);
  // The connection is gone: nobody reads what it prints.
  child.stdout.destroy();
  await once(child, 'close');
  assert.ok((await calls()).includes('unload fix'), (await calls()).join('; '));
  assert.deepEqual(await readdir(temporary), []);
});

test('a host that does not answer, one that does not let in, and one that is not trusted are told apart', () => {
  for (const [stderr, told] of [
    ['ssh: connect to host lab port 22: Connection refused', /^lab does not answer: .*refused$/],
    ['root@lab: Permission denied (publickey).', /^lab does not let you in: .*a key that works without a question/],
    ['Host key verification failed.', /^lab is not trusted: .*Log in once by hand.*: ssh lab$/],
    ['', /^lab does not answer: ssh gave no reason$/],
  ] as const)
    assert.match(whyUnreachable('lab', `${stderr}\n`), told);
});

test('a file that was cut off is damaged, and one that was applied already is told as such', async () => {
  const event = await target().apply(payload.slice(0, 10));
  assert.match(
    'message' in event ? event.message! : '',
    /^The file is no payload: This is not an ELF file \([^.]*\)\.$/,
  );
  // The header of a relocatable file, whose section headers are missing.
  const header = new Uint8Array(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.set([1, 0, 62, 0, 1], 16);
  new DataView(header.buffer).setUint32(40, 4096, true);
  header.set([64, 0, 0, 0, 0, 0, 64, 0, 15, 0, 14, 0], 52);
  const cut = await target().apply(header);
  assert.match('message' in cut ? cut.message! : '', /^The file is damaged: .*outside of the file\. It was cut off/);
  assert.equal((await target().upload(payload, undefined, 'fix')).kind, 'done');
  assert.equal((await target().act('apply', 'fix')).kind, 'done');
  const again = await target().upload(payload, undefined, 'fix');
  assert.match('message' in again ? again.message : '', /^lab runs fix already\. To apply another build of it/);
});

test('processors that do not come to rest: tried six times, and nothing is left uploaded', async () => {
  const words = '(XEN) livepatch: fix: Timed out on semaphore in CPU quiesce phase 1/2\n';
  await writeFile(join(state, 'refuse'), words);
  const loads = createXenTarget({ name: 'lab', connect: () => ({ ssh: here() }) });
  const refused = await loads.replaceWith(payload).catch(() => undefined);
  assert.equal(refused?.kind === 'refused' && refused.reason, 'damaged-file', 'only what livepatch wrote is sent');
  assert.equal((await loads.upload(payload, undefined, 'fix')).kind, 'done');
  const busy = await loads.act('apply', 'fix');
  assert.equal(busy.kind === 'refused' && busy.reason, 'quiesce-timeout', JSON.stringify(busy));
  assert.match('message' in busy ? busy.message : '', /nothing was changed.*Tried 6 times\.$/s);
  assert.equal((await calls()).filter((line) => line.startsWith('apply')).length, 6);
});

test('a machine that went away in the middle is told as such, with its last words but for the logins', async () => {
  const logins = '[146] Nov 28 18:32:16 Child connection from 10.0.2.2:58094\n';
  const ssh: SshTransport = { ...here(), script: async () => ({ status: 255, stdout: '', stderr: '' }) };
  const text = `(XEN) last words\n${logins}`;
  const console = async (offset: number) => ({ text: offset === 0 ? text : '', size: text.length });
  const gone = async () => 'the machine ended by itself';
  const status = await createXenTarget({ name: 'lab', connect: () => ({ ssh, console, gone }) }).status();
  assert.equal(
    status.message,
    'lab went away meanwhile: the machine ended by itself. Started again it runs without patches.\nLast lines of its console:\n(XEN) last words',
  );
  const broken: SshTransport = { ...ssh, script: async () => ({ status: 255, stdout: '@@begin list\n', stderr: '' }) };
  const half = await createXenTarget({ name: 'lab', connect: () => ({ ssh: broken }) }).status();
  assert.match(half.message ?? '', /^The connection to lab broke in the middle\. What was under way may still happen/);
});

test('without a name the top of the stack is reverted, which need not be what was uploaded last', async () => {
  const listed = (id: string) => ({ id, state: 'applied' as const, error: 0, metadata: new Map<string, string>() });
  const order = async () => [listed('below'), listed('fix')];
  const lab = createXenTarget({ name: 'lab', connect: () => ({ ssh: here() }), order });
  assert.deepEqual(
    (await lab.status()).patches.map(({ id }) => id),
    ['below', 'fix'],
  );
  await lab.revert(undefined);
  assert.ok((await calls()).includes('revert fix'), (await calls()).join('; '));
});
