import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createAnalyser } from '../../server/src/analyse.ts';
import type { Finding } from '../../server/src/core/findings/types.ts';
import { lacking, vmOrSkip } from './room.ts';
import { type WorkTree, workTree } from './tree.ts';

const FILE = 'common/kernel.c';
const TELLS = 'deny ? xen_deny() : xen_extra_version()';

/** What a session tells on save in the Xen tree, without a machine: hazards of the edit, and what the payload would be refused for. */
describe('on save in the Xen tree', { timeout: 600_000 }, () => {
  let tree: WorkTree | undefined;

  before(async () => {
    const vm = await vmOrSkip(undefined);
    if (vm) tree = await workTree(vm.tree, await createAnalyser());
  });
  after(() => tree?.close());

  /** Findings of an edit, as `code symbol severity`. */
  const told = async (
    from: string,
    to: string,
    file = FILE,
    more?: readonly [string, string],
  ): Promise<readonly Finding[]> => {
    await tree!.reset();
    await tree!.edit(file, from, to);
    if (more) await tree!.edit(file, ...more);
    return (await tree!.units()).flatMap((unit) => unit.findings);
  };
  const find = (findings: readonly Finding[], code: string): Finding => {
    const found = findings.find((one) => one.code === code);
    assert.ok(found, `${code} in: ${findings.map((one) => `${one.code} ${one.symbol}`).join(', ')}`);
    return found;
  };

  it('an edit that Xen takes gives no finding that blocks', async (context) => {
    if (!tree) return context.skip(lacking());
    const findings = await told(TELLS, '"-fine"');
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'blocker'),
      [],
    );
  });

  it('a symbol that the hypervisor does not have', async (context) => {
    if (!tree) return context.skip(lacking());
    const findings = await told(TELLS, 'nowhere()', FILE, [
      '/*\n * Simple hypercalls.\n */',
      'const char *nowhere(void);\n\n/*\n * Simple hypercalls.\n */',
    ]);
    const found = findings.find(({ message }) => message.includes('nowhere'));
    assert.ok(found, findings.map(({ code, message }) => `${code}: ${message}`).join('\n'));
    assert.equal(found.severity, 'blocker');
  });

  it('a payload of more than 2 MiB', async (context) => {
    if (!tree) return context.skip(lacking());
    const findings = await told(TELLS, '({ static char big[3 << 20] = { 1 }; OPTIMIZER_HIDE_VAR(deny); big + deny; })');
    assert.equal(find(findings, 'payload-too-large').severity, 'blocker');
  });

  it('code that patches: the machinery itself', async (context) => {
    if (!tree) return context.skip(lacking());
    const findings = await told(
      '    bool_t r = 0;\n\n    rcu_read_lock',
      '    bool_t r = ptr == NULL;\n\n    rcu_read_lock',
      'common/livepatch.c',
    );
    assert.equal(find(findings, 'patching-machinery').severity, 'blocker');
  });
});
