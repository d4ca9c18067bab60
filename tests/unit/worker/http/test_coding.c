/* Content codings of answers: which one a request takes, and bodies coded by it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/http/coding.h"

static enum rc_content_coding choose(const char *lines)
{
    static struct rc_http_request request;
    static const struct rc_http_limits limits = {0};
    static char head[2048];
    const char *why = "";
    size_t scanned = 0;
    const int n = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);
    cr_assert_gt(rc_http_request_parse((uint8_t *)head, (size_t)n, &scanned, &limits, &request, &why), 0, "%s", why);
    return rc_content_coding_choose(&request);
}

Test(http_coding, the_best_that_the_request_accepts)
{
    static const struct {
        const char *value;
        enum rc_content_coding coding;
    } rows[] = {
        {"", RC_CODING_IDENTITY},
        {"gzip", RC_CODING_GZIP},
        {"GZip", RC_CODING_GZIP},
        {"x-gzip", RC_CODING_GZIP},
        {"deflate", RC_CODING_DEFLATE},
        {"identity", RC_CODING_IDENTITY},
        {"br, zstd", RC_CODING_IDENTITY},
        {"gzip, deflate, br", RC_CODING_GZIP},
        {"deflate, gzip", RC_CODING_GZIP},
        {"deflate, gzip;q=0.9", RC_CODING_DEFLATE},
        {"deflate;q=0.5, gzip;q=0.501", RC_CODING_GZIP},
        {"deflate ; q=0.5 , gzip ; q=0.4", RC_CODING_DEFLATE},
        {"gzip;q=0", RC_CODING_IDENTITY},
        {"gzip;q=0.000, deflate", RC_CODING_DEFLATE},
        {"*", RC_CODING_GZIP},
        {"*;q=0", RC_CODING_IDENTITY},
        {"gzip;q=0, *", RC_CODING_DEFLATE},
        {"gzip;q=0, deflate;q=0, *", RC_CODING_IDENTITY},
        {"gzip;q=0.5, identity", RC_CODING_IDENTITY},
        {"gzip;q=0.5, identity;q=0.5", RC_CODING_GZIP},
        {"gzip;q=0.001, identity;q=0.001", RC_CODING_GZIP},
        {"gzip;q=0.001, identity;q=0", RC_CODING_GZIP},
        {"gzip;q=1.000", RC_CODING_GZIP},
        {"gzip;Q=1", RC_CODING_GZIP},
        /* what is malformed is as if it were not there */
        {"gzip;q=1.001", RC_CODING_IDENTITY},
        {"gzip;q=", RC_CODING_IDENTITY},
        {"gzip;q=2", RC_CODING_IDENTITY},
        {"gzip;q=.5", RC_CODING_IDENTITY},
        {"gzip;q=0.1234", RC_CODING_IDENTITY},
        {"gzip;q=0x5", RC_CODING_IDENTITY},
        {"gzip;level=1", RC_CODING_IDENTITY},
        {"gzip;", RC_CODING_IDENTITY},
        {";q=1", RC_CODING_IDENTITY},
        {"gzi p, gzips, xgzip", RC_CODING_IDENTITY},
        {"gzip;q=abc, deflate", RC_CODING_DEFLATE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[256];
        snprintf(line, sizeof(line), "Accept-Encoding: %s\r\n", rows[i].value);
        cr_expect_eq(choose(line), rows[i].coding, "\"%s\"", rows[i].value);
    }
    cr_expect_eq(choose(""), RC_CODING_IDENTITY, "no such header");
    cr_expect_eq(choose("Accept-Encoding: br\r\nAccept-Encoding: deflate\r\n"), RC_CODING_DEFLATE,
                 "two lines are one list");
}

static struct rc_deflater deflater;
static struct rc_coder coder;
static bool again;

static void coder_open(void)
{
    cr_assert_eq(rc_deflater_open(&deflater, &(struct rc_deflate_settings){.level = 1, .memory_level = 5}), 0);
    rc_coder_open(&coder, &deflater);
}

static void coder_close(void)
{
    rc_coder_close(&coder);
    rc_deflater_close(&deflater);
}

TestSuite(http_coder, .init = coder_open, .fini = coder_close);

static struct rc_span code(enum rc_content_coding coding, const uint8_t *bytes, size_t count)
{
    return rc_coder_code(&coder, coding, rc_span_of(bytes, count), &again);
}

Test(http_coder, what_is_small_or_large_or_not_wanted_leaves_as_it_is)
{
    uint8_t *bytes = calloc(1, RC_CODING_BYTES_MAX + 1);
    cr_expect_eq(code(RC_CODING_IDENTITY, bytes, 5000).count, 0);
    cr_expect_eq(code(RC_CODING_GZIP, bytes, RC_CODING_BYTES_MIN - 1).count, 0);
    cr_expect_eq(code(RC_CODING_GZIP, bytes, RC_CODING_BYTES_MAX + 1).count, 0);
    cr_expect_eq(coder.capacity, 0, "nothing was reserved for them");
    cr_expect_gt(code(RC_CODING_GZIP, bytes, RC_CODING_BYTES_MIN).count, 0);
    cr_expect_gt(code(RC_CODING_DEFLATE, bytes, RC_CODING_BYTES_MAX).count, 0);
    cr_expect_eq(coder.capacity, RC_CODING_BYTES_MAX, "bounded");
    free(bytes);
}

Test(http_coder, what_does_not_become_smaller_leaves_as_it_is_and_is_not_tried_again)
{
    uint8_t noise[4000];
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof(noise); i++) {
        state = state * 1664525u + 1013904223u;
        noise[i] = (uint8_t)(state >> 24);
    }
    cr_expect_eq(code(RC_CODING_GZIP, noise, sizeof(noise)).count, 0);
    cr_expect(!again);
    cr_expect_eq(code(RC_CODING_GZIP, noise, sizeof(noise)).count, 0);
    cr_expect(again);
}

Test(http_coder, the_same_body_is_coded_once)
{
    uint8_t body[2000];
    memset(body, 'a', sizeof(body));
    const struct rc_span first = code(RC_CODING_GZIP, body, sizeof(body));
    cr_expect(first.count > 0 && !again);
    const struct rc_span second = code(RC_CODING_GZIP, body, sizeof(body));
    cr_expect(second.bytes == first.bytes && second.count == first.count && again);
    (void)code(RC_CODING_DEFLATE, body, sizeof(body));
    cr_expect(!again, "by another coding");
    body[1999] = 'b';
    (void)code(RC_CODING_DEFLATE, body, sizeof(body));
    cr_expect(!again, "another body of that size");
    (void)code(RC_CODING_DEFLATE, body, sizeof(body) - 1);
    cr_expect(!again, "its beginning");
}
