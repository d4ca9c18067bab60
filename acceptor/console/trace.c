/* trace: see trace.h. */
#include "acceptor/console/trace.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "acceptor/console/api.h"
#include "acceptor/console/cell.h"
#include "acceptor/console/cli.h"
#include "acceptor/console/client.h"
#include "acceptor/console/console.h"
#include "acceptor/console/option.h"
#include "acceptor/console/which.h"
#include "acceptor/watch/supervisor.h"
#include "common/base/clock.h"

#define TRACE_EVERY_MS 200u
#define TRACE_SECONDS_MAX 31536000.0 /* a year */

static double stage_number(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

static const char *stage_text(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text != NULL ? text : "";
}

/* " name=value" when there is one. */
static void print_text(const char *name, const char *value)
{
    if (value[0] != '\0') {
        printf(" %s=", name);
        rc_cell_write(stdout, value);
    }
}

static void print_stage(const json_t *row)
{
    const double wall_ms = stage_number(row, "time_ms");
    const time_t seconds = (time_t)(wall_ms / 1000.0);
    const char *stage = stage_text(row, "stage");
    char clock[16] = "";
    struct tm parts;
    if (strcmp(stage, "dropped") == 0) {
        printf("... %.0f stages were lost: there are more than can be read\n", stage_number(row, "count"));
        return;
    }
    if (strcmp(stage, "nobody") == 0 || strcmp(stage, "silent") == 0) {
        const char *process = stage_text(row, "process");
        printf("... %s%s%s\n", process, process[0] != '\0' ? ": " : "", stage_text(row, "why"));
        return;
    }
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(clock, sizeof(clock), "%H:%M:%S", &parts);
    }
    printf("%s.%06.0fZ %-9s %-9s", clock, (wall_ms - (double)seconds * 1000.0) * 1000.0, stage_text(row, "process"),
           stage);
    if (stage_number(row, "sequence") > 0) {
        printf(" #%.0f", stage_number(row, "sequence"));
    }
    print_text("channel", stage_text(row, "channel"));
    print_text("event", stage_text(row, "event"));
    print_text("client", stage_text(row, "client"));
    if (stage_number(row, "bytes") > 0) {
        printf(" bytes=%.0f", stage_number(row, "bytes"));
    }
    if (strcmp(stage, "sequenced") == 0) {
        printf(" workers=%.0f", stage_number(row, "count"));
    } else if (strcmp(stage, "down") == 0 || strcmp(stage, "sent") == 0) {
        printf(" clients=%.0f", stage_number(row, "count"));
    } else if (strcmp(stage, "state") == 0) {
        printf(" count=%.0f", stage_number(row, "count"));
    }
    if (stage_number(row, "behind") > 0) {
        printf(" behind=%.0f", stage_number(row, "behind"));
    }
    if (stage_number(row, "code") > 0) {
        printf(" code=%.0f", stage_number(row, "code"));
    }
    if (stage_text(row, "why")[0] != '\0') {
        printf(" (");
        rc_cell_write(stdout, stage_text(row, "why"));
        putchar(')');
    }
    printf("\n");
}

/* One request to the broker; its answer, owned, or NULL after a line on standard error. */
static char *trace_ask(const struct rc_which *which, const char *request)
{
    struct rc_err err = {{0}};
    char *text = rc_client_text(which->socket, request, &err);
    if (text == NULL) {
        fprintf(stderr, "ringcast: %s\n", err.text);
    }
    return text;
}

/* The same of a trace that is under way: others who ask much are not its end. As long as the broker waits for who reads (`heard_ms`: of what it said
 * last), who is turned away has "", which is to be asked again, with `*again`. */
static char *trace_ask_on(const struct rc_which *which, const char *request, uint64_t *heard_ms, bool *again)
{
    struct rc_err err = {{0}};
    char *text = rc_client_text(which->socket, request, &err);
    *again =
        text == NULL && strcmp(err.text, RC_CONSOLE_TURNED_AWAY) == 0 && rc_clock_ms() - *heard_ms < RC_TRACE_IDLE_MS;
    if (*again) {
        return strdup("");
    }
    if (text == NULL) {
        fprintf(stderr, "ringcast: %s\n", err.text);
    }
    *heard_ms = rc_clock_ms();
    return text;
}

/* What has been told since: how many lines, or -1 after one on standard error. */
static int trace_read(const struct rc_cli *cli, const struct rc_which *which, const char *request, uint64_t *heard_ms)
{
    int count = 0;
    bool again;
    char *text = trace_ask_on(which, request, heard_ms, &again);
    char *rest = text;
    for (char *line = NULL; text != NULL && (line = strsep(&rest, "\n")) != NULL;) {
        json_t *row = line[0] == '\0' || cli->json ? NULL : json_loads(line, 0, NULL);
        count += line[0] != '\0';
        if (cli->json && line[0] != '\0') {
            printf("%s\n", line);
        } else if (row != NULL) {
            print_stage(row);
        }
        json_decref(row);
    }
    (void)fflush(stdout);
    free(text);
    return text != NULL && !ferror(stdout) ? count : -1;
}

/* So that it is in nobody's way any more; the broker would end it by itself, later. So whoever does not want to wait for that (`ends`) need not, and of
 * a trace that has failed, which was said, the broker is told once, if it can be. */
static void trace_end(const struct rc_which *which, const char *serial, const sigset_t *ends, bool failed)
{
    char request[64];
    const struct timespec pause = {.tv_nsec = (long)TRACE_EVERY_MS * 1000000};
    uint64_t heard_ms = rc_clock_ms();
    bool again;
    (void)snprintf(request, sizeof(request), "trace end %.20s", serial);
    if (failed) {
        struct rc_err unsaid;
        (void)sigprocmask(SIG_UNBLOCK, ends, NULL); /* it may hang */
        free(rc_client_text(which->socket, request, &unsaid));
        return;
    }
    do {
        free(trace_ask_on(which, request, &heard_ms, &again));
    } while (again && sigtimedwait(ends, NULL, &pause) < 0);
}

/* Until it is interrupted, or the time is over. */
static bool trace_follow(const struct rc_cli *cli, const struct rc_which *which, const char *serial, double seconds)
{
    char request[64];
    sigset_t ends;
    sigset_t held;
    const uint64_t until_ms = seconds > 0 ? rc_clock_ms() + (uint64_t)(seconds * 1000.0) : UINT64_MAX;
    const struct timespec pause = {.tv_nsec = (long)TRACE_EVERY_MS * 1000000};
    const struct timespec at_once = {.tv_sec = 0};
    uint64_t heard_ms = rc_clock_ms();
    int count = 0;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    /* Whoever reads us may go: it is our end, too, but not before the broker knows. */
    held = ends;
    (void)sigaddset(&held, SIGPIPE);
    (void)sigprocmask(SIG_BLOCK, &held, NULL);
    (void)snprintf(request, sizeof(request), "trace read %.20s", serial);
    /* A full answer has others behind it, which are overwritten soon. */
    while (count >= 0 && rc_clock_ms() < until_ms &&
           sigtimedwait(&ends, NULL, count >= (int)RC_TRACE_READ_MAX ? &at_once : &pause) < 0) {
        count = trace_read(cli, which, request, &heard_ms);
    }
    trace_end(which, serial, &ends, count < 0);
    (void)sigemptyset(&held);
    (void)sigaddset(&held, SIGPIPE);
    (void)sigprocmask(SIG_UNBLOCK, &held, NULL);
    return count >= 0;
}

int rc_console_trace_run(const struct rc_cli *cli)
{
    struct rc_which which;
    struct rc_console_target words;
    char *end = NULL;
    const double seconds = cli->seconds != NULL ? strtod(cli->seconds, &end) : 0;
    if (end != NULL && (*end != '\0' || !(seconds > 0 && seconds <= TRACE_SECONDS_MAX))) { /* nan is not, either */
        return rc_option_misused(cli, "--seconds is a number above 0, 31536000 at the most, and not", cli->seconds);
    }
    if (cli->client == NULL && cli->user == NULL && cli->channel == NULL && cli->event == NULL) {
        return rc_option_misused(cli, "one of --client, --user, --channel and --event is needed", NULL);
    }
    const int exit_code = rc_which_broker(&which, cli->socket, cli->config);
    if (exit_code != RC_EXIT_OK) {
        return exit_code;
    }
    rc_console_target_begin(&words, "trace begin");
    rc_console_target_word(&words, "client", cli->client);
    rc_console_target_word(&words, "user", cli->user);
    rc_console_target_word(&words, "channel", cli->channel);
    rc_console_target_word(&words, "event", cli->event);
    if (words.failed) {
        fprintf(stderr, "ringcast: what is to be traced is too long\n");
        return RC_EXIT_FAILED;
    }
    char *serial = trace_ask(&which, words.text);
    if (serial == NULL) {
        return RC_EXIT_FAILED;
    }
    serial[strcspn(serial, "\n")] = '\0';
    fprintf(stderr, "ringcast: tracing\n");
    const bool good = trace_follow(cli, &which, serial, seconds);
    free(serial);
    return good ? RC_EXIT_OK : RC_EXIT_FAILED;
}
