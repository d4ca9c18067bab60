/*
 * live: what commands that go on until they are interrupted have in common (`top`, `status --watch`): the screen, the pause between two
 * looks, and what becomes of them while the broker does not answer.
 *
 *   answered ──▶ wait ──▶ ask ──▶ answered ──▶ …
 *      ▲                   └────▶ not answered: it is said, the last picture stays ──▶ wait ──▶ ask
 *      └───────────────────────────────────────────────────────────────────────────────────────┴──▶ RC_LIVE_PATIENCE_MS without an answer: the end
 *
 * A broker that is started anew, upgraded or busy for a moment is what such a command is there to be looked at for. One that does not
 * answer the first question is not there at all.
 *
 * Used by the sub-commands of `ringcast`, in a process of their own.
 */
#ifndef RC_ACCEPTOR_CONSOLE_LIVE_H
#define RC_ACCEPTOR_CONSOLE_LIVE_H

#include <stdbool.h>
#include <stdint.h>

/* ECMA-48 and DEC private modes: home and erase; lines longer than the screen are cut, or go on in the next. */
#define RC_LIVE_REDRAW "\033[H\033[2J"
#define RC_LIVE_CUT "\033[?7l"
#define RC_LIVE_WRAP "\033[?7h"

#define RC_LIVE_PATIENCE_MS 60000u

struct rc_cli;

struct rc_live {
    bool screen;          /* else nothing of the above is written */
    uint64_t answered_ms; /* of the last answer, CLOCK_MONOTONIC */
    uint64_t said_ms;     /* that there was none, on standard error; 0 = not yet */
};

/* Of --interval; RC_EXIT_CONFIG after a line on standard error, which names the page of help. */
int rc_live_interval(const struct rc_cli *cli, double *seconds);
/* Waits so long. False: it was interrupted. */
bool rc_live_wait(double seconds);

/* An answer has come. */
void rc_live_answered(struct rc_live *live, uint64_t now_ms);
/* None has, and why: over the first line of the last picture, or on standard error once a second. False: no more is to be asked, which is
 * said on standard error, too. */
bool rc_live_unanswered(struct rc_live *live, uint64_t now_ms, const char *why);

#endif
