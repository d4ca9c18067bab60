/* list: see list.h. */
#include "acceptor/console/list.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "acceptor/console/api.h"
#include "acceptor/console/cell.h"
#include "acceptor/console/cli.h"
#include "acceptor/console/groups.h"
#include "acceptor/console/option.h"
#include "acceptor/console/print_json.h"
#include "acceptor/console/status.h"
#include "acceptor/console/which.h"
#include "acceptor/watch/supervisor.h"
#include "common/base/check.h"

#define PAGE_MAX 1000u
#define LIMIT_DEFAULT 100u
#define LIMIT_MAX 1000000u
#define USER_COLUMNS 16u
#define REASON_COLUMNS 18u

const char *rc_list_number(char text[16], double number)
{
    static const char units[] = " kMGTP";
    size_t unit = 0;
    while (number >= 1000.0 && unit < sizeof(units) - 2) {
        number /= 1000.0;
        unit++;
    }
    if (unit == 0) {
        (void)snprintf(text, 16, "%.0f", number);
    } else {
        (void)snprintf(text, 16, "%.1f%c", number, units[unit]);
    }
    return text;
}

int rc_list_limit(const struct rc_cli *cli, uint32_t *limit)
{
    char *end = NULL;
    const unsigned long value = cli->limit != NULL ? strtoul(cli->limit, &end, 10) : *limit;
    if ((end != NULL && *end != '\0') || value == 0 || value > LIMIT_MAX) {
        return rc_option_misused(cli, "--limit is a number from 1 to 1000000, and not", cli->limit);
    }
    *limit = (uint32_t)value;
    return RC_EXIT_OK;
}

/* What is done with the rows of all pages: listed, or counted. */
struct taking {
    json_t *rows;            /* owned: listed */
    struct rc_groups groups; /* counted, by `by`; NULL = listed */
    uint32_t taken;
    uint32_t limit;
};

/* The rows of a page, members of the answer's `name`; false after a line on standard error. `*next` is owned, NULL = it was the last. */
static bool list_append(struct taking *taking, const json_t *page, const char *name, char **next, bool *more)
{
    json_t *rows = json_object_get(page, name);
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (taking->taken == taking->limit) {
            *more = true;
            return true;
        }
        if (taking->groups.by != NULL ? !rc_groups_add(&taking->groups, row)
                                      : json_array_append(taking->rows, row) != 0) {
            fprintf(stderr, "ringcast: no memory for the list\n");
            return false;
        }
        taking->taken++;
    }
    const char *cursor = json_string_value(json_object_get(page, "next"));
    *more = cursor != NULL || json_is_true(json_object_get(page, "more"));
    *next = cursor != NULL ? strdup(cursor) : NULL;
    return true;
}

/* {"name":[…],"more":false}, or of what was counted {"by":"user","groups":[…],"more":false}; NULL: no memory. */
static json_t *list_root(struct taking *taking, const char *name, uint32_t limit, bool more)
{
    bool others = false;
    if (taking->groups.by == NULL) {
        return json_pack("{s:O, s:b}", name, taking->rows, "more", more);
    }
    json_t *groups = rc_groups_json(&taking->groups, limit, &others);
    return groups == NULL
               ? NULL
               : json_pack("{s:s, s:o, s:b}", "by", taking->groups.by, "groups", groups, "more", more || others);
}

/* All pages: rows up to the limit, or groups, for which as many are looked at as may be listed; NULL after a line on standard error. */
static json_t *list_all(const struct rc_which *which, const struct rc_console_target *asked, const char *name,
                        uint32_t limit, const char *by)
{
    struct taking taking = {.rows = json_array(), .groups = {.by = by}, .limit = by != NULL ? LIMIT_MAX : limit};
    json_t *lacks = json_object();
    char *next = NULL;
    bool more = true;
    bool there = taking.rows != NULL;
    for (bool first = true; there && (first || next != NULL) && taking.taken < taking.limit; first = false) {
        const uint32_t wanted = taking.limit - taking.taken;
        char count[16];
        struct rc_console_target target = *asked;
        (void)snprintf(count, sizeof(count), "%u", wanted < PAGE_MAX ? wanted : PAGE_MAX);
        rc_console_target_add(&target, "limit", count);
        rc_console_target_add(&target, "cursor", next);
        free(next);
        next = NULL;
        json_t *page = rc_console_api_json(which->socket, &target);
        there = page != NULL && list_append(&taking, page, name, &next, &more);
        rc_console_incomplete_copy(lacks, page);
        json_decref(page);
    }
    free(next);
    json_t *root = there ? list_root(&taking, name, limit, more) : NULL;
    if (root != NULL) {
        (void)json_object_update(root, lacks);
    }
    json_decref(taking.rows);
    rc_groups_free(&taking.groups);
    json_decref(lacks);
    return root;
}

static int list_dump(const json_t *root)
{
    const bool written = rc_json_print(stdout, root);
    return written ? RC_EXIT_OK : RC_EXIT_FAILED;
}

double rc_list_figure(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

const char *rc_list_text(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text != NULL ? text : "-";
}

/* --- clients --- */

static void print_client(const json_t *row)
{
    char age[32];
    char behind[16];
    char sent[16];
    char received[16];
    struct rc_cell text;
    size_t i;
    json_t *name;
    rc_status_format_age(age, sizeof(age), (uint64_t)rc_list_figure(row, "age_ms"));
    printf("%-36s %s %-15s %-11s %-9s %6.0f %8s %8.0f %8s %8s %8s%s\n", rc_list_text(row, "client"),
           rc_cell(&text, rc_list_text(row, "user"), USER_COLUMNS, 0), rc_list_text(row, "address"),
           rc_list_text(row, "protocol"), rc_list_text(row, "transport"), rc_list_figure(row, "worker"), age,
           rc_list_figure(row, "channels"), rc_list_number(behind, rc_list_figure(row, "behind_bytes")),
           rc_list_number(sent, rc_list_figure(row, "sent_bytes")),
           rc_list_number(received, rc_list_figure(row, "received_bytes")),
           json_is_true(json_object_get(row, "closing")) ? "  closing" : "");
    json_array_foreach(json_object_get(row, "names"), i, name)
    {
        printf("    %s\n", json_is_string(name) ? rc_cell(&text, json_string_value(name), 0, 0) : "-");
    }
}

static void print_closed(const json_t *row)
{
    char age[32];
    char sent[16];
    char at[32] = "-";
    const time_t seconds = (time_t)(rc_list_figure(row, "closed_at") / 1000.0);
    struct tm parts;
    struct rc_cell user;
    struct rc_cell reason;
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(at, sizeof(at), "%Y-%m-%d %H:%M:%SZ", &parts);
    }
    rc_status_format_age(age, sizeof(age), (uint64_t)rc_list_figure(row, "age_ms"));
    printf("%-20s %5.0f %s %-7s %-36s %s %-15s %-11s %8s %8s\n", at, rc_list_figure(row, "code"),
           rc_cell(&reason, rc_list_text(row, "reason"), REASON_COLUMNS, 0), rc_list_text(row, "by"),
           rc_list_text(row, "client"), rc_cell(&user, rc_list_text(row, "user"), USER_COLUMNS, 0),
           rc_list_text(row, "address"), rc_list_text(row, "protocol"), age,
           rc_list_number(sent, rc_list_figure(row, "sent_bytes")));
}

static void print_clients(const struct rc_cli *cli, const json_t *rows)
{
    size_t i;
    json_t *row;
    if (cli->closed) {
        printf("%-20s %5s %-18s %-7s %-36s %-16s %-15s %-11s %8s %8s\n", "CLOSED", "CODE", "REASON", "BY", "CLIENT",
               "USER", "ADDRESS", "PROTOCOL", "AGE", "SENT");
    } else {
        printf("%-36s %-16s %-15s %-11s %-9s %6s %8s %8s %8s %8s %8s\n", "CLIENT", "USER", "ADDRESS", "PROTOCOL",
               "TRANSPORT", "WORKER", "AGE", "CHANNELS", "BEHIND", "SENT", "RECEIVED");
    }
    json_array_foreach(rows, i, row)
    {
        (cli->closed ? print_closed : print_client)(row);
    }
}

/* Rows of rc_groups_json. */
static void print_groups(const char *by, const json_t *rows)
{
    char title[32];
    size_t i;
    json_t *row;
    (void)snprintf(title, sizeof(title), "%s", by);
    for (char *at = title; *at != '\0'; at++) {
        *at = (char)toupper((unsigned char)*at);
    }
    printf("%8s %8s %8s %8s %s\n", "CLIENTS", "BEHIND", "SENT", "RECEIVED", title);
    json_array_foreach(rows, i, row)
    {
        const json_t *is = json_object_get(row, by);
        char text[3][16];
        printf("%8.0f %8s %8s %8s ", rc_list_figure(row, "clients"),
               rc_list_number(text[0], rc_list_figure(row, "behind_bytes")),
               rc_list_number(text[1], rc_list_figure(row, "sent_bytes")),
               rc_list_number(text[2], rc_list_figure(row, "received_bytes")));
        if (json_is_integer(is)) {
            printf("%lld\n", (long long)json_integer_value(is));
        } else {
            struct rc_cell group;
            printf("%s\n", rc_cell(&group, rc_list_text(row, by), 0, 0));
        }
    }
}

/* Asks the broker for the list of that name, and prints it. */
static int list_print(const struct rc_cli *cli, struct rc_console_target *target, const char *name,
                      void (*print)(const struct rc_cli *cli, const json_t *rows))
{
    struct rc_which which;
    uint32_t limit = LIMIT_DEFAULT;
    int exit_code = rc_list_limit(cli, &limit);
    exit_code = exit_code == RC_EXIT_OK ? rc_which_broker(&which, cli->socket, cli->config) : exit_code;
    if (exit_code != RC_EXIT_OK) {
        return exit_code;
    }
    json_t *root = list_all(&which, target, name, limit, cli->by);
    if (root == NULL) {
        return RC_EXIT_FAILED;
    }
    if (cli->json) {
        exit_code = list_dump(root);
    } else {
        if (cli->by != NULL) {
            print_groups(cli->by, json_object_get(root, "groups"));
        } else {
            print(cli, json_object_get(root, name));
        }
        if (json_is_true(json_object_get(root, "more"))) {
            printf("... there are more: --limit N shows them\n");
        }
        if (rc_console_incomplete_say(stderr, "ringcast: ", root)) {
            fputc('\n', stderr);
        }
    }
    json_decref(root);
    return exit_code;
}

/* What --by takes: members of the rows. */
static bool by_known(const struct rc_cli *cli)
{
    static const struct {
        const char *name;
        bool open;   /* of who is there */
        bool closed; /* of who was */
    } members[] = {{"user", true, true},   {"address", true, true},    {"protocol", true, true},
                   {"worker", true, true}, {"transport", true, false}, {"code", false, true},
                   {"reason", false, true}};
    bool known = false;
    for (size_t i = 0; i < RC_ARRAY_COUNT(members); i++) {
        known = known || (strcmp(cli->by, members[i].name) == 0 && (cli->closed ? members[i].closed : members[i].open));
    }
    return known;
}

int rc_list_clients(const struct rc_cli *cli)
{
    struct rc_console_target target;
    if (cli->by != NULL && !by_known(cli)) {
        return rc_option_misused(cli,
                                 cli->closed ? "--by is user, address, protocol, worker, code or reason, and not"
                                             : "--by is user, address, protocol, worker or transport, and not",
                                 cli->by);
    }
    if (cli->behind != NULL && strspn(cli->behind, "0123456789") != strlen(cli->behind)) {
        return rc_option_misused(cli, "--behind is a number of bytes, and not", cli->behind);
    }
    rc_console_target_begin(&target, "/api/clients");
    rc_console_target_add(&target, "user", cli->user);
    rc_console_target_add(&target, "channel", cli->channel);
    rc_console_target_add(&target, "address", cli->address);
    rc_console_target_add(&target, "protocol", cli->protocol);
    rc_console_target_add(&target, "behind", cli->behind);
    rc_console_target_add(&target, "names", cli->names ? "true" : NULL);
    rc_console_target_add(&target, "closed", cli->closed ? "true" : NULL);
    return list_print(cli, &target, cli->closed ? "closed" : "clients", print_clients);
}

/* --- channels --- */

static void print_channels(const struct rc_cli *cli, const json_t *rows)
{
    size_t i;
    json_t *row;
    const bool measured = cli->sort != NULL && strcmp(cli->sort, "name") != 0;
    printf("%11s %s%s\n", "SUBSCRIBERS", measured ? "   MSG/S  BYTES/S    OUT/S   MEMORY  BEHIND " : "", "CHANNEL");
    json_array_foreach(rows, i, row)
    {
        char bytes[3][16];
        struct rc_cell name;
        printf("%11.0f ", rc_list_figure(row, "subscribers"));
        if (measured) {
            printf("%8.1f %8s %8s %8s %7.0f ", rc_list_figure(row, "rate"),
                   rc_list_number(bytes[0], rc_list_figure(row, "bytes")),
                   rc_list_number(bytes[1], rc_list_figure(row, "out_bytes")),
                   rc_list_number(bytes[2], rc_list_figure(row, "log_bytes")), rc_list_figure(row, "behind"));
        }
        printf("%s\n", rc_cell(&name, rc_list_text(row, "channel"), 0, 0));
    }
}

/* What --sort takes, as the API does. */
static bool sort_known(const char *word)
{
    static const char *const words[] = {"name", "rate", "subscribers", "bytes", "memory"};
    bool known = false;
    for (size_t i = 0; i < RC_ARRAY_COUNT(words); i++) {
        known = known || strcmp(word, words[i]) == 0;
    }
    return known;
}

int rc_list_channels(const struct rc_cli *cli)
{
    if (cli->sort != NULL && !sort_known(cli->sort)) {
        return rc_option_misused(cli, "--sort is name, rate, subscribers, bytes or memory, and not", cli->sort);
    }
    struct rc_console_target target;
    rc_console_target_begin(&target, "/api/channels");
    rc_console_target_add(&target, "sort", cli->sort);
    rc_console_target_add(&target, "prefix", cli->prefix);
    return list_print(cli, &target, "channels", print_channels);
}
