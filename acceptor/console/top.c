/* top: see top.h. */
#include "acceptor/console/top.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "acceptor/console/api.h"
#include "acceptor/console/cell.h"
#include "acceptor/console/cli.h"
#include "acceptor/console/client.h"
#include "acceptor/console/list.h"
#include "acceptor/console/live.h"
#include "acceptor/console/print_json.h"
#include "acceptor/console/status.h"
#include "acceptor/console/which.h"
#include "acceptor/start/settings.h"
#include "acceptor/watch/supervisor.h"
#include "common/base/clock.h"

#define TOP_ROWS 24
#define TOP_COLUMNS 80
#define TOP_HEAD_ROWS 11 /* without processes and lists */
#define TOP_LIST_MAX 50
#define TOP_BYTES 65536
#define USER_COLUMNS 16u

/* What is shown: the members are owned; NULL = not known. */
struct picture {
    uint64_t taken_ms; /* CLOCK_MONOTONIC: rates are no matter of what the broker's clock is set to */
    json_t *status;
    json_t *stats;
    json_t *channels;
    json_t *behind;
    json_t *closed;
};

static void picture_free(struct picture *picture)
{
    json_decref(picture->status);
    json_decref(picture->stats);
    json_decref(picture->channels);
    json_decref(picture->behind);
    json_decref(picture->closed);
    *picture = (struct picture){.stats = NULL};
}

/* What `ringcast status --json` says; NULL with `err`. */
static json_t *picture_status(const struct rc_which *which, struct rc_err *err)
{
    char *text = rc_client_text(which->socket, "status json", err);
    json_t *status = text != NULL ? json_loads(text, 0, NULL) : NULL;
    if (text != NULL && status == NULL) {
        (void)rc_err_set(err, -EPROTO, "the broker's status cannot be read");
    }
    free(text);
    return status;
}

static json_t *picture_ask(const struct rc_which *which, const char *path, struct rc_err *err)
{
    struct rc_console_target target;
    rc_console_target_begin(&target, path);
    return rc_console_api_get(which->socket, &target, err);
}

/* False with `err`: who does not answer one question is not asked the others. */
static bool picture_take(struct picture *picture, const struct rc_which *which, struct rc_err *err)
{
    *picture = (struct picture){.status = picture_status(which, err)};
    picture->stats = picture->status != NULL ? picture_ask(which, "/api/stats", err) : NULL;
    picture->taken_ms = rc_clock_ms();
    const bool there = picture->stats != NULL &&
                       (picture->channels = picture_ask(which, "/api/channels?sort=rate&limit=50", err)) != NULL &&
                       (picture->behind = picture_ask(which, "/api/clients?behind=1&limit=50", err)) != NULL &&
                       (picture->closed = picture_ask(which, "/api/clients?closed=true&limit=1000", err)) != NULL;
    if (!there) {
        picture_free(picture);
    }
    return there;
}

/* --- figures --- */

static double figure_of(const json_t *stats, const char *group, const char *name)
{
    return json_number_value(json_object_get(group != NULL ? json_object_get(stats, group) : stats, name));
}

static double seconds_between(const struct picture *now, const struct picture *before)
{
    return (double)(now->taken_ms - before->taken_ms) / 1000.0;
}

/* A second, between two pictures. */
static double rate_of(const struct picture *now, const struct picture *before, const char *group, const char *name)
{
    const double seconds = seconds_between(now, before);
    const double grown = figure_of(now->stats, group, name) - figure_of(before->stats, group, name);
    return seconds > 0 && grown > 0 ? grown / seconds : 0;
}

/* Per cent of one CPU. */
static double cpu_of(const struct picture *now, const struct picture *before, size_t process)
{
    const double seconds = seconds_between(now, before);
    const json_t *one = json_array_get(json_object_get(now->stats, "processes"), process);
    const json_t *other = json_array_get(json_object_get(before->stats, "processes"), process);
    const double used = figure_of(one, NULL, "cpu_seconds") - figure_of(other, NULL, "cpu_seconds");
    return seconds > 0 && used > 0 ? used * 100.0 / seconds : 0;
}

/* {"1006":12,"4501":3} of those who have ended lately. */
static json_t *closes_of(const json_t *closed)
{
    json_t *codes = json_object();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(closed, "closed"), i, row)
    {
        char code[16];
        (void)snprintf(code, sizeof(code), "%.0f", figure_of(row, NULL, "code"));
        json_object_set_new(codes, code, json_integer(json_integer_value(json_object_get(codes, code)) + 1));
    }
    return codes;
}

/* --- as JSON --- */

static int picture_dump(const struct picture *now, const struct picture *before)
{
    json_t *processes = json_array();
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(now->stats, "processes"), i, row)
    {
        json_t *one = json_copy(row);
        json_object_set_new(one, "cpu_percent", json_real(cpu_of(now, before, i)));
        json_array_append_new(processes, one);
    }
    json_t *rates = json_pack(
        "{s:f, s:f, s:f, s:f, s:f}", "received", rate_of(now, before, "messages", "received"), "published",
        rate_of(now, before, "messages", "published"), "delivered", rate_of(now, before, "messages", "delivered"),
        "bytes_in", rate_of(now, before, "bytes", "received"), "bytes_out", rate_of(now, before, "bytes", "sent"));
    json_t *root = json_pack("{s:O, s:O, s:o, s:o, s:O, s:O, s:o}", "status", now->status, "stats", now->stats, "rates",
                             rates, "processes", processes, "channels", json_object_get(now->channels, "channels"),
                             "behind", json_object_get(now->behind, "clients"), "closes", closes_of(now->closed));
    rc_console_incomplete_copy(root, now->channels);
    const bool good = rc_json_print(stdout, root);
    json_decref(root);
    return good ? RC_EXIT_OK : RC_EXIT_FAILED;
}

/* --- for people --- */

static void print_processes(const struct picture *now, const struct picture *before, size_t most)
{
    size_t i;
    json_t *row;
    printf("%-12s %8s %6s %8s %12s %13s %9s\n", "PROCESS", "PID", "CPU%", "MEM", "CONNECTIONS", "SUBSCRIPTIONS",
           "CHANNELS");
    json_array_foreach(json_object_get(now->stats, "processes"), i, row)
    {
        char name[32];
        char memory[16];
        if (i == most) {
            printf("... and %zu more\n", json_array_size(json_object_get(now->stats, "processes")) - most);
            return;
        }
        const json_t *worker = json_object_get(row, "worker");
        if (worker != NULL) {
            (void)snprintf(name, sizeof(name), "worker %.0f", json_number_value(worker));
        } else {
            (void)snprintf(name, sizeof(name), "%s", json_string_value(json_object_get(row, "process")));
        }
        printf("%-12s %8.0f %6.1f %8s", name, figure_of(row, NULL, "pid"), cpu_of(now, before, i),
               rc_list_number(memory, figure_of(row, NULL, "memory_bytes")));
        if (worker != NULL) {
            printf(" %12.0f %13.0f %9.0f", figure_of(row, NULL, "connections"), figure_of(row, NULL, "subscriptions"),
                   figure_of(row, NULL, "channels"));
        }
        printf("\n");
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

/* Does it say something else than that? A broker of an older version says nothing of what it does not know. */
static bool says_other(const char *text, const char *well)
{
    return text[0] != '\0' && strcmp(text, well) != 0;
}

/* What is not as it should be: Redis, processes, certificates. */
static void print_troubles(const struct picture *now)
{
    const json_t *status = now->status;
    const json_t *redis = json_object_get(status, "redis");
    const char *state = text_of(redis, "state");
    const int64_t now_s = (int64_t)(rc_clock_wall_ms() / 1000u);
    size_t i;
    json_t *row;
    printf("state: %s", text_of(status, "state"));
    if (says_other(state, "none") && says_other(state, "connected")) {
        printf("; redis %s: %s", state, text_of(redis, "error"));
    }
    json_array_foreach(json_object_get(status, "processes"), i, row)
    {
        if (says_other(text_of(row, "state"), "ready")) {
            printf("; %s %s", text_of(row, "process"), text_of(row, "state"));
        }
        if (says_other(text_of(row, "overload"), "none")) {
            printf("; %s overloaded: %s", text_of(row, "process"), text_of(row, "overload"));
        }
    }
    json_array_foreach(json_object_get(status, "certificates"), i, row)
    {
        const int64_t not_after_s = (int64_t)json_integer_value(json_object_get(row, "not_after_s"));
        char when[64];
        if (rc_settings_expiry_format(when, sizeof(when), not_after_s, now_s)) {
            printf("; %s %s", text_of(row, "file"), when);
        }
    }
    json_array_foreach(json_object_get(status, "keys"), i, row)
    {
        if (json_is_string(json_object_get(row, "error"))) {
            printf("; keys of %s not fetched: %s", text_of(row, "url"), text_of(row, "error"));
        }
    }
    (void)rc_console_incomplete_say(stdout, "; ", now->channels);
    printf("\n");
}

static void print_closes(const struct picture *now)
{
    json_t *codes = closes_of(now->closed);
    const char *code;
    json_t *count;
    printf("closed lately:");
    json_object_foreach(codes, code, count)
    {
        printf(" %s x%lld", code, (long long)json_integer_value(count));
    }
    printf("%s\n", json_object_size(codes) == 0 ? " nobody" : "");
    json_decref(codes);
}

void rc_top_print_channels(const json_t *channels, const char *title, size_t most, int columns)
{
    size_t i;
    json_t *row;
    printf("\n%8s %8s %8s %11s %7s  %s\n", "MSG/S", "OUT/S", "MEMORY", "SUBSCRIBERS", "BEHIND", title);
    json_array_foreach(json_object_get(channels, "channels"), i, row)
    {
        char text[2][16];
        struct rc_cell name;
        if (i == most) {
            break;
        }
        printf("%8.1f %8s %8s %11.0f %7.0f  %s\n", figure_of(row, NULL, "rate"),
               rc_list_number(text[0], figure_of(row, NULL, "out_bytes")),
               rc_list_number(text[1], figure_of(row, NULL, "log_bytes")), figure_of(row, NULL, "subscribers"),
               figure_of(row, NULL, "behind"),
               rc_cell(&name, text_of(row, "channel"), 0, columns > 50 ? (unsigned)columns - 48 : 16));
    }
}

void rc_top_print_behind(const json_t *clients, size_t most)
{
    size_t i;
    json_t *row;
    printf("\n%8s %9s %-16s %-16s %s\n", "BEHIND", "BLOCKED", "USER", "ADDRESS", "CLIENTS FURTHEST BEHIND");
    json_array_foreach(json_object_get(clients, "clients"), i, row)
    {
        char behind[16];
        char blocked[32];
        struct rc_cell user;
        if (i == most) {
            break;
        }
        rc_status_format_age(blocked, sizeof(blocked), (uint64_t)figure_of(row, NULL, "blocked_ms"));
        printf("%8s %9s %s %-16s %s\n", rc_list_number(behind, figure_of(row, NULL, "behind_bytes")), blocked,
               rc_cell(&user, rc_list_text(row, "user"), USER_COLUMNS, USER_COLUMNS), rc_list_text(row, "address"),
               rc_list_text(row, "client"));
    }
}

static void picture_print(const struct picture *now, const struct picture *before)
{
    struct winsize size = {.ws_row = TOP_ROWS, .ws_col = TOP_COLUMNS};
    char age[32];
    char text[4][16];
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) {
        size = (struct winsize){.ws_row = TOP_ROWS, .ws_col = TOP_COLUMNS};
    }
    const size_t processes = json_array_size(json_object_get(now->stats, "processes"));
    const size_t rows = size.ws_row > TOP_HEAD_ROWS + 8 ? (size_t)size.ws_row - TOP_HEAD_ROWS : 8;
    const size_t shown = processes < rows / 2 ? processes : rows / 2;
    const size_t left = (rows - shown) / 2;
    const json_t *stats = now->stats;
    rc_status_format_age(age, sizeof(age), (uint64_t)(figure_of(stats, NULL, "uptime_s") * 1000.0));
    printf("ringcast %s, up %s; %.0f connections, %.0f users, %.0f channels\n", rc_list_text(stats, "instance"), age,
           figure_of(stats, "connections", "total"), figure_of(stats, NULL, "users"),
           figure_of(stats, NULL, "channels"));
    printf("messages/s in %s out %s; bytes/s in %s out %s; latency ms p50 %.2f p95 %.2f p99 %.2f\n",
           rc_list_number(text[0], rate_of(now, before, "messages", "received")),
           rc_list_number(text[1], rate_of(now, before, "messages", "delivered")),
           rc_list_number(text[2], rate_of(now, before, "bytes", "received")),
           rc_list_number(text[3], rate_of(now, before, "bytes", "sent")), figure_of(stats, "latency_ms", "p50"),
           figure_of(stats, "latency_ms", "p95"), figure_of(stats, "latency_ms", "p99"));
    print_troubles(now);
    print_closes(now);
    printf("\n");
    print_processes(now, before, shown);
    rc_top_print_channels(now->channels, "HOTTEST CHANNELS", left < TOP_LIST_MAX ? left : TOP_LIST_MAX, size.ws_col);
    rc_top_print_behind(now->behind, left < TOP_LIST_MAX ? left : TOP_LIST_MAX);
}

/* A new picture in the place of the one before; the program's exit code. */
static int picture_show(const struct picture *now, const struct picture *before, const struct rc_cli *cli, bool screen)
{
    if (cli->json) {
        return picture_dump(now, before);
    }
    printf("%s", screen ? RC_LIVE_REDRAW RC_LIVE_CUT : "");
    picture_print(now, before);
    printf("%s", screen ? RC_LIVE_WRAP : "");
    return RC_EXIT_OK;
}

/* Picture after picture, and what became of it: an exit code. `before` is the first one, and freed. */
static int top_follow(const struct rc_cli *cli, const struct rc_which *which, double interval, struct picture *before)
{
    struct rc_live live = {.screen = !cli->once && !cli->json, .answered_ms = rc_clock_ms()};
    struct rc_err err = {{0}};
    struct picture now;
    int exit_code = RC_EXIT_OK;
    bool goes_on = true;
    if (live.screen) { /* a picture at a time: the screen is never left in the middle of one */
        (void)setvbuf(stdout, NULL, _IOFBF, TOP_BYTES);
    }
    while (goes_on && rc_live_wait(interval)) {
        if (picture_take(&now, which, &err)) {
            rc_live_answered(&live, rc_clock_ms());
            exit_code = picture_show(&now, before, cli, live.screen);
            picture_free(before);
            *before = now;
            goes_on = !cli->once && fflush(stdout) == 0 && exit_code == RC_EXIT_OK;
        } else if (cli->once) {
            fprintf(stderr, "ringcast: %s\n", err.text);
            exit_code = RC_EXIT_FAILED;
            goes_on = false;
        } else if (!rc_live_unanswered(&live, rc_clock_ms(), err.text)) {
            exit_code = RC_EXIT_FAILED;
            goes_on = false;
        }
    }
    picture_free(before);
    return exit_code;
}

int rc_top_run(const struct rc_cli *cli)
{
    struct rc_which which;
    struct rc_err err = {{0}};
    struct picture first;
    double interval;
    int exit_code = rc_live_interval(cli, &interval);
    if (exit_code == RC_EXIT_OK) {
        exit_code = rc_which_broker(&which, cli->socket, cli->config);
    }
    if (exit_code != RC_EXIT_OK) {
        return exit_code;
    }
    if (!picture_take(&first, &which, &err)) {
        fprintf(stderr, "ringcast: %s\n", err.text);
        return RC_EXIT_FAILED;
    }
    return top_follow(cli, &which, interval, &first);
}
