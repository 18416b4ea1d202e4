import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ensureHelper, Program } from './program.ts';

/** Each thread sits in one system call while patches come and go; at the end each is woken and says what the call returned. */
const MAIN = `
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
int answer(int question);
static int pipes[16][2];
static volatile int woken;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static int listener, queue, semset, pair[2];
static struct sockaddr_un address;
struct result { const char *name; long value; int error; double seconds; int early; };
static struct result results[32];
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
#define CASE(number, text, call) \\
  static void *case_##number(void *unused) { (void)unused; \\
    double start = now(); errno = 0; long value = (long)(call); \\
    results[number] = (struct result){text, value, value < 0 ? errno : 0, now() - start, !woken}; return 0; }
static int watch(int fd) { int e = epoll_create1(0); struct epoll_event event = {.events = EPOLLIN}; epoll_ctl(e, EPOLL_CTL_ADD, fd, &event); return e; }
static struct epoll_event events[4];
static char byte[16];
static struct timespec far_away(void) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); t.tv_sec += 100; return t; }
CASE(0, "epoll_wait", epoll_wait(watch(pipes[0][0]), events, 4, -1))
CASE(1, "epoll_wait timeout", epoll_wait(watch(pipes[1][0]), events, 4, 100000))
CASE(2, "poll", poll(&(struct pollfd){.fd = pipes[2][0], .events = POLLIN}, 1, -1))
CASE(3, "poll timeout", poll(&(struct pollfd){.fd = pipes[3][0], .events = POLLIN}, 1, 100000))
CASE(4, "read", read(pipes[4][0], byte, 1))
CASE(5, "nanosleep", nanosleep(&(struct timespec){.tv_sec = 3}, 0))
CASE(6, "clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_sec = 3}, 0))
static int wait_cond(void) { pthread_mutex_lock(&mutex); while (!woken) pthread_cond_wait(&cond, &mutex); pthread_mutex_unlock(&mutex); return 0; }
CASE(7, "futex", wait_cond())
static struct timespec deadline;
CASE(8, "sem_timedwait", sem_timedwait(&semaphore, &deadline))
CASE(9, "accept", accept(listener, 0, 0) >= 0 ? 0 : -1)
static fd_set set;
CASE(10, "select", (FD_SET(pipes[5][0], &set), select(pipes[5][0] + 1, &set, 0, 0, 0)))
CASE(11, "recv timeout", recv(pair[0], byte + 1, 1, 0))
struct message { long type; char text[8]; };
static struct message received;
CASE(12, "msgrcv", msgrcv(queue, &received, 8, 0, 0))
CASE(13, "semop", semop(semset, &(struct sembuf){.sem_num = 0, .sem_op = -1}, 1))
static int wait_signal(void) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); return sigtimedwait(&s, 0, &(struct timespec){.tv_sec = 100}); }
CASE(14, "sigtimedwait", wait_signal())
CASE(15, "eventfd", read(pipes[6][0], byte + 8, 8))
static int events_without_signals(void) { sigset_t s; sigfillset(&s); return epoll_pwait(watch(pipes[7][0]), events, 4, 100000, &s); }
CASE(16, "epoll_pwait", events_without_signals())
static pid_t child;
CASE(17, "waitpid", waitpid(child, 0, 0) > 0 ? 0 : -1)
static void *(*const cases[])(void *) = {case_0, case_1, case_2, case_3, case_4, case_5, case_6, case_7, case_8, case_9, case_10,
  case_11, case_12, case_13, case_14, case_15, case_16, case_17};
enum { COUNT = sizeof cases / sizeof *cases };
int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  sigset_t usr2; sigemptyset(&usr2); sigaddset(&usr2, SIGUSR2); pthread_sigmask(SIG_BLOCK, &usr2, 0);
  for (int i = 0; i < 16; i++) if (pipe(pipes[i])) return 1;
  pipes[6][0] = pipes[6][1] = eventfd(0, 0);
  sem_init(&semaphore, 0, 0);
  deadline = far_away();
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path + 1, 80, "lpa-blocked-%d", getpid());
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4)) return 1;
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 100}, sizeof(struct timeval));
  queue = msgget(IPC_PRIVATE, 0600); semset = semget(IPC_PRIVATE, 1, 0600);
  child = fork();
  if (child == 0) { char c; close(pipes[8][1]); _exit(read(pipes[8][0], &c, 1) < 0); }
  pthread_t threads[COUNT];
  for (int i = 0; i < COUNT; i++) pthread_create(&threads[i], 0, cases[i], 0);
  usleep(200000);
  puts("ready");
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    if (line[0] == '?') { printf("%d\\n", answer(1)); continue; }
    woken = 1;
    pthread_mutex_lock(&mutex); pthread_cond_broadcast(&cond); pthread_mutex_unlock(&mutex);
    unsigned long one = 1;
    for (int i = 0; i < 16; i++) if (write(pipes[i][1], i == 6 ? (void *)&one : (void *)"x", i == 6 ? 8 : 1) < 0) return 1;
    sem_post(&semaphore);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&address, sizeof address)) return 1;
    if (write(pair[1], "x", 1) != 1) return 1;
    struct message message = {1, "text"};
    msgsnd(queue, &message, 8, 0);
    semop(semset, &(struct sembuf){.sem_num = 0, .sem_op = 1}, 1);
    pthread_kill(threads[14], SIGUSR2);
    for (int i = 0; i < COUNT; i++) pthread_join(threads[i], 0);
    for (int i = 0; i < COUNT; i++)
      printf("%s|%ld|%d|%.2f|%d\\n", results[i].name, results[i].value, results[i].error, results[i].seconds, results[i].early);
    puts("end");
  }
  msgctl(queue, IPC_RMID, 0); semctl(semset, 0, IPC_RMID);
  return 0;
}
`;
const PART = 'int answer(int question) { static int count; count += question; return count * 10; }\n';
const ROUNDS = 25;

describe('process target: threads in system calls', () => {
  let program: Program;
  before(() => {
    ensureHelper();
    program = new Program({ 'main.c': MAIN, 'part.c': PART });
  });
  after(() => program.dispose());

  it('system calls that wait see nothing of a patch', async () => {
    const payload = await program.payload({ 'part.c': PART.replace('* 10', '* 10 + 7') });
    const running = program.start();
    assert.equal(await running.line(), 'ready');
    const started = Date.now();
    const target = running.target();
    for (let round = 0; round < ROUNDS; round++) {
      const applied = await target.apply(payload);
      assert.equal(applied.kind, 'applied', JSON.stringify(applied));
      assert.equal(Number(await running.ask('?')) % 10, 7);
      const reverted = await target.revert(undefined);
      assert.equal(reverted.kind, 'reverted', JSON.stringify(reverted));
      assert.equal(Number(await running.ask('?')) % 10, 0);
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 3500 - (Date.now() - started))));
    let line = await running.ask('wake');
    const seen: string[] = [];
    while (line !== undefined && line !== 'end') {
      const [name, value, error, seconds, early] = line.split('|');
      seen.push(name!);
      const sleeps = name === 'nanosleep' || name === 'clock_nanosleep';
      assert.equal(error, '0', `${name} failed with errno ${error}`);
      assert.ok(Number(value) >= 0, `${name} returned ${value}`);
      assert.equal(early, sleeps ? '1' : '0', `${name} came back before it was woken`);
      if (sleeps) assert.ok(Number(seconds) >= 2.99 && Number(seconds) < 3.4, `${name} took ${seconds} s instead of 3`);
      line = await running.line();
    }
    assert.equal(seen.length, 18);
    assert.equal(await running.end(), 0);
  });
});
