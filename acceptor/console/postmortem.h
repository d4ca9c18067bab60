/*
 * postmortem: what the processes of a broker have said and done last, out of their reports, which outlive them: for `ringcast postmortem`, and
 * for the log when one dies.
 *
 * Functions over struct rc_supervisor, called from its loop alone. What is read there is another process's: cut and made printable.
 */
#ifndef RC_ACCEPTOR_CONSOLE_POSTMORTEM_H
#define RC_ACCEPTOR_CONSOLE_POSTMORTEM_H

#include <stdbool.h>
#include <stdio.h>

#include "acceptor/start/segments.h"

/* The last lines of all processes in the order of their times, then the clients that ended last; as text or (`json`) as
 * {"lines":[{"process":"worker 0","line":"…"}],"closed":[…]}. */
void rc_postmortem_print(FILE *out, const struct rc_segments *segments, uint32_t worker_count, bool json);

#endif
