#define _GNU_SOURCE
#include "server.h"

#include "market.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Listens on loopback. *port 0: the kernel chooses, and *port says what. Returns the socket, or -1. */
int server_listen(unsigned short *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(*port) };
	socklen_t size = sizeof(address);
	int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0)
		return -1;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 16) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) < 0) {
		close(listener);
		return -1;
	}
	*port = ntohs(address.sin_port);
	return listener;
}

/* The page that every request gets. Returns its length. */
static size_t page(char *text, size_t size)
{
	static unsigned long served;
	size_t length = (size_t)snprintf(text, size, "The board, page %lu, after %lu ticks\n\n", ++served, market_ticks());

	return length + market_board(text + length, size - length);
}

static void answer(int client)
{
	char request[2048], body[2048], head[256];
	struct timeval patience = { .tv_sec = 2 };
	size_t length;
	int n;

	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (recv(client, request, sizeof(request), 0) <= 0)
		return;
	length = page(body, sizeof(body));
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
		     "Refresh: 1\r\nConnection: close\r\n\r\n",
		     length);
	if (send(client, head, (size_t)n, MSG_NOSIGNAL) == n)
		send(client, body, length, MSG_NOSIGNAL);
}

/* Serves one client after the other, for ever. */
void server_run(int listener)
{
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			perror("accept");
			return;
		}
		answer(client);
		close(client);
	}
}
