/*
 * exchange_rig: a connection that is memory, for tests of what answers requests (worker/http/exchange): what a request leads to is the test's,
 * what goes out is kept as text.
 *
 * Included once by a test file. The limits of its requests are those of `config`.
 */
#ifndef RC_TESTS_SUPPORT_EXCHANGE_RIG_H
#define RC_TESTS_SUPPORT_EXCHANGE_RIG_H

#include <criterion/criterion.h>
#include <string.h>

#include "worker/http/exchange.h"

static struct {
    uint32_t place;
    bool lingers; /* it is to end */
    char out[16384];
    size_t out_bytes;
} conn;

static struct rc_config config;
static struct rc_metrics metrics;
static struct rc_exchanges exchanges;

static bool conn_speaks(void *context, uint32_t index)
{
    (void)context;
    (void)index;
    return !conn.lingers;
}

static uint32_t *conn_place(void *context, uint32_t index)
{
    (void)context;
    (void)index;
    return &conn.place;
}

static int conn_write(void *context, uint32_t index, const void *bytes, uint32_t count)
{
    (void)context;
    (void)index;
    cr_assert(conn.out_bytes + count < sizeof(conn.out));
    memcpy(conn.out + conn.out_bytes, bytes, count);
    conn.out_bytes += count;
    conn.out[conn.out_bytes] = '\0';
    return 0;
}

static uint32_t conn_unsent(void *context, uint32_t index)
{
    (void)context;
    (void)index;
    return 0;
}

static void conn_deadline(void *context, uint32_t index, uint64_t in_ms)
{
    (void)context;
    (void)index;
    (void)in_ms;
}

static void conn_ends(void *context, uint32_t index)
{
    (void)context;
    (void)index;
    conn.lingers = true;
}

/* Exchanges whose requests begin with that. */
static void exchange_rig_open(void (*begin)(void *context, struct rc_exchange *exchange))
{
    const struct rc_exchange_ops ops = {.speaks = conn_speaks,
                                        .place = conn_place,
                                        .begin = begin,
                                        .write = conn_write,
                                        .unsent = conn_unsent,
                                        .deadline = conn_deadline,
                                        .linger = conn_ends,
                                        .fail = conn_ends,
                                        .resume = conn_ends};
    memset(&conn, 0, sizeof(conn));
    config.limits.max_request_bytes = 4096;
    config.limits.max_request_headers = 50;
    config.limits.max_reply_bytes = 32768;
    cr_assert_eq(rc_exchanges_open(&exchanges, &ops, &config, &metrics, 4), 0);
}

/* Nothing has come out of the connection yet; these bytes go in. */
static void exchange_rig_feed(const char *text, size_t bytes)
{
    uint32_t scanned = 0;
    uint32_t began;
    conn.lingers = false;
    conn.out_bytes = 0;
    conn.out[0] = '\0';
    (void)rc_exchanges_feed(&exchanges, 0, (const uint8_t *)text, (uint32_t)bytes, &scanned, &began);
}

#endif
