import { judgeData, oldPlace, sectionClass } from './data.ts';
import { dataName, finding, revertHunk } from './support.ts';
import type { Hazard } from './types.ts';

const meaning: Readonly<Record<string, string>> = {
  bss: 'zeroed data (.bss)',
  data: 'initialised data (.data)',
  rodata: 'read-only data (.rodata)',
  tls: 'thread-local data',
};

/** `data-section-moved`: existing data would have to live elsewhere: const added or taken away, or a first initial value. */
export const dataSectionMoved: Hazard = {
  codes: ['data-section-moved'],
  find: (input) =>
    input.diff.data
      .filter((data) => judgeData(input, data) === 'section')
      .map((data) => {
        const from = sectionClass(data.baseSection);
        const to = sectionClass(data.nextSection);
        const why =
          to === 'rodata'
            ? 'It became const: the patched functions get a copy with its initial contents, and what the running program wrote into the old one, which others go on using, they do not see'
            : from === 'rodata'
              ? 'It lost its const, but the running copy stays in memory that cannot be written: patched code that writes it would crash'
              : from.endsWith('ro_after_init')
                ? 'The running copy stays in memory that cannot be written since the kernel started: patched code that writes it would crash'
                : 'The running copy stays where it is and keeps the value it has: a new initial value has no effect';
        const wayOut =
          to === 'rodata'
            ? 'Check that nothing writes it while the program runs'
            : 'Keep the declaration and assign values in patched code, or use a new variable';
        return finding({
          code: 'data-section-moved',
          severity: to === 'rodata' ? 'review' : 'blocker',
          symbol: data.name,
          at: data.at,
          message: `${dataName(data)} moves from ${meaning[from] ?? from} to ${meaning[to] ?? to}. ${why}. ${wayOut}.`,
          evidence: { baseSection: data.baseSection ?? '', nextSection: data.nextSection ?? '', differs: data.differs },
          related: oldPlace(input, data),
          fixes: revertHunk(data.at, data.name),
        });
      }),
};
