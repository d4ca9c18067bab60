/* coding: see coding.h. */
#include "worker/http/coding.h"

#include <stdlib.h>
#include <string.h>

#define WEIGHT_ONE 1000 /* a qvalue has three digits behind its point at most */

/* The two that there are, and what every request accepts unless it says otherwise. */
static const struct {
    const char *name;
    const char *alias; /* RFC 9110 8.4.1.3: to be treated as the same */
} codings[] = {
    [RC_CODING_IDENTITY] = {"identity", "identity"},
    [RC_CODING_GZIP] = {"gzip", "x-gzip"},
    [RC_CODING_DEFLATE] = {"deflate", "deflate"},
};

const char *rc_content_coding_name(enum rc_content_coding coding)
{
    return codings[coding].name;
}

/* qvalue (RFC 9110 12.4.2) in thousandths; -1: it is none. */
static int element_qvalue(struct rc_http_view text)
{
    if (text.bytes == 0 || text.bytes > 5 || (text.text[0] != '0' && text.text[0] != '1') ||
        (text.bytes > 1 && text.text[1] != '.')) {
        return -1;
    }
    int value = text.text[0] == '1' ? WEIGHT_ONE : 0;
    int unit = WEIGHT_ONE / 10;
    for (size_t i = 2; i < text.bytes; i++, unit /= 10) {
        if (text.text[i] < '0' || text.text[i] > '9') {
            return -1;
        }
        value += (text.text[i] - '0') * unit;
    }
    return value <= WEIGHT_ONE ? value : -1;
}

/* Splits "gzip;q=0.5". The weight; -1: it is malformed. */
static int element_weight(struct rc_http_view element, struct rc_http_view *name)
{
    const char *semicolon = memchr(element.text, ';', element.bytes);
    *name = element;
    if (semicolon == NULL) {
        return WEIGHT_ONE;
    }
    name->bytes = (size_t)(semicolon - element.text);
    *name = rc_http_view_trimmed(*name);
    struct rc_http_view weight = rc_http_view_trimmed(
        (struct rc_http_view){semicolon + 1, element.bytes - (size_t)(semicolon + 1 - element.text)});
    if (weight.bytes < 2 || (weight.text[0] != 'q' && weight.text[0] != 'Q') || weight.text[1] != '=') {
        return -1;
    }
    return element_qvalue((struct rc_http_view){weight.text + 2, weight.bytes - 2});
}

enum rc_content_coding rc_content_coding_choose(const struct rc_http_request *request)
{
    int weights[] = {-1, -1, -1}; /* by coding; -1: not named */
    int any = -1;                 /* of "*": those that are not named */
    uint32_t at = 0;
    const struct rc_http_view *header;
    while ((header = rc_http_header_next(request, "accept-encoding", &at)) != NULL) {
        struct rc_http_view rest = *header;
        struct rc_http_view element;
        while (rc_http_list_next(&rest, &element)) {
            struct rc_http_view name;
            const int weight = element_weight(element, &name);
            if (weight < 0) {
                continue;
            }
            for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++) {
                if (rc_http_view_equals_nocase(name, codings[i].name) ||
                    rc_http_view_equals_nocase(name, codings[i].alias)) {
                    weights[i] = weight;
                }
            }
            if (rc_http_view_equals(name, "*")) {
                any = weight;
            }
        }
    }
    /* What is not named is not accepted, but identity, which weighs less than anything that is. */
    enum rc_content_coding best = RC_CODING_IDENTITY;
    int highest = weights[RC_CODING_IDENTITY] > 0 ? weights[RC_CODING_IDENTITY] - 1 : 0; /* the others win a draw */
    for (enum rc_content_coding coding = RC_CODING_GZIP; coding <= RC_CODING_DEFLATE; coding++) {
        const int weight = weights[coding] >= 0 ? weights[coding] : any;
        if (weight > highest) {
            highest = weight;
            best = coding;
        }
    }
    return best;
}

void rc_coder_open(struct rc_coder *coder, struct rc_deflater *deflater)
{
    *coder = (struct rc_coder){.deflater = deflater};
}

void rc_coder_close(struct rc_coder *coder)
{
    free(coder->plain);
    *coder = (struct rc_coder){0};
}

static bool coder_reserve(struct rc_coder *coder, size_t bytes)
{
    if (bytes <= coder->capacity) {
        return true;
    }
    size_t capacity = coder->capacity == 0 ? 4 * RC_CODING_BYTES_MIN : coder->capacity;
    while (capacity < bytes) {
        capacity *= 2;
    }
    uint8_t *larger = realloc(coder->plain, 2 * capacity);
    if (larger == NULL) {
        return false;
    }
    coder->plain = larger;
    coder->capacity = capacity;
    return true;
}

struct rc_span rc_coder_code(struct rc_coder *coder, enum rc_content_coding coding, struct rc_span body, bool *again)
{
    *again = false;
    if (coding == RC_CODING_IDENTITY || body.count < RC_CODING_BYTES_MIN || body.count > RC_CODING_BYTES_MAX) {
        return (struct rc_span){0};
    }
    if (coding == coder->coding && body.count == coder->plain_bytes &&
        memcmp(coder->plain, body.bytes, body.count) == 0) {
        *again = true;
    } else {
        coder->plain_bytes = 0;
        if (!coder_reserve(coder, body.count)) {
            return (struct rc_span){0};
        }
        const int64_t bytes =
            rc_deflate_whole(coder->deflater, coding == RC_CODING_GZIP ? RC_DEFLATE_GZIP : RC_DEFLATE_ZLIB, body.bytes,
                             body.count, coder->plain + coder->capacity, coder->capacity);
        if (bytes < 0) {
            return (struct rc_span){0};
        }
        memcpy(coder->plain, body.bytes, body.count);
        coder->plain_bytes = body.count;
        coder->coded_bytes = (size_t)bytes;
        coder->coding = coding;
    }
    return rc_span_of(coder->plain + coder->capacity, coder->coded_bytes);
}
