import { plainName } from '../../diff/signatures.ts';
import { insertBehind, lastInclude } from './text.ts';
import type { FixContext, FixProvider, OfferedFix, TextChange } from './types.ts';

/** Which pair of hooks: around the change itself, or a check before it and an undo after its revert. */
export type HookPair = 'load' | 'check';

/** Kind of a hook: the word of its macro in Xen's livepatch_payload.h (`LIVEPATCH_PREAPPLY_HOOK`), in lower case. */
type Kind = 'load' | 'unload' | 'preapply' | 'apply' | 'postapply' | 'prerevert' | 'revert' | 'postrevert';

/** Hooks that may say no, with an error number. */
const REFUSES: ReadonlySet<Kind> = new Set(['preapply', 'apply', 'prerevert', 'revert']);

/** When each of them runs, and what follows from that for its code (common/livepatch.c). */
const WHEN: Readonly<Record<Kind, string>> = {
  load: 'Runs while the patch is put in place: all processors stand still, interrupts are off. No allocation, no sleep.',
  unload:
    'Runs while the patch is taken out: all processors stand still, interrupts are off. Puts back what the old code expects.',
  preapply:
    'Runs before the patch is put in place, while the machine goes on: may allocate. A number below zero ends it, nothing is changed then.',
  apply: 'Runs instead of putting the patch in place: all processors stand still, interrupts are off.',
  postapply: 'Runs after the patch was put in place, while the machine goes on.',
  prerevert:
    'Runs before the patch is taken out, while the machine goes on. A number below zero ends it, the patch stays then.',
  revert: 'Runs instead of taking the patch out: all processors stand still, interrupts are off.',
  postrevert:
    'Runs after the patch was taken out, while the machine goes on: undoes and frees what the check before it has made.',
};

const PAIRS: Readonly<Record<HookPair, readonly [Kind, Kind]>> = {
  load: ['load', 'unload'],
  check: ['preapply', 'postrevert'],
};

const TITLES: Readonly<Record<HookPair, string>> = {
  load: 'Add a load hook and an unload hook',
  check: 'Add a check before applying and its undo after a revert',
};

/** What is looked at to write hooks into a source of Xen. */
export type HookContext = Pick<FixContext, 'now' | 'unit'>;

/** Headers of the hooks' macros, and of what those need. */
const HEADERS = ['<xen/lib.h>', '<xen/livepatch.h>', '<xen/livepatch_payload.h>'];

/** Folder of the hypervisor that a source belongs to (it has include/xen), and its header of hooks; undefined where that cannot be read. */
function payloadHeader({
  now,
  unit,
}: HookContext): { readonly root: string; readonly lines: readonly string[] } | undefined {
  for (let folder = unit; folder.includes('/'); ) {
    folder = folder.slice(0, folder.lastIndexOf('/'));
    const lines = now(`${folder}/include/xen/livepatch_payload.h`);
    if (lines) return { root: folder, lines };
  }
  return undefined;
}

/** The macro's name as this Xen has it; undefined where it has none. */
function macroOf(lines: readonly string[], kind: Kind): string | undefined {
  const name = `LIVEPATCH_${kind.toUpperCase()}_HOOK`;
  return lines.some((line) => line.includes(`define ${name}(`)) ? name : undefined;
}

/** Line (from 1) behind which code goes: the last one in front of the block of editor settings that Xen's sources end with. */
function lastLine(lines: readonly string[]): number {
  const settings = lines.findLastIndex((line) => /^\s*\*\s*Local variables:/.test(line));
  let at = settings > 0 && /^\s*\/\*/.test(lines[settings - 1] ?? '') ? settings - 1 : lines.length;
  while (at > 0 && (lines[at - 1] ?? '').trim() === '') at--;
  return at;
}

/** A source that its compat twin includes is compiled twice: hooks have to be in one of the two. */
function hasTwin({ now, unit }: HookContext): boolean {
  const slash = unit.lastIndexOf('/');
  const name = unit.slice(slash + 1);
  const twin = now(`${unit.slice(0, slash)}/compat/${name}`);
  const includes = twin?.some((line) => line.replace(/\s/g, '') === `#include"../${name}"`) ?? false;
  return includes && (twin?.some((line) => /^\s*#\s*define\s+COMPAT\b/.test(line)) ?? false);
}

/**
 * Writes hooks at the end of a source of Xen, with its own macros and the headers that they need.
 * @param name what they are called after, a C identifier
 * @param kinds in this order
 * @returns undefined where the tree lacks one of the macros, or its headers cannot be read
 */
export function writeHooks(context: HookContext, name: string, kinds: readonly Kind[]): TextChange[] | undefined {
  const header = payloadHeader(context);
  const lines = context.now(context.unit);
  if (!header || !lines) return undefined;
  const checked = context
    .now(`${header.root}/include/xen/compiler.h`)
    ?.some((line) => /define\s+cf_check\b/.test(line));
  const taken = (candidate: string): boolean => lines.some((line) => new RegExp(`\\b${candidate}\\b`).test(line));
  const pieces: string[] = [];
  for (const kind of kinds) {
    const macro = macroOf(header.lines, kind);
    if (macro === undefined) return undefined;
    let function_ = `livepatch_${name}_${kind}`;
    for (let count = 2; taken(function_); count++) function_ = `livepatch_${name}_${kind}${count}`;
    pieces.push(hookText(kind, macro, function_, checked === true));
  }
  const body = pieces.join('\n');
  const text = hasTwin(context)
    ? `\n#ifndef COMPAT /* compiled twice: the hooks once */\n${body}#endif /* !COMPAT */\n`
    : `\n${body}`;
  const missing = HEADERS.filter(
    (one) => !lines.some((line) => line.replace(/\s/g, '').startsWith(`#include${one}`)),
  ).map((one) => `#include ${one}\n`);
  const changes = [insertBehind(context.unit, lastLine(lines), text)];
  if (missing.length > 0) changes.unshift(insertBehind(context.unit, lastInclude(lines), missing.join('')));
  return changes;
}

function hookText(kind: Kind, macro: string, name: string, checked: boolean): string {
  const refuses = REFUSES.has(kind);
  const argument = kind === 'load' || kind === 'unload' ? 'void' : 'livepatch_payload_t *payload';
  const head = `static ${refuses ? 'int' : 'void'} ${checked ? 'cf_check ' : ''}${name}(${argument})`;
  return `/* ${WHEN[kind]} */\n${head}\n{\n${refuses ? '    return 0;\n' : ''}}\n${macro}(${name});\n`;
}

/** A C identifier from a symbol: `struct foo.bar` → `foo_bar`. */
export function hookName(symbol: string): string {
  const word = plainName(symbol)
    .replace(/^(struct|union|enum) /, '')
    .replace(/[^A-Za-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '');
  return word === '' ? 'patch' : word.slice(0, 40);
}

/** The pair of hooks at the end of a source, by hand; undefined where the tree has no such macros. */
export function writeHookPair(context: HookContext, pair: HookPair, name: string): TextChange[] | undefined {
  return writeHooks(context, name, PAIRS[pair]);
}

/** Data and types whose present state in the hypervisor does not fit the new code: hooks can convert it. */
export const xenHooks: FixProvider = {
  codes: [
    'data-init-changed',
    'init-once-data',
    'struct-layout',
    'struct-grown',
    'struct-padding-used',
    'static-local-new',
    'lock-semantics',
  ],
  offer: (context) => {
    if (context.target !== 'xen') return [];
    const name = hookName(context.finding.symbol);
    return (['load', 'check'] as const).flatMap((pair): OfferedFix[] => {
      const changes = writeHookPair(context, pair, name);
      return changes ? [{ title: TITLES[pair], changes }] : [];
    });
  },
};

/** The counterpart of a hook that has none: same name, at the end of the source. */
export const xenHookUndo: FixProvider = {
  codes: ['hook-without-undo'],
  offer: (context) => {
    const { missing, hooks } = context.finding.evidence;
    const kind = typeof missing === 'string' ? /^\.livepatch\.hooks\.(\w+)$/.exec(missing)?.[1] : undefined;
    if (kind === undefined || !Object.hasOwn(WHEN, kind)) return [];
    const first = Array.isArray(hooks) ? String(hooks[0] ?? '') : '';
    const name = hookName(first.replace(/^livepatch_/, '').replace(/_(load|preapply|apply|postapply)\d*$/, ''));
    const changes = writeHooks(context, name, [kind as Kind]);
    return changes ? [{ title: `Add the hook that undoes it (${kind})`, changes }] : [];
  },
};
