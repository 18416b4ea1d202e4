import { insertBehind } from './text.ts';
import type { FixProvider } from './types.ts';

/** The texts that a rule itself asks to put in front of a line, such as an attribute in front of a function. */
export const insertedText: FixProvider = {
  offer: ({ finding, now }) =>
    finding.fixes.flatMap(({ kind, title, data: { file, line, text } }) => {
      if (kind !== 'insert-text' || typeof file !== 'string' || typeof line !== 'number' || typeof text !== 'string')
        return [];
      const lines = now(file);
      if (!lines || lines[line - 1]?.includes(text.trim()) || lines[line - 2]?.includes(text.trim())) return [];
      return [{ title, changes: [insertBehind(file, line - 1, text.endsWith('\n') ? text : `${text}\n`)] }];
    }),
};
