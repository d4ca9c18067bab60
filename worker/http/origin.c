/* origin: see origin.h. */
#include "worker/http/origin.h"

#include <string.h>
#include <strings.h>

#include "common/config/text.h"

static bool equal_nocase(struct rc_span a, struct rc_span b)
{
    return a.count == b.count &&
           (a.count == 0 || strncasecmp((const char *)a.bytes, (const char *)b.bytes, a.count) == 0);
}

/* "a", "a.b": host labels and nothing that could end a host, so that the star never reaches into another part. */
static bool is_labels(struct rc_span text)
{
    uint8_t before = '.';
    for (size_t i = 0; i < text.count; i++) {
        const uint8_t c = text.bytes[i];
        const bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!letter && (c != '.' || before == '.')) {
            return false;
        }
        before = c;
    }
    return before != '.';
}

static bool wildcard_matches(struct rc_span pattern, struct rc_span origin)
{
    const uint8_t *const star = pattern.count > 0 ? memchr(pattern.bytes, '*', pattern.count) : NULL;
    if (star == NULL) {
        return false;
    }
    const size_t before = (size_t)(star - pattern.bytes);
    const size_t after = pattern.count - before - 1;
    if (before == 0 || origin.count <= before + after) {
        return false;
    }
    const size_t labels = origin.count - before - after;
    return equal_nocase(rc_span_of(pattern.bytes, before), rc_span_of(origin.bytes, before)) &&
           equal_nocase(rc_span_of(star + 1, after), rc_span_of(origin.bytes + before + labels, after)) &&
           is_labels(rc_span_of(origin.bytes + before, labels));
}

/* Is it the origin of a page that this host served itself? The scheme is not ours to know behind a proxy. */
static bool is_own(struct rc_span origin, struct rc_span host)
{
    static const struct {
        struct rc_span scheme;
        struct rc_span port;
    } web[] = {{RC_SPAN("http://"), RC_SPAN(":80")}, {RC_SPAN("https://"), RC_SPAN(":443")}};
    for (size_t i = 0; i < sizeof(web) / sizeof(web[0]); i++) {
        const struct rc_span scheme = web[i].scheme;
        const struct rc_span port = web[i].port;
        if (!rc_span_starts_with(origin, scheme)) {
            continue;
        }
        const struct rc_span authority = rc_span_of(origin.bytes + scheme.count, origin.count - scheme.count);
        /* An origin leaves its scheme's usual port out, a Host need not. */
        const bool usual = host.count > port.count &&
                           rc_span_equal(rc_span_of(host.bytes + host.count - port.count, port.count), port);
        return equal_nocase(authority, usual ? rc_span_of(host.bytes, host.count - port.count) : host);
    }
    return false;
}

bool rc_origin_own(struct rc_span sent, struct rc_span host)
{
    static const struct rc_config_list none;
    return sent.count > 0 && rc_origin_allowed(&none, sent, host);
}

bool rc_origin_allowed(const struct rc_config_list *allowed, struct rc_span sent, struct rc_span host)
{
    char text[RC_CONFIG_TEXT_MAX];
    struct rc_err err;
    if (sent.count == 0) {
        return true;
    }
    if (rc_origin_any(allowed)) {
        return true;
    }
    /* Written as the entries are; what cannot be written so, no entry can be. A star is theirs alone. */
    if (memchr(sent.bytes, '*', sent.count) != NULL ||
        rc_origin_normalize(text, sizeof(text), (const char *)sent.bytes, sent.count, &err) < 0) {
        return false;
    }
    const struct rc_span origin = rc_span_text(text);
    if (allowed->count == 0) {
        return is_own(origin, host);
    }
    for (uint32_t i = 0; i < allowed->count; i++) {
        const struct rc_span entry = rc_span_text(allowed->items[i].text);
        if (rc_span_equal(entry, origin) || wildcard_matches(entry, origin)) {
            return true;
        }
    }
    return false;
}

bool rc_origin_any(const struct rc_config_list *allowed)
{
    for (uint32_t i = 0; i < allowed->count; i++) {
        if (strcmp(allowed->items[i].text, "*") == 0) {
            return true;
        }
    }
    return false;
}
