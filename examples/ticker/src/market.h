#ifndef MARKET_H
#define MARKET_H

#include "quote.h"

#define FEEDS 3

void market_open(void);
void market_step(int feed);
size_t market_board(char *text, size_t size);
unsigned long market_ticks(void);

#endif
