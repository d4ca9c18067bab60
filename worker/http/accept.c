/* accept: see accept.h. */
#include "worker/http/accept.h"

#include <string.h>
#include <strings.h>

enum specificity { MATCHES_NOT, MATCHES_ANY, MATCHES_KIND, MATCHES_TYPE };

/* Takes what stands before the next `separator` outside of quoted strings off the beginning of `*rest`; false: nothing is left. */
static bool part_next(struct rc_http_view *rest, char separator, struct rc_http_view *part)
{
    bool quoted = false;
    size_t at = 0;
    if (rest->text == NULL) {
        return false;
    }
    for (; at < rest->bytes && (quoted || rest->text[at] != separator); at++) {
        if (rest->text[at] == '"') {
            quoted = !quoted;
        } else if (quoted && rest->text[at] == '\\' && at + 1 < rest->bytes) {
            at++;
        }
    }
    *part = rc_http_view_trimmed((struct rc_http_view){.text = rest->text, .bytes = at});
    *rest = at < rest->bytes ? (struct rc_http_view){.text = rest->text + at + 1, .bytes = rest->bytes - at - 1}
                             : (struct rc_http_view){.text = NULL};
    return true;
}

/* qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ), in thousandths; UINT32_MAX: it is none. */
static uint32_t weight_read(struct rc_http_view text)
{
    if (text.bytes == 0 || text.bytes > 5 || (text.text[0] != '0' && text.text[0] != '1') ||
        (text.bytes > 1 && text.text[1] != '.')) {
        return UINT32_MAX;
    }
    uint32_t value = (uint32_t)(text.text[0] - '0') * 1000u;
    for (uint32_t i = 2, unit = 100; i < text.bytes; i++, unit /= 10) {
        if (text.text[i] < '0' || text.text[i] > '9') {
            return UINT32_MAX;
        }
        value += (uint32_t)(text.text[i] - '0') * unit;
    }
    return value <= RC_ACCEPT_QUALITY_MAX ? value : UINT32_MAX;
}

static enum specificity range_matches(struct rc_http_view range, const char *type)
{
    const size_t kind_bytes = (size_t)(strchr(type, '/') - type) + 1;
    if (rc_http_view_equals(range, "*/*")) {
        return MATCHES_ANY;
    }
    if (range.bytes == kind_bytes + 1 && range.text[kind_bytes] == '*' &&
        strncasecmp(range.text, type, kind_bytes) == 0) {
        return MATCHES_KIND;
    }
    return rc_http_view_equals_nocase(range, type) ? MATCHES_TYPE : MATCHES_NOT;
}

/* One element of the list. False: its weight is none. */
static bool element_read(struct rc_http_view element, const char *type, enum specificity *match, uint32_t *weight)
{
    struct rc_http_view part;
    *match = MATCHES_NOT;
    *weight = RC_ACCEPT_QUALITY_MAX;
    if (!part_next(&element, ';', &part)) {
        return false;
    }
    *match = range_matches(part, type);
    while (part_next(&element, ';', &part)) {
        if (part.bytes >= 2 && (part.text[0] == 'q' || part.text[0] == 'Q') && part.text[1] == '=') {
            *weight = weight_read((struct rc_http_view){.text = part.text + 2, .bytes = part.bytes - 2});
            return *weight != UINT32_MAX;
        }
    }
    return true;
}

uint32_t rc_accept_quality(const struct rc_http_request *request, const char *type, uint32_t *specific)
{
    uint32_t index = 0;
    const struct rc_http_view *header = rc_http_header_next(request, "Accept", &index);
    uint32_t quality = 0;
    *specific = MATCHES_NOT;
    if (header == NULL) {
        return RC_ACCEPT_QUALITY_MAX;
    }
    /* Several headers are one list (RFC 9110 5.3). */
    for (; header != NULL; header = rc_http_header_next(request, "Accept", &index)) {
        struct rc_http_view rest = *header;
        struct rc_http_view element;
        while (part_next(&rest, ',', &element)) {
            enum specificity match;
            uint32_t weight;
            if (element_read(element, type, &match, &weight) && match > *specific) {
                *specific = match;
                quality = weight;
            }
        }
    }
    return quality;
}

size_t rc_accept_choose(const struct rc_http_request *request, const char *const *types, size_t count)
{
    size_t best = 0;
    uint32_t best_specific;
    uint32_t best_quality = rc_accept_quality(request, types[0], &best_specific);
    for (size_t i = 1; i < count; i++) {
        uint32_t specific;
        const uint32_t quality = rc_accept_quality(request, types[i], &specific);
        if (quality > best_quality || (quality == best_quality && quality > 0 && specific > best_specific)) {
            best = i;
            best_quality = quality;
            best_specific = specific;
        }
    }
    return best;
}
