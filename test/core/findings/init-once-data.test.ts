import assert from 'node:assert/strict';
import { hazard } from '../../support/markers.ts';

const rest = `
int limit(int x) { return x > maximum ? maximum : x; }
`;

hazard('a value that only a constructor wrote', {
  base: `
extern int read_config(void);
static int maximum;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); }
void reload(int x) { if (x) read_config(); }
${rest}`,
  next: `
extern int read_config(void);
static int maximum;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); }
void reload(int x) { if (x) maximum = read_config(); }
//^^^ init-once-data review
${rest}`,
  check: ({ findings }) => {
    const finding = findings.find(({ code }) => code === 'init-once-data')!;
    assert.deepEqual(finding.evidence.startupWriters, ['setup']);
    assert.match(finding.message, /reload\(\) writes maximum; so far only setup wrote it/);
  },
});

// The byte in front of the store ends another instruction: as a part of the store it would be the first of a longer opcode, or a prefix.
for (const byte of ['0x0f', '0x3a', '0x66', '0x0f, 0x3a']) {
  hazard(`a value that only a constructor wrote, stored behind an instruction that ends in ${byte}`, {
    base: `
extern int read_config(void);
static int maximum, other;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); }
void reload(int x) { other = x; }
int second(void) { return other; }
${rest}`,
    next: `
extern int read_config(void);
static int maximum, other;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); }
void reload(int x) { other = x; __asm__ volatile(".byte 0xb8, ${byte.includes(',') ? '0, 0' : '0, 0, 0'}, ${byte}" ::: "eax"); maximum = 5; }
//^^^ init-once-data review
int second(void) { return other; }
${rest}`,
  });
}

hazard('near miss: a store to its neighbour behind such a byte', {
  base: `
extern int read_config(void);
static int maximum, other;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); }
void reload(int x) { other = x; }
int second(void) { return other; }
${rest}`,
  next: `
extern int read_config(void);
static int maximum, other;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); }
void reload(int x) { other = x; __asm__ volatile(".byte 0xb8, 0, 0, 0, 0x0f" ::: "eax"); other = 5; }
int second(void) { return other; }
${rest}`,
});

hazard('a helper that only init code calls counts as init code', {
  base: `
extern int read_config(void);
static int maximum;
__attribute__((noinline)) static void store(void) { maximum = read_config(); }
__attribute__((section(".init.text"))) void setup(void) { store(); }
void reload(int x) { if (x) read_config(); }
${rest}`,
  next: `
extern int read_config(void);
static int maximum;
__attribute__((noinline)) static void store(void) { maximum = read_config(); }
__attribute__((section(".init.text"))) void setup(void) { store(); }
void reload(int x) { if (x) maximum = read_config(); }
//^^^ init-once-data review
${rest}`,
});

hazard('near miss: another function that runs later writes it already', {
  base: `
extern int read_config(void);
static int maximum;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); }
void raise(void) { maximum++; }
void reload(int x) { if (x) read_config(); }
${rest}`,
  next: `
extern int read_config(void);
static int maximum;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); }
void raise(void) { maximum++; }
void reload(int x) { if (x) maximum = read_config(); }
${rest}`,
});

hazard('near miss: the patched code only reads it, or its address is out', {
  base: `
extern int read_config(void);
extern void watch(int *);
static int maximum, minimum;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); minimum = maximum / 2; watch(&minimum); }
void reload(int x) { if (x) read_config(); }
int low(int x) { return x < minimum; }
${rest}`,
  next: `
extern int read_config(void);
extern void watch(int *);
static int maximum, minimum;
__attribute__((constructor)) static void setup(void) { maximum = read_config(); minimum = maximum / 2; watch(&minimum); }
void reload(int x) { if (x > maximum) minimum = read_config(); }
int low(int x) { return x < minimum; }
${rest}`,
});

hazard('near miss: main may write it in its loop', {
  base: `
extern int wait_for(void);
static int last;
void note(int x) { if (x) wait_for(); }
int get(void) { return last; }
int main(void) { while (wait_for()) last = wait_for(); return 0; }
`,
  next: `
extern int wait_for(void);
static int last;
void note(int x) { if (x) last = x; }
int get(void) { return last; }
int main(void) { while (wait_for()) last = wait_for(); return 0; }
`,
});

hazard('data that is read-only after start-up', {
  base: `
int maximum __attribute__((section(".data..ro_after_init"))) = 4;
extern int more(void);
void reload(int x) { if (x) more(); }
${rest}`,
  next: `
int maximum __attribute__((section(".data..ro_after_init"))) = 4;
extern int more(void);
void reload(int x) { if (x) maximum = more(); }
//^^^ init-once-data review
${rest}`,
  target: 'linux',
  ignore: ['not-traceable', 'config-unsupported'],
  check: ({ findings }) =>
    assert.match(findings.find(({ code }) => code === 'init-once-data')!.message, /write would fault/),
});
