/*
 * System calls and function calls made by a thread of the target.
 *
 * A tracer that is killed lets its tracees run on with whatever registers it has given them. So the injected code runs on
 * a signal frame, built below the thread's stack pointer as the kernel would: whatever happens to this program, the
 * thread returns from the injected code into the C library's signal return, which brings back all of its registers and
 * its signal mask. Where that cannot be had (no restorer found, a small stack) the registers alone are changed.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <stdio.h>
#include <stdlib.h>
#include <dirent.h>

#include "helper.h"

#define XSTATE_MAX 16384
#define RED_ZONE 128
/* Room that a stack must have below its pointer before a frame is put there. */
#define STACK_ROOM 32768
#define CODE_ROOM 4096
#define TRAP_FLAG 0x100ull
#define DIRECTION_FLAG 0x400ull

/* asm/sigcontext.h and asm/ucontext.h (x86-64): the part of struct rt_sigframe that rt_sigreturn reads. */
struct context {
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  uint16_t cs, gs, fs, ss;
  uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};

struct frame {
  uint64_t restorer;
  uint64_t flags, link;
  uint64_t stack_pointer;
  uint32_t stack_flags, stack_padding;
  uint64_t stack_size;
  struct context context;
  uint64_t mask;
};

/* ucontext flags: extended FPU state present, SS saved, SS to be restored as saved. */
#define FRAME_FLAGS (0x1u | 0x2u | 0x4u)
/* Makes sigaltstack() inside rt_sigreturn refuse: the thread keeps the alternate stack that it has. */
#define KEEP_ALTERNATE_STACK 0x5a5au

/* What the kernel would do at the end of an interrupted system call, since a signal return does not do it. */
static void restart_by_hand(struct context *context, const struct user_regs_struct *regs) {
  if ((int64_t)regs->orig_rax < 0) return;
  switch ((int64_t)regs->rax) {
    case -512: /* ERESTARTSYS */
    case -513: /* ERESTARTNOINTR */
    case -514: /* ERESTARTNOHAND */
      context->rax = regs->orig_rax;
      context->rip -= 2;
      break;
    case -516: /* ERESTART_RESTARTBLOCK: the kernel forgets the rest of the time at a signal return */
      context->rax = (uint64_t)-EINTR;
      break;
  }
}

static bool write_frame(struct injection *injection) {
  static uint8_t xstate[XSTATE_MAX + 4] __attribute__((aligned(64)));
  const struct user_regs_struct *regs = &injection->thread.regs;
  const struct mapping *stack = process_mapping_at(injection->process, regs->rsp);
  if (!stack || !stack->writable || regs->rsp - stack->start < STACK_ROOM) return false;
  /* Only on the thread's own stack: a coroutine's or an alternate stack may be smaller than its mapping. */
  if (!stack->main_stack && process_mapping_at(injection->process, regs->fs_base) != stack) return false;

  struct iovec vector = {xstate, XSTATE_MAX};
  if (ptrace(PTRACE_GETREGSET, injection->thread.tid, NT_X86_XSTATE, &vector) < 0) return false;
  size_t size = vector.iov_len;
  if (size < 576 || size > XSTATE_MAX) return false;
  uint64_t features;
  memcpy(&features, xstate + 464, 8); /* user_xsave_hdr.xcr0: the bytes that FP_XSTATE reserves for software */
  const uint32_t magic1 = 0x46505853, magic2 = 0x46505845, extended = (uint32_t)size + 4, area = (uint32_t)size;
  memset(xstate + 464, 0, 48);
  memcpy(xstate + 464, &magic1, 4);
  memcpy(xstate + 468, &extended, 4);
  memcpy(xstate + 472, &features, 8);
  memcpy(xstate + 480, &area, 4);
  memcpy(xstate + size, &magic2, 4);

  uint64_t fpstate = (regs->rsp - RED_ZONE - size - 4) & ~63ull;
  uint64_t at = ((fpstate - sizeof(struct frame)) & ~15ull);
  struct frame frame = {.restorer = injection->gadgets.restorer, .flags = FRAME_FLAGS, .stack_flags = KEEP_ALTERNATE_STACK,
                        .mask = injection->mask};
  frame.context = (struct context){
      .r8 = regs->r8, .r9 = regs->r9, .r10 = regs->r10, .r11 = regs->r11, .r12 = regs->r12, .r13 = regs->r13,
      .r14 = regs->r14, .r15 = regs->r15, .rdi = regs->rdi, .rsi = regs->rsi, .rbp = regs->rbp, .rbx = regs->rbx,
      .rdx = regs->rdx, .rax = regs->rax, .rcx = regs->rcx, .rsp = regs->rsp, .rip = regs->rip, .eflags = regs->eflags,
      .cs = (uint16_t)regs->cs, .gs = (uint16_t)regs->gs, .fs = (uint16_t)regs->fs, .ss = (uint16_t)regs->ss,
      .fpstate = fpstate};
  restart_by_hand(&frame.context, regs);
  if (!process_write(injection->process, fpstate, xstate, size + 4)) return false;
  if (!process_write(injection->process, at, &frame, sizeof frame)) return false;
  injection->frame = at;
  return true;
}

/* A filter could kill the process for the injected call: it is switched off for the thread, where we may. */
static const char *set_options(struct injection *injection) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/task/%d/status", injection->process->pid, injection->thread.tid);
  FILE *file = fopen(path, "re");
  if (!file) return "gone";
  size_t got = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[got] = 0;
  const char *field = strstr(text, "\nSeccomp:");
  const char *threads = strstr(text, "\nThreads:");
  injection->only_thread = threads && atoi(threads + strlen("\nThreads:")) == 1;
  long options = PTRACE_O_TRACESYSGOOD;
  bool filtered = field && atoi(field + strlen("\nSeccomp:")) != 0;
  if (filtered) options |= PTRACE_O_SUSPEND_SECCOMP;
  if (ptrace(PTRACE_SETOPTIONS, injection->thread.tid, 0, (void *)options) < 0) return filtered ? "seccomp" : "gone";
  return NULL;
}

static uint64_t longest;

uint64_t inject_longest(void) {
  uint64_t value = longest;
  longest = 0;
  return value;
}

static void let_go(struct injection *injection) {
  release_one(&injection->thread);
  uint64_t stopped = now_ns() - injection->started;
  /* While others run, the program does not stand still. */
  if (injection->only_thread && stopped > longest) longest = stopped;
}

static const char *begin_with(struct injection *injection, pid_t tid) {
  enum stop_result result = STOP_GONE;
  injection->started = now_ns();
  /* A thread that is caught with a signal on its way gets the signal, and is asked again. */
  for (int attempt = 0; attempt < 50; attempt++) {
    result = stop_one(injection->process, tid, 100000000u, &injection->thread);
    if (result != STOP_OK || injection->thread.signal == 0) break;
    release_one(&injection->thread);
    result = STOP_TIMEOUT;
  }
  if (result != STOP_OK)
    return result == STOP_DENIED ? "denied" : result == STOP_TRACED ? "traced" : result == STOP_GONE ? "gone" : "timeout";
  const char *refusal = set_options(injection);
  if (!refusal && ptrace(PTRACE_GETSIGMASK, tid, sizeof injection->mask, &injection->mask) < 0) refusal = "gone";
  if (!refusal) {
    injection->frame = 0;
    if (injection->gadgets.restorer == 0 || !write_frame(injection))
      injection->frame = (injection->thread.regs.rsp - 4096) & ~15ull;
    return NULL;
  }
  let_go(injection);
  return refusal;
}

const char *inject_begin(struct injection *injection, const struct process *process, struct gadgets gadgets) {
  memset(injection, 0, sizeof *injection);
  raise_self();
  injection->process = process;
  injection->gadgets = gadgets;
  const char *problem = begin_with(injection, process->pid);
  if (!problem || (strcmp(problem, "gone") && strcmp(problem, "timeout"))) {
    if (problem) lower_self();
    return problem;
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", process->pid);
  DIR *folder = opendir(path);
  if (!folder) {
    lower_self();
    return "gone";
  }
  for (struct dirent *entry; problem && (entry = readdir(folder));) {
    pid_t tid = (pid_t)atoi(entry->d_name);
    if (tid > 0 && tid != process->pid) problem = begin_with(injection, tid);
  }
  closedir(folder);
  if (problem) lower_self();
  return problem;
}

/*
 * Lets the thread run to its next system call, or to the end of the one that it is in. Not by single steps, and without
 * breakpoints: those stay when this program is killed, and would end the process. Signals are masked, so that only SIGSTOP
 * and SIGKILL can come between.
 */
static bool run_to_syscall_stop(struct injection *injection, struct user_regs_struct *regs) {
  pid_t tid = injection->thread.tid;
  const uint64_t deadline = now_ns() + 5000000000u;
  for (int attempt = 0; attempt < 8; attempt++) {
    int status;
    if (ptrace(PTRACE_SYSCALL, tid, 0, 0) < 0) return false;
    for (pid_t got; (got = waitpid(tid, &status, __WALL | WNOHANG)) != tid;) {
      if (got < 0 && errno != EINTR) return false;
      if (now_ns() < deadline) {
        const struct timespec moment = {0, 20000};
        nanosleep(&moment, NULL);
        continue;
      }
      /* A function that does not come back. */
      ptrace(PTRACE_INTERRUPT, tid, 0, 0);
      while (waitpid(tid, &status, __WALL) < 0)
        if (errno != EINTR) return false;
      return false;
    }
    if (!WIFSTOPPED(status)) return false;
    if (ptrace(PTRACE_GETREGS, tid, 0, regs) < 0) return false;
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) return true;
    if ((status >> 16) == 0 && WSTOPSIG(status) != SIGSTOP) return false;
    /* SIGSTOP on its way: taken, and sent again when the thread is released. */
    if ((status >> 16) == 0) injection->thread.signal = SIGSTOP;
  }
  return false;
}

/* Registers first and the mask second, so that there is no moment at which a thread let go by accident keeps the mask. */
static bool enter(struct injection *injection, const struct user_regs_struct *regs) {
  const uint64_t every = ~0ull;
  pid_t tid = injection->thread.tid;
  if (ptrace(PTRACE_SETREGS, tid, 0, regs) < 0) return false;
  FAULT("registers-changed");
  if (ptrace(PTRACE_SETSIGMASK, tid, sizeof every, &every) < 0) return false;
  FAULT("mask-changed");
  return true;
}

bool inject_syscall(struct injection *injection, long number, const uint64_t arguments[6], int64_t *result) {
  struct user_regs_struct regs = injection->thread.regs;
  regs.rax = (uint64_t)number;
  regs.rdi = arguments[0];
  regs.rsi = arguments[1];
  regs.rdx = arguments[2];
  regs.r10 = arguments[3];
  regs.r8 = arguments[4];
  regs.r9 = arguments[5];
  regs.rip = injection->gadgets.syscall;
  regs.rsp = injection->frame;
  regs.orig_rax = (uint64_t)-1;
  regs.eflags &= ~(TRAP_FLAG | DIRECTION_FLAG);
  if (!enter(injection, &regs) || !run_to_syscall_stop(injection, &regs)) return false;
  FAULT("call-begun");
  if (regs.rip != injection->gadgets.syscall + 2 || !run_to_syscall_stop(injection, &regs)) return false;
  FAULT("call-made");
  *result = (int64_t)regs.rax;
  return regs.rip == injection->gadgets.syscall + 2;
}

/*
 * The function returns to `mov %rax, %rdi; ret`, and that to the restorer: the result is in %rdi when the signal return is
 * about to begin. That one is skipped, with the instruction pointer before it, so that it is made after all should this
 * program be killed.
 */
bool inject_call(struct injection *injection, uint64_t function, uint64_t *result) {
  const uint64_t anywhere[6] = {0, CODE_ROOM, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0};
  static const uint8_t keep[] = {0x48, 0x89, 0xc7, 0xc3};
  int64_t page, ignored;
  uint64_t back;
  if (injection->gadgets.restorer == 0) return false;
  if (!process_read(injection->process, injection->frame, &back, 8) || back != injection->gadgets.restorer) return false;
  if (!inject_syscall(injection, SYS_mmap, anywhere, &page) || (page < 0 && page > -4096)) return false;
  const uint64_t away[6] = {(uint64_t)page, CODE_ROOM};
  uint64_t entry = injection->frame - 8, to = (uint64_t)page;
  bool returned = false;
  if (process_write(injection->process, to, keep, sizeof keep) && process_write(injection->process, entry, &to, 8)) {
    struct user_regs_struct regs = injection->thread.regs;
    regs.rip = function;
    regs.rsp = entry;
    regs.rdi = regs.rsi = regs.rdx = regs.rcx = regs.rax = 0;
    regs.orig_rax = (uint64_t)-1;
    regs.eflags &= ~(TRAP_FLAG | DIRECTION_FLAG);
    bool running = enter(injection, &regs);
    /* The function may make system calls of its own. */
    for (int stops = 0; running && !returned && stops < 10000; stops++) {
      running = run_to_syscall_stop(injection, &regs);
      FAULT("in-function");
      returned = running && regs.orig_rax == SYS_rt_sigreturn && regs.rsp == injection->frame + 8;
    }
    *result = regs.rdi;
    if (!returned) return false;
    regs.orig_rax = (uint64_t)-1;
    regs.rip = injection->gadgets.restorer;
    if (ptrace(PTRACE_SETREGS, injection->thread.tid, 0, &regs) < 0 || !run_to_syscall_stop(injection, &regs)) return false;
    FAULT("function-left");
  }
  return inject_syscall(injection, SYS_munmap, away, &ignored) && returned;
}

void inject_end(struct injection *injection) {
  pid_t tid = injection->thread.tid;
  ptrace(PTRACE_SETSIGMASK, tid, sizeof injection->mask, &injection->mask);
  ptrace(PTRACE_SETREGS, tid, 0, &injection->thread.regs);
  let_go(injection);
  lower_self();
}
