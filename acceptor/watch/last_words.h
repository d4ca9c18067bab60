/*
 * last_words: the last lines of a process that has died go into the log of the acceptor, where they are found also when the journal
 * or a pipe has dropped them.
 *
 * Pure but for the log. What is read is another process's memory.
 */
#ifndef RC_ACCEPTOR_WATCH_LAST_WORDS_H
#define RC_ACCEPTOR_WATCH_LAST_WORDS_H

#include "common/shm/layout.h"

#define RC_LAST_WORDS 8u

/* Of the process of that report, which people know by `name`. */
void rc_last_words_log(const struct rc_report *report, const char *name);
/* The line of that number as printable text, NUL-terminated, in `out`; false: it is not there. */
bool rc_last_words_line(const struct rc_report *report, uint64_t number, char out[RC_FLIGHT_BYTES + 1]);

#endif
