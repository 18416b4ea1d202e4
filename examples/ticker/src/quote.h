#ifndef QUOTE_H
#define QUOTE_H

#include <stdbool.h>
#include <stddef.h>

/* One line of the board. The market keeps an array of these for as long as the program runs. */
struct quote {
	char symbol[6];
	long open;  /* price when the day began, in cents */
	long price; /* price now, in cents */
	unsigned long ticks;
};

/* How far from the opening price a quote may be before it is marked, in hundredths of a percent. */
extern long alarm_threshold;

bool quote_alarm(const struct quote *quote);
int quote_line(const struct quote *quote, char *text, size_t size);

#endif
