/*
 * Request bodies: decoded whole, cut at every place, and byte by byte; refused where the framing is broken.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/http/body.h"

struct result {
    char decoded[70000];
    size_t decoded_bytes;
    size_t consumed;
    int outcome;
};

/* Feeds pieces that end at `first` and then every `step`, until the body is over, refused, or the bytes are. */
static void decode(struct result *result, const struct rc_http_request *request, uint64_t bytes_max, const char *raw,
                   size_t n, size_t first, size_t step)
{
    struct rc_http_body body;
    result->decoded_bytes = 0;
    result->consumed = 0;
    result->outcome = rc_http_body_begin(&body, request, bytes_max);
    if (result->outcome < 0) {
        return;
    }
    for (size_t have = first;; have = have + step < n ? have + step : n) {
        size_t piece_bytes = have - result->consumed, at = 0;
        uint8_t *piece = malloc(piece_bytes == 0 ? 1 : piece_bytes);
        memcpy(piece, raw + result->consumed, piece_bytes);
        do {
            size_t consumed = SIZE_MAX;
            struct rc_http_view span;
            result->outcome = rc_http_body_feed(&body, piece + at, piece_bytes - at, &consumed, &span);
            cr_assert_leq(consumed, piece_bytes - at);
            cr_assert_leq(span.bytes, consumed);
            memcpy(result->decoded + result->decoded_bytes, span.text, span.bytes);
            result->decoded_bytes += span.bytes;
            at += consumed;
            cr_assert_eq(rc_http_body_complete(&body), result->outcome == 1);
        } while (result->outcome == 0 && at < piece_bytes);
        result->consumed += at;
        free(piece);
        if (result->outcome != 0 || have == n) {
            return;
        }
    }
}

static void expect(const struct rc_http_request *request, uint64_t bytes_max, const char *raw, int outcome,
                   const char *decoded)
{
    struct result *result = malloc(sizeof(*result));
    size_t n = strlen(raw);
    for (size_t first = 0; first <= n; first++) {
        for (size_t step = 1; step <= n + 1; step += n < 4 ? 1 : n / 3) {
            decode(result, request, bytes_max, raw, n, first, step);
            cr_assert_eq(result->outcome, outcome, "%d, not %d, first %zu step %zu:\n%s", result->outcome, outcome,
                         first, step, raw);
            if (outcome >= 0) {
                cr_assert_eq(result->decoded_bytes, strlen(decoded));
                cr_assert_arr_eq(result->decoded, decoded, strlen(decoded), "first %zu step %zu", first, step);
            }
            if (outcome == 1 && strstr(raw, "NEXT") != NULL) {
                cr_assert_eq(result->consumed, (size_t)(strstr(raw, "NEXT") - raw));
            }
        }
    }
    free(result);
}

static const struct rc_http_request chunked = {.chunked = true};

Test(http_body, by_length)
{
    const struct rc_http_request five = {.has_content_length = true, .content_length = 5}, none = {0};
    expect(&five, 5, "helloNEXT", 1, "hello");
    expect(&five, 100, "hell", 0, "hell");
    expect(&none, 100, "NEXT", 1, "");
    expect(&none, 0, "", 1, "");
    expect(&five, 4, "hello", -413, "");
    const struct rc_http_request most = {.has_content_length = true, .content_length = UINT64_MAX};
    expect(&most, UINT64_MAX, "hello", 0, "hello");
    expect(&most, UINT64_MAX - 1, "hello", -413, "");
}

Test(http_body, chunked_bodies_are_decoded)
{
    expect(&chunked, 100, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nNEXT", 1, "hello world");
    expect(&chunked, 0, "0\r\n\r\nNEXT", 1, "");
    expect(&chunked, 10, "a\r\n0123456789\r\n0\r\n\r\n", 1, "0123456789");
    expect(&chunked, 100, "00000A;x=1;y=\"z\"\r\n01234\r\n789\r\n0;last\r\nTrailer: 1\r\nX:\r\n\r\nNEXT", 1,
           "01234\r\n789");
    expect(&chunked, 100, "5 \r\nhello\r\n6 \t ;x=1\r\n world\r\n0  \r\n\r\nNEXT", 1, "hello world");
    expect(&chunked, 100, "5\r\nhel", 0, "hel");
    expect(&chunked, 100, "5\r\nhello\r\n0\r\n\r", 0, "hello");
}

Test(http_body, broken_chunks_are_refused)
{
    static const char *const bodies[] = {
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5 \nhello\r\n0\r\n\r\n",
        "5 x\r\nhello\r\n0\r\n\r\n",
        "5\v\r\nhello\r\n0\r\n\r\n",
        " \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\rx0\r\n\r\n",
        "5\r\nhello world\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;\x01\r\nhello\r\n0\r\n\r\n",
        "5;a\r \nhello\r\n0\r\n\r\n",
        "0\r\nX: a\n\r\n",
        "0\r\nX: a\x7F\r\n\r\n",
        "0\r\n X: folded\r\n\r\n",
        "0\r\n\rx",
        ";ext\r\n",
        "0\r\n\n",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        expect(&chunked, 100, bodies[i], -400, "");
    }
}

Test(http_body, limit_holds_over_all_chunks_and_at_the_size_line)
{
    expect(&chunked, 9, "5\r\nhello\r\n4\r\nwrld\r\n0\r\n\r\n", 1, "hellowrld");
    expect(&chunked, 9, "5\r\nhello\r\n5", -413, "");
    expect(&chunked, 9, "ffffffffffffffff", -413, "");
    expect(&chunked, UINT64_MAX, "ffffffffffffffff0", -400, "");
    expect(&chunked, UINT64_MAX, "5\r\nhello\r\nffffffffffffffff", -413, "");
}

Test(http_body, ignored_bytes_are_bounded)
{
    char *raw = malloc(60000);
    struct result *result = malloc(sizeof(*result));
    size_t n;

    n = (size_t)sprintf(raw, "5;%0300d\r\nhello\r\n0\r\n\r\n", 0);
    decode(result, &chunked, 100, raw, n, n, 1);
    cr_assert_eq(result->outcome, -400);
    n = (size_t)sprintf(raw, "5%300s\r\nhello\r\n0\r\n\r\n", "");
    decode(result, &chunked, 100, raw, n, n, 1);
    cr_assert_eq(result->outcome, -400);
    n = 0;
    for (int i = 0; i < 50; i++) {
        n += (size_t)sprintf(raw + n, "1%200s\r\nx\r\n", "");
    }
    n += (size_t)sprintf(raw + n, "0\r\n\r\n");
    decode(result, &chunked, 100, raw, n, n, 1);
    cr_assert_eq(result->outcome, -413);
    n = (size_t)sprintf(raw, "%0300d\r\n\r\n", 0);
    decode(result, &chunked, 100, raw, n, n, 1);
    cr_assert_eq(result->outcome, -400);

    n = 0;
    for (int i = 0; i < 50; i++) {
        n += (size_t)sprintf(raw + n, "1;%0200d\r\nx\r\n", 0);
    }
    n += (size_t)sprintf(raw + n, "0\r\n\r\n");
    decode(result, &chunked, 100, raw, n, n, 1);
    cr_assert_eq(result->outcome, -413);

    n = (size_t)sprintf(raw, "0\r\n");
    for (int i = 0; i < 5000; i++) {
        n += (size_t)sprintf(raw + n, "X:\r\n");
    }
    n += (size_t)sprintf(raw + n, "\r\n");
    decode(result, &chunked, 100, raw, n, n, 1);
    cr_assert_eq(result->outcome, -413);
    free(result);
    free(raw);
}

Test(http_body, a_refused_body_stays_refused)
{
    struct rc_http_body body;
    struct rc_http_view span;
    size_t consumed;
    cr_assert_eq(rc_http_body_begin(&body, &chunked, 100), 0);
    cr_assert_eq(rc_http_body_feed(&body, (const uint8_t *)"x", 1, &consumed, &span), -400);
    cr_assert_eq(rc_http_body_feed(&body, (const uint8_t *)"0\r\n\r\n", 5, &consumed, &span), -400);
    cr_assert_eq(rc_http_body_feed(&body, (const uint8_t *)"", 0, &consumed, &span), -400);
    cr_assert_not(rc_http_body_complete(&body));
}
