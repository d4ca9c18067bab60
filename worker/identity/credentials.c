/* credentials: see credentials.h. */
#include "worker/identity/credentials.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"

#define VALUE_BYTES_MAX 8192u

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

/* The header, once; else false. */
static bool header_find(const struct rc_http_request *request, const char *name, struct rc_http_view *value)
{
    uint32_t index = 0;
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
            text_put(writer, first ? "{\"" : ",\"");
            text_put(writer, parts[part].name);
            text_put(writer, "\":");
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

int rc_credentials_of(const struct rc_config *config, const struct rc_http_request *request, uint8_t *out,
                      size_t capacity)
{
    struct writer writer = {.out = out, .room = capacity};
    bool any = false;
    for (size_t part = 0; part < RC_ARRAY_COUNT(parts); part++) {
        any |= part_put(&writer, config, request, part, !any);
    }
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
