import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inSameProgram } from '../../server/src/session/program.ts';
import type { CompileCommand } from '../../server/src/shell/types.ts';

const unit = (...words: string[]) => ({ command: { arguments: words } as unknown as CompileCommand });

test('programs for the building machine and 32-bit boot code are no part of the hypervisor', () => {
  const kernel = unit('gcc', '-m64', '-D__XEN__', '-c', 'common/kernel.c');
  assert.ok(inSameProgram(unit('gcc', '-m64', '-D__XEN__', '-c', 'common/domain.c'), [kernel]));
  assert.ok(!inSameProgram(unit('gcc', '-O2', '-c', 'tools/kconfig/conf.c'), [kernel]));
  assert.ok(!inSameProgram(unit('gcc', '-m32', '-D__XEN__', '-c', 'arch/x86/boot/cmdline.c'), [kernel]));
  // Nothing is known of an ordinary program: all of its units count.
  assert.ok(inSameProgram(unit('cc', '-c', 'b.c'), [unit('cc', '-O2', '-c', 'a.c')]));
});
