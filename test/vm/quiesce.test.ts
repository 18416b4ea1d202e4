import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createXenTarget } from '../../server/src/targets/xen.ts';
import { mustBuild, openRoom, options, type Room, testIn } from './room.ts';

/** A read of the first keeps the second processor busy, a read of the other one ends that. */
const [START, STOP] = ['/sys/hypervisor/version/extra', '/sys/hypervisor/properties/changeset'] as const;
/** Longer than everything here takes; by itself it has to end all the same. */
const SECONDS = 240;

/**
 * What the patch adds in front of the function that tells versions: the second processor works in a softirq and does not come to rest. It lets
 * other softirqs in: Xen waits for their read-copy-update, without an end, before it unloads.
 */
const BUSY = `static struct timer lpa_busy;
static s_time_t lpa_until;

static void lpa_work(void *data)
{
    while ( NOW() < ACCESS_ONCE(lpa_until) )
        process_pending_softirqs();
}

static void lpa_occupy(void)
{
    if ( !lpa_until )
        init_timer(&lpa_busy, lpa_work, NULL, 1);
    lpa_until = NOW() + SECONDS(${SECONDS});
    set_timer(&lpa_busy, NOW());
}

/*
 * Simple hypercalls.
 */`;

describe('a hypervisor whose processors do not come to rest', { timeout: 1_500_000 }, () => {
  let room: Room | undefined;

  before(async () => {
    // Domain 0 stays on the first processor: what it runs must not wait for the busy one.
    room = await openRoom(undefined, { cpus: 2, append: 'dom0_vcpus_pin' });
  });
  after(() => room?.close());
  const test = testIn(() => room);
  const read = async (path: string): Promise<void> => {
    const answer = await room!.machine.ssh.run(['cat', path]);
    assert.equal(answer.status, 0, answer.stderr);
  };

  test('is asked again until they do; where they never do, nothing is left in it', async () => {
    const { tree, machine, hypervisor } = room!;
    // Without the room's own question what changed: it would make the other processor busy.
    const quiet = createXenTarget({ name: 'xen', connect: () => ({ ssh: machine.ssh, console: machine.console }) });
    await tree.edit('common/kernel.c', '/*\n * Simple hypercalls.\n */', BUSY);
    await tree.edit(
      'common/kernel.c',
      '#include <xen/version.h>',
      '#include <xen/version.h>\n#include <xen/softirq.h>\n#include <xen/timer.h>',
    );
    const tells = 'safe_strcpy(extraversion, deny ? xen_deny() : xen_extra_version());';
    await tree.edit('common/kernel.c', tells, `lpa_occupy();\n        ${tells}`);
    const changeset = 'safe_strcpy(chgset, deny ? xen_deny() : xen_changeset());';
    await tree.edit('common/kernel.c', changeset, `lpa_until = 1;\n        ${changeset}`);
    const occupying = mustBuild(await tree.units(), hypervisor(), options('occupy'));
    const first = await quiet.load(occupying.bytes);
    assert.equal(first.kind, 'done', JSON.stringify(first));

    await tree.reset();
    await tree.edit(
      'common/keyhandler.c',
      `    printk("'%c' pressed -> showing installed handlers\\n", key);`,
      `    printk("'%c' pressed: installed handlers\\n", key);`,
    );
    const below = hypervisor([{ id: 'occupy', bytes: occupying.bytes }]);
    const second = mustBuild(await tree.units(), below, options('second'));
    await read(START);
    const refused = await quiet.load(second.bytes);
    assert.ok(refused.kind === 'refused' && refused.reason === 'quiesce-timeout', JSON.stringify(refused));
    console.log(`# ${refused.message}`);
    assert.match(refused.message, /nothing was changed.*Tried \d+ times/s);
    assert.deepEqual(
      refused.list.map(({ id, state }) => `${id} ${state}`),
      ['occupy applied'],
      'nothing is left of what could not be applied',
    );

    // The processor comes to rest while the patch is waiting for it.
    const { size } = await machine.console(Number.MAX_SAFE_INTEGER);
    const applying = quiet.load(second.bytes);
    while (!/Timed out/.test((await machine.console(size)).text)) await sleep(20);
    await read(STOP);
    const applied = await applying;
    assert.equal(applied.kind, 'done', JSON.stringify(applied));
    assert.ok(applied.kind === 'done' && (applied.attempts ?? 0) > 1, `attempts: ${JSON.stringify(applied)}`);
    console.log(`# applied at attempt ${applied.kind === 'done' && applied.attempts}`);
    assert.equal(await machine.death(), undefined);
    // What is busy here has a timer in the hypervisor's lists: it stays until the machine goes.
    assert.equal((await quiet.act('revert', 'second')).kind, 'done');
    assert.equal((await quiet.act('unload', 'second')).kind, 'done');
  });
});
