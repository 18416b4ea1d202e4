import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';

const REPORT = '\n//^^^ always-on-stack review';
const unit = (body: string, mark = '', head = ''): string => `
struct event { int fd; long data; }; struct loop { int stop; int ep; int fired; };
extern int epoll_wait(int, struct event *, int, int), poll(void *, unsigned long, int), accept(int, void *, void *);
extern long read(int, void *, unsigned long), write(int, const void *, unsigned long);
extern int pthread_create(unsigned long *, void *, void *(*)(void *), void *);
extern int pthread_cond_wait(void *, void *), pthread_mutex_lock(void *), pthread_mutex_unlock(void *);
extern int *__errno_location(void);
extern void dispatch(struct event *), serve(int), work(void *); extern volatile int running; extern int ready;
${head}int run(struct loop *l, int n) {${mark}
  ${body}
  return n; }
`;
const reported = (title: string, body: string, call: string, head?: string): void =>
  hazard(`always-on-stack: ${title}`, {
    ignore: ['inline-widened'],
    base: unit(body, '', head),
    next: unit(body.replace('/**/', ' + 1'), REPORT, head),
    check: ({ findings }) => assert.equal(findings.find(({ code }) => code === 'always-on-stack')?.evidence.call, call),
  });
const silent = (title: string, body: string, head?: string): void =>
  hazard(`always-on-stack: near miss, ${title}`, {
    ignore: ['inline-widened'],
    base: unit(body, '', head),
    next: unit(body.replace('/**/', ' + 1'), '', head),
  });

reported(
  'an event loop that a flag ends',
  `struct event ev[16]; while (!l->stop) { int c = epoll_wait(l->ep, ev, 16, -1);
   for (int i = 0; i < c; i++) { dispatch(&ev[i]); l->fired += 1 /**/; } }`,
  'epoll_wait',
);
reported(
  'an event loop whose wait is in another function of the unit',
  'while (!l->stop) { n += turn(l) /**/; }',
  'epoll_wait',
  `static int (*on)(struct event *);
__attribute__((noinline)) int ask(struct loop *l, struct event *e) { return epoll_wait(l->ep, e, 1, 10); }
__attribute__((noinline)) int turn(struct loop *l) { struct event e; int c = ask(l, &e); if (c) { dispatch(&e); return on(&e); } return 0; }
void hook(int (*f)(struct event *)) { on = f; }
`,
);
reported(
  'accepts one client after the other',
  'while (running) { if (poll(l, 1, -1) > 0) serve(accept(n, 0, 0) /**/); }',
  'poll',
);
silent('a poll without a loop', 'if (poll(l, 1, 50) > 0) serve(n /**/);');
silent(
  'a poll that is tried again',
  'int r; do r = poll(l, 1, n /**/); while (r < 0 && *__errno_location() == 4); n += r;',
);
silent(
  'a transfer that waits until it goes on',
  `char *b = (char *)l; while (n > 0) { long r = write(3, b, n); if (r < 0) { if (*__errno_location() != 11) return -1; poll(l, 1, -1); continue; }
   b += r; n -= r; } n += 1 /**/;`,
);
silent('a read that is tried again', 'while (read(n, l, 8) < 0 && l->fired++ < 3) serve(n); n += 1 /**/;');
silent(
  'waits until something is ready',
  'pthread_mutex_lock(l); while (!ready) pthread_cond_wait(l, &l->ep); pthread_mutex_unlock(l); work(l); n += 1 /**/;',
);
silent(
  'one turn of an event loop',
  'struct event e[4]; int c = epoll_wait(l->ep, e, 4, -1); for (int i = 0; i < c; i++) { dispatch(e + i); l->fired += 1 /**/; }',
);

const thread = (value: number, mark = '', pass = 'worker'): string => `
extern int pthread_create(unsigned long *, void *, void *(*)(void *), void *);
extern void *take(void *); extern void done(void *); struct pool { int stop; int n; };
static void *worker(void *arg) {${mark}
  struct pool *p = arg;
  while (!p->stop) { void *job = take(p); p->n += ${value}; done(job); } return 0; }
void *other(void *arg) { return arg; }
void *inline_use(void *p) { return worker(p); }
int start(struct pool *p, unsigned long *t) { return pthread_create(t, 0, ${pass}, p); }
`;
hazard('always-on-stack: the function of a thread', {
  ignore: ['inline-widened', 'fnptr-identity'],
  base: thread(1),
  next: thread(2, REPORT),
  compilers: ['gcc-12', 'clang-14', 'clang-16', 'aarch64-linux-gnu-gcc'],
  check: ({ findings }) =>
    assert.match(
      findings.find(({ symbol, code }) => symbol === 'worker' && code === 'always-on-stack')?.message ?? '',
      /start\(\) passes it to pthread_create\(\)/,
    ),
});
hazard('always-on-stack: near miss, the same loop in a function that is no thread', {
  ignore: ['inline-widened', 'fnptr-identity', 'inline-decision-flip'],
  base: thread(1, '', 'other'),
  next: thread(2, '', 'other'),
});

const kernel = (value: number, mark = ''): string => `
extern int kthread_should_stop(void); extern void schedule(void), work(void *, int);
int flusher(void *d) {${mark}
  while (!kthread_should_stop()) { work(d, ${value}); schedule(); } return 0; }
`;
hazard('always-on-stack: a kernel thread that asks whether to stop', {
  target: 'linux',
  ignore: ['not-traceable'],
  base: kernel(1),
  next: kernel(2, REPORT),
});
hazard('always-on-stack: near miss, a kernel function that waits for an answer', {
  target: 'linux',
  ignore: ['not-traceable'],
  base: kernel(1).replaceAll('kthread_should_stop', 'device_ready'),
  next: kernel(2).replaceAll('kthread_should_stop', 'device_ready'),
});
