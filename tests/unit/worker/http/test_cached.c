/* Files that caches may keep: which form is sent, what is said of its version, and when nothing is sent at all. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/exchange_rig.h"
#include "worker/http/cached.h"

static struct rc_cached file;

static void conn_begin(void *context, struct rc_exchange *exchange)
{
    (void)context;
    rc_cached_answer(exchange, &file);
}

static void open_all(void)
{
    exchange_rig_open(conn_begin);
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
    const int bytes = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
    exchange_rig_feed(text, (size_t)bytes);
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
