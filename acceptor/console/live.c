/* live: see live.h. */
#include "acceptor/console/live.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "acceptor/console/cli.h"
#include "acceptor/console/option.h"
#include "acceptor/watch/supervisor.h"

#define LIVE_INTERVAL_DEFAULT 2.0
#define LIVE_INTERVAL_MAX 3600.0
#define LIVE_SAID_MS 1000u

/* ECMA-48, DEC: the cursor's place is kept, its first line is erased and written, and it goes back. */
#define LIVE_HEADLINE "\0337\033[H\033[2K" RC_LIVE_CUT
#define LIVE_BACK RC_LIVE_WRAP "\0338"

int rc_live_interval(const struct rc_cli *cli, double *seconds)
{
    char *end = NULL;
    *seconds = cli->interval != NULL ? strtod(cli->interval, &end) : LIVE_INTERVAL_DEFAULT;
    if ((end != NULL && *end != '\0') || !(*seconds >= 0.1 && *seconds <= LIVE_INTERVAL_MAX)) {
        return rc_option_misused(cli, "--interval is a number of seconds, from 0.1 to 3600, and not", cli->interval);
    }
    return RC_EXIT_OK;
}

bool rc_live_wait(double seconds)
{
    sigset_t ends;
    const struct timespec pause = {.tv_sec = (time_t)seconds,
                                   .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    const bool over = sigtimedwait(&ends, NULL, &pause) < 0;
    /* While a broker is asked that may not answer, they end the program as ever. */
    (void)sigprocmask(SIG_UNBLOCK, &ends, NULL);
    return over;
}

void rc_live_answered(struct rc_live *live, uint64_t now_ms)
{
    live->answered_ms = now_ms;
    live->said_ms = 0;
}

bool rc_live_unanswered(struct rc_live *live, uint64_t now_ms, const char *why)
{
    const uint64_t silent_ms = now_ms - live->answered_ms;
    char line[1024];
    if (silent_ms >= RC_LIVE_PATIENCE_MS) {
        fprintf(stderr, "ringcast: no answer for %" PRIu64 " s: %s\n", silent_ms / 1000, why);
        return false;
    }
    (void)snprintf(line, sizeof(line), "ringcast: no answer for %" PRIu64 " s: %s; asked again, for %" PRIu64 " s more",
                   silent_ms / 1000, why, (RC_LIVE_PATIENCE_MS - silent_ms + 999) / 1000);
    if (live->screen) { /* the last picture stays: what was before is what somebody wants to see now */
        printf(LIVE_HEADLINE "%s" LIVE_BACK, line);
    } else if (live->said_ms == 0 || now_ms - live->said_ms >= LIVE_SAID_MS) {
        fprintf(stderr, "%s\n", line);
        live->said_ms = now_ms;
    }
    return fflush(stdout) == 0;
}
