/* credentials: see credentials.h. */
#include "worker/identity/credentials.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/config/identity.h"
#include "common/text/json_path.h"
#include "common/text/json_scan.h"

#define VALUE_BYTES_MAX 8192u
#define SUBPROTOCOLS "sec-websocket-protocol"
#define BEARER "bearer."

static const struct {
    enum rc_event_source source;
    const char *name;
} parts[] = {{RC_EVENT_SOURCE_QUERY, "query"}, {RC_EVENT_SOURCE_HEADER, "header"}, {RC_EVENT_SOURCE_COOKIE, "cookie"}};

/* --- finding ----------------------------------------------------------------------------------------------------- */

/* The value of a cookie (RFC 6265 5.4: pairs with "; " between), without quotes around it; false: it is not there. */
static bool cookie_find(const struct rc_http_request *request, struct rc_span name, struct rc_http_view *value)
{
    uint32_t index = 0;
    const struct rc_http_view *header;
    while ((header = rc_http_header_next(request, "cookie", &index)) != NULL) {
        struct rc_http_view rest = *header;
        while (rest.bytes > 0) {
            const char *const end = memchr(rest.text, ';', rest.bytes);
            const size_t pair_bytes = end == NULL ? rest.bytes : (size_t)(end - rest.text);
            const struct rc_http_view pair =
                rc_http_view_trimmed((struct rc_http_view){.text = rest.text, .bytes = pair_bytes});
            if (pair.bytes > name.count && memcmp(pair.text, name.bytes, name.count) == 0 &&
                pair.text[name.count] == '=') {
                *value =
                    (struct rc_http_view){.text = pair.text + name.count + 1, .bytes = pair.bytes - name.count - 1};
                if (value->bytes >= 2 && value->text[0] == '"' && value->text[value->bytes - 1] == '"') {
                    value->text++;
                    value->bytes -= 2;
                }
                return true;
            }
            const size_t taken = end == NULL ? pair_bytes : pair_bytes + 1;
            rest.text += taken;
            rest.bytes -= taken;
        }
    }
    return false;
}

/* What follows BEARER in the one subprotocol that begins so; false: none does, or several do. A browser's WebSocket can say who it is so: it sets no
 * other header. */
static bool subprotocol_find(const struct rc_http_request *request, struct rc_http_view *value)
{
    uint32_t index = 0;
    uint32_t found = 0;
    const struct rc_http_view *header;
    while ((header = rc_http_header_next(request, SUBPROTOCOLS, &index)) != NULL) {
        struct rc_http_view list = *header;
        struct rc_http_view element;
        while (rc_http_list_next(&list, &element)) {
            if (element.bytes > strlen(BEARER) && strncasecmp(element.text, BEARER, strlen(BEARER)) == 0) {
                value->text = element.text + strlen(BEARER);
                value->bytes = element.bytes - strlen(BEARER);
                found++;
            }
        }
    }
    return found == 1;
}

/* The header, once; else false. Of the subprotocols see above. */
static bool header_find(const struct rc_http_request *request, const char *name, struct rc_http_view *value)
{
    uint32_t index = 0;
    if (strcasecmp(name, SUBPROTOCOLS) == 0) {
        return subprotocol_find(request, value);
    }
    const struct rc_http_view *const header = rc_http_header_next(request, name, &index);
    if (header == NULL || rc_http_header_next(request, name, &index) != NULL) {
        return false;
    }
    *value = *header;
    return true;
}

/* The value's bytes in `out`, negative: it is not there. */
static int value_find(const struct rc_http_request *request, const struct rc_handshake_name *name,
                      char out[VALUE_BYTES_MAX])
{
    struct rc_http_view value;
    if (name->source == RC_EVENT_SOURCE_QUERY) {
        return rc_http_query_find(request->query, name->text, out, VALUE_BYTES_MAX);
    }
    if (name->source == RC_EVENT_SOURCE_HEADER ? !header_find(request, name->text, &value)
                                               : !cookie_find(request, rc_span_of(name->text, name->bytes), &value)) {
        return -ENOENT;
    }
    if (name->source == RC_EVENT_SOURCE_COOKIE) {
        const int bytes = rc_http_path_decode(value, out, VALUE_BYTES_MAX);
        if (bytes >= 0) {
            return bytes;
        }
    }
    if (value.bytes > VALUE_BYTES_MAX) {
        return -ENOSPC;
    }
    memcpy(out, value.text, value.bytes);
    return (int)value.bytes;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

struct writer {
    uint8_t *out; /* borrowed */
    size_t room;
    size_t used;
    bool full;
};

static void text_put(struct writer *writer, const char *text)
{
    const size_t bytes = strlen(text);
    if (writer->full || bytes > writer->room - writer->used) {
        writer->full = true;
        return;
    }
    memcpy(writer->out + writer->used, text, bytes);
    writer->used += bytes;
}

static void string_put(struct writer *writer, struct rc_span text)
{
    const size_t bytes =
        writer->full ? 0 : rc_json_string_encode(writer->out + writer->used, writer->room - writer->used, text);
    writer->full |= bytes == 0;
    writer->used += bytes;
}

static void member_put(struct writer *writer, const char *name, bool first)
{
    text_put(writer, first ? "{\"" : ",\"");
    text_put(writer, name);
    text_put(writer, "\":");
}

/* The object of one source. False: nothing of it is there. */
static bool part_put(struct writer *writer, const struct rc_config *config, const struct rc_http_request *request,
                     size_t part, bool first)
{
    char value[VALUE_BYTES_MAX];
    bool any = false;
    for (uint32_t i = 0; i < config->handshake_name_count; i++) {
        const struct rc_handshake_name *const name = &config->handshake_names[i];
        const int bytes = name->source == parts[part].source ? value_find(request, name, value) : -ENOENT;
        if (bytes < 0 || !rc_json_utf8_valid(rc_span_of(value, (size_t)bytes))) {
            continue;
        }
        if (!any) {
            member_put(writer, parts[part].name, first);
        }
        text_put(writer, any ? "," : "{");
        string_put(writer, rc_span_of(name->text, name->bytes));
        text_put(writer, ":");
        string_put(writer, rc_span_of(value, (size_t)bytes));
        any = true;
    }
    if (any) {
        text_put(writer, "}");
    }
    return any;
}

/* What tables of their kind go by. Is anything in the object, then? */
static bool known_put(struct writer *writer, const struct rc_config *config, const struct rc_credentials_known *known,
                      bool any)
{
    if (known->proxied && rc_config_identity_any(config, RC_IDENTITY_PROXY)) {
        member_put(writer, "proxied", !any);
        text_put(writer, "true");
        any = true;
    }
    if (known->certificate.count > 0 && rc_json_utf8_valid(known->certificate) &&
        rc_config_identity_any(config, RC_IDENTITY_CERTIFICATE)) {
        member_put(writer, "certificate", !any);
        string_put(writer, known->certificate);
        any = true;
    }
    return any;
}

int rc_credentials_of(const struct rc_config *config, const struct rc_http_request *request,
                      const struct rc_credentials_known *known, uint8_t *out, size_t capacity)
{
    struct writer writer = {.out = out, .room = capacity};
    bool any = false;
    for (size_t part = 0; part < RC_ARRAY_COUNT(parts); part++) {
        any |= part_put(&writer, config, request, part, !any);
    }
    any = known_put(&writer, config, known, any);
    if (any) {
        text_put(&writer, "}");
    }
    return writer.full ? -E2BIG : (int)writer.used;
}

struct rc_span rc_credentials_part(struct rc_span credentials, enum rc_event_source source)
{
    struct rc_json_cursor cursor;
    struct rc_json_value key;
    struct rc_json_value value;
    if (credentials.count == 0 || rc_json_object_begin(&cursor, credentials, 0) != 0) {
        return rc_span_of(NULL, 0);
    }
    while (rc_json_object_next(&cursor, &key, &value) == 1) {
        for (size_t part = 0; part < RC_ARRAY_COUNT(parts); part++) {
            if (parts[part].source == source && rc_json_string_is(&key, rc_span_text(parts[part].name))) {
                return value.raw;
            }
        }
    }
    return rc_span_of(NULL, 0);
}

bool rc_credentials_proxied(struct rc_span credentials)
{
    return rc_json_member(credentials, RC_SPAN("proxied")).type == RC_JSON_TRUE;
}

struct rc_json_value rc_credentials_certificate(struct rc_span credentials)
{
    return rc_json_member(credentials, RC_SPAN("certificate"));
}
