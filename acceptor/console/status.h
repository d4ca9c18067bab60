/*
 * status: the running broker on one page, for people and as JSON.
 */
#ifndef RC_ACCEPTOR_CONSOLE_STATUS_H
#define RC_ACCEPTOR_CONSOLE_STATUS_H

#include <stdint.h>
#include <stdio.h>

#include "acceptor/watch/supervisor.h"

void rc_status_print_table(FILE *out, struct rc_supervisor *supervisor);
void rc_status_print_json(FILE *out, struct rc_supervisor *supervisor);

/* "3d 4h", "2h 5m", "7m 1s", "12s". */
void rc_status_format_age(char *text, size_t capacity, uint64_t age_ms);

#endif
