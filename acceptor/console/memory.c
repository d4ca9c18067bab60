/* memory: see memory.h. */
#include "acceptor/console/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/console/api.h"
#include "acceptor/console/cli.h"
#include "acceptor/console/list.h"
#include "acceptor/console/live.h"
#include "acceptor/console/print_json.h"
#include "acceptor/console/top.h"
#include "acceptor/console/which.h"
#include "acceptor/watch/supervisor.h"

#define MEMORY_LIMIT_DEFAULT 5u
#define MEMORY_LIMIT_MAX 1000u /* of a page of the API */
#define MEMORY_COLUMNS 100

static json_t *memory_ask(const struct rc_which *which, const char *path, const char *limit)
{
    struct rc_console_target target;
    rc_console_target_begin(&target, path);
    rc_console_target_add(&target, "limit", limit);
    return rc_console_api_json(which->socket, &target);
}

/* Two arrays of one order, each row of `now` gets "grown_bytes" a second: by how much `name` has grown. */
static void rows_grow(json_t *now, const json_t *before, const char *name, double seconds)
{
    size_t i;
    json_t *row;
    json_array_foreach(now, i, row)
    {
        const json_t *other = json_array_get(before, i);
        const double grown = other == NULL ? 0 : rc_list_figure(row, name) - rc_list_figure(other, name);
        (void)json_object_set_new(row, "grown_bytes", json_real(grown / seconds));
    }
}

static int row_compare(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left;
    const json_t *b = *(json_t *const *)right;
    const double grown = rc_list_figure(b, "grown_bytes") - rc_list_figure(a, "grown_bytes");
    const double bytes = rc_list_figure(b, "bytes") - rc_list_figure(a, "bytes");
    return grown != 0 ? (grown > 0) - (grown < 0) : (bytes > 0) - (bytes < 0);
}

/* What grows most comes first, then what holds most. False: no memory for it. */
static bool holders_sort(json_t *memory)
{
    const json_t *holders = json_object_get(memory, "holders");
    const size_t count = json_array_size(holders);
    json_t **rows = malloc((count + 1) * sizeof(*rows));
    json_t *sorted = json_array();
    for (size_t i = 0; rows != NULL && i < count; i++) {
        rows[i] = json_array_get(holders, i);
    }
    if (rows != NULL) {
        qsort(rows, count, sizeof(json_t *), row_compare);
    }
    for (size_t i = 0; rows != NULL && i < count; i++) {
        (void)json_array_append(sorted, rows[i]);
    }
    free(rows);
    return json_array_size(sorted) == count && json_object_set_new(memory, "holders", sorted) == 0;
}

/* --- for people --- */

/* "+1.5M", "-312", or "-" for none. */
static const char *grown_text(char text[24], const json_t *row)
{
    char number[16];
    const double grown = rc_list_figure(row, "grown_bytes");
    (void)snprintf(text, 24, "%s%s",
                   grown == 0  ? "-"
                   : grown < 0 ? "-"
                               : "+",
                   grown == 0 ? "" : rc_list_number(number, grown < 0 ? -grown : grown));
    return text;
}

static void print_holders(const json_t *memory, double seconds)
{
    char text[2][16];
    char growth[24];
    size_t i;
    json_t *row;
    printf("%s: %s of %s in use by all of its control group, or of this host; in %.1f s:\n\n",
           rc_list_text(memory, "instance"), rc_list_number(text[0], rc_list_figure(memory, "used_bytes")),
           rc_list_number(text[1], rc_list_figure(memory, "limit_bytes")), seconds);
    printf("%8s %8s %8s  %s\n", "GROWN/S", "BYTES", "MOST", "HELD FOR");
    json_array_foreach(json_object_get(memory, "holders"), i, row)
    {
        const double most = rc_list_figure(row, "bytes_max");
        if (rc_list_figure(row, "bytes") == 0 && rc_list_figure(row, "grown_bytes") == 0) {
            continue;
        }
        printf("%8s %8s %8s  %-18s %s (%s)\n", grown_text(growth, row),
               rc_list_number(text[0], rc_list_figure(row, "bytes")), most > 0 ? rc_list_number(text[1], most) : "-",
               rc_list_text(row, "what"), rc_list_text(row, "why"), rc_list_text(row, "look"));
    }
}

static void print_resident(const json_t *memory)
{
    char text[2][16];
    char growth[24];
    size_t i;
    json_t *row;
    printf("\n%8s %8s %8s  %s\n", "GROWN/S", "RESIDENT", "PRIVATE", "PROCESS");
    json_array_foreach(json_object_get(memory, "processes"), i, row)
    {
        const json_t *worker = json_object_get(row, "worker");
        printf("%8s %8s %8s  %s", grown_text(growth, row),
               rc_list_number(text[0], rc_list_figure(row, "resident_bytes")),
               rc_list_number(text[1], rc_list_figure(row, "private_bytes")), rc_list_text(row, "process"));
        if (worker != NULL) {
            printf(" %.0f", json_number_value(worker));
        }
        printf("\n");
    }
}

static int memory_print(const json_t *memory, const json_t *channels, const json_t *clients, double seconds)
{
    print_holders(memory, seconds);
    print_resident(memory);
    rc_top_print_channels(channels, "CHANNELS THAT KEEP MOST", SIZE_MAX, MEMORY_COLUMNS);
    rc_top_print_behind(clients, SIZE_MAX);
    if (rc_console_incomplete_say(stderr, "ringcast: ", channels)) {
        fputc('\n', stderr);
    }
    return fflush(stdout) == 0 ? RC_EXIT_OK : RC_EXIT_FAILED;
}

static int memory_dump(json_t *memory, const json_t *channels, const json_t *clients)
{
    (void)json_object_set(memory, "channels", json_object_get(channels, "channels"));
    (void)json_object_set(memory, "clients", json_object_get(clients, "clients"));
    rc_console_incomplete_copy(memory, channels);
    const bool good = rc_json_print(stdout, memory);
    return good ? RC_EXIT_OK : RC_EXIT_FAILED;
}

/* Both looks at the holders: the second with what has grown since the first. NULL after a line on standard error, or interrupted. */
static json_t *memory_look(const struct rc_which *which, double seconds)
{
    json_t *before = memory_ask(which, "/api/memory", NULL);
    json_t *now = before != NULL && rc_live_wait(seconds) ? memory_ask(which, "/api/memory", NULL) : NULL;
    if (now != NULL) {
        rows_grow(json_object_get(now, "holders"), json_object_get(before, "holders"), "bytes", seconds);
        rows_grow(json_object_get(now, "processes"), json_object_get(before, "processes"), "private_bytes", seconds);
        if (!holders_sort(now)) {
            fprintf(stderr, "ringcast: no memory for the list\n");
            json_decref(now);
            now = NULL;
        }
    }
    json_decref(before);
    return now;
}

int rc_console_memory_run(const struct rc_cli *cli)
{
    struct rc_which which;
    double seconds;
    uint32_t most = MEMORY_LIMIT_DEFAULT;
    char limit[16];
    int exit_code = rc_live_interval(cli, &seconds);
    exit_code = exit_code == RC_EXIT_OK ? rc_list_limit(cli, &most) : exit_code;
    if (exit_code == RC_EXIT_OK) {
        exit_code = rc_which_broker(&which, cli->socket, cli->config);
    }
    if (exit_code != RC_EXIT_OK) {
        return exit_code;
    }
    (void)snprintf(limit, sizeof(limit), "%u", most < MEMORY_LIMIT_MAX ? most : MEMORY_LIMIT_MAX);
    json_t *memory = memory_look(&which, seconds);
    json_t *channels = memory == NULL ? NULL : memory_ask(&which, "/api/channels?sort=memory", limit);
    json_t *clients = channels == NULL ? NULL : memory_ask(&which, "/api/clients?behind=1", limit);
    exit_code = RC_EXIT_FAILED;
    if (clients != NULL) {
        exit_code =
            cli->json ? memory_dump(memory, channels, clients) : memory_print(memory, channels, clients, seconds);
    }
    json_decref(clients);
    json_decref(channels);
    json_decref(memory);
    return exit_code;
}
