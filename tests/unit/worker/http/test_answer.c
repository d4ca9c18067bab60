/* Answers of other servers, in pieces of any size. */
#include "worker/http/answer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static struct rc_http_answer answer;

static void done(void)
{
    rc_http_answer_free(&answer);
}

TestSuite(answer, .fini = done);

/* Feeds `text` in pieces of `step` bytes; the bytes that were the answer's. */
static size_t read_in(const char *text, size_t bytes, size_t step, size_t body_max)
{
    size_t used = 0;
    rc_http_answer_free(&answer);
    rc_http_answer_begin(&answer, body_max);
    while (used < bytes && answer.state == RC_HTTP_ANSWER_READING) {
        const size_t piece = bytes - used < step ? bytes - used : step;
        /* Its own memory, so that a step beyond it is found. */
        uint8_t *copy = malloc(piece);
        memcpy(copy, text + used, piece);
        used += rc_http_answer_feed(&answer, copy, piece);
        free(copy);
    }
    return used;
}

static const struct {
    const char *text;
    uint16_t status;
    const char *body;
    bool keep_alive;
    uint32_t keep_alive_s;
} whole[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", true, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5, max=100\r\n\r\n", 200, "", true, 5},
    {"HTTP/1.1 200 OK\r\nKEEP-alive: max=7, timeout=72\r\nContent-Length: 1\r\nX-Keep-Alive: timeout=1\r\n\r\nx", 200,
     "x", true, 72},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nTrailer: x\r\n\r\n", 200,
     "abcd", true, 0},
    {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true, 0},
    {"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnope", 403, "nope", false, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false, 0},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny",
     200, "y", true, 0},
};

Test(answer, whole_ones_are_read_at_every_split)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(whole); i++) {
        const size_t bytes = strlen(whole[i].text);
        for (size_t step = 1; step <= bytes; step++) {
            cr_expect_eq(read_in(whole[i].text, bytes, step, 100), bytes, "%zu by %zu", i, step);
            cr_expect_eq(answer.state, RC_HTTP_ANSWER_WHOLE, "%zu by %zu: %d", i, step, answer.state);
            cr_expect_eq(answer.status, whole[i].status, "%zu by %zu", i, step);
            cr_expect_eq(answer.keep_alive, whole[i].keep_alive, "%zu by %zu", i, step);
            cr_expect_eq(answer.keep_alive_s, whole[i].keep_alive_s, "%zu by %zu: %u", i, step, answer.keep_alive_s);
            cr_expect_eq(answer.body_bytes, strlen(whole[i].body), "%zu by %zu", i, step);
            cr_expect_eq(memcmp(answer.body_bytes > 0 ? (char *)answer.body : "", whole[i].body, answer.body_bytes), 0,
                         "%zu by %zu", i, step);
        }
    }
}

Test(answer, one_without_a_length_ends_with_the_connection)
{
    static const char text[] = "HTTP/1.1 200 OK\r\n\r\nto the end";
    cr_expect_eq(read_in(text, strlen(text), 3, 100), strlen(text));
    cr_expect_eq(answer.state, RC_HTTP_ANSWER_READING);
    rc_http_answer_end(&answer);
    cr_expect_eq(answer.state, RC_HTTP_ANSWER_WHOLE);
    cr_expect_not(answer.keep_alive);
    cr_expect_eq(answer.body_bytes, 10);
}

Test(answer, half_a_one_is_none)
{
    static const char *const halves[] = {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
                                         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"};
    for (size_t i = 0; i < RC_ARRAY_COUNT(halves); i++) {
        (void)read_in(halves[i], strlen(halves[i]), 1000, 100);
        rc_http_answer_end(&answer);
        cr_expect_neq(answer.state, RC_HTTP_ANSWER_WHOLE, "%s", halves[i]);
    }
}

Test(answer, what_follows_it_is_not_its_own)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500";
    cr_expect_eq(read_in(text, strlen(text), strlen(text), 100), strlen(text) - strlen("HTTP/1.1 500"));
    cr_expect_eq(answer.state, RC_HTTP_ANSWER_WHOLE);
}

Test(answer, garbage_is_told_apart)
{
    static const char *const wrong[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "\x16\x03\x01 tls",
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        (void)read_in(wrong[i], strlen(wrong[i]), 7, 100);
        cr_expect_eq(answer.state, RC_HTTP_ANSWER_GARBAGE, "%s: %d", wrong[i], answer.state);
    }
}

Test(answer, what_is_too_large_is_not_kept)
{
    char text[70000];
    static const char promise[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    (void)read_in(promise, strlen(promise), 48, 100);
    cr_expect_eq(answer.state, RC_HTTP_ANSWER_TOO_LARGE);
    cr_expect_null(answer.body);
    int bytes = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n\r\n");
    memset(text + bytes, 'x', 200);
    (void)read_in(text, (size_t)bytes + 200, 10, 100);
    cr_expect_eq(answer.state, RC_HTTP_ANSWER_TOO_LARGE);
    cr_expect_leq(answer.body_bytes, 100);
    bytes = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nX: ");
    memset(text + bytes, 'x', sizeof(text) - (size_t)bytes);
    const size_t used = read_in(text, sizeof(text), 1000, 100);
    cr_expect_eq(answer.state, RC_HTTP_ANSWER_TOO_LARGE);
    cr_expect_leq(used, 20000);
    bytes = 0; /* early hints for ever */
    while (bytes < 60000) {
        bytes += snprintf(text + bytes, sizeof(text) - (size_t)bytes, "HTTP/1.1 103 Early Hints\r\n\r\n");
    }
    (void)read_in(text, (size_t)bytes, 1000, 100);
    cr_expect_eq(answer.state, RC_HTTP_ANSWER_TOO_LARGE);
}
