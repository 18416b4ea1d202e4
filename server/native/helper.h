/*
 * livepatch-helper: the part of a live patch that has to be native. It knows threads, registers, stacks and memory of a
 * process, and nothing of ELF files, symbols or patches: the caller says which bytes to write where and which address
 * ranges no thread may be in. Protocol: see README.md in this folder.
 */
#ifndef LIVEPATCH_HELPER_H
#define LIVEPATCH_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/*
 * Points at which a test may let this program die. LIVEPATCH_FAULT names one, `both:` before it takes the guardian along.
 * Nothing of it is in the helper that is shipped: only tests build with -DLIVEPATCH_FAULTS.
 */
#ifdef LIVEPATCH_FAULTS
void fault(const char *point);
extern pid_t fault_guardian;
#define FAULT(point) fault(point)
#else
#define FAULT(point) ((void)0)
#endif

/* ---- process.c: the opened target, memory access, mappings ---- */

struct mapping {
  uint64_t start, end;
  bool writable, executable;
  bool main_stack;
};

struct process {
  pid_t pid;
  int memory;  /* /proc/PID/mem, read and write */
  int tasks;   /* /proc/PID/task, a directory */
  int maps;    /* /proc/PID/maps */
  struct mapping *mappings;
  size_t mapping_count, mapping_capacity;
};

/* 0, or -1 with errno. */
int process_open(struct process *process, pid_t pid);
/* Whole transfers only: true, or false with errno. Writing goes through page protection. */
bool process_read(const struct process *process, uint64_t address, void *buffer, size_t size);
bool process_write(const struct process *process, uint64_t address, const void *buffer, size_t size);
/* Reads /proc/PID/maps again. */
bool process_load_mappings(struct process *process);
const struct mapping *process_mapping_at(const struct process *process, uint64_t address);
/* State letter of /proc/PID/task/TID/stat: R S D Z T t X ...; 0 where the thread does not exist. */
char process_thread_state(pid_t pid, pid_t tid);
/* TracerPid of /proc/PID/status; 0 where none. */
pid_t process_tracer(pid_t pid);
/*
 * Makes this program the one that changes the process: a name that the kernel gives to one at a time, and takes back when its
 * owner ends. A descriptor to close, or -1 with errno (EADDRINUSE: another one has it).
 */
int process_claim(pid_t pid);
/* Another process that shares the target's memory without being one of its threads (CLONE_VM); 0 where none. */
pid_t process_memory_sharer(pid_t pid);

/* ---- threads.c: stopping and resuming every thread ---- */

enum stop_result {
  STOP_OK,
  STOP_TIMEOUT,  /* a thread did not stop in time (uninterruptible sleep, vfork, overloaded machine) */
  STOP_GONE,     /* the process ended or executed another program */
  STOP_DENIED,   /* no permission to trace */
  STOP_TRACED,   /* another tracer has it */
};

struct thread {
  pid_t tid;
  bool stopped, gone;
  bool clean;  /* looked at during this stop: in none of the ranges */
  int signal;  /* caught on its way to the thread; delivered when the thread is released */
  struct user_regs_struct regs;
};

struct stop {
  const struct process *process;
  struct thread *threads;
  size_t count, capacity;
  pid_t stubborn;          /* a thread that did not stop, for STOP_TIMEOUT */
  uint64_t started, ended; /* CLOCK_MONOTONIC nanoseconds: first interrupt, last release */
};

uint64_t now_ns(void);
/* Puts this program before the threads that it stops, where it may. */
void raise_self(void);
void lower_self(void);
/* Attaches to every thread without stopping any. */
enum stop_result stop_seize(struct stop *stop, const struct process *process);
/* Interrupts every seized thread that runs and waits until all are stopped, also those that appear meanwhile. */
enum stop_result stop_all(struct stop *stop, uint64_t deadline);
/* Lets one stopped thread run on, its signal delivered; it stays seized. */
void stop_let_run(struct thread *thread);
/* Lets every thread run again, signals delivered, and detaches. */
void stop_release(struct stop *stop);
void stop_free(struct stop *stop);
/* Seizes and stops one thread only; STOP_OK leaves it at a stop without a pending signal. */
enum stop_result stop_one(const struct process *process, pid_t tid, uint64_t budget_ns, struct thread *thread);
void release_one(const struct thread *thread);

/* ---- inject.c: system calls and function calls in the target ---- */

struct gadgets {
  uint64_t syscall;   /* address of `syscall` (followed by `ret` where restorer is given) */
  uint64_t restorer;  /* address of `mov $15, %rax; syscall`; 0: none */
};

struct injection {
  const struct process *process;
  struct gadgets gadgets;
  struct thread thread;
  uint64_t frame;  /* stack pointer for injected code */
  uint64_t mask;   /* signal mask of the thread */
  uint64_t started; /* when the thread was asked to stop */
  bool only_thread; /* of its process */
};

/* Picks a thread, stops it and prepares it. 0 or a stable word for what went wrong. */
const char *inject_begin(struct injection *injection, const struct process *process, struct gadgets gadgets);
/* false: the thread is gone or did not come back. */
bool inject_syscall(struct injection *injection, long number, const uint64_t arguments[6], int64_t *result);
/* Calls a function without arguments. What a resolver may do is left to it: reading memory, system calls. */
bool inject_call(struct injection *injection, uint64_t function, uint64_t *result);
void inject_end(struct injection *injection);
/* The longest time that an injection has kept a process of one thread stopped since this was asked last, nanoseconds. */
uint64_t inject_longest(void);

/* ---- stacks.c: is a thread in one of the ranges? ---- */

struct range {
  uint64_t low, high; /* values v with low < v < high are inside: the entry itself is a safe place */
};

struct finding {
  pid_t tid;
  size_t range;
  uint64_t address;      /* the value that lies in the range */
  bool proven;           /* found by unwinding or in the instruction pointer, not by the scan alone */
  bool hurried;          /* the time was up before the unwinding was through: nothing is proven */
  size_t frame_count;
  uint64_t frames[32];   /* return addresses, innermost first, as far as they could be unwound */
};

/*
 * True where the thread may be inside a range; `unwind` decides whether a hit of the scan is looked at by unwinding, which
 * is given up at the deadline.
 */
bool stacks_check(struct process *process, const struct thread *thread, const struct range *ranges, size_t count,
                  bool unwind, uint64_t deadline, struct finding *finding);

/* ---- guardian.c and switch.c: all or nothing ---- */

#define BYTES_MAX 16

struct poke {
  uint64_t address;
  uint32_t size;
  uint8_t old_bytes[BYTES_MAX], new_bytes[BYTES_MAX];
};

/* A word in the patch area that says how far a switch is: `before` → `during` → `after`. */
struct journal {
  uint64_t address;
  uint32_t size;
  uint8_t before[BYTES_MAX], during[BYTES_MAX], after[BYTES_MAX];
};

enum phase { PHASE_IDLE, PHASE_ANNOUNCED, PHASE_WRITING, PHASE_WRITTEN };

/* Shared between the helper and its guardian. */
struct plan {
  volatile uint32_t phase;
  pid_t pid;
  uint32_t poke_count, journal_count, poke_capacity, journal_capacity;
  struct poke *pokes;
  struct journal *journals;
};

/* Forks the guardian; it repairs what a helper that was killed left half done. */
bool guardian_start(struct plan *plan);
/* Memory that the guardian shares with the helper. NULL where there is none. */
void *guardian_allocate(size_t size);

struct switch_request {
  struct plan *plan;
  struct range *ranges;
  size_t range_count, range_capacity;
  bool raise; /* put this program before others for the time of the stop, where that is allowed */
  unsigned tries;
  uint64_t first_wait_ns, last_wait_ns, limit_ns;
  uint64_t budget_ns; /* how long one try may keep threads stopped */
};

/* Runs the switch and prints the answer line. */
void switch_run(struct process *process, struct switch_request *request);
/* True where the caller went away or asked to stop. */
bool cancelled(void);

#endif
