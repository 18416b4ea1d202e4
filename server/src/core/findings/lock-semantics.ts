import { referencesOf } from '../diff/references.ts';
import type { ElfSymbol } from '../elf/types.ts';
import type { ObjectModel } from '../object.ts';
import { finding, replacedFunctions } from './support.ts';
import type { Hazard } from './types.ts';

const locking =
  /(^|_)(try|un|rd|wr|tryrd|trywr|timed)?lock(_|$)|(^|_)(mutex|spin|rwlock|read|write)_(try|un)?lock|^(down|up)(_read|_write|_interruptible|_killable|_trylock)?$|^sem_(wait|trywait|timedwait|post)$|^pthread_cond_(timed)?wait$/;
const management = /init|destroy|alloc|free|^f?lock_?file|setlk|sysv/;

/** `lock-semantics`: threads that run old and new code at once disagree about who holds what. */
export const lockSemantics: Hazard = {
  codes: ['lock-semantics'],
  find: (input) =>
    replacedFunctions(input).flatMap((fn) => {
      const before = lockCalls(input.pair.base, fn.base);
      const after = lockCalls(input.pair.next, fn.next);
      if (before.join() === after.join()) return [];
      return [
        finding({
          code: 'lock-semantics',
          severity: 'review',
          symbol: fn.name,
          at: fn.at,
          message: `${fn.name}() takes or releases locks otherwise than before (${words(before)} → ${words(after)}). While the patch is applied, a lock taken by old code may be released by new code or not at all, and callers that stay old rely on the old order. Check each path against the code outside the patch.`,
          evidence: { base: before, next: after },
        }),
      ];
    }),
};

const words = (calls: readonly string[]): string => (calls.length === 0 ? 'none' : calls.join(', '));

/** Names of the lock functions that a function calls, in the order of the source lines: code layout changes do not count. */
function lockCalls(object: ObjectModel, symbol: ElfSymbol | undefined): string[] {
  if (!symbol || typeof symbol.place !== 'number') return [];
  const rows = object.dwarf.linesOf(symbol.place);
  const line = (offset: number): number => {
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle]!.offset <= offset) low = middle + 1;
      else high = middle;
    }
    return rows[low - 1]?.line ?? 0;
  };
  return referencesOf(object)
    .filter(
      ({ from, call, target }) =>
        call && from?.index === symbol.index && locking.test(target.name) && !management.test(target.name),
    )
    .map(({ target, offset }) => ({ name: target.name, line: line(offset), offset }))
    .sort((a, b) => a.line - b.line || a.offset - b.offset)
    .map(({ name }) => name);
}
