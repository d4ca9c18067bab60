/* The log of what Socket.IO clients may have missed: chains, what goes when the circle is full, a successor, damage. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/recovery/log.h"

#define BYTES (64u * 1024)

static void *memory;
static struct rc_recovery_view view;
static struct rc_recovery_log slog;

static void open_log(void)
{
    struct rc_err err;
    bool damaged;
    memory = calloc(1, BYTES);
    cr_assert_eq(rc_recovery_view_open(&view, memory, BYTES, &err), 0);
    cr_assert_eq(rc_recovery_log_open(&slog, &view, &damaged), 0);
    cr_assert_not(damaged);
}

static void close_log(void)
{
    rc_recovery_log_close(&slog);
    free(memory);
}

TestSuite(recovery_log, .init = open_log, .fini = close_log);

static bool append(uint64_t chain, uint64_t sequence, size_t bytes)
{
    static uint8_t data[BYTES];
    const struct rc_recovery_entry head = {.sequence = sequence, .chain = chain};
    const struct rc_recovery_parts parts = {.channel = RC_SPAN("room"), .data = rc_span_of(data, bytes)};
    return rc_recovery_log_append(&slog, &head, &parts);
}

static uint32_t walk = 1000; /* entries that are looked at */
static bool odd;             /* only those of odd sequences are wanted */

static bool wants(const void *context, const struct rc_recovery_entry *entry, const struct rc_recovery_parts *parts)
{
    (void)context;
    (void)parts;
    return !odd || entry->sequence % 2 == 1;
}

/* Sequences of the chain's entries behind `since`, or why there are none. */
static const char *behind(uint64_t chain, uint64_t since)
{
    static char text[4096];
    struct rc_recovery_found found[256];
    struct rc_recovery_search search = {.found = found, .most = 256, .walk = walk, .wants = wants};
    size_t used = 0;
    const int rc = rc_recovery_log_collect(&slog, chain, since, &search);
    text[0] = '\0';
    if (rc != 0) {
        return rc == -ENODATA ? "gone" : "more";
    }
    const uint32_t count = rc_recovery_log_order(found, search.count);
    for (uint32_t i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%llu ", (unsigned long long)found[i].sequence);
    }
    return text;
}

Test(recovery_log, what_is_not_wanted_is_looked_at_and_not_found)
{
    cr_assert_eq(rc_recovery_log_want(&slog, 11), 1);
    for (uint64_t i = 1; i <= 5; i++) {
        append(11, i, 10);
    }
    odd = true;
    walk = 4;
    cr_assert_str_eq(behind(11, 1), "3 5 ");
    cr_assert_str_eq(behind(11, 0), "more");
    walk = 5;
    cr_assert_str_eq(behind(11, 0), "1 3 5 ");
}

Test(recovery_log, only_what_is_wanted_is_kept)
{
    cr_assert_eq(rc_recovery_log_want(&slog, 11), 1);
    cr_assert_eq(rc_recovery_log_want(&slog, 11), 0);
    append(11, 1, 10);
    append(22, 2, 10);
    append(11, 3, 10);
    cr_assert_str_eq(behind(11, 0), "1 3 ");
    cr_assert_str_eq(behind(11, 1), "3 ");
    cr_assert_str_eq(behind(22, 0), "");
    cr_assert_not(rc_recovery_log_unwant(&slog, 11));
    cr_assert(rc_recovery_log_unwant(&slog, 11));
    cr_assert_not(rc_recovery_log_wanted(&slog, 11));
}

Test(recovery_log, a_message_that_is_routed_again_is_kept_once)
{
    rc_recovery_log_want(&slog, 11);
    append(11, 1, 10);
    append(11, 1, 10);
    cr_assert_str_eq(behind(11, 0), "1 ");
}

Test(recovery_log, when_it_is_full_the_oldest_go_and_who_missed_them_is_told)
{
    rc_recovery_log_want(&slog, 11);
    rc_recovery_log_want(&slog, 22);
    append(22, 1, 10);
    for (uint64_t i = 2; i < 2000; i++) {
        cr_assert(append(11, i, 100 + i % 700));
        cr_assert_leq(slog.head - slog.tail, view.log_bytes);
    }
    cr_assert_str_eq(behind(11, 1), "gone");
    cr_assert_str_eq(behind(22, 0), "gone");
    cr_assert_str_eq(behind(11, 1998), "1999 ");
    cr_assert_str_eq(behind(22, 1998), "", "nothing of this chain came since");
    cr_assert_not(append(11, 2000, BYTES / 2), "larger than a part of the circle");
}

Test(recovery_log, a_successor_finds_the_same)
{
    bool damaged;
    rc_recovery_log_want(&slog, 11);
    for (uint64_t i = 1; i < 500; i++) {
        append(11, i, 300);
    }
    rc_recovery_log_close(&slog);
    cr_assert_eq(rc_recovery_log_open(&slog, &view, &damaged), 0);
    cr_assert_not(damaged);
    rc_recovery_log_want(&slog, 11);
    rc_recovery_log_link(&slog);
    cr_assert_str_eq(behind(11, 497), "498 499 ");
    append(11, 499, 300);
    append(11, 500, 300);
    cr_assert_str_eq(behind(11, 498), "499 500 ");
}

Test(recovery_log, damage_is_seen_and_everything_forgotten)
{
    bool damaged;
    rc_recovery_log_want(&slog, 11);
    for (uint64_t i = 1; i < 10; i++) {
        append(11, i, 300);
    }
    memset(view.log + 700, 0xff, 64);
    rc_recovery_log_close(&slog);
    cr_assert_eq(rc_recovery_log_open(&slog, &view, &damaged), 0);
    cr_assert(damaged);
    rc_recovery_log_want(&slog, 11);
    rc_recovery_log_link(&slog);
    cr_assert_str_eq(behind(11, 0), "");
    append(11, 10, 300);
    cr_assert_str_eq(behind(11, 0), "10 ");
}
