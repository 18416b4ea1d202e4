import { finding, leaveOut, listed } from './support.ts';
import type { Hazard } from './types.ts';

/**
 * `line-only-change`: nothing differs but a line number that the code carries (`__LINE__` in an assertion or a log call). One note for all such functions of the unit: an edit
 * near its top makes dozens.
 */
export const lineOnlyChange: Hazard = {
  codes: ['line-only-change'],
  find: ({ diff }) => {
    const found = diff.functions.filter(({ lineOnly, status }) => lineOnly && status === 'changed');
    const first = found[0];
    if (!first) return [];
    const names = found.map(({ name }) => name);
    const one = names.length === 1;
    return [
      finding({
        code: 'line-only-change',
        severity: 'note',
        symbol: first.name,
        at: first.at,
        message: `${listed(names.map((name) => `${name}()`))} differ${one ? 's' : ''} only in line numbers that the code carries (__LINE__), because lines above were added or removed. ${one ? 'It is' : 'They are'} left out of the patch, and go${one ? 'es' : ''} on reporting the old numbers.`,
        evidence: { functions: names, count: names.length },
        related: found.slice(1, 12).map(({ name, at }) => ({ ...(at && { at }), message: `${name}() too` })),
        fixes: one ? [leaveOut(first.name)] : [],
      }),
    ];
  },
};
