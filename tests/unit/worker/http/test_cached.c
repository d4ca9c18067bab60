/* Files that caches may keep: which form is sent, what is said of its version, and when nothing is sent at all. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/http/cached.h"

static struct {
    uint32_t place;
    char out[4096];
    size_t out_bytes;
} conn;

static struct rc_config config;
static struct rc_metrics metrics;
static struct rc_exchanges exchanges;
static struct rc_cached file;

static bool conn_speaks(void *context, uint32_t index)
{
    (void)context;
    (void)index;
    return true;
}

static uint32_t *conn_place(void *context, uint32_t index)
{
    (void)context;
    (void)index;
    return &conn.place;
}

static void conn_begin(void *context, struct rc_exchange *exchange)
{
    (void)context;
    rc_cached_answer(exchange, &file);
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
}

static void open_all(void)
{
    const struct rc_exchange_ops ops = {.speaks = conn_speaks,
                                        .place = conn_place,
                                        .begin = conn_begin,
                                        .write = conn_write,
                                        .unsent = conn_unsent,
                                        .deadline = conn_deadline,
                                        .linger = conn_ends,
                                        .fail = conn_ends,
                                        .resume = conn_ends};
    config.limits.max_request_bytes = 4096;
    config.limits.max_request_headers = 50;
    config.limits.max_reply_bytes = 32768;
    cr_assert_eq(rc_exchanges_open(&exchanges, &ops, &config, &metrics, 4), 0);
    file = (struct rc_cached){.bytes = RC_SPAN("as it is"),
                              .gzip = RC_SPAN("packed"),
                              .content_type = "text/plain",
                              .cache_control = "public, max-age=7",
                              .headers = "X-More: 1\r\n"};
    rc_cached_open(&file);
}

static void close_all(void)
{
    rc_exchanges_close(&exchanges);
}

TestSuite(cached, .init = open_all, .fini = close_all);

static int ask(const char *headers)
{
    char text[1024];
    uint32_t scanned = 0;
    uint32_t began;
    const int bytes = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
    conn.out_bytes = 0;
    conn.out[0] = '\0';
    (void)rc_exchanges_feed(&exchanges, 0, (const uint8_t *)text, (uint32_t)bytes, &scanned, &began);
    return atoi(conn.out + strlen("HTTP/1.1 "));
}

static bool says(const char *text)
{
    return strstr(conn.out, text) != NULL;
}

/* Its version, of one form or the other, in a field. */
static int ask_version(const char *accepts, const char *coded)
{
    char headers[256];
    (void)snprintf(headers, sizeof(headers), "%sIf-None-Match: %.*s%s\"\r\n", accepts, (int)strlen(file.etag) - 1,
                   file.etag, coded);
    return ask(headers);
}

Test(cached, who_accepts_gzip_gets_it)
{
    cr_assert_eq(ask("Accept-Encoding: gzip, br\r\n"), 200);
    cr_expect(says("\r\n\r\npacked") && says("\r\nContent-Encoding: gzip\r\n") && says("\r\nContent-Length: 6\r\n"));
    cr_expect(says("\r\nVary: Accept-Encoding\r\n") && says("-gzip\"\r\n") && says("\r\nX-More: 1\r\n"));
    cr_expect(says("\r\nCache-Control: public, max-age=7\r\n") && !says("no-store"));
    cr_assert_eq(ask(""), 200);
    cr_expect(says("\r\n\r\nas it is") && !says("Content-Encoding") && says("\r\nVary: Accept-Encoding\r\n"));
    cr_expect(says(file.etag) && !says("-gzip"));
    cr_assert_eq(ask("Accept-Encoding: gzip;q=0, br\r\n"), 200);
    cr_expect(says("\r\n\r\nas it is"));
}

Test(cached, each_form_has_its_version)
{
    cr_expect_eq(ask_version("", ""), 304);
    cr_expect(says(file.etag) && says("\r\nCache-Control: public, max-age=7\r\n") && !says("as it is"));
    cr_expect_eq(ask_version("Accept-Encoding: gzip\r\n", "-gzip"), 304);
    cr_expect(says("-gzip\"") && !says("Content-Encoding") && !says("packed"));
    cr_expect_eq(ask_version("Accept-Encoding: gzip\r\n", ""), 200);
    cr_expect_eq(ask_version("", "-gzip"), 200);
    cr_expect_eq(ask("If-None-Match: \"x\", *\r\n"), 304);
}

Test(cached, without_a_compressed_form_nothing_varies)
{
    file.gzip = (struct rc_span){0};
    cr_assert_eq(ask("Accept-Encoding: gzip\r\n"), 200);
    cr_expect(says("\r\n\r\nas it is") && !says("Vary") && !says("Content-Encoding"));
}
