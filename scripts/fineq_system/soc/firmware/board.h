/* What the firmware needs of the SoC: text, caches, the interrupt. `soc.h` has its addresses. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fineq.h"
#include "soc.h"

extern const struct fineq_port cached_port;   /* drops what is stale */
extern const struct fineq_port careless_port; /* as if there were no cache */

extern volatile uint32_t interrupts; /* taken so far */

void board_start(void);
void interrupt_enable(bool enable);
void print(const char *text);
void print_number(uint64_t number);
/* The simulation, or whoever listens, ends here: one byte that is no text. */
void board_end(bool passed);

#endif
