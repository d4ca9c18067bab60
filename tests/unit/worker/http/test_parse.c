/*
 * Request heads: what is accepted and what it means, what is refused and with which status; whole, cut at every place,
 * and byte by byte.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/http/parse.h"

static const struct rc_http_limits defaults = {0};

struct parsed {
    uint8_t *bytes; /* owned: exactly as long as what was given, so that a sanitizer sees a byte too much */
    struct rc_http_request request;
    const char *why;
    int outcome;
};

/* Gives the bytes up to each of `cuts` places in turn, in fresh memory each time, and stops at the first outcome. */
static void parse_in_steps(struct parsed *parsed, const char *text, size_t n, size_t first, size_t step,
                           const struct rc_http_limits *limits)
{
    size_t scanned = 0;
    parsed->bytes = NULL;
    parsed->outcome = 0;
    parsed->why = NULL;
    for (size_t have = first;; have = have + step < n ? have + step : n) {
        free(parsed->bytes);
        parsed->bytes = malloc(have == 0 ? 1 : have);
        memcpy(parsed->bytes, text, have);
        memset(&parsed->request, 0xA5, sizeof(parsed->request));
        parsed->outcome = rc_http_request_parse(parsed->bytes, have, &scanned, limits, &parsed->request, &parsed->why);
        if (parsed->outcome != 0 || have == n) {
            return;
        }
    }
}

static void parse(struct parsed *parsed, const char *text)
{
    parse_in_steps(parsed, text, strlen(text), strlen(text), 1, &defaults);
}

/* The outcome must not depend on how the bytes come. */
static void expect_outcome(const char *text, size_t n, const struct rc_http_limits *limits, int outcome)
{
    static struct parsed parsed;
    parse_in_steps(&parsed, text, n, n, 1, limits);
    cr_assert_eq(parsed.outcome, outcome, "%d (%s), not %d:\n%.200s", parsed.outcome, parsed.why, outcome, text);
    cr_assert_eq(outcome < 0, parsed.why != NULL);
    free(parsed.bytes);
    for (size_t first = 0; first <= n && n <= 600; first++) {
        parse_in_steps(&parsed, text, n, first, n, limits);
        cr_assert_eq(parsed.outcome, outcome, "%d, not %d, first %zu:\n%.200s", parsed.outcome, outcome, first, text);
        free(parsed.bytes);
    }
    static const size_t steps[] = {1, 2, 3, 7};
    for (size_t s = n > 2000 ? 3 : 0; s < 4; s++) {
        parse_in_steps(&parsed, text, n, 0, steps[s], limits);
        cr_assert_eq(parsed.outcome, outcome, "%d, not %d, steps of %zu:\n%.200s", parsed.outcome, outcome, steps[s],
                     text);
        free(parsed.bytes);
    }
}

static void expect_view(struct rc_http_view view, const char *text)
{
    cr_assert(rc_http_view_equals(view, text), "\"%.*s\", not \"%s\"", (int)view.bytes, view.text, text);
}

Test(http_parse, a_browsers_upgrade)
{
    static const char text[] = "GET /ws/a%20b?token=x%3Dy&v=2 HTTP/1.1\r\n"
                               "Host: Example.org:8080\r\n"
                               "Connection: keep-alive, Upgrade\r\n"
                               "Upgrade: websocket\r\n"
                               "X-Empty:\r\n"
                               "X-Spaces: \t a b \t \r\n"
                               "x-spaces:second\r\n"
                               "\r\n"
                               "what follows";
    struct parsed *parsed = malloc(sizeof(*parsed));
    parse(parsed, text);
    const struct rc_http_request *request = &parsed->request;
    cr_assert_eq(parsed->outcome, (int)(strlen(text) - strlen("what follows")));
    cr_assert_eq(request->method, RC_HTTP_GET);
    cr_assert_eq(request->version, RC_HTTP_1_1);
    expect_view(request->method_text, "GET");
    expect_view(request->target, "/ws/a%20b?token=x%3Dy&v=2");
    expect_view(request->path, "/ws/a%20b");
    expect_view(request->query, "token=x%3Dy&v=2");
    expect_view(request->host, "Example.org:8080");
    cr_assert(request->keep_alive);
    cr_assert_not(request->chunked);
    cr_assert_not(request->has_content_length);
    cr_assert_not(request->expect_100);
    cr_assert_eq(request->header_count, 6);
    expect_view(*rc_http_header(request, "x-empty"), "");
    expect_view(*rc_http_header(request, "X-SPACES"), "a b");
    cr_assert_null(rc_http_header(request, "x-space"));
    uint32_t index = 0;
    expect_view(*rc_http_header_next(request, "X-Spaces", &index), "a b");
    expect_view(*rc_http_header_next(request, "X-Spaces", &index), "second");
    cr_assert_null(rc_http_header_next(request, "X-Spaces", &index));
    cr_assert(rc_http_header_has_token(request, "connection", "upgrade"));
    cr_assert_not(rc_http_header_has_token(request, "connection", "close"));
    cr_assert_not(rc_http_header_has_token(request, "connection", "grade"));
    free(parsed->bytes);
    free(parsed);
    expect_outcome(text, strlen(text), &defaults, (int)(strlen(text) - strlen("what follows")));
}

#define HOST "Host: a\r\n"

Test(http_parse, sound_heads_are_taken_whole)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\n" HOST "\r\n",
        "\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.9\r\n" HOST "\r\n",
        "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
        "DELETE /api/x HTTP/1.1\r\n" HOST "\r\n",
        "PROPFIND /x HTTP/1.1\r\n" HOST "\r\n",
        "GET http://b:80/path?q HTTP/1.1\r\n" HOST "\r\n",
        "GET HTTP://b HTTP/1.1\r\n" HOST "\r\n",
        "GET ws://b?q HTTP/1.1\r\n" HOST "\r\n",
        "GET /?a=b|c^{}\"<>\\` HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: caf\xC3\xA9 \"quoted\" \t tab\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "!#$%&'*+-.^_`|~09azAZ: token\r\n\r\n",
        "GET /index\r\n",
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        expect_outcome(heads[i], strlen(heads[i]), &defaults, (int)strlen(heads[i]));
    }
}

struct refusal {
    int status;
    const char *head;
};

static void expect_refusals(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect_outcome(refusals[i].head, strlen(refusals[i].head), &defaults, -refusals[i].status);
    }
}

Test(http_parse, broken_request_lines_are_refused)
{
    static const struct refusal refusals[] = {
        {400, "\x16\x03\x01\x02"},
        {400, " GET / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "\nGET / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET  / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /  HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET / HTTP/1.1 \r\n" HOST "\r\n"},
        {400, "GET /a b HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /\x01 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /\x7F HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /\xC3\xA4 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /#fragment HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET\r\n\r\n"},
        {400, "G(T / HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET * HTTP/1.1\r\n" HOST "\r\n"},
        {400, "OPTIONS *x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET path HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http:// HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http:///x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http://u@b/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET ftp://b/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET / http/1.1\r\n" HOST "\r\n"},
        {400, "GET / HTTP/1\r\n" HOST "\r\n"},
        {400, "GET / HTTP/1.10\r\n" HOST "\r\n"},
        {400, "GET / HTTP/01.1\r\n" HOST "\r\n"},
        {400, "GET / HTTX/1.1\r\n" HOST "\r\n"},
        {400, "POST /\r\n"},
        {501, "BREW / HTTP/1.1\r\n" HOST "\r\n"},
        {501, "get / HTTP/1.1\r\n" HOST "\r\n"},
        {501, "GETGETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\n" HOST "\r\n"},
        {501, "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\n" HOST "\r\n"},
        {505, "GET / HTTP/0.9\r\n" HOST "\r\n"},
    };
    expect_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

Test(http_parse, broken_header_lines_are_refused)
{
    static const struct refusal refusals[] = {
        {400, "GET / HTTP/1.1\n" HOST "\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"},
        {400, "GET / HTTP/1.1\rHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X:\r\n\tb\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X: a\x7F\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X : a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X\t: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X Y: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X(: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST "X\xC3\xA4: a\r\n\r\n"},
    };
    expect_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

Test(http_parse, broken_hosts_are_refused)
{
    static const struct refusal refusals[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
        {400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"},
        {400, "GET http://b/ HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: []\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: [g::1]\r\n\r\n"},
    };
    expect_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

Test(http_parse, broken_framing_is_refused)
{
    static const struct refusal refusals[] = {
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {417, "POST / HTTP/1.1\r\n" HOST "Expect: a miracle\r\n\r\n"},
    };
    expect_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]));
}

Test(http_parse, nul_bytes_are_refused)
{
    static const char with_nul[] = "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n";
    expect_outcome(with_nul, sizeof(with_nul) - 1, &defaults, -400);
    static const char nul_in_name[] = "GET / HTTP/1.1\r\n" HOST "X\0Y: b\r\n\r\n";
    expect_outcome(nul_in_name, sizeof(nul_in_name) - 1, &defaults, -400);
    static const char nul_in_target[] = "GET /\0 HTTP/1.1\r\n" HOST "\r\n";
    expect_outcome(nul_in_target, sizeof(nul_in_target) - 1, &defaults, -400);
}

Test(http_parse, incomplete_heads_are_waited_for)
{
    static const char *const heads[] = {
        "", "\r", "\r\n", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\n" HOST, "GET / HTTP/1.1\r\n" HOST "\r"};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        expect_outcome(heads[i], strlen(heads[i]), &defaults, 0);
    }
}

Test(http_parse, each_limit_has_its_status_just_beyond_it)
{
    struct rc_http_limits limits = {.head_bytes_max = 200, .target_bytes_max = 50, .headers_max = 3};
    char head[4096];

    for (int target = 48; target <= 53; target++) {
        int n = snprintf(head, sizeof(head), "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", target - 1, 0);
        expect_outcome(head, (size_t)n, &limits, target <= 50 ? n : -414);
    }
    /* A line without an end is not waited for beyond what could fit. */
    int n = snprintf(head, sizeof(head), "GET /%0*d", 120, 0);
    expect_outcome(head, (size_t)n, &limits, -414);
    /* Nor does it matter then how it would have ended. */
    n = snprintf(head, sizeof(head), "GET /%0*d\n\n", 120, 0);
    expect_outcome(head, (size_t)n, &limits, -414);

    for (int padding = 1; padding<250; padding += padding> 155 && padding < 175 ? 1 : 20) {
        n = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n" HOST "X: %0*d\r\n\r\n", padding, 0);
        expect_outcome(head, (size_t)n, &limits, n <= 200 ? n : -431);
    }
    for (int headers = 0; headers < 6; headers++) {
        n = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n" HOST);
        for (int i = 0; i < headers; i++) {
            n += snprintf(head + n, sizeof(head) - (size_t)n, "X: %d\r\n", i);
        }
        n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
        expect_outcome(head, (size_t)n, &limits, headers <= 2 ? n : -431);
    }
}

Test(http_parse, default_limits_hold)
{
    char *head = malloc(100000);
    int n = sprintf(head, "GET /%08190d HTTP/1.1\r\n" HOST "\r\n", 0);
    expect_outcome(head, (size_t)n, &defaults, n);
    n = sprintf(head, "GET /%08192d HTTP/1.1\r\n" HOST "\r\n", 0);
    expect_outcome(head, (size_t)n, &defaults, -414);
    n = sprintf(head, "GET / HTTP/1.1\r\n" HOST "X: %016384d\r\n\r\n", 0);
    expect_outcome(head, (size_t)n, &defaults, -431);
    n = sprintf(head, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 100; i++) {
        n += sprintf(head + n, "X: %d\r\n", i);
    }
    n += sprintf(head + n, "\r\n");
    expect_outcome(head, (size_t)n, &defaults, -431);
    /* More than the hard bounds can not be had by asking. */
    struct rc_http_limits huge = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    n = sprintf(head, "GET / HTTP/1.1\r\n" HOST "X: %065536d\r\n\r\n", 0);
    expect_outcome(head, (size_t)n, &huge, -431);
    n = sprintf(head, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 128; i++) {
        n += sprintf(head + n, "X: %d\r\n", i);
    }
    n += sprintf(head + n, "\r\n");
    expect_outcome(head, (size_t)n, &huge, -431);
    free(head);
}

/* A trickling head must not be searched from its start each time. */
Test(http_parse, search_resumes_where_it_stopped)
{
    static const char head[] = "GET / HTTP/1.1\r\n" HOST "X: yyyyyyyyyyyyyyyyyyyy";
    static struct rc_http_request request;
    const char *why = NULL;
    size_t scanned = 0;
    cr_assert_eq(rc_http_request_parse((const uint8_t *)head, strlen(head), &scanned, &defaults, &request, &why), 0);
    cr_assert_eq(scanned >> 1, strlen(head));
}

Test(http_parse, keep_alive_follows_version_and_connection)
{
    static const struct {
        const char *head;
        bool keep_alive;
    } vectors[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x , Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x\r\nconnection: ,,close,\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
        {"GET /\r\n", false},
    };
    struct parsed *parsed = malloc(sizeof(*parsed));
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        parse(parsed, vectors[i].head);
        cr_assert_gt(parsed->outcome, 0);
        cr_expect_eq(parsed->request.keep_alive, vectors[i].keep_alive, "%s", vectors[i].head);
        free(parsed->bytes);
    }
    free(parsed);
}

Test(http_parse, forms_of_the_target)
{
    static const struct {
        const char *head, *host, *path, *query;
    } vectors[] = {
        {"GET http://b:81/p/q?x=?y HTTP/1.1\r\n" HOST "\r\n", "b:81", "/p/q", "x=?y"},
        {"GET https://b?x HTTP/1.1\r\n" HOST "\r\n", "b", "/", "x"},
        {"GET http://b HTTP/1.1\r\n" HOST "\r\n", "b", "/", ""},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "a", "*", ""},
        {"GET //double HTTP/1.1\r\n" HOST "\r\n", "a", "//double", ""},
        {"GET /? HTTP/1.1\r\n" HOST "\r\n", "a", "/", ""},
        {"GET /zero\r\n", "", "/zero", ""},
    };
    struct parsed *parsed = malloc(sizeof(*parsed));
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        parse(parsed, vectors[i].head);
        cr_assert_gt(parsed->outcome, 0);
        expect_view(parsed->request.host, vectors[i].host);
        expect_view(parsed->request.path, vectors[i].path);
        expect_view(parsed->request.query, vectors[i].query);
        free(parsed->bytes);
    }
    parse(parsed, "GET /zero\r\n");
    cr_assert_eq(parsed->request.version, RC_HTTP_0_9);
    free(parsed->bytes);
    free(parsed);
}

Test(http_parse, body_framing_is_reported)
{
    struct parsed *parsed = malloc(sizeof(*parsed));
    parse(parsed, "POST / HTTP/1.1\r\n" HOST "Content-Length: 12345\r\nExpect: 100-Continue\r\n\r\n");
    cr_assert(parsed->request.has_content_length);
    cr_assert_eq(parsed->request.content_length, 12345);
    cr_assert(parsed->request.expect_100);
    cr_assert_eq(parsed->request.method, RC_HTTP_POST);
    free(parsed->bytes);
    parse(parsed, "PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    cr_assert(parsed->request.chunked);
    cr_assert_not(parsed->request.has_content_length);
    cr_assert_eq(parsed->request.method, RC_HTTP_PUT);
    free(parsed->bytes);
    free(parsed);
}

Test(http_parse, lists)
{
    static const struct {
        const char *list, *elements;
    } vectors[] = {
        {"", ""},
        {" , ,\t,", ""},
        {"a", "a|"},
        {"a,b", "a|b|"},
        {" a , b c ,, d ", "a|b c|d|"},
        {"x=\"a,b\" , y", "x=\"a,b\"|y|"},
        {"x=\"a\\\",b\", y", "x=\"a\\\",b\"|y|"},
        {"x=\"open, y", "x=\"open, y|"},
        {"\"\\", "\"\\|"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct rc_http_view list = {vectors[i].list, strlen(vectors[i].list)}, element;
        char joined[100] = "";
        while (rc_http_list_next(&list, &element)) {
            sprintf(joined + strlen(joined), "%.*s|", (int)element.bytes, element.text);
        }
        cr_expect_str_eq(joined, vectors[i].elements);
    }
}

static struct rc_http_view view(const char *text)
{
    return (struct rc_http_view){text, strlen(text)};
}

Test(http_parse, paths_are_decoded)
{
    char out[16];
    cr_assert_eq(rc_http_path_decode(view("/a%20b%2Fc+d"), out, sizeof(out)), 8);
    cr_assert_arr_eq(out, "/a b/c+d", 8);
    cr_assert_eq(rc_http_path_decode(view("%C3%a4"), out, sizeof(out)), 2);
    cr_assert_arr_eq(out, "\xC3\xA4", 2);
    cr_assert_eq(rc_http_path_decode(view(""), out, 0), 0);
    static const char *const broken[] = {"%", "%2", "%2g", "%g2", "/%00", "/%0a", "/%7F", "/%1f"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        cr_assert_eq(rc_http_path_decode(view(broken[i]), out, sizeof(out)), -EINVAL, "%s", broken[i]);
    }
    cr_assert_eq(rc_http_path_decode(view("0123456789abcdef"), out, 16), 16);
    cr_assert_eq(rc_http_path_decode(view("0123456789abcdefg"), out, 16), -ENOSPC);
}

Test(http_parse, query_values_are_found_and_decoded)
{
    char out[16];
    static const char query[] = "a=1&&token=x%3Dy+z&empty=&flag&token=second&last=%zz";
    cr_assert_eq(rc_http_query_find(view(query), "token", out, sizeof(out)), 5);
    cr_assert_arr_eq(out, "x=y z", 5);
    cr_assert_eq(rc_http_query_find(view(query), "empty", out, sizeof(out)), 0);
    cr_assert_eq(rc_http_query_find(view(query), "flag", out, sizeof(out)), 0);
    cr_assert_eq(rc_http_query_find(view(query), "a", out, sizeof(out)), 1);
    cr_assert_eq(rc_http_query_find(view(query), "tok", out, sizeof(out)), -ENOENT);
    cr_assert_eq(rc_http_query_find(view(""), "tok", out, sizeof(out)), -ENOENT);
    cr_assert_eq(rc_http_query_find(view(query), "last", out, sizeof(out)), -EINVAL);
    cr_assert_eq(rc_http_query_find(view(query), "token", out, 2), -ENOSPC);
}
