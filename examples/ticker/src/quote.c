#include "quote.h"

#include <stdio.h>
#include <stdlib.h>

long alarm_threshold = 200;

/* Change since the day began, in hundredths of a percent. */
static long change(const struct quote *quote)
{
	return (quote->price - quote->open) / quote->open * 10000;
}

bool quote_alarm(const struct quote *quote)
{
	return labs(change(quote)) >= alarm_threshold;
}

/* Writes one line of the board. Returns its length, as snprintf does. */
int quote_line(const struct quote *quote, char *text, size_t size)
{
	long moved = change(quote);

	return snprintf(text, size, "%-5s %5ld.%02ld  %c%ld.%02ld %% %s", quote->symbol,
			quote->price / 100, quote->price % 100,
			moved < 0 ? '-' : '+', labs(moved) / 100, labs(moved) % 100,
			quote_alarm(quote) ? "!" : " ");
}
