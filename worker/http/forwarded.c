/*
 * Walking forwarded addresses from the right.
 */
#include "worker/http/forwarded.h"

#include <string.h>

/* The list in all headers of a name, as if joined by commas, taken from its end. */
struct walk {
    const struct rc_http_request *request;
    const char *name;
    uint32_t header; /* headers[0..header) are still to come */
    bool open;       /* `rest` is what is left of a header */
    bool quoted;     /* commas within quoted strings do not separate */
    struct rc_http_view rest;
};

/* Is the quote at `at` escaped, that is behind an odd number of backslashes? */
static bool is_escaped(struct rc_http_view view, size_t at)
{
    size_t backslashes = 0;
    while (backslashes < at && view.text[at - backslashes - 1] == '\\') {
        backslashes++;
    }
    return backslashes % 2 == 1;
}

/*
 * Where the last element begins. Going backwards a quote opens at its closing one, so that a quote which a client left
 * open in its own part swallows nothing of what a proxy appended to the right of it.
 */
static size_t last_element(struct rc_http_view list, bool quoted)
{
    bool inside = false;
    for (size_t at = list.bytes; at > 0; at--) {
        const char c = list.text[at - 1];
        if (quoted && c == '"' && !is_escaped(list, at - 1)) {
            inside = !inside;
        } else if (c == ',' && !inside) {
            return at;
        }
    }
    return 0;
}

/* The next element to the left that is not empty. */
static bool walk_next(struct walk *walk, struct rc_http_view *element)
{
    for (;;) {
        while (!walk->open) {
            if (walk->header == 0) {
                return false;
            }
            const struct rc_http_header *header = &walk->request->headers[--walk->header];
            if (rc_http_view_equals_nocase(header->name, walk->name)) {
                walk->rest = header->value;
                walk->open = true;
            }
        }
        const size_t at = last_element(walk->rest, walk->quoted);
        *element = rc_http_view_trimmed((struct rc_http_view){walk->rest.text + at, walk->rest.bytes - at});
        walk->open = at > 0;
        walk->rest.bytes = at > 0 ? at - 1 : 0;
        if (element->bytes > 0) {
            return true;
        }
    }
}

/* --- Forwarded ---------------------------------------------------------------------------------------------------- */

/* Takes `name=value` off, with the ";" behind it. The value is without its quotes. False when it is malformed. */
static bool take_pair(struct rc_http_view *rest, struct rc_http_view *name, struct rc_http_view *value)
{
    const char *const equals = memchr(rest->text, '=', rest->bytes);
    if (equals == NULL) {
        return false;
    }
    *name = (struct rc_http_view){rest->text, (size_t)(equals - rest->text)};
    const char *at = equals + 1;
    const char *const end = rest->text + rest->bytes;
    if (at < end && *at == '"') {
        const char *close = ++at;
        while (close < end && *close != '"') {
            if (*close == '\\') {
                return false; /* nothing in an address needs it */
            }
            close++;
        }
        if (close == end) {
            return false;
        }
        *value = (struct rc_http_view){at, (size_t)(close - at)};
        at = close + 1;
    } else {
        const char *const semicolon = memchr(at, ';', (size_t)(end - at));
        const char *const stop = semicolon != NULL ? semicolon : end;
        *value = (struct rc_http_view){at, (size_t)(stop - at)};
        if (!rc_http_view_is_token(*value)) {
            return false;
        }
        at = stop;
    }
    if (at < end && *at++ != ';') {
        return false;
    }
    *rest = (struct rc_http_view){at, (size_t)(end - at)};
    return rc_http_view_is_token(*name);
}

/* The address that an element's one `for` names (RFC 7239 4 and 6); false for "unknown", "_hidden" and what is broken. */
static bool read_forwarded(struct rc_http_view element, struct rc_address *address)
{
    bool found = false;
    while (element.bytes > 0) {
        struct rc_http_view name, value;
        if (!take_pair(&element, &name, &value)) {
            return false;
        }
        if (rc_http_view_equals_nocase(name, "for")) {
            /* An IPv6 address has brackets here, always (RFC 7239 6.1). */
            const bool bare_v6 = value.bytes > 0 && value.text[0] != '[' &&
                                 memchr(value.text, ':', value.bytes) != memrchr(value.text, ':', value.bytes);
            if (found || bare_v6 || !rc_address_parse_node(address, value.text, value.bytes)) {
                return false;
            }
            found = true;
        }
        element = rc_http_view_trimmed(element);
    }
    return found;
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

static void walk_list(struct walk *walk, const struct rc_cidr_list *trusted, enum rc_forwarded_source source,
                      struct rc_forwarded *out)
{
    /* X-Real-IP is set, not appended to. */
    const uint32_t hops_max = source == RC_FORWARDED_X_REAL_IP ? 1 : RC_FORWARDED_HOPS_MAX;
    struct rc_http_view element;
    while (out->hops < hops_max && rc_cidr_list_contains(trusted, &out->client) && walk_next(walk, &element)) {
        struct rc_address address;
        if (!(source == RC_FORWARDED_FORWARDED ? read_forwarded(element, &address)
                                               : rc_address_parse_node(&address, element.text, element.bytes))) {
            return;
        }
        out->client = address;
        out->source = source;
        out->hops++;
    }
}

void rc_forwarded_client(const struct rc_http_request *request, const struct rc_address *peer,
                         const struct rc_cidr_list *trusted, uint32_t sources, struct rc_forwarded *out)
{
    static const struct {
        enum rc_forwarded_source source;
        const char *name;
    } headers[] = {
        {RC_FORWARDED_X_FORWARDED_FOR, "x-forwarded-for"},
        {RC_FORWARDED_FORWARDED, "forwarded"},
        {RC_FORWARDED_X_REAL_IP, "x-real-ip"},
    };
    *out = (struct rc_forwarded){.client = *peer, .source = RC_FORWARDED_NONE};
    if (!rc_cidr_list_contains(trusted, peer)) {
        return;
    }
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (!(sources & headers[i].source) || rc_http_header(request, headers[i].name) == NULL) {
            continue;
        }
        struct walk walk = {.request = request,
                            .name = headers[i].name,
                            .header = request->header_count,
                            .quoted = headers[i].source == RC_FORWARDED_FORWARDED};
        walk_list(&walk, trusted, headers[i].source, out);
        return;
    }
}
