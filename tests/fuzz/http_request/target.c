/*
 * Request heads and bodies: however the bytes are cut the outcome is the same, views lie inside the bytes, and what was
 * accepted is unambiguous: written out again from the parts it parses to the same parts.
 *
 * Input: one byte that picks limits and cutting, then what a client sends.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/body.h"
#include "worker/http/parse.h"

struct outcome {
    int value;
    const char *why;
    uint8_t *bytes; /* owned; what the request's views point into */
    struct rc_http_request request;
};

/* Gives ever more of the bytes, in steps, until there is an outcome. */
static void parse(struct outcome *out, const uint8_t *bytes, size_t n, size_t step, const struct rc_http_limits *limits)
{
    size_t scanned = 0, have = 0;
    out->value = 0;
    out->why = NULL;
    out->bytes = NULL;
    do {
        have = n - have < step ? n : have + step;
        free(out->bytes);
        out->bytes = malloc(have); /* ends where the bytes do, so that ASan sees a byte too much */
        RC_ASSERT(out->bytes != NULL && have != 0);
        memcpy(out->bytes, bytes, have);
        out->value = rc_http_request_parse(out->bytes, have, &scanned, limits, &out->request, &out->why);
        RC_ASSERT((out->value < 0) == (out->why != NULL));
        RC_ASSERT(out->value <= (int)have);
    } while (out->value == 0 && have < n);
}

static void check_view(struct rc_http_view view, const struct outcome *outcome)
{
    const char *start = (const char *)outcome->bytes;
    if (view.bytes != 0) {
        RC_ASSERT(view.text >= start && view.text + view.bytes <= start + outcome->value);
    }
}

static void check_request(const struct outcome *outcome)
{
    const struct rc_http_request *request = &outcome->request;
    check_view(request->method_text, outcome);
    check_view(request->target, outcome);
    check_view(request->host, outcome);
    check_view(request->query, outcome);
    RC_ASSERT(request->path.bytes != 0);
    if (!rc_http_view_equals(request->path, "/")) {
        check_view(request->path, outcome);
    }
    RC_ASSERT(request->version != RC_HTTP_1_1 || request->host.bytes != 0);
    RC_ASSERT(!(request->chunked && request->has_content_length));
    RC_ASSERT(request->header_count <= RC_HTTP_HEADERS_MAX);
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct rc_http_view value = request->headers[i].value;
        check_view(request->headers[i].name, outcome);
        check_view(value, outcome);
        RC_ASSERT(rc_http_view_is_token(request->headers[i].name));
        for (size_t j = 0; j < value.bytes; j++) {
            RC_ASSERT(value.text[j] != '\r' && value.text[j] != '\n' && value.text[j] != '\0');
        }
    }
}

static size_t put(char *out, size_t at, struct rc_http_view view, const char *after)
{
    if (view.bytes != 0) {
        memcpy(out + at, view.text, view.bytes);
    }
    memcpy(out + at + view.bytes, after, strlen(after));
    return at + view.bytes + strlen(after);
}

static bool same(struct rc_http_view a, struct rc_http_view b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.text, b.text, a.bytes) == 0);
}

static void check_round_trip(const struct outcome *first)
{
    const struct rc_http_request *request = &first->request;
    const struct rc_http_limits widest = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    static struct outcome again;
    char *head = malloc((size_t)first->value * 3 + 64);
    RC_ASSERT(head != NULL);

    size_t n = put(head, 0, request->method_text, " ");
    n = put(head, n, request->target, request->version == RC_HTTP_1_1 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    for (uint32_t i = 0; i < request->header_count; i++) {
        n = put(head, n, request->headers[i].name, ": ");
        n = put(head, n, request->headers[i].value, "\r\n");
    }
    n = put(head, n, (struct rc_http_view){NULL, 0}, "\r\n");
    if (n < RC_HTTP_HEAD_BYTES_MAX) {
        parse(&again, (const uint8_t *)head, n, n, &widest);
        RC_ASSERT(again.value == (int)n);
        RC_ASSERT(again.request.method == request->method && again.request.version == request->version);
        RC_ASSERT(same(again.request.target, request->target) && same(again.request.path, request->path));
        RC_ASSERT(same(again.request.query, request->query) && same(again.request.host, request->host));
        RC_ASSERT(again.request.keep_alive == request->keep_alive && again.request.chunked == request->chunked);
        RC_ASSERT(again.request.content_length == request->content_length);
        RC_ASSERT(again.request.expect_100 == request->expect_100);
        RC_ASSERT(again.request.header_count == request->header_count);
        for (uint32_t i = 0; i < request->header_count; i++) {
            RC_ASSERT(same(again.request.headers[i].name, request->headers[i].name) &&
                      same(again.request.headers[i].value, request->headers[i].value));
        }
        free(again.bytes);
    }
    free(head);
}

/* Decodes a body in pieces of `step`; returns the outcome, with a hash of what was decoded and where it ended. */
static int decode(const struct rc_http_request *request, const uint8_t *bytes, size_t n, size_t step, uint64_t *hash)
{
    struct rc_http_body body;
    uint64_t decoded = 0;
    *hash = 0xCBF29CE484222325u;
    int outcome = rc_http_body_begin(&body, request, 1000);
    for (size_t at = 0; outcome == 0 && at < n;) {
        size_t piece = n - at < step ? n - at : step, consumed = 0;
        struct rc_http_view span;
        outcome = rc_http_body_feed(&body, bytes + at, piece, &consumed, &span);
        RC_ASSERT(consumed <= piece && span.bytes <= consumed && (consumed != 0 || outcome != 0));
        for (size_t i = 0; i < span.bytes; i++) {
            *hash = (*hash ^ (uint8_t)span.text[i]) * 0x100000001B3u;
        }
        at += consumed;
        decoded += span.bytes;
        RC_ASSERT(decoded <= 1000);
        if (outcome == 1) {
            *hash ^= at;
        }
    }
    return outcome;
}

static void check_helpers(const struct rc_http_request *request)
{
    char out[256];
    struct rc_http_view element;
    RC_ASSERT(rc_http_path_decode(request->path, out, sizeof(out)) <= (int)sizeof(out));
    RC_ASSERT(rc_http_query_find(request->query, "token", out, sizeof(out)) <= (int)sizeof(out));
    for (uint32_t i = 0; i < request->header_count; i++) {
        struct rc_http_view list = request->headers[i].value;
        while (rc_http_list_next(&list, &element)) {
            RC_ASSERT(element.bytes != 0);
        }
        RC_ASSERT(list.bytes == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, cut;
    if (size < 2) {
        return 0;
    }
    const struct rc_http_limits small = {.head_bytes_max = 400, .target_bytes_max = 60, .headers_max = 6}, normal = {0};
    const struct rc_http_limits *limits = data[0] & 0x80 ? &small : &normal;
    const uint8_t *bytes = data + 1;
    size_t n = size - 1;

    parse(&whole, bytes, n, n, limits);
    parse(&cut, bytes, n, 1 + (data[0] & 0x0F), limits);
    RC_ASSERT(whole.value == cut.value);
    if (whole.value > 0) {
        check_request(&whole);
        check_request(&cut);
        if (whole.request.version != RC_HTTP_0_9) {
            check_round_trip(&whole);
        }
        check_helpers(&whole.request);
        uint64_t hash, hash_cut;
        const uint8_t *rest = bytes + whole.value;
        int body = decode(&whole.request, rest, n - (size_t)whole.value, n, &hash);
        int body_cut = decode(&whole.request, rest, n - (size_t)whole.value, 1 + (data[0] & 0x0F), &hash_cut);
        RC_ASSERT(body == body_cut && hash == hash_cut);
    }
    free(whole.bytes);
    free(cut.bytes);
    return 0;
}
