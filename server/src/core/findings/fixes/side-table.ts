import { labelOf } from '../support.ts';
import type { TargetKind } from '../types.ts';
import { addedAlone } from './padding.ts';
import { declarationOn, deleteLines, endOfBraces, insertBehind, lastInclude } from './text.ts';
import type { FixContext, FixProvider, TextChange } from './types.ts';

/** Where the skeleton gets its words from. */
export interface SideField {
  /** Type of the field (`unsigned long`), of its owner (`struct counter`), and the accessor's name (`counter_hits`). */
  readonly value: string;
  /** The type as it stands in front of a name: with a blank behind it, unless it ends with `*`. */
  readonly lead: string;
  readonly owner: string;
  readonly name: string;
  readonly field: string;
}

/** Text of the declarations and of the code that keep a field outside of its struct, for one kind of target. */
export interface SideSkeleton {
  /** What the editor calls it. */
  readonly title: string;
  readonly includes: readonly string[];
  readonly definition: (field: SideField) => string;
}

/** One skeleton for each kind of target, in its own primitives. */
export const skeletons: Readonly<Record<TargetKind, SideSkeleton>> = {
  process: {
    title: 'a side table keyed by the instance',
    includes: ['<stdlib.h>'],
    definition: ({ lead, owner, name }) => `struct ${name}_entry {
	struct ${name}_entry *next;
	const ${owner} *of;
	${lead}value;
};
static struct ${name}_entry *${name}_table[1024];
static char ${name}_lock;

static struct ${name}_entry **${name}_find(const ${owner} *of)
{
	struct ${name}_entry **at = &${name}_table[((unsigned long)of >> 4) % 1024];

	while (*at && (*at)->of != of)
		at = &(*at)->next;
	return at;
}

${lead}*${name}(const ${owner} *of)
{
	struct ${name}_entry **at;
	${lead}*value;

	while (__atomic_test_and_set(&${name}_lock, __ATOMIC_ACQUIRE))
		;
	at = ${name}_find(of);
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			abort();
		(*at)->of = of;
	}
	value = &(*at)->value;
	__atomic_clear(&${name}_lock, __ATOMIC_RELEASE);
	return value;
}

void ${name}_forget(const ${owner} *of)
{
	struct ${name}_entry **at, *gone;

	while (__atomic_test_and_set(&${name}_lock, __ATOMIC_ACQUIRE))
		;
	at = ${name}_find(of);
	gone = *at;
	if (gone)
		*at = gone->next;
	__atomic_clear(&${name}_lock, __ATOMIC_RELEASE);
	free(gone);
}
`,
  },
  xen: {
    title: 'a side table keyed by the instance',
    includes: ['<xen/lib.h>', '<xen/spinlock.h>', '<xen/xmalloc.h>'],
    definition: ({ lead, owner, name }) => `struct ${name}_entry {
    struct ${name}_entry *next;
    const ${owner} *of;
    ${lead}value;
};
static struct ${name}_entry *${name}_table[256];
static DEFINE_SPINLOCK(${name}_lock);

static struct ${name}_entry **${name}_find(const ${owner} *of)
{
    struct ${name}_entry **at = &${name}_table[((unsigned long)of >> 4) % 256];

    while ( *at && (*at)->of != of )
        at = &(*at)->next;
    return at;
}

/* Allocates at the first look: not for use in interrupt handlers. NULL where memory is short. */
${lead}*${name}(const ${owner} *of)
{
    struct ${name}_entry **at, *fresh = NULL;
    ${lead}*value = NULL;

    spin_lock(&${name}_lock);
    at = ${name}_find(of);
    if ( !*at )
    {
        spin_unlock(&${name}_lock);
        fresh = xzalloc(struct ${name}_entry);
        spin_lock(&${name}_lock);
        at = ${name}_find(of);
        if ( !*at && fresh )
        {
            fresh->of = of;
            *at = fresh;
            fresh = NULL;
        }
    }
    if ( *at )
        value = &(*at)->value;
    spin_unlock(&${name}_lock);
    xfree(fresh);
    return value;
}

void ${name}_forget(const ${owner} *of)
{
    struct ${name}_entry **at, *gone;

    spin_lock(&${name}_lock);
    at = ${name}_find(of);
    gone = *at;
    if ( gone )
        *at = gone->next;
    spin_unlock(&${name}_lock);
    xfree(gone);
}
`,
  },
  linux: {
    title: 'a shadow variable',
    includes: ['<linux/livepatch.h>'],
    definition: ({ value, lead, owner, name }) => `/* Any number that no other shadow variable of this kernel has. */
#define ${name.toUpperCase()}_SHADOW 0x${hash(name)}UL

/* NULL where memory is short. */
${lead}*${name}(const ${owner} *of)
{
	return klp_shadow_get_or_alloc((void *)of, ${name.toUpperCase()}_SHADOW, sizeof(${value}), GFP_ATOMIC, NULL, NULL);
}

void ${name}_forget(const ${owner} *of)
{
	klp_shadow_free((void *)of, ${name.toUpperCase()}_SHADOW, NULL);
}
`,
  },
};

/**
 * Keeps a new field outside of its struct: the declaration goes, its uses become calls of an accessor, and the code that finds the value by the address of the
 * instance is written. Instances that were made before the patch then have the field as well, at zero.
 */
export const sideTable: FixProvider = {
  codes: ['struct-grown', 'struct-layout'],
  offer: (context) => {
    const type = context.diff.types.find((one) => labelOf(one) === context.finding.symbol);
    const added = type && addedAlone(type);
    const [field] = added ?? [];
    if (!type?.next?.at || added?.length !== 1 || !field?.at) return [];
    const owner = labelOf(type);
    const { file, line } = field.at;
    const lines = context.now(file);
    const unit = context.now(context.unit);
    const declared = declarationOn(lines?.[line - 1], field.name);
    const end = lines && endOfBraces(lines, type.next.at.line);
    if (!lines || !unit || !declared || declared.array !== '' || !end || end < line) return [];
    if (/\b(const|volatile|_Atomic)\b/.test(declared.type) || isAmbiguous(context, field.name, type.next.index))
      return [];
    const name = `${owner.replace(/^(struct|union) /, '').replace(/_t$/, '')}_${field.name}`;
    const uses = replaceUses(context, field.name, name, file, line);
    if (!uses) return [];
    const skeleton = skeletons[context.target];
    const lead = `${declared.type}${declared.type.endsWith('*') ? '' : ' '}`;
    const head = `
/*
 * ${field.name} of ${owner} is kept beside it, since instances that were made before the patch have no room for it. It starts at zero.
 * To be forgotten where an instance is freed; lost when the patch is reverted.
 */
`;
    const prototypes = `${lead}*${name}(const ${owner} *of);\nvoid ${name}_forget(const ${owner} *of);\n`;
    const includes = skeleton.includes
      .filter((one) => !unit.some((text) => text.replace(/\s/g, '').startsWith(`#include${one}`)))
      .map((one) => `#include ${one}\n`)
      .join('');
    const definition = skeleton.definition({ value: declared.type, lead, owner, name, field: field.name });
    const changes: TextChange[] = [
      deleteLines(file, line, line),
      insertBehind(file, end, `${head}${prototypes}`),
      ...uses,
    ];
    if (file === context.unit) {
      changes[1] = insertBehind(file, end, `${head}${prototypes}\n${definition}`);
      if (includes !== '') changes.push(insertBehind(file, lastInclude(lines), includes));
    } else changes.push(insertBehind(context.unit, lastInclude(unit), `${includes}\n${definition}`));
    return [{ title: `Keep ${field.name} of ${owner} in ${skeleton.title}`, changes }];
  },
};

/** Another type has a field of that name: the text alone does not tell whose is meant. */
function isAmbiguous({ pair }: FixContext, name: string, own: number): boolean {
  const at = pair.next.dwarf.types[own]?.at;
  return pair.next.dwarf.types.some(
    (type) =>
      type.index !== own &&
      type.members.some((member) => member.name === name) &&
      !(type.at && at && type.at.file === at.file && type.at.line === at.line),
  );
}

/** The field's uses as calls. A new field is only used in edited lines. Undefined where one is not of a form that can be replaced. */
function replaceUses(
  { edits, now }: FixContext,
  field: string,
  accessor: string,
  file: string,
  line: number,
): TextChange[] | undefined {
  const changes: TextChange[] = [];
  const use = new RegExp(`([A-Za-z_]\\w*(?:(?:->|\\.)[A-Za-z_]\\w*|\\[[^\\][]*\\])*)\\s*(->|\\.)\\s*${field}\\b`, 'g');
  const word = new RegExp(`\\b${field}\\b`, 'g');
  for (const [path, hunks] of edits) {
    const lines = now(path);
    if (!lines) return undefined;
    for (const { nextStart, nextCount } of hunks) {
      for (let at = nextStart; at < nextStart + nextCount; at++) {
        if (path === file && at === line) continue;
        const text = (lines[at - 1] ?? '').replace(/\/\/.*|\/\*.*?\*\//g, (comment) => ' '.repeat(comment.length));
        const found = [...text.matchAll(use)];
        // Designated initialisers, offsetof, macros: for a person.
        const others = [...text.matchAll(word)].filter(({ index }) => /(->|\.)\s*$/.test(text.slice(0, index)));
        if (found.length !== others.length) return undefined;
        for (const match of found) {
          const [all, owner, arrow] = match;
          changes.push({
            file: path,
            start: { line: at, column: match.index + 1 },
            end: { line: at, column: match.index + all.length + 1 },
            text: `(*${accessor}(${arrow === '->' ? owner : `&${owner}`}))`,
          });
        }
      }
    }
  }
  return changes;
}

/** 32 bits of a name (FNV-1a), in hexadecimal digits. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return (value >>> 0).toString(16).padStart(8, '0');
}
