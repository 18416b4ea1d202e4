/* The switch: stop all, look, verify, write, go on; again with longer and longer pauses while a stack is busy. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"

enum outcome { DONE, BUSY, SLOW, SHARED, DIFFERS, WRITE_FAILED, GONE, DENIED, TRACED };

#define FINDINGS_MAX 16
#define SHORT_WAIT_NS 10000000ull

struct attempt {
  struct finding findings[FINDINGS_MAX];
  size_t finding_count;
  pid_t culprit;     /* thread that did not stop, process that shares the memory */
  uint64_t address;  /* of bytes that differ */
  uint8_t bytes[BYTES_MAX];
  uint32_t size;
  uint64_t stop_ns;
  bool stuck;        /* a thread waits inside of a range */
  pid_t unclear;     /* a thread whose stack could not be unwound in the time of the try */
};

bool cancelled(void) {
  sigset_t pending;
  if (sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT))) return true;
  struct pollfd input = {.fd = STDIN_FILENO, .events = 0};
  return poll(&input, 1, 0) > 0 && (input.revents & (POLLHUP | POLLERR));
}

static bool verify(const struct process *process, const struct plan *plan, struct attempt *attempt) {
  for (uint32_t i = 0; i < plan->poke_count; i++) {
    const struct poke *poke = &plan->pokes[i];
    if (process_read(process, poke->address, attempt->bytes, poke->size) &&
        memcmp(attempt->bytes, poke->old_bytes, poke->size) == 0)
      continue;
    attempt->address = poke->address;
    attempt->size = poke->size;
    return false;
  }
  return true;
}

static bool write_journals(const struct process *process, const struct plan *plan, int which) {
  bool good = true;
  for (uint32_t i = 0; i < plan->journal_count; i++) {
    const struct journal *journal = &plan->journals[i];
    const uint8_t *bytes = which == 0 ? journal->before : which == 1 ? journal->during : journal->after;
    good = process_write(process, journal->address, bytes, journal->size) && good;
  }
  return good;
}

/* Threads are stopped. All of the jumps, or none. */
static bool write_all(const struct process *process, struct plan *plan) {
  plan->phase = PHASE_WRITING;
  for (uint32_t i = 0; i < plan->poke_count; i++) {
    const struct poke *poke = &plan->pokes[i];
    if (process_write(process, poke->address, poke->new_bytes, poke->size)) {
      FAULT("wrote-one");
      continue;
    }
    for (uint32_t back = 0; back <= i; back++)
      process_write(process, plan->pokes[back].address, plan->pokes[back].old_bytes, plan->pokes[back].size);
    plan->phase = PHASE_ANNOUNCED;
    return false;
  }
  FAULT("wrote-all");
  plan->phase = PHASE_WRITTEN;
  FAULT("journal-open");
  return write_journals(process, plan, 2);
}

/* In a system call, and not on its way out of it by itself: it will not leave its frames soon. */
static bool waits(const struct thread *thread) { return (long long)thread->regs.orig_rax >= 0; }

/*
 * Looks at the threads that were not found clean yet. `hot` counts those that may be clean soon when they run on, `stuck`
 * those that are proven to wait inside.
 */
static void look(struct process *process, const struct switch_request *request, struct stop *stop, unsigned round,
                 uint64_t deadline, struct attempt *attempt, size_t *hot, size_t *stuck) {
  *hot = *stuck = 0;
  attempt->finding_count = 0;
  for (size_t i = 0; i < stop->count; i++) {
    struct thread *thread = &stop->threads[i];
    if (thread->gone || thread->clean) continue;
    struct finding *finding = &attempt->findings[attempt->finding_count];
    /* Unwinding takes longer than a scan: it is for threads that stand still, and for garbage that does not go away. */
    bool unwind = waits(thread) || round >= 4;
    if (!stacks_check(process, thread, request->ranges, request->range_count, unwind, deadline, finding)) {
      thread->clean = true;
      continue;
    }
    if (finding->hurried) attempt->unclear = thread->tid;
    if (waits(thread)) (*stuck)++;
    else (*hot)++;
    if (attempt->finding_count + 1 < FINDINGS_MAX) attempt->finding_count++;
  }
}

/*
 * All threads are stopped. Those that are outside of the ranges stay so; the others are let run for moments, one after the
 * other caught outside. Looking at all threads at random moments instead would hardly ever find all of them outside in a
 * program whose threads are mostly in the patched function.
 */
static enum outcome gather(struct process *process, struct switch_request *request, struct stop *stop, uint64_t deadline,
                           struct attempt *attempt) {
  uint64_t run_ns = 10000;
  for (unsigned round = 0;; round++) {
    size_t hot, stuck;
    look(process, request, stop, round, deadline, attempt, &hot, &stuck);
    if (hot + stuck == 0) break;
    if (stuck > 0 || now_ns() + run_ns >= deadline) {
      attempt->stuck = stuck > 0 && !attempt->unclear;
      return BUSY;
    }
    for (size_t i = 0; i < stop->count; i++)
      if (!stop->threads[i].clean) stop_let_run(&stop->threads[i]);
    struct timespec run = {0, (long)run_ns};
    nanosleep(&run, NULL);
    if (run_ns < 160000) run_ns += run_ns / 2;
    enum stop_result result = stop_all(stop, deadline);
    if (result == STOP_TIMEOUT) return SLOW;
    if (result != STOP_OK) return GONE;
  }
  attempt->finding_count = 0;
  if (!verify(process, request->plan, attempt)) return DIFFERS;
  return write_all(process, request->plan) ? DONE : WRITE_FAILED;
}

/*
 * Unwinds threads one by one while all others run: a first unwinding reads tables of files and may take many times what all
 * threads may be kept stopped for. The next try finds the tables in memory, and the last answer can name the frames.
 */
static void study(struct process *process, const struct switch_request *request, pid_t tid, struct finding *finding) {
  struct thread thread;
  struct finding seen;
  if (stop_one(process, tid, 10000000u, &thread) != STOP_OK) return;
  bool inside = stacks_check(process, &thread, request->ranges, request->range_count, true, ~0ull, &seen);
  release_one(&thread);
  if (inside && finding) *finding = seen;
}

static enum outcome attempt_once(struct process *process, struct switch_request *request, uint64_t budget,
                                 struct attempt *attempt) {
  memset(attempt, 0, sizeof *attempt);
  attempt->culprit = process_memory_sharer(process->pid);
  if (attempt->culprit) return SHARED;
  if (!process_load_mappings(process)) return GONE;
  /* The program stands still while we work: nobody goes before us. */
  if (request->raise) raise_self();
  struct stop stop = {0};
  enum stop_result stopped = stop_seize(&stop, process);
  FAULT("seized");
  uint64_t deadline = now_ns() + budget;
  if (stopped == STOP_OK) stopped = stop_all(&stop, deadline);
  enum outcome outcome = DONE;
  switch (stopped) {
    case STOP_OK: outcome = gather(process, request, &stop, deadline, attempt); break;
    case STOP_TIMEOUT: outcome = SLOW; break;
    case STOP_GONE: outcome = GONE; break;
    case STOP_DENIED: outcome = DENIED; break;
    case STOP_TRACED: outcome = TRACED; break;
  }
  attempt->culprit = stop.stubborn;
  if (outcome == DONE) FAULT("before-release");
  stop_release(&stop);
  lower_self();
  attempt->stop_ns = stop.started ? stop.ended - stop.started : 0;
  stop_free(&stop);
  return outcome;
}

static const char *word(enum outcome outcome) {
  static const char *const words[] = {[DONE] = "done", [BUSY] = "busy", [SLOW] = "slow", [SHARED] = "shared-memory",
                                      [DIFFERS] = "differs", [WRITE_FAILED] = "write", [GONE] = "gone",
                                      [DENIED] = "denied", [TRACED] = "traced"};
  return words[outcome];
}

static void print_findings(const struct attempt *attempt) {
  printf(",\"busy\":[");
  for (size_t i = 0; i < attempt->finding_count; i++) {
    const struct finding *finding = &attempt->findings[i];
    printf("%s{\"tid\":%d,\"range\":%zu,\"address\":\"0x%llx\",\"proven\":%s,\"frames\":[", i ? "," : "", finding->tid,
           finding->range, (unsigned long long)finding->address, finding->proven ? "true" : "false");
    for (size_t f = 0; f < finding->frame_count; f++)
      printf("%s\"0x%llx\"", f ? "," : "", (unsigned long long)finding->frames[f]);
    printf("]}");
  }
  printf("]");
}

void switch_run(struct process *process, struct switch_request *request) {
  static struct attempt attempt;
  struct plan *plan = request->plan;
  plan->pid = process->pid;
  uint64_t began = now_ns(), wait = request->first_wait_ns, longest = inject_longest();
  unsigned tries = 0;
  enum outcome outcome = BUSY;
  bool stopped_asking = false;
  plan->phase = PHASE_ANNOUNCED;
  if (!write_journals(process, plan, 1)) outcome = GONE;
  while (outcome == BUSY || outcome == SLOW || outcome == SHARED) {
    tries++;
    bool last = tries >= request->tries || now_ns() - began >= request->limit_ns;
    outcome = attempt_once(process, request, request->budget_ns, &attempt);
    /* A try that found the program busy changed nothing; the next one may. */
    if (outcome == DONE) FAULT("released");
    if (attempt.stop_ns > longest) longest = attempt.stop_ns;
    /* Not for want of an opportunity, but of a processor: no need to wait long. */
    if ((outcome == SLOW || (outcome == BUSY && !attempt.stuck)) && wait > SHORT_WAIT_NS) wait = SHORT_WAIT_NS;
    if ((outcome != BUSY && outcome != SLOW && outcome != SHARED) || last) break;
    if (outcome == BUSY && attempt.unclear) study(process, request, attempt.unclear, NULL);
    if ((stopped_asking = cancelled())) break;
    struct timespec pause = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
    nanosleep(&pause, NULL);
    if ((stopped_asking = cancelled())) break;
    wait = wait * 2 < request->last_wait_ns ? wait * 2 : request->last_wait_ns;
  }
  if (outcome != DONE) write_journals(process, plan, 0);
  if (outcome == BUSY && !stopped_asking)
    for (size_t i = 0; i < attempt.finding_count; i++)
      study(process, request, attempt.findings[i].tid, &attempt.findings[i]);
  plan->phase = PHASE_IDLE;
  printf("{\"ok\":%s,\"reason\":\"%s\",\"tries\":%u,\"stopNs\":%llu,\"longestNs\":%llu", outcome == DONE ? "true" : "false",
         stopped_asking ? "cancelled" : word(outcome), tries, (unsigned long long)attempt.stop_ns,
         (unsigned long long)longest);
  if (outcome == BUSY) print_findings(&attempt);
  if (outcome == SLOW || outcome == SHARED) printf(",\"tid\":%d", attempt.culprit);
  if (outcome == DIFFERS) {
    printf(",\"address\":\"0x%llx\",\"bytes\":\"", (unsigned long long)attempt.address);
    for (uint32_t i = 0; i < attempt.size; i++) printf("%02x", attempt.bytes[i]);
    printf("\"");
  }
  printf("}\n");
}
