/*
 * Is a thread inside one of the ranges? First a scan that cannot miss: the instruction pointer, and every word from the
 * red zone to the end of the stack, signal frames included. A word may be old garbage, so a hit can be looked at
 * again by unwinding; only an unwinding that reaches the outermost frame with unwind tables all the way acquits.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <libunwind-ptrace.h>

#include "helper.h"

#define RED_ZONE 128
#define CHUNK 65536

/* Index of the range that the value lies in, or -1. */
static long inside(const struct range *ranges, size_t count, uint64_t value) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (ranges[middle].high <= value) low = middle + 1;
    else high = middle;
  }
  return low < count && ranges[low].low < value ? (long)low : -1;
}

struct scan {
  const struct process *process;
  const struct range *ranges;
  size_t count;
  uint64_t lowest, highest; /* of all ranges */
  uint64_t home_start, home_end, home_pointer;
  struct finding *finding;
};

/* Scans [from, to) for words in a range; notes the lowest word that points into the thread's own stack. */
static bool scan_words(struct scan *scan, uint64_t from, uint64_t to) {
  static uint64_t words[CHUNK / 8];
  for (from &= ~7ull; from < to;) {
    size_t size = to - from < CHUNK ? to - from : CHUNK;
    struct iovec local = {words, size}, remote = {(void *)from, size};
    ssize_t got = process_vm_readv(scan->process->pid, &local, 1, &remote, 1, 0);
    if (got <= 0) return false;
    for (size_t i = 0; i < (size_t)got / 8; i++) {
      uint64_t word = words[i];
      if (word - scan->home_start < scan->home_end - scan->home_start && word < scan->home_pointer) scan->home_pointer = word;
      if (word <= scan->lowest || word >= scan->highest) continue;
      long range = inside(scan->ranges, scan->count, word);
      if (range < 0) continue;
      scan->finding->range = (size_t)range;
      scan->finding->address = word;
      return false;
    }
    if ((size_t)got < 8) return false;
    from += (uint64_t)got & ~7ull;
  }
  return true;
}

/* The mapping that holds a thread's own stack: the main thread's, or the one that its thread control block tops. */
static const struct mapping *home_of(const struct process *process, const struct thread *thread) {
  if (thread->tid == process->pid) {
    for (size_t i = 0; i < process->mapping_count; i++)
      if (process->mappings[i].main_stack) return &process->mappings[i];
    return NULL;
  }
  return process_mapping_at(process, thread->regs.fs_base);
}

/* True where nothing in the thread's registers or stack looks like code of a range. */
static bool scan_clean(struct process *process, const struct thread *thread, struct scan *scan) {
  const struct user_regs_struct *regs = &thread->regs;
  const struct mapping *stack = process_mapping_at(process, regs->rsp);
  const struct mapping *home = home_of(process, thread);
  if (!stack || !stack->writable || !home) {
    if (!process_load_mappings(process)) return false;
    stack = process_mapping_at(process, regs->rsp);
    home = home_of(process, thread);
  }
  if (!stack) return false;
  bool away = home && home != stack;
  scan->home_start = away ? home->start : 0;
  scan->home_end = away ? home->end : 0;
  scan->home_pointer = ~0ull;
  uint64_t from = regs->rsp - RED_ZONE < stack->start ? stack->start : regs->rsp - RED_ZONE;
  if (!scan_words(scan, from, stack->end)) return false;
  if (!away || scan->home_pointer == ~0ull) return true;
  /* On an alternate stack: the frame that the kernel put there holds the pointer into the thread's own stack. */
  uint64_t pointer = scan->home_pointer, end = scan->home_end;
  from = pointer - RED_ZONE < scan->home_start ? scan->home_start : pointer - RED_ZONE;
  scan->home_start = scan->home_end = 0;
  return scan_words(scan, from, end);
}

/* Unwinds into finding->frames. True where the outermost frame was reached with unwind tables for each frame on the way. */
static bool unwind_frames(const struct thread *thread, struct scan *scan, uint64_t deadline, bool *hit) {
  struct finding *finding = scan->finding;
  static unw_addr_space_t space;
  if (!space) {
    space = unw_create_addr_space(&_UPT_accessors, 0);
    if (!space) return false;
    unw_set_caching_policy(space, UNW_CACHE_GLOBAL);
  }
  void *argument = _UPT_create(thread->tid);
  if (!argument) return false;
  unw_cursor_t cursor;
  bool complete = false;
  finding->frame_count = 0;
  if (unw_init_remote(&cursor, space, argument) == 0) {
    for (int depth = 0; depth < 512; depth++) {
      unw_word_t ip = 0;
      unw_proc_info_t info;
      if (now_ns() >= deadline) {
        finding->hurried = true;
        break;
      }
      if (unw_get_reg(&cursor, UNW_REG_IP, &ip) < 0) break;
      if (ip == 0) {
        complete = true;
        break;
      }
      if (finding->frame_count < sizeof finding->frames / sizeof *finding->frames) finding->frames[finding->frame_count++] = ip;
      long range = inside(scan->ranges, scan->count, ip);
      if (range >= 0 && !*hit) {
        *hit = true;
        finding->range = (size_t)range;
        finding->address = ip;
      }
      bool known = unw_get_proc_info(&cursor, &info) == 0;
      int stepped = unw_step(&cursor);
      if (stepped == 0) {
        complete = known;
        break;
      }
      if (stepped < 0 || !known) break;
    }
  }
  _UPT_destroy(argument);
  return complete;
}

bool stacks_check(struct process *process, const struct thread *thread, const struct range *ranges, size_t count,
                  bool unwind, uint64_t deadline, struct finding *finding) {
  memset(finding, 0, sizeof *finding);
  finding->tid = thread->tid;
  if (count == 0) return false;
  struct scan scan = {.process = process, .ranges = ranges, .count = count, .lowest = ranges[0].low,
                      .highest = ranges[count - 1].high, .finding = finding};
  long range = inside(ranges, count, thread->regs.rip);
  if (range >= 0) {
    finding->range = (size_t)range;
    finding->address = thread->regs.rip;
    finding->proven = true;
    bool hit = true;
    if (unwind) unwind_frames(thread, &scan, deadline, &hit);
    return true;
  }
  if (scan_clean(process, thread, &scan)) return false;
  if (!unwind) return true;
  bool hit = false;
  if (unwind_frames(thread, &scan, deadline, &hit) && !hit) return false;
  finding->proven = hit;
  return true;
}
