#include "market.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What is traded here, and where the day began. */
static const struct listing {
	const char *symbol;
	long open;
} listings[] = {
	{ "ACME", 10000 },
	{ "GLOB", 4250 },
	{ "INIT", 25075 },
	{ "UMBR", 1320 },
	{ "WAYN", 88800 },
	{ "STRK", 15640 },
};

#define COUNT (sizeof(listings) / sizeof(listings[0]))

static struct quote quotes[COUNT];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void market_open(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		strcpy(quotes[i].symbol, listings[i].symbol);
		quotes[i].open = quotes[i].price = listings[i].open;
	}
}

/* A small step up or down, never more than half a percent: xorshift, one state for all feeds. */
static long step(long price)
{
	static uint64_t state = 88172645463325252;
	long limit = price / 200 + 1;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (long)(state % (uint64_t)(2 * limit + 1)) - limit;
}

/* Draws the price back to where the day began, so that the board stays readable for days. */
static long pull(const struct quote *quote)
{
	return (quote->open - quote->price) / 40;
}

/* One round of one feed: every quote that belongs to it moves once. */
void market_step(int feed)
{
	pthread_mutex_lock(&lock);
	for (size_t i = (size_t)feed; i < COUNT; i += FEEDS) {
		quotes[i].price += step(quotes[i].price) + pull(&quotes[i]);
		quotes[i].ticks++;
	}
	pthread_mutex_unlock(&lock);
}

/* Writes the whole board, a line for each quote. Returns its length. */
size_t market_board(char *text, size_t size)
{
	size_t length = 0;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < COUNT && length + 1 < size; i++) {
		length += (size_t)quote_line(&quotes[i], text + length, size - length);
		if (length + 1 < size)
			length += (size_t)snprintf(text + length, size - length, "\n");
	}
	pthread_mutex_unlock(&lock);
	return length < size ? length : size - 1;
}

unsigned long market_ticks(void)
{
	unsigned long ticks = 0;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < COUNT; i++)
		ticks += quotes[i].ticks;
	pthread_mutex_unlock(&lock);
	return ticks;
}
