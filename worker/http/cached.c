/* cached: see cached.h. */
#include "worker/http/cached.h"

#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "worker/http/coding.h"

#define ETAG_BYTES_MAX 32u

void rc_cached_open(struct rc_cached *file)
{
    (void)snprintf(file->etag, sizeof(file->etag), "\"%016llx\"",
                   (unsigned long long)rc_hash_public(file->bytes.bytes, file->bytes.count));
}

/* Does a field name this version (compared weakly, so "W/" makes no difference), or any? */
static bool names_version(struct rc_http_view field, const char *etag)
{
    struct rc_http_view one;
    while (rc_http_list_next(&field, &one)) {
        if (one.bytes > 2 && memcmp(one.text, "W/", 2) == 0) {
            one.text += 2;
            one.bytes -= 2;
        }
        if (rc_http_view_equals(one, etag) || rc_http_view_equals(one, "*")) {
            return true;
        }
    }
    return false;
}

static bool has_already(const struct rc_http_request *request, const char *etag)
{
    const struct rc_http_view *field;
    uint32_t at = 0;
    while ((field = rc_http_header_next(request, "if-none-match", &at)) != NULL) {
        if (names_version(*field, etag)) {
            return true;
        }
    }
    return false;
}

void rc_cached_answer(struct rc_exchange *exchange, const struct rc_cached *file)
{
    const bool coded = file->gzip.count > 0 && rc_content_coding_choose(exchange->request) == RC_CODING_GZIP;
    const struct rc_span body = coded ? file->gzip : file->bytes;
    char etag[ETAG_BYTES_MAX];
    char headers[RC_EXCHANGE_HEADERS_BYTES_MAX];
    (void)snprintf(etag, sizeof(etag), "%.*s%s\"", (int)(strlen(file->etag) - 1), file->etag, coded ? "-gzip" : "");
    const bool known = has_already(exchange->request, etag);
    (void)snprintf(headers, sizeof(headers), "Cache-Control: %s\r\nETag: %s\r\n%s%s%s", file->cache_control, etag,
                   file->gzip.count > 0 ? "Vary: Accept-Encoding\r\n" : "",
                   coded && !known ? "Content-Encoding: gzip\r\n" : "", file->headers == NULL ? "" : file->headers);
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = known ? 304 : 200,
                                                              .content_type = file->content_type,
                                                              .body = body.bytes,
                                                              .body_bytes = known ? 0 : body.count,
                                                              .headers = headers,
                                                              .cacheable = true});
}
