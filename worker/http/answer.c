/* answer: see answer.h. */
#include "worker/http/answer.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define ANSWER_BODY_FIRST 4096u
#define ANSWER_OTHER_NAME 255u

static struct rc_http_answer *answer_of(http_parser *parser)
{
    return parser->data;
}

/* A callback's refusal; the parser stops with an error that `state` explains. Not 1, which says of a head that no body follows. */
static int answer_stop(struct rc_http_answer *answer, enum rc_http_answer_state state)
{
    answer->state = (uint8_t)state;
    return -1;
}

static int on_header_name(http_parser *parser, const char *at, size_t bytes)
{
    static const char wanted[] = "keep-alive";
    struct rc_http_answer *answer = answer_of(parser);
    if (answer->in_value) { /* the former header is complete */
        answer->in_value = false;
        answer->name = 0;
        answer->value_bytes = 0;
    }
    for (size_t i = 0; i < bytes && answer->name != ANSWER_OTHER_NAME; i++) {
        const bool same = answer->name < sizeof(wanted) - 1 && (at[i] | 0x20) == (wanted[answer->name] | 0x20);
        answer->name = same ? (uint8_t)(answer->name + 1) : ANSWER_OTHER_NAME;
    }
    return 0;
}

/* "timeout=5, max=100" */
static void keep_alive_read(struct rc_http_answer *answer)
{
    answer->value[answer->value_bytes] = '\0';
    const char *at = strstr(answer->value, "timeout=");
    const unsigned long seconds = at == NULL ? 0 : strtoul(at + strlen("timeout="), NULL, 10);
    answer->keep_alive_s = seconds < 3600 ? (uint32_t)seconds : 3600;
}

static int on_header_value(http_parser *parser, const char *at, size_t bytes)
{
    struct rc_http_answer *answer = answer_of(parser);
    if (answer->name == sizeof("keep-alive") - 1) {
        const size_t room = sizeof(answer->value) - 1 - answer->value_bytes;
        const size_t taken = bytes < room ? bytes : room;
        memcpy(answer->value + answer->value_bytes, at, taken);
        answer->value_bytes = (uint8_t)(answer->value_bytes + taken);
        keep_alive_read(answer);
    }
    answer->in_value = true;
    return 0;
}

static int on_headers(http_parser *parser)
{
    struct rc_http_answer *answer = answer_of(parser);
    if (parser->upgrade || parser->status_code == 101 || parser->http_major != 1 || parser->status_code < 100 ||
        parser->status_code > 599) {
        return answer_stop(answer, RC_HTTP_ANSWER_GARBAGE); /* nobody asked for that */
    }
    if (parser->content_length != UINT64_MAX && !(parser->flags & F_CHUNKED) &&
        parser->content_length > answer->body_max) {
        return answer_stop(answer, RC_HTTP_ANSWER_TOO_LARGE);
    }
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t bytes)
{
    struct rc_http_answer *answer = answer_of(parser);
    if (bytes > answer->body_max - answer->body_bytes) {
        return answer_stop(answer, RC_HTTP_ANSWER_TOO_LARGE);
    }
    if (answer->body_bytes + bytes > answer->body_capacity) {
        size_t capacity = answer->body_capacity == 0 ? ANSWER_BODY_FIRST : answer->body_capacity;
        while (capacity < answer->body_bytes + bytes) {
            capacity *= 2;
        }
        uint8_t *larger = realloc(answer->body, capacity);
        if (larger == NULL) {
            return answer_stop(answer, RC_HTTP_ANSWER_NO_MEMORY);
        }
        answer->body = larger;
        answer->body_capacity = capacity;
    }
    memcpy(answer->body + answer->body_bytes, at, bytes);
    answer->body_bytes += bytes;
    return 0;
}

static int on_whole(http_parser *parser)
{
    struct rc_http_answer *answer = answer_of(parser);
    if (parser->status_code / 100 == 1) {
        return 0; /* RFC 9110 15.2: the answer proper follows */
    }
    answer->status = (uint16_t)parser->status_code;
    answer->keep_alive = http_should_keep_alive(parser) != 0;
    answer->state = RC_HTTP_ANSWER_WHOLE;
    http_parser_pause(parser, 1); /* what follows is none of ours */
    return 0;
}

void rc_http_answer_begin(struct rc_http_answer *answer, size_t body_max)
{
    memset(answer, 0, sizeof(*answer));
    answer->body_max = body_max;
    http_parser_init(&answer->parser, HTTP_RESPONSE);
    answer->parser.data = answer;
}

void rc_http_answer_free(struct rc_http_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
    answer->body_bytes = answer->body_capacity = 0;
}

static const http_parser_settings answer_settings = {
    .on_header_field = on_header_name,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_whole,
};

static size_t answer_run(struct rc_http_answer *answer, const uint8_t *bytes, size_t count)
{
    answer->parser.data = answer; /* it may have been moved */
    const size_t used = http_parser_execute(&answer->parser, &answer_settings, (const char *)bytes, count);
    const enum http_errno error = HTTP_PARSER_ERRNO(&answer->parser);
    if (answer->state == RC_HTTP_ANSWER_READING && error != HPE_OK) {
        answer->state = error == HPE_HEADER_OVERFLOW ? RC_HTTP_ANSWER_TOO_LARGE : RC_HTTP_ANSWER_GARBAGE;
    }
    return used;
}

size_t rc_http_answer_feed(struct rc_http_answer *answer, const uint8_t *bytes, size_t count)
{
    if (answer->state != RC_HTTP_ANSWER_READING || count == 0) {
        return 0;
    }
    answer->begun = true;
    const size_t body_before = answer->body_bytes;
    const size_t used = answer_run(answer, bytes, count);
    answer->head_bytes += (uint32_t)(used - (answer->body_bytes - body_before));
    /* Chunks have heads, too, and may be of one byte each: a body's worth of those is let pass. */
    if (answer->state == RC_HTTP_ANSWER_READING &&
        answer->head_bytes > RC_HTTP_ANSWER_HEAD_MAX + 8 * answer->body_bytes) {
        answer->state = RC_HTTP_ANSWER_TOO_LARGE;
    }
    return used;
}

void rc_http_answer_end(struct rc_http_answer *answer)
{
    if (answer->state == RC_HTTP_ANSWER_READING && answer->begun) {
        (void)answer_run(answer, NULL, 0); /* the library's way to say that the connection has ended */
        if (answer->state == RC_HTTP_ANSWER_WHOLE) {
            answer->keep_alive = false;
        }
    }
}
