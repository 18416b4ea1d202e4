import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';

hazard('a field in a hole', {
  base: `
struct msg { char kind; long length; };
struct msg *queue;
long length(void) { return queue->length; }
`,
  next: `
struct msg { char kind; int flags; long length; };
//^^^ struct-padding-used review
struct msg *queue;
long length(void) { return queue->flags ? 0 : queue->length; }
`,
});

hazard('a field in the padding at the end', {
  base: `
struct msg { long length; char kind; };
struct msg queue[3];
long length(int i) { return queue[i].length; }
`,
  next: `
struct msg {
  long length;
  char kind;
  short flags;
//^^^ struct-padding-used review
};
struct msg queue[3];
long length(int i) { return queue[i].flags ? 0 : queue[i].length; }
`,
});

hazard('a reserved field that is taken into use under another name', {
  base: `
struct msg { long length; int reserved; };
struct msg *queue;
long length(void) { return queue->length; }
`,
  next: `
struct msg { long length; int flags; };
//^^^ struct-padding-used review
struct msg *queue;
long length(void) { return queue->flags ? 0 : queue->length; }
`,
});

hazard('an ordinary rename and one more alternative of a union are nothing', {
  base: `
struct msg { long length; int state; union { int number; char text[8]; } u; };
struct msg *queue;
long length(void) { return queue->length + queue->state; }
`,
  next: `
struct msg { long length; int phase; union { int number; char text[8]; float real; } u; };
struct msg *queue;
long length(void) { return queue->length + queue->phase * 3; }
`,
});

hazard('near miss: the hole is too small', {
  base: `
struct msg { short kind; int length; };
struct msg *queue;
long length(void) { return queue->length; }
`,
  next: `
struct msg { short kind; int flags; int length; };
//^^^ struct-grown blocker
//^^^ struct-layout blocker
struct msg *queue;
long length(void) { return queue->flags ? 0 : queue->length; }
`,
});

const ext = (fields: string): string => `
struct ext { unsigned a; ${fields} unsigned b; };
struct ext *exts;
`;
const sum = (more = ''): string => `unsigned sum(int i) { return exts[i].a + exts[i].b${more}; }\n`;

for (const [title, was, is, field] of [
  ['in front of it', 'unsigned char reserved[12];', 'unsigned gen; unsigned char reserved[8];', 'gen'],
  ['behind it', 'unsigned char pad[12];', 'unsigned char pad[8]; unsigned gen;', 'gen'],
  ['and the rest of it has another name', 'unsigned spare[3];', 'unsigned gen; unsigned spare2[2];', 'gen'],
  ['all of it', 'unsigned char _unused[4];', 'unsigned short low; unsigned short gen;', 'gen'],
  [
    'bits of it',
    'unsigned on : 1; unsigned __reserved : 31;',
    'unsigned on : 1; unsigned gen : 3; unsigned __reserved : 28;',
    'gen',
  ],
  [
    'as part of a nameless union',
    'unsigned long kabi_reserved1;',
    'union { unsigned long gen; unsigned long kabi_reserved1; };',
    'gen',
  ],
  [
    'smaller than what a union hides',
    'unsigned long rh_reserved1;',
    'union { unsigned gen; struct { unsigned long rh_reserved1; } __UNIQUE_ID_rh_kabi_hide42; };',
    'gen',
  ],
  ['of a maker of kernels', 'unsigned long android_kabi_reserved1;', 'unsigned long gen;', 'gen'],
  ['with another type', 'long __reserved1;', 'void *gen;', 'gen != 0'],
] as const)
  hazard(`a reserved field makes room for a new one: ${title}`, {
    base: `${ext(was)}${sum()}`,
    next: `${ext(is).replace('};\nstruct', '};\n//^^^ struct-padding-used review\nstruct')}${sum(` + (unsigned)(exts[i].${field})`)}`,
    check: ({ findings }) =>
      assert.match(findings[0]?.message ?? '', /^struct ext: (low|gen is new|\w+ is called gen|gen took)/),
  });

hazard('a field that is given up for reserved room is gone, and nothing moved', {
  base: `${ext('unsigned gen; unsigned char reserved[8];')}${sum(' + exts[i].gen')}`,
  next: `${ext('unsigned char reserved[12];').replace('};\nstruct', '};\n//^^^ struct-layout review\nstruct')}${sum()}`,
});

hazard('reserved room that is only spelled otherwise, and padding that is written down, are nothing', {
  base: `${ext('unsigned char reserved[12]; char on;')}${sum()}`,
  next: `${ext('unsigned reserved[3]; char on; char pad[3];')}${sum(' * 3')}`,
});

hazard('near miss: an array in use gives up its end, and the word reserved stands for an amount', {
  base: `${ext('unsigned char text[12]; unsigned long bytes_reserved;')}${sum(' + exts[i].text[1] + exts[i].bytes_reserved')}`,
  next: `${ext('unsigned char text[8]; unsigned gen; unsigned long bytes_kept;').replace('};\nstruct', '};\n//^^^ struct-layout blocker\nstruct')}${sum(' + exts[i].text[1] + exts[i].gen + exts[i].bytes_kept')}`,
});

hazard('near miss: the room is too small, so what follows moves', {
  base: `${ext('unsigned reserved;')}${sum()}`,
  next: `${ext('unsigned long gen;').replace('};\nstruct', '};\n//^^^ struct-layout blocker\n//^^^ struct-grown blocker\nstruct')}${sum(' + exts[i].gen')}`,
});
