import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe } from 'node:test';
import type { Config } from '../../server/src/shell/types.ts';
import { must } from '../../server/src/targets/transport/local.ts';
import { createXenTarget } from '../../server/src/targets/xen.ts';
import { hypervisorOf, xenTargetOf } from '../../server/src/targets/xen-config.ts';
import { remake } from '../core/xen/remake.ts';
import { install, sudo, xl } from './install.ts';
import { mustBuild, openRoom, options, type Room, testIn } from './room.ts';

const EXTRA = '/sys/hypervisor/version/extra';
const TELLS = 'safe_strcpy(extraversion, deny ? xen_deny() : xen_extra_version());';

/**
 * The machine as a host like any other: reached by a name of the user's own ssh configuration, through a jump host (the machine's
 * own sshd), with two processors, and without its serial console.
 */
describe('a host with Xen that ssh reaches', { timeout: 1_500_000 }, () => {
  let room: Room | undefined;
  let folder = '';
  const path = process.env.PATH;

  before(async () => {
    room = await openRoom(undefined, { cpus: 2 });
    if (!room) return;
    folder = await mkdtemp(join(tmpdir(), 'livepatch-hosts-'));
    const { sshPort, sshConfig } = room.machine;
    const machine = await readFile(sshConfig, 'utf8');
    const key = /IdentityFile (.*)/.exec(machine)![1]!;
    const known = /UserKnownHostsFile (.*)/.exec(machine)![1]!;
    const shared = [
      `  IdentityFile ${key}`,
      `  UserKnownHostsFile ${known}`,
      '  HostKeyAlias livepatch-xen',
      '  IdentitiesOnly yes',
    ];
    const config = [
      'Host jump',
      '  HostName 127.0.0.1',
      `  Port ${sshPort}`,
      '  User root',
      ...shared,
      // Seen from the jump host: its own port 22.
      'Host lab lab-as-eve',
      '  HostName 127.0.0.1',
      '  ProxyJump jump',
      ...shared,
      'Host lab',
      '  User root',
      'Host lab-as-eve',
      '  User eve',
      'Host nobody-there',
      '  HostName 127.0.0.1',
      '  Port 1',
    ];
    await writeFile(join(folder, 'config'), `${config.join('\n')}\n`);
    // The system's own ssh, with this file for the user's configuration: the home folder of the account stays as it is.
    const ssh = (await must('which', ['ssh'], { seconds: 10 })).stdout.trim();
    await writeFile(join(folder, 'ssh'), `#!/bin/sh\nexec ${ssh} -F ${join(folder, 'config')} "$@"\n`);
    await chmod(join(folder, 'ssh'), 0o755);
    process.env.PATH = `${folder}${delimiter}${path}`;
  });
  after(async () => {
    process.env.PATH = path;
    await room?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
  });
  const test = testIn(() => room);

  /** An entry of livepatch.json. */
  const entry = (ssh: string) => ({
    name: ssh,
    kind: 'xen' as const,
    ssh,
    syms: room!.vm.syms,
    verify: `cat ${EXTRA}`,
  });
  const build = async (id: string, text: string) => {
    await room!.tree.edit('common/kernel.c', TELLS, `safe_strcpy(extraversion, deny ? xen_deny() : "${text}");`);
    return mustBuild(await room!.tree.units(), room!.hypervisor(), options(id)).bytes;
  };

  test('two processors, a jump host, the verify command, its build id', async () => {
    const online = await room!.machine.console();
    assert.match(online.text, /Brought up 2 CPUs/);
    const target = xenTargetOf(entry('lab'));
    const bytes = await build('hosts', '-hosts');
    const listed = await target.list();
    assert.ok('patches' in listed, JSON.stringify(listed));
    assert.equal(listed.buildId, room!.syms.buildId);
    const hypervisor = await hypervisorOf(entry('lab'), { buildDir: room!.tree.folder } as Config);
    assert.equal(hypervisor.running, room!.syms.buildId);
    const applied = await target.apply(bytes);
    assert.equal(applied.kind, 'applied', JSON.stringify(applied));
    assert.match('message' in applied ? applied.message! : '', /cat .*extra: \S+ → -hosts/);
    // A file that somebody damaged is not even sent.
    const damaged = remake(bytes, (parts) => {
      parts.section('.text').flags |= 1;
    });
    const kept = await target.apply(damaged);
    assert.equal(kept.kind === 'refused' && kept.reason, 'damaged-file', JSON.stringify(kept));
    assert.match('message' in kept ? kept.message! : '', /Nothing was sent.*\.text is both writable and executable/);
    const reverted = await target.revert(undefined);
    assert.equal(reverted.kind, 'reverted', JSON.stringify(reverted));
    assert.match('message' in reverted ? reverted.message! : '', /-hosts → /);
    assert.deepEqual((await target.status()).patches, []);
  });

  test('a host that is not there, a name that ssh does not know, a user who is not root', async () => {
    const bytes = await build('nobody', '-nobody');
    for (const [host, words] of [
      ['nobody-there', /nobody-there does not answer: .*(refused|closed|timed out)/i],
      ['livepatch-test.invalid', /does not answer: .*(resolve|not known|No address)/i],
    ] as const) {
      const event = await xenTargetOf(entry(host)).apply(bytes);
      assert.equal(event.kind === 'failed' && event.reason, 'unreachable', JSON.stringify(event));
      assert.match('message' in event ? event.message! : '', words);
    }
    const { ssh } = room!.machine;
    const moved = 'for tool in /usr/lib/xen-*/bin/xen-livepatch; do mv "$tool" "$tool.aside"; done';
    assert.equal((await ssh.script(moved, [])).status, 0);
    const without = await xenTargetOf(entry('lab')).apply(bytes);
    assert.equal('reason' in without && without.reason, 'no-tool', JSON.stringify(without));
    const back =
      'for tool in /usr/lib/xen-*/bin/xen-livepatch.aside; do mv "$tool" "$(echo "$tool" | sed s/.aside//)"; done';
    assert.equal((await ssh.script(back, [])).status, 0);
    const made = await room!.machine.ssh.script(
      'echo "eve::1000:1000:eve:/home/eve:/bin/sh" >> /etc/passwd; mkdir -p /home/eve; cp -r /root/.ssh /home/eve/; chown -R 1000:1000 /home/eve; chmod 755 /home; chmod 700 /home/eve /home/eve/.ssh',
      [],
    );
    assert.equal(made.status, 0, made.stderr);
    const event = await xenTargetOf(entry('lab-as-eve')).apply(bytes);
    assert.notEqual(event.kind, 'applied');
    assert.equal('reason' in event && event.reason, 'no-permission', JSON.stringify(event));
    assert.match('message' in event ? event.message! : '', /root|sudo/);
  });

  test('a user who is not root, and may use sudo without a password', async (context) => {
    const bytes = await build('as-eve', '-as-eve');
    const lack = await install(room!, sudo);
    if (lack !== undefined) return context.skip(lack);
    const target = xenTargetOf(entry('lab-as-eve'));
    const applied = await target.apply(bytes);
    assert.equal(applied.kind, 'applied', JSON.stringify(applied));
    const again = await target.apply(bytes);
    assert.equal('reason' in again && again.reason, 'already-uploaded', JSON.stringify(again));
    assert.equal((await target.revert(undefined)).kind, 'reverted');
  });

  test('without a serial console the reason comes from xl dmesg', async (context) => {
    const bytes = await build('dmesg', '-dmesg');
    const target = createXenTarget({ name: 'lab', connect: () => ({ ssh: room!.machine.ssh }) });
    assert.equal((await target.load(bytes)).kind, 'done');
    await room!.tree.reset();
    const second = await build('dmesg-second', '-second');
    // Without xl: the number alone tells something, and says where the reason is.
    const mute = await target.load(second);
    assert.equal(mute.kind, 'refused', JSON.stringify(mute));
    assert.match('message' in mute ? mute.message : '', /xl dmesg/);
    const lack = await install(room!, xl(room!));
    if (lack !== undefined) return context.skip(lack);
    const told = await target.load(second);
    assert.equal(told.kind === 'refused' && told.reason, 'not-on-top', JSON.stringify(told));
    assert.match('message' in told ? told.message : '', /check against dmesg build-id failed/);
    for (const action of ['revert', 'unload'] as const) {
      const result = await target.act(action, 'dmesg');
      assert.equal(result.kind, 'done', JSON.stringify(result));
    }
  });

  test('a machine that hangs is told as such, with its last lines, and goes on when it wakes up', async () => {
    const { machine } = room!;
    const connect = () => ({ ssh: machine.ssh, console: machine.console });
    const target = createXenTarget({ name: 'sleeper', connect, seconds: 6 });
    process.kill(machine.pid, 'SIGSTOP');
    try {
      const status = await target.status();
      assert.equal(status.alive, false);
      assert.match(status.message ?? '', /sleeper gave no answer in 6 s\.[\s\S]*Last lines of its console:\n.*\S/);
    } finally {
      process.kill(machine.pid, 'SIGCONT');
    }
    assert.equal((await createXenTarget({ name: 'sleeper', connect }).status()).alive, true);
  });

  test("a patch that kills the hypervisor is told with the console's last lines", async () => {
    await room!.tree.edit('common/kernel.c', TELLS, `BUG();\n        ${TELLS}`);
    const { bytes } = mustBuild(await room!.tree.units(), room!.hypervisor(), options('kills'));
    const result = await room!.target.load(bytes);
    assert.equal(result.kind === 'failed' && result.reason, 'died', JSON.stringify(result));
    const { message } = result as { message: string };
    assert.match(message, /the hypervisor panicked/);
    assert.match(message, /Xen BUG at common\/kernel\.c:\d+/);
    assert.match(message, /Last lines of its console/);
    assert.match((await room!.machine.death()) ?? '', /panicked/);
  });
});
