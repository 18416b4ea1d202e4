/* Stopping every thread of a process, and letting them go as if nothing had happened. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static struct thread *find(struct stop *stop, pid_t tid) {
  for (size_t i = 0; i < stop->count; i++)
    if (stop->threads[i].tid == tid) return &stop->threads[i];
  return NULL;
}

static struct thread *add(struct stop *stop, pid_t tid) {
  if (stop->count == stop->capacity) {
    size_t capacity = stop->capacity ? stop->capacity * 2 : 64;
    struct thread *grown = realloc(stop->threads, capacity * sizeof *grown);
    if (!grown) return NULL;
    stop->threads = grown;
    stop->capacity = capacity;
  }
  struct thread *thread = &stop->threads[stop->count++];
  memset(thread, 0, sizeof *thread);
  thread->tid = tid;
  return thread;
}

static enum stop_result why_denied(pid_t pid) {
  return process_tracer(pid) > 0 ? STOP_TRACED : STOP_DENIED;
}

/*
 * Seizes the threads that are not yet in the list. New threads of a seized one are seized by the kernel (TRACECLONE), so
 * that only threads made before the first seize can be missed by one pass: passes go on until one finds nothing new.
 */
static enum stop_result seize_missing(struct stop *stop, size_t *added) {
  char buffer[16384];
  *added = 0;
  if (lseek(stop->process->tasks, 0, SEEK_SET) < 0) return STOP_GONE;
  for (;;) {
    long got = syscall(SYS_getdents64, stop->process->tasks, buffer, sizeof buffer);
    if (got < 0) return STOP_GONE;
    if (got == 0) return STOP_OK;
    for (long at = 0; at < got;) {
      struct dirent64 *entry = (struct dirent64 *)(buffer + at);
      at += entry->d_reclen;
      pid_t tid = (pid_t)atoi(entry->d_name);
      if (tid <= 0 || find(stop, tid)) continue;
      if (ptrace(PTRACE_SEIZE, tid, 0, (void *)(long)PTRACE_O_TRACECLONE) == 0) {
        if (!add(stop, tid)) return STOP_GONE;
        (*added)++;
        continue;
      }
      if (errno == ESRCH) continue;
      /* The dead leader of a living thread group cannot be seized and runs nothing. */
      char state = process_thread_state(stop->process->pid, tid);
      if (state == 0 || state == 'Z' || state == 'X') continue;
      /* A thread that the kernel seized for us since we looked. */
      if (process_tracer(tid) == getpid()) {
        if (!add(stop, tid)) return STOP_GONE;
        (*added)++;
        continue;
      }
      return why_denied(stop->process->pid);
    }
  }
}

void raise_self(void) {
  const struct sched_param above = {.sched_priority = 2};
  setpriority(PRIO_PROCESS, 0, -20);
  sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &above);
}

void lower_self(void) {
  const struct sched_param none = {0};
  sched_setscheduler(0, SCHED_OTHER, &none);
}

enum stop_result stop_seize(struct stop *stop, const struct process *process) {
  stop->process = process;
  stop->count = 0;
  stop->stubborn = 0;
  stop->started = stop->ended = 0;
  for (size_t added = 1; added > 0;) {
    enum stop_result result = seize_missing(stop, &added);
    if (result != STOP_OK) return result;
  }
  return stop->count > 0 ? STOP_OK : STOP_GONE;
}

/*
 * System calls that the kernel ends with EINTR when a thread is stopped, instead of restarting them (signal(7), "Interruption
 * of system calls and library functions by stop signals", and calls with a socket timeout). Turned into ERESTARTNOHAND they
 * are restarted when the thread goes on and no signal handler runs, and still end with EINTR when one does.
 */
static bool ends_with_eintr(long number) {
  switch (number) {
    case SYS_epoll_wait: case SYS_epoll_pwait: case 441 /* epoll_pwait2 */: case SYS_semop: case SYS_semtimedop:
    case SYS_io_getevents: case 333 /* io_pgetevents */: case SYS_rt_sigtimedwait: case SYS_read: case SYS_readv:
    case SYS_recvfrom: case SYS_recvmsg: case SYS_recvmmsg: case SYS_accept: case SYS_accept4: case SYS_connect:
    case SYS_write: case SYS_writev: case SYS_sendto: case SYS_sendmsg: case SYS_sendmmsg: case SYS_msgrcv:
    case SYS_msgsnd: case SYS_futex: case 426 /* io_uring_enter */: case SYS_wait4: case SYS_waitid:
      return true;
    default:
      return false;
  }
}

static void keep_syscall(struct thread *thread) {
  const long long restart_without_handler = -514; /* ERESTARTNOHAND */
  if ((long long)thread->regs.orig_rax < 0 || (long long)thread->regs.rax != -EINTR) return;
  if (!ends_with_eintr((long)thread->regs.orig_rax)) return;
  thread->regs.rax = (unsigned long long)restart_without_handler;
  ptrace(PTRACE_SETREGS, thread->tid, 0, &thread->regs);
}

/* Notes a stop that waitpid reported. False: the process executed another program. */
static bool note(struct stop *stop, pid_t tid, int status, size_t *waiting) {
  struct thread *thread = find(stop, tid);
  if (!WIFSTOPPED(status)) {
    if (thread && !thread->gone) {
      if (!thread->stopped) (*waiting)--;
      thread->gone = true;
    }
    return true;
  }
  int event = status >> 16;
  if (event == PTRACE_EVENT_EXEC) return false;
  if (!thread) {
    thread = add(stop, tid);
    if (!thread) return false;
    (*waiting)++;
  }
  if (thread->gone || thread->stopped) return true;
  thread->stopped = true;
  (*waiting)--;
  if (event == PTRACE_EVENT_CLONE) {
    unsigned long child = 0;
    if (ptrace(PTRACE_GETEVENTMSG, tid, 0, &child) == 0 && child && !find(stop, (pid_t)child)) {
      if (!add(stop, (pid_t)child)) return false;
      (*waiting)++;
    }
  } else if (event == 0) {
    find(stop, tid)->signal = WSTOPSIG(status);
  }
  thread = find(stop, tid);
  if (ptrace(PTRACE_GETREGS, tid, 0, &thread->regs) == 0) keep_syscall(thread);
  return true;
}

/* Waits for SIGCHLD (blocked in this program) until the deadline. */
static bool wait_for_child(uint64_t deadline) {
  uint64_t now = now_ns();
  if (now >= deadline) return false;
  struct timespec left = {(time_t)((deadline - now) / 1000000000u), (long)((deadline - now) % 1000000000u)};
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  return sigtimedwait(&child, NULL, &left) == SIGCHLD || now_ns() < deadline;
}

static enum stop_result wait_until_stopped(struct stop *stop, size_t waiting, uint64_t deadline) {
  while (waiting > 0) {
    int status;
    pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
    if (tid > 0) {
      if (!note(stop, tid, status, &waiting)) return STOP_GONE;
    } else if (tid < 0 && errno != EINTR) {
      return STOP_GONE;
    } else if (!wait_for_child(deadline)) {
      for (size_t i = 0; i < stop->count; i++)
        if (!stop->threads[i].stopped && !stop->threads[i].gone) stop->stubborn = stop->threads[i].tid;
      return STOP_TIMEOUT;
    }
  }
  return STOP_OK;
}

enum stop_result stop_all(struct stop *stop, uint64_t deadline) {
  size_t from = 0;
  if (!stop->started) stop->started = now_ns();
  for (;;) {
    size_t waiting = 0;
    for (size_t i = from; i < stop->count; i++) {
      struct thread *thread = &stop->threads[i];
      if (thread->stopped || thread->gone) continue;
      if (ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) == 0) waiting++;
      /* Gone, or stopped by the kernel before we asked: waitpid tells which; ESRCH threads that are dead are reaped there. */
      else if (errno == ESRCH && process_thread_state(stop->process->pid, thread->tid) == 0) thread->gone = true;
      else waiting++;
    }
    enum stop_result result = wait_until_stopped(stop, waiting, deadline);
    if (result != STOP_OK) return result;
    size_t added;
    from = stop->count;
    result = seize_missing(stop, &added);
    if (result != STOP_OK) return result;
    if (added == 0) break;
  }
  for (size_t i = 0; i < stop->count; i++)
    if (!stop->threads[i].gone) return STOP_OK;
  return STOP_GONE;
}

void stop_let_run(struct thread *thread) {
  if (thread->gone || !thread->stopped) return;
  if (ptrace(PTRACE_CONT, thread->tid, 0, (void *)(long)thread->signal) == 0) thread->stopped = false;
  thread->signal = 0;
}

/* A thread can only be detached at a stop: one that was seized and not stopped is asked to, and waited for. */
static void settle(struct stop *stop) {
  size_t waiting = 0;
  for (size_t i = 0; i < stop->count; i++) {
    struct thread *thread = &stop->threads[i];
    if (thread->gone || thread->stopped) continue;
    if (ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) < 0 && process_thread_state(stop->process->pid, thread->tid) == 0)
      thread->gone = true;
    else waiting++;
  }
  /* A thread in an uninterruptible sleep stops when the sleep ends; it runs nothing of the program until then. */
  for (uint64_t deadline = now_ns() + 2000000000ull; waiting > 0;) {
    int status;
    pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
    if (tid > 0) {
      note(stop, tid, status, &waiting);
      struct thread *thread = find(stop, tid);
      if (thread && thread->stopped && !thread->gone) {
        release_one(thread);
        thread->gone = true;
      }
    } else if ((tid < 0 && errno != EINTR) || !wait_for_child(deadline)) {
      return;
    }
  }
}

void release_one(const struct thread *thread) {
  ptrace(PTRACE_DETACH, thread->tid, 0, (void *)(long)thread->signal);
}

void stop_release(struct stop *stop) {
  bool all = true;
  for (size_t i = 0; i < stop->count; i++) {
    struct thread *thread = &stop->threads[i];
    if (thread->gone) continue;
    if (thread->stopped) {
      release_one(thread);
      thread->gone = true;
    } else {
      all = false;
    }
  }
  stop->ended = now_ns();
  if (!all) settle(stop);
}

void stop_free(struct stop *stop) {
  free(stop->threads);
  memset(stop, 0, sizeof *stop);
}

enum stop_result stop_one(const struct process *process, pid_t tid, uint64_t budget_ns, struct thread *thread) {
  memset(thread, 0, sizeof *thread);
  thread->tid = tid;
  /* Once seized it cannot be let go before it stops: one that wakes later would stand in a stop that nobody waits for. */
  for (uint64_t until = now_ns() + budget_ns; process_thread_state(process->pid, tid) == 'D';) {
    if (now_ns() >= until) return STOP_TIMEOUT;
    const struct timespec moment = {0, 100000};
    nanosleep(&moment, NULL);
  }
  if (ptrace(PTRACE_SEIZE, tid, 0, 0) < 0) {
    if (errno == ESRCH) return STOP_GONE;
    char state = process_thread_state(process->pid, tid);
    return state == 0 || state == 'Z' || state == 'X' ? STOP_GONE : why_denied(process->pid);
  }
  uint64_t deadline = now_ns() + budget_ns, last = now_ns() + 10000000000ull;
  bool asked = ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0;
  while (asked) {
    int status;
    pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
    if (got == tid && !WIFSTOPPED(status)) return STOP_GONE;
    if (got == tid) {
      thread->stopped = true;
      thread->signal = (status >> 16) == 0 ? WSTOPSIG(status) : 0;
      if (ptrace(PTRACE_GETREGS, tid, 0, &thread->regs) < 0) return STOP_GONE;
      keep_syscall(thread);
      return STOP_OK;
    }
    if (got < 0 && errno != EINTR) return STOP_GONE;
    if (wait_for_child(deadline)) continue;
    /* Only an uninterruptible sleep is worth trying another thread; the others wait for a processor. */
    if (process_thread_state(process->pid, tid) == 'D' || now_ns() > last) break;
    deadline = now_ns() + budget_ns;
  }
  return STOP_TIMEOUT;
}
