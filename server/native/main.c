/* The protocol: one request a line on standard input, one JSON answer a line on standard output. See README.md. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper.h"

#define VERSION 1
#define READ_MAX (16u << 20)
#define POKES_MAX 65536u
#define JOURNALS_MAX 64u
#define LIST_MAX 4096u

struct protection {
  uint64_t offset, size;
  int value;
};

/* What earlier lines said, for the next command. */
static struct process process;
static bool opened;
static int claim = -1; /* made after the guardian was forked: it does not outlive this program */
static struct gadgets gadgets;
static uint64_t candidates[LIST_MAX];
static size_t candidate_count;
static struct protection protections[LIST_MAX];
static size_t protection_count;
static struct switch_request request;

static void fail(const char *reason, int error) {
  printf("{\"ok\":false,\"reason\":\"%s\",\"errno\":%d}\n", reason, error);
}

static void good(void) { printf("{\"ok\":true}\n"); }

static bool number(char **cursor, uint64_t *value) {
  char *end;
  errno = 0;
  *value = strtoull(*cursor, &end, 0);
  if (end == *cursor || errno) return false;
  *cursor = end;
  return true;
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/* Reads hexadecimal digits into a buffer; the number of bytes, or -1. */
static ssize_t hex(char **cursor, uint8_t *to, size_t size) {
  size_t count = 0;
  while (**cursor == ' ') (*cursor)++;
  for (; digit((*cursor)[0]) >= 0 && digit((*cursor)[1]) >= 0; *cursor += 2) {
    if (count == size) return -1;
    to[count++] = (uint8_t)(digit((*cursor)[0]) << 4 | digit((*cursor)[1]));
  }
  return (ssize_t)count;
}

static void clear_switch(void) {
  request.range_count = 0;
  request.plan->poke_count = request.plan->journal_count = 0;
  request.tries = 400;
  request.first_wait_ns = 1000000u;
  request.last_wait_ns = 1000000000u;
  request.limit_ns = 15000000000u;
  request.budget_ns = 3000000u;
  request.raise = true;
}

static void do_open(char *rest) {
  uint64_t pid;
  if (!number(&rest, &pid)) return fail("request", 0);
  if (process_open(&process, (pid_t)pid) < 0) {
    int error = errno;
    bool denied = error == EACCES || error == EPERM;
    return fail(denied ? (process_tracer((pid_t)pid) > 0 ? "traced" : "denied") : "gone", error);
  }
  opened = true;
  good();
}

static void do_claim(void) {
  if (claim < 0) claim = process_claim(process.pid);
  if (claim >= 0) good();
  else fail(errno == EADDRINUSE ? "occupied" : "claim", errno);
}

static void do_release(void) {
  if (claim >= 0) close(claim);
  claim = -1;
  good();
}

static void do_read(char *rest) {
  uint64_t address, size;
  if (!number(&rest, &address) || !number(&rest, &size) || size > READ_MAX) return fail("request", 0);
  uint8_t *bytes = malloc(size ? size : 1);
  if (!bytes) return fail("request", ENOMEM);
  if (!process_read(&process, address, bytes, size)) {
    fail("memory", errno);
  } else {
    static const char digits[] = "0123456789abcdef";
    fputs("{\"ok\":true,\"data\":\"", stdout);
    for (uint64_t i = 0; i < size; i++) {
      putchar(digits[bytes[i] >> 4]);
      putchar(digits[bytes[i] & 15]);
    }
    puts("\"}");
  }
  free(bytes);
}

static void do_write(char *rest) {
  uint64_t address;
  if (!number(&rest, &address)) return fail("request", 0);
  size_t room = strlen(rest) / 2 + 1;
  uint8_t *bytes = malloc(room);
  if (!bytes) return fail("request", ENOMEM);
  ssize_t size = hex(&rest, bytes, room);
  if (size < 0) fail("request", 0);
  else if (process_write(&process, address, bytes, (size_t)size)) good();
  else fail("memory", errno);
  free(bytes);
}

static void do_find(char *rest) {
  uint64_t low, high;
  uint8_t needle[64];
  if (!number(&rest, &low) || !number(&rest, &high) || high < low) return fail("request", 0);
  ssize_t size = hex(&rest, needle, sizeof needle);
  if (size <= 0) return fail("request", 0);
  static uint8_t chunk[1 << 16];
  for (uint64_t at = low; at + (uint64_t)size <= high; at += sizeof chunk - (uint64_t)size + 1) {
    size_t length = high - at < sizeof chunk ? high - at : sizeof chunk;
    if (!process_read(&process, at, chunk, length)) break;
    uint8_t *hit = memmem(chunk, length, needle, (size_t)size);
    if (hit) {
      printf("{\"ok\":true,\"address\":\"0x%llx\"}\n", (unsigned long long)(at + (uint64_t)(hit - chunk)));
      return;
    }
  }
  fail("none", 0);
}

static void do_map(char *rest) {
  uint64_t size;
  if (!number(&rest, &size)) return fail("request", 0);
  struct injection injection;
  if (!process_load_mappings(&process)) return fail("gone", errno);
  const char *problem = inject_begin(&injection, &process, gadgets);
  if (problem) return fail(problem, 0);
  int64_t result = -ENOMEM;
  bool alive = true;
  for (size_t i = 0; i < candidate_count && alive; i++) {
    const uint64_t arguments[6] = {candidates[i], size, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (uint64_t)-1, 0};
    alive = inject_syscall(&injection, SYS_mmap, arguments, &result);
    if (alive && result > 0 && (uint64_t)result != candidates[i]) {
      /* A kernel before 4.17 takes the address as a hint only. */
      const uint64_t away[6] = {(uint64_t)result, size};
      alive = inject_syscall(&injection, SYS_munmap, away, &result);
      result = -EEXIST;
    }
    if (result > 0 || (result != -EEXIST && result != -ENOMEM && result != -EPERM)) break;
  }
  int64_t address = result;
  for (size_t i = 0; i < protection_count && alive && address > 0; i++) {
    const uint64_t arguments[6] = {(uint64_t)address + protections[i].offset, protections[i].size,
                                   (uint64_t)protections[i].value};
    alive = inject_syscall(&injection, SYS_mprotect, arguments, &result);
    if (alive && result < 0) {
      const uint64_t away[6] = {(uint64_t)address, size};
      int64_t ignored;
      address = result;
      alive = inject_syscall(&injection, SYS_munmap, away, &ignored);
    }
  }
  inject_end(&injection);
  candidate_count = protection_count = 0;
  if (!alive) return fail("gone", 0);
  if (address <= 0) return fail("memory", (int)-address);
  printf("{\"ok\":true,\"address\":\"0x%llx\"}\n", (unsigned long long)address);
}

static void do_unmap(char *rest) {
  uint64_t address, size;
  if (!number(&rest, &address) || !number(&rest, &size)) return fail("request", 0);
  struct injection injection;
  if (!process_load_mappings(&process)) return fail("gone", errno);
  const char *problem = inject_begin(&injection, &process, gadgets);
  if (problem) return fail(problem, 0);
  int64_t result;
  const uint64_t arguments[6] = {address, size};
  bool alive = inject_syscall(&injection, SYS_munmap, arguments, &result);
  inject_end(&injection);
  if (!alive) return fail("gone", 0);
  if (result < 0) return fail("memory", (int)-result);
  good();
}

static void do_call(char *rest) {
  uint64_t function, result;
  if (!number(&rest, &function)) return fail("request", 0);
  struct injection injection;
  if (!process_load_mappings(&process)) return fail("gone", errno);
  const char *problem = inject_begin(&injection, &process, gadgets);
  if (problem) return fail(problem, 0);
  bool returned = inject_call(&injection, function, &result);
  inject_end(&injection);
  if (!returned) return fail("call", 0);
  printf("{\"ok\":true,\"value\":\"0x%llx\"}\n", (unsigned long long)result);
}

static void do_range(char *rest) {
  struct range range;
  if (!number(&rest, &range.low) || !number(&rest, &range.high) || range.high <= range.low) return fail("request", 0);
  /* Both ends are open: a range right behind another one begins at the last address of that. */
  if (request.range_count > 0) {
    const struct range *last = &request.ranges[request.range_count - 1];
    if (range.low + 1 < last->high || range.high <= last->high) return fail("request", 0);
  }
  if (request.range_count == request.range_capacity) {
    size_t capacity = request.range_capacity ? request.range_capacity * 2 : 64;
    struct range *grown = realloc(request.ranges, capacity * sizeof *grown);
    if (!grown) return fail("request", ENOMEM);
    request.ranges = grown;
    request.range_capacity = capacity;
  }
  request.ranges[request.range_count++] = range;
  good();
}

static void do_poke(char *rest) {
  struct poke poke = {0};
  if (!number(&rest, &poke.address)) return fail("request", 0);
  ssize_t before = hex(&rest, poke.old_bytes, BYTES_MAX), after = hex(&rest, poke.new_bytes, BYTES_MAX);
  if (before <= 0 || before != after || request.plan->poke_count == POKES_MAX) return fail("request", 0);
  poke.size = (uint32_t)before;
  request.plan->pokes[request.plan->poke_count++] = poke;
  good();
}

static void do_journal(char *rest) {
  struct journal journal = {0};
  if (!number(&rest, &journal.address)) return fail("request", 0);
  ssize_t before = hex(&rest, journal.before, BYTES_MAX), during = hex(&rest, journal.during, BYTES_MAX),
          after = hex(&rest, journal.after, BYTES_MAX);
  if (before <= 0 || before != during || before != after || request.plan->journal_count == JOURNALS_MAX)
    return fail("request", 0);
  journal.size = (uint32_t)before;
  request.plan->journals[request.plan->journal_count++] = journal;
  good();
}

static void do_option(char *rest) {
  char name[32];
  int length = 0;
  uint64_t value;
  if (sscanf(rest, " %31s%n", name, &length) != 1) return fail("request", 0);
  rest += length;
  if (!number(&rest, &value)) return fail("request", 0);
  if (!strcmp(name, "tries")) request.tries = (unsigned)value;
  else if (!strcmp(name, "first-wait-us")) request.first_wait_ns = value * 1000;
  else if (!strcmp(name, "last-wait-us")) request.last_wait_ns = value * 1000;
  else if (!strcmp(name, "limit-ms")) request.limit_ns = value * 1000000;
  else if (!strcmp(name, "raise")) request.raise = value != 0;
  else if (!strcmp(name, "budget-us")) request.budget_ns = value * 1000;
  else return fail("request", 0);
  good();
}

static void run(char *line) {
  char name[16];
  int length = 0;
  uint64_t value;
  if (sscanf(line, "%15s%n", name, &length) != 1) return fail("request", 0);
  char *rest = line + length;
  if (!strcmp(name, "hello")) {
    printf("{\"ok\":true,\"name\":\"livepatch-helper\",\"version\":%d}\n", VERSION);
  } else if (!strcmp(name, "open")) {
    do_open(rest);
  } else if (!opened) {
    fail("request", 0);
  } else if (!strcmp(name, "claim")) {
    do_claim();
  } else if (!strcmp(name, "release")) {
    do_release();
  } else if (!strcmp(name, "read")) {
    do_read(rest);
  } else if (!strcmp(name, "write")) {
    do_write(rest);
  } else if (!strcmp(name, "find")) {
    do_find(rest);
  } else if (!strcmp(name, "gadgets")) {
    if (number(&rest, &gadgets.syscall) && number(&rest, &gadgets.restorer)) good();
    else fail("request", 0);
  } else if (!strcmp(name, "at")) {
    if (candidate_count < LIST_MAX && number(&rest, &candidates[candidate_count])) {
      candidate_count++;
      good();
    } else {
      fail("request", 0);
    }
  } else if (!strcmp(name, "protect")) {
    struct protection *protection = &protections[protection_count];
    if (protection_count < LIST_MAX && number(&rest, &protection->offset) && number(&rest, &protection->size) &&
        number(&rest, &value)) {
      protection->value = (int)value;
      protection_count++;
      good();
    } else {
      fail("request", 0);
    }
  } else if (!strcmp(name, "map")) {
    do_map(rest);
  } else if (!strcmp(name, "unmap")) {
    do_unmap(rest);
  } else if (!strcmp(name, "call")) {
    do_call(rest);
  } else if (!strcmp(name, "range")) {
    do_range(rest);
  } else if (!strcmp(name, "poke")) {
    do_poke(rest);
  } else if (!strcmp(name, "journal")) {
    do_journal(rest);
  } else if (!strcmp(name, "option")) {
    do_option(rest);
  } else if (!strcmp(name, "switch")) {
    switch_run(&process, &request);
    clear_switch();
  } else {
    fail("request", 0);
  }
}

int main(void) {
  /* A signal to the terminal's group must not end the helper half way; SIGTERM and SIGINT are asked for between tries. */
  sigset_t every;
  sigfillset(&every);
  sigprocmask(SIG_BLOCK, &every, NULL);
  request.plan = guardian_allocate(sizeof *request.plan);
  if (!request.plan) return 2;
  request.plan->pokes = guardian_allocate(POKES_MAX * sizeof(struct poke));
  request.plan->journals = guardian_allocate(JOURNALS_MAX * sizeof(struct journal));
  if (!request.plan->pokes || !request.plan->journals || !guardian_start(request.plan)) return 2;
  clear_switch();
  mlockall(MCL_CURRENT);
  static char output[1 << 16];
  setvbuf(stdout, output, _IOFBF, sizeof output);
  char *line = NULL;
  size_t capacity = 0;
  for (ssize_t length; (length = getline(&line, &capacity, stdin)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    run(line);
    fflush(stdout);
  }
  return 0;
}
