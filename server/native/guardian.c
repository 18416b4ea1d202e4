/*
 * The guardian: a second process that only waits for the helper to end. Should the helper be killed between its first and
 * its last write, the guardian stops the threads again and puts the old bytes back: all or nothing also then.
 * It needs no look at the stacks: an instruction pointer can be at a jump's first byte, and never inside one.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"

void *guardian_allocate(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static void put_back(struct process *process, const struct plan *plan) {
  uint8_t bytes[BYTES_MAX];
  for (uint32_t i = 0; i < plan->poke_count; i++) {
    const struct poke *poke = &plan->pokes[i];
    if (process_read(process, poke->address, bytes, poke->size) && memcmp(bytes, poke->new_bytes, poke->size) == 0)
      process_write(process, poke->address, poke->old_bytes, poke->size);
    FAULT("guardian-wrote-one");
  }
  for (uint32_t i = 0; i < plan->journal_count; i++) {
    const struct journal *journal = &plan->journals[i];
    process_write(process, journal->address, journal->before, journal->size);
  }
}

static void repair(const struct plan *plan) {
  struct process process;
  if (process_open(&process, plan->pid) < 0) return;
  for (int attempt = 0; attempt < 200; attempt++) {
    struct stop stop = {0};
    enum stop_result result = stop_seize(&stop, &process);
    FAULT("guardian-seized");
    if (result == STOP_OK) result = stop_all(&stop, now_ns() + 50000000u);
    FAULT("guardian-stopped");
    if (result == STOP_OK) put_back(&process, plan);
    stop_release(&stop);
    stop_free(&stop);
    if (result == STOP_OK || result == STOP_GONE) return;
    struct timespec wait = {0, 10000000};
    nanosleep(&wait, NULL);
  }
}

#ifdef LIVEPATCH_FAULTS
pid_t fault_guardian;

void fault(const char *point) {
  const char *wanted = getenv("LIVEPATCH_FAULT");
  if (!wanted) return;
  bool both = strncmp(wanted, "both:", 5) == 0;
  if (both) wanted += 5;
  /* `first+second`: the helper dies at one point, the guardian at the other. */
  size_t length = strlen(point);
  const char *hit = strstr(wanted, point);
  if (!hit || (hit != wanted && hit[-1] != '+') || (hit[length] != 0 && hit[length] != '+')) return;
  if (both && fault_guardian > 0) kill(fault_guardian, SIGKILL);
  kill(getpid(), SIGKILL);
}
#endif

bool guardian_start(struct plan *plan) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return false;
  pid_t child = fork();
  if (child < 0) return false;
  if (child > 0) {
#ifdef LIVEPATCH_FAULTS
    fault_guardian = child;
#endif
    close(ends[0]);
    return true; /* ends[1] stays open as long as this program lives */
  }
  close(ends[1]);
  setsid();
  /* Whoever kills all programs of the helper's name is not to kill this one. */
  prctl(PR_SET_NAME, "livepatch-guard");
  raise_self();
  /* The caller must see the end of the helper's output when the helper ends, not when the guardian does. */
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; standard < 3; standard++) dup2(null, standard);
  char byte;
  while (read(ends[0], &byte, 1) > 0) {
  }
  /* Nobody is to begin before things are right; who was quicker finds the journal, and repairs. The kernel takes it back at the end. */
  if (plan->phase != PHASE_IDLE) process_claim(plan->pid);
  if (plan->phase == PHASE_ANNOUNCED || plan->phase == PHASE_WRITING) repair(plan);
  if (plan->phase == PHASE_WRITTEN) {
    struct process process;
    if (process_open(&process, plan->pid) == 0)
      for (uint32_t i = 0; i < plan->journal_count; i++)
        process_write(&process, plan->journals[i].address, plan->journals[i].after, plan->journals[i].size);
  }
  _exit(0);
}
