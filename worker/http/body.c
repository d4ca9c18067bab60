/*
 * The body's state machine: framing byte by byte, data in spans.
 */
#include "worker/http/body.h"

/*
 *   SIZE ──▶ (SIZE_SPACE) ──▶ (EXTENSION) ──▶ SIZE_FEED ──▶ DATA ──▶ DATA_RETURN ──▶ DATA_FEED ──▶ SIZE
 *                               │ size 0
 *                               └──▶ TRAILER_START ──▶ (TRAILER ──▶ TRAILER_FEED ──▶ TRAILER_START)
 *                                          └──▶ LAST_FEED ──▶ DONE
 *
 * Without chunks only DATA and DONE. FAILED stays.
 */
enum body_state {
    DONE = 0,
    DATA,
    SIZE,
    SIZE_SPACE,
    EXTENSION,
    SIZE_FEED,
    DATA_RETURN,
    DATA_FEED,
    TRAILER_START,
    TRAILER,
    TRAILER_FEED,
    LAST_FEED,
    FAILED,
};

int rc_http_body_begin(struct rc_http_body *body, const struct rc_http_request *request, uint64_t bytes_max)
{
    *body = (struct rc_http_body){.bytes_max = bytes_max, .chunked = request->chunked};
    if (request->chunked) {
        body->state = SIZE;
        return 0;
    }
    if (request->content_length > bytes_max) {
        body->state = FAILED;
        return -413;
    }
    body->left = request->content_length;
    body->bytes_total = request->content_length;
    body->state = body->left == 0 ? DONE : DATA;
    return 0;
}

bool rc_http_body_complete(const struct rc_http_body *body)
{
    return body->state == DONE;
}

static bool is_text(uint8_t byte)
{
    return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
}

/* What follows the digits. White space there is what RFC 9112 7.1.1 calls bad, and some send it without an extension: it can mean
 * nothing else, so it is ignored, and bounded like extensions. */
static int take_size_end(struct rc_http_body *body, uint8_t byte)
{
    if (byte == ';') {
        body->state = EXTENSION;
    } else if (byte == '\r') {
        body->state = SIZE_FEED;
    } else if ((byte == ' ' || byte == '\t') && ++body->line <= RC_HTTP_CHUNK_LINE_BYTES_MAX) {
        body->state = SIZE_SPACE;
        return ++body->overhead > RC_HTTP_CHUNK_EXTENSION_BYTES_MAX ? -413 : 0;
    } else {
        return -400;
    }
    return 0;
}

/* One byte of a chunk's size. `line` counts the digits. */
static int take_size(struct rc_http_body *body, uint8_t byte)
{
    unsigned digit = 16;
    if (byte >= '0' && byte <= '9') {
        digit = byte - '0';
    } else if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f') {
        digit = (byte | 0x20) - 'a' + 10u;
    }

    if (digit < 16) {
        if (body->left >> 60 != 0 || ++body->line > RC_HTTP_CHUNK_LINE_BYTES_MAX) {
            return -400;
        }
        body->left = body->left << 4 | digit;
        /* At once, not at the line's end: no length that is refused anyhow is worth waiting for. */
        return body->left > body->bytes_max - body->bytes_total ? -413 : 0;
    }
    return body->line == 0 ? -400 : take_size_end(body, byte);
}

/* A byte of an extension or a trailer, both ignored but bounded. */
static int take_ignored(struct rc_http_body *body, uint8_t byte, uint32_t bytes_max, enum body_state after_return)
{
    if (byte == '\r') {
        body->state = (uint8_t)after_return;
        return 0;
    }
    if (!is_text(byte)) {
        return -400;
    }
    return ++body->overhead > bytes_max ? -413 : 0;
}

static int take_feed(struct rc_http_body *body, uint8_t byte, enum body_state next)
{
    body->state = (uint8_t)next;
    return byte == '\n' ? 0 : -400;
}

/* A byte of the chunks' framing. 0 or the negated status. */
static int take_framing(struct rc_http_body *body, uint8_t byte)
{
    int error;
    switch ((enum body_state)body->state) {
    case SIZE:
        return take_size(body, byte);
    case SIZE_SPACE:
        return take_size_end(body, byte);
    case EXTENSION:
        if (++body->line > RC_HTTP_CHUNK_LINE_BYTES_MAX) {
            return -400;
        }
        return take_ignored(body, byte, RC_HTTP_CHUNK_EXTENSION_BYTES_MAX, SIZE_FEED);
    case SIZE_FEED:
        body->bytes_total += body->left;
        body->line = 0;
        if (body->left != 0) {
            return take_feed(body, byte, DATA);
        }
        body->overhead = 0;
        return take_feed(body, byte, TRAILER_START);
    case DATA_RETURN:
        body->state = DATA_FEED;
        return byte == '\r' ? 0 : -400;
    case DATA_FEED:
        return take_feed(body, byte, SIZE);
    case TRAILER_START:
        if (byte == '\r') {
            body->state = LAST_FEED;
            return 0;
        }
        body->state = TRAILER;
        return byte == ' ' || byte == '\t' ? -400 : take_ignored(body, byte, RC_HTTP_TRAILER_BYTES_MAX, TRAILER_FEED);
    case TRAILER:
        return take_ignored(body, byte, RC_HTTP_TRAILER_BYTES_MAX, TRAILER_FEED);
    case TRAILER_FEED:
        error = take_feed(body, byte, TRAILER_START);
        /* Line ends count, or empty-ish lines could go on for ever. */
        return error == 0 && ++body->overhead > RC_HTTP_TRAILER_BYTES_MAX ? -413 : error;
    case LAST_FEED:
        return take_feed(body, byte, DONE);
    case DONE:
    case DATA:
    case FAILED:
        break;
    }
    return -400;
}

int rc_http_body_feed(struct rc_http_body *body, const uint8_t *bytes, size_t n, size_t *consumed,
                      struct rc_http_view *span)
{
    size_t at = 0;
    *span = (struct rc_http_view){(const char *)bytes, 0};

    while (at < n && body->state != DONE && span->bytes == 0) {
        if (body->state == DATA) {
            size_t take = n - at < body->left ? n - at : (size_t)body->left;
            *span = (struct rc_http_view){(const char *)bytes + at, take};
            at += take;
            body->left -= take;
            if (body->left == 0) {
                body->state = body->chunked ? DATA_RETURN : DONE;
            }
            continue;
        }
        int error = take_framing(body, bytes[at]);
        if (error < 0) {
            body->state = FAILED;
            *consumed = at;
            return error;
        }
        at++;
    }
    *consumed = at;
    if (body->state == FAILED) {
        return -400;
    }
    return body->state == DONE ? 1 : 0;
}
