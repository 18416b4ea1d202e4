/*
 * ticker [PORT]: a board of prices that move, printed once a second and served on loopback.
 * Three feeds move the prices, one thread prints, the main thread answers browsers.
 */
#define _GNU_SOURCE
#include "market.h"
#include "server.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void rest(long milliseconds)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static void *feed(void *argument)
{
	for (;;) {
		market_step((int)(intptr_t)argument);
		rest(50);
	}
	return NULL;
}

static void print_board(void)
{
	char text[2048];

	market_board(text, sizeof(text));
	printf("%s\n", text);
	fflush(stdout);
}

static void *printer(void *argument)
{
	for (;;) {
		rest(1000);
		print_board();
	}
	return argument;
}

static void start(void *(*body)(void *), intptr_t argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, (void *)argument) != 0) {
		perror("pthread_create");
		exit(1);
	}
	pthread_detach(thread);
}

int main(int argc, char **argv)
{
	unsigned short port = (unsigned short)(argc > 1 ? strtoul(argv[1], NULL, 10) : 7070);
	int listener = server_listen(&port);

	if (listener < 0) {
		perror("cannot listen (try another port, or 0 for any)");
		return 1;
	}
	printf("The board is on http://127.0.0.1:%u/\n\n", port);
	fflush(stdout);
	market_open();
	for (intptr_t i = 0; i < FEEDS; i++)
		start(feed, i);
	start(printer, 0);
	server_run(listener);
	return 1;
}
