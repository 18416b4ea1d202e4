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
