import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createXenTarget } from '../../server/src/targets/xen.ts';
import { mustBuild, openRoom, options, type Room, testIn } from './room.ts';

/** A read of the first keeps the second processor busy for some attempts, one of the other for longer than all of them. */
const [SHORT, LONG] = ['/sys/hypervisor/version/extra', '/sys/hypervisor/properties/changeset'] as const;
const MILLISECONDS = { short: 1500, long: 40_000 } as const;

/** What the patch adds in front of the function that tells versions: the second processor works in a softirq and does not come to rest. */
const BUSY = `static struct timer lpa_busy;
static s_time_t lpa_until;

static void lpa_work(void *data)
{
    while ( NOW() < lpa_until )
        cpu_relax();
}

static void lpa_occupy(unsigned int milliseconds)
{
    if ( !lpa_until )
        init_timer(&lpa_busy, lpa_work, NULL, 1);
    lpa_until = NOW() + MILLISECS(milliseconds);
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
  const busy = async (path: string): Promise<void> => {
    const answer = await room!.machine.ssh.run(['cat', path]);
    assert.equal(answer.status, 0, answer.stderr);
  };

  test('is asked again until they do, and where they never do the patch waits, loaded and not applied', async () => {
    const { tree, machine, hypervisor } = room!;
    // Without the room's own question what changed: it would make the other processor busy.
    const quiet = createXenTarget({ name: 'xen', connect: () => ({ ssh: machine.ssh, console: machine.console }) });
    await tree.edit('common/kernel.c', '/*\n * Simple hypercalls.\n */', BUSY);
    await tree.edit('common/kernel.c', '#include <xen/version.h>', '#include <xen/version.h>\n#include <xen/timer.h>');
    const tells = 'safe_strcpy(extraversion, deny ? xen_deny() : xen_extra_version());';
    await tree.edit('common/kernel.c', tells, `lpa_occupy(${MILLISECONDS.short});\n        ${tells}`);
    const changeset = 'safe_strcpy(chgset, deny ? xen_deny() : xen_changeset());';
    await tree.edit('common/kernel.c', changeset, `lpa_occupy(${MILLISECONDS.long});\n        ${changeset}`);
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
    await busy(SHORT);
    const loaded = await quiet.load(second.bytes);
    assert.equal(loaded.kind, 'done', JSON.stringify(loaded));
    assert.ok(loaded.kind === 'done' && (loaded.attempts ?? 0) > 1, `attempts: ${JSON.stringify(loaded)}`);
    console.log(`# applied at attempt ${loaded.kind === 'done' && loaded.attempts}`);

    assert.equal((await quiet.act('revert', 'second')).kind, 'done');
    const since = Date.now();
    await busy(LONG);
    const refused = await quiet.act('apply', 'second');
    assert.ok(refused.kind === 'refused' && refused.reason === 'quiesce-timeout', JSON.stringify(refused));
    assert.match(refused.message, /Tried \d+ times/);
    assert.deepEqual(
      refused.list.map(({ id, state }) => `${id} ${state}`),
      ['occupy applied', 'second checked'],
    );
    console.log(`# ${refused.message}`);
    assert.ok(Date.now() - since < MILLISECONDS.long, 'the second processor was busy all the time');
    await sleep(MILLISECONDS.long + 1000 - (Date.now() - since));
    assert.equal(await machine.death(), undefined);
    const done = await quiet.act('apply', 'second');
    assert.equal(done.kind, 'done', JSON.stringify(done));
    // What is busy here has a timer in the hypervisor's lists: it stays until the machine goes.
    assert.equal((await quiet.act('revert', 'second')).kind, 'done');
    assert.equal((await quiet.act('unload', 'second')).kind, 'done');
  });
});
