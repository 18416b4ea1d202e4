/* The opened target: memory through /proc/PID/mem, its mappings, facts from /proc. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper.h"

int process_open(struct process *process, pid_t pid) {
  char path[64];
  memset(process, 0, sizeof *process);
  process->pid = pid;
  process->memory = process->tasks = process->maps = -1;
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  process->tasks = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (process->tasks < 0) return -1;
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  process->maps = open(path, O_RDONLY | O_CLOEXEC);
  if (process->maps < 0) return -1;
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  process->memory = open(path, O_RDWR | O_CLOEXEC);
  return process->memory < 0 ? -1 : 0;
}

bool process_read(const struct process *process, uint64_t address, void *buffer, size_t size) {
  char *to = buffer;
  while (size > 0) {
    ssize_t done = pread(process->memory, to, size, (off_t)address);
    if (done < 0 && errno == EINTR) continue;
    if (done == 0) errno = ESRCH;
    if (done <= 0) return false;
    to += done;
    address += (uint64_t)done;
    size -= (size_t)done;
  }
  return true;
}

bool process_write(const struct process *process, uint64_t address, const void *buffer, size_t size) {
  const char *from = buffer;
  while (size > 0) {
    ssize_t done = pwrite(process->memory, from, size, (off_t)address);
    if (done < 0 && errno == EINTR) continue;
    if (done == 0) errno = ESRCH;
    if (done <= 0) return false;
    from += done;
    address += (uint64_t)done;
    size -= (size_t)done;
  }
  return true;
}

static bool add_mapping(struct process *process, const char *line) {
  unsigned long long start, end;
  char permissions[8];
  if (sscanf(line, "%llx-%llx %7s", &start, &end, permissions) != 3) return true;
  if (process->mapping_count == process->mapping_capacity) {
    size_t capacity = process->mapping_capacity ? process->mapping_capacity * 2 : 256;
    struct mapping *grown = realloc(process->mappings, capacity * sizeof *grown);
    if (!grown) return false;
    process->mappings = grown;
    process->mapping_capacity = capacity;
  }
  struct mapping *mapping = &process->mappings[process->mapping_count++];
  mapping->start = start;
  mapping->end = end;
  mapping->writable = permissions[1] == 'w';
  mapping->executable = permissions[2] == 'x';
  mapping->main_stack = strstr(line, "[stack]") != NULL;
  return true;
}

bool process_load_mappings(struct process *process) {
  static char buffer[1 << 16];
  size_t held = 0;
  process->mapping_count = 0;
  if (lseek(process->maps, 0, SEEK_SET) < 0) return false;
  for (;;) {
    ssize_t got = read(process->maps, buffer + held, sizeof buffer - held - 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return process->mapping_count > 0;
    held += (size_t)got;
    buffer[held] = 0;
    char *line = buffer;
    for (char *end; (end = memchr(line, '\n', held - (size_t)(line - buffer))); line = end + 1) {
      *end = 0;
      if (!add_mapping(process, line)) return false;
    }
    held -= (size_t)(line - buffer);
    memmove(buffer, line, held);
    if (held == sizeof buffer - 1) return false;
  }
}

const struct mapping *process_mapping_at(const struct process *process, uint64_t address) {
  size_t low = 0, high = process->mapping_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (process->mappings[middle].end <= address) low = middle + 1;
    else high = middle;
  }
  if (low == process->mapping_count || process->mappings[low].start > address) return NULL;
  return &process->mappings[low];
}

/* Reads a small file of /proc; the length, or -1. */
static ssize_t read_small(const char *path, char *buffer, size_t size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  ssize_t got = read(file, buffer, size - 1);
  close(file);
  if (got >= 0) buffer[got] = 0;
  return got;
}

char process_thread_state(pid_t pid, pid_t tid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
  if (read_small(path, text, sizeof text) <= 0) return 0;
  /* The command in parentheses may hold anything, parentheses too: the state follows the last one. */
  const char *end = strrchr(text, ')');
  return end && end[1] == ' ' ? end[2] : 0;
}

pid_t process_tracer(pid_t pid) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  if (read_small(path, text, sizeof text) <= 0) return 0;
  const char *field = strstr(text, "\nTracerPid:");
  return field ? (pid_t)atoi(field + strlen("\nTracerPid:")) : 0;
}

int process_claim(pid_t pid) {
  /* A name that begins with a NUL is in no folder: nothing stays behind of it. */
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "livepatch-%d", pid);
  int claim = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (claim < 0) return -1;
  if (bind(claim, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0)
    return claim;
  int error = errno;
  close(claim);
  errno = error;
  return -1;
}

pid_t process_memory_sharer(pid_t pid) {
  DIR *folder = opendir("/proc");
  if (!folder) return 0;
  pid_t found = 0;
  for (struct dirent *entry; !found && (entry = readdir(folder));) {
    pid_t other = (pid_t)atoi(entry->d_name);
    if (other <= 0 || other == pid) continue;
    const int KCMP_VM_KIND = 1; /* linux/kcmp.h: KCMP_VM */
    if (syscall(SYS_kcmp, pid, other, KCMP_VM_KIND, 0UL, 0UL) == 0) {
      char state = process_thread_state(other, other);
      if (state && state != 'Z' && state != 'X') found = other;
    }
  }
  closedir(folder);
  return found;
}
