/* cors: see cors.h. */
#include "worker/http/cors.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "worker/http/origin.h"

bool rc_cors_is_preflight(const struct rc_http_request *request)
{
    return request->method == RC_HTTP_OPTIONS && rc_http_header(request, "origin") != NULL &&
           rc_http_header(request, "access-control-request-method") != NULL;
}

/* Is `wanted` an element of the comma-separated `list`? */
static bool cors_lists(const char *list, struct rc_http_view wanted, bool any_case)
{
    struct rc_http_view rest = {list, strlen(list)};
    struct rc_http_view element;
    while (rc_http_list_next(&rest, &element)) {
        if (element.bytes == wanted.bytes && (any_case ? strncasecmp(element.text, wanted.text, wanted.bytes)
                                                       : memcmp(element.text, wanted.text, wanted.bytes)) == 0) {
            return true;
        }
    }
    return false;
}

/* GET, HEAD and POST need no leave (Fetch: CORS-safelisted methods), nor do safelisted headers, which browsers leave out. */
static bool preflight_fits(const struct rc_cors_policy *policy, const struct rc_http_request *request)
{
    uint32_t index = 0;
    const struct rc_http_view *const method = rc_http_header_next(request, "access-control-request-method", &index);
    if (!rc_http_view_is_token(*method) ||
        rc_http_header_next(request, "access-control-request-method", &index) != NULL ||
        !cors_lists(policy->methods, *method, false)) {
        return false;
    }
    const struct rc_http_view *value;
    index = 0;
    while ((value = rc_http_header_next(request, "access-control-request-headers", &index)) != NULL) {
        struct rc_http_view rest = *value, element;
        while (rc_http_list_next(&rest, &element)) {
            if (!cors_lists(policy->headers, element, true)) {
                return false;
            }
        }
    }
    return true;
}

struct writer {
    char *out;
    size_t capacity;
    size_t bytes; /* capacity once it did not fit */
};

__attribute__((format(printf, 2, 3))) static void cors_put(struct writer *writer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(writer->out + writer->bytes, writer->capacity - writer->bytes, format, args);
    va_end(args);
    writer->bytes =
        n < 0 || (size_t)n >= writer->capacity - writer->bytes ? writer->capacity : writer->bytes + (size_t)n;
}

static void put_leave(struct writer *writer, const struct rc_cors_policy *policy, struct rc_http_view origin, bool any)
{
    if (any) {
        /* Never with credentials, also should the policy have gone unchecked. */
        cors_put(writer, "Access-Control-Allow-Origin: *\r\n");
        return;
    }
    cors_put(writer, "Access-Control-Allow-Origin: %.*s\r\n", (int)origin.bytes, origin.text);
    if (policy->credentials) {
        cors_put(writer, "Access-Control-Allow-Credentials: true\r\n");
    }
}

static void put_preflight(struct writer *writer, const struct rc_cors_policy *policy)
{
    cors_put(writer, "Access-Control-Allow-Methods: %s\r\n", policy->methods);
    if (policy->headers[0] != '\0') {
        cors_put(writer, "Access-Control-Allow-Headers: %s\r\n", policy->headers);
    }
    if (policy->max_age_s != 0) {
        cors_put(writer, "Access-Control-Max-Age: %u\r\n", policy->max_age_s);
    }
}

enum rc_cors_verdict rc_cors_judge(const struct rc_cors_policy *policy, const struct rc_http_request *request,
                                   char *out, size_t capacity)
{
    struct writer writer = {.out = out, .capacity = capacity};
    uint32_t index = 0;
    const struct rc_http_view *const origin = rc_http_header_next(request, "origin", &index);
    const bool repeated = origin != NULL && rc_http_header_next(request, "origin", &index) != NULL;
    const bool preflight = rc_cors_is_preflight(request);
    const bool any = rc_origin_any(policy->origins);

    if (capacity == 0) {
        return RC_CORS_REFUSED;
    }
    out[0] = '\0';
    enum rc_cors_verdict verdict = RC_CORS_NONE;
    if (origin != NULL) {
        const bool allowed = !repeated && origin->bytes > 0 &&
                             rc_origin_allowed(policy->origins, rc_span_of(origin->text, origin->bytes),
                                               rc_span_of(request->host.text, request->host.bytes));
        verdict = allowed && (!preflight || preflight_fits(policy, request)) ? RC_CORS_ALLOWED : RC_CORS_REFUSED;
    }
    if (verdict == RC_CORS_ALLOWED) {
        put_leave(&writer, policy, *origin, any);
        if (preflight) {
            put_preflight(&writer, policy);
        }
    }
    if (preflight) {
        cors_put(&writer, "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n");
    } else if (!any) {
        cors_put(&writer, "Vary: Origin\r\n");
    }
    if (writer.bytes == capacity) {
        out[0] = '\0';
        return RC_CORS_REFUSED;
    }
    return verdict;
}

/* Appends to a list of at most `capacity` - 1 bytes. */
static void cors_append(char *list, size_t capacity, struct rc_http_view element)
{
    const size_t bytes = strlen(list);
    const size_t comma = bytes > 0 ? 2 : 0;
    if (bytes + comma + element.bytes >= capacity) {
        return; /* the configuration's lists fit: checked when it was read */
    }
    memcpy(list + bytes, ", ", comma);
    memcpy(list + bytes + comma, element.text, element.bytes);
    list[bytes + comma + element.bytes] = '\0';
}

enum rc_cors_verdict rc_cors_judge_configured(const struct rc_config_http *config,
                                              const struct rc_http_request *request, const char *methods, char *out,
                                              size_t capacity)
{
    char allowed_methods[64] = "";
    char allowed_headers[RC_CONFIG_CORS_HEADERS_MAX] = "";
    if (rc_cors_is_preflight(request)) {
        struct rc_http_view rest = {methods, strlen(methods)};
        struct rc_http_view method;
        while (rc_http_list_next(&rest, &method)) {
            for (uint32_t i = 0; i < config->cors_methods.count; i++) {
                if (rc_http_view_equals(method, config->cors_methods.items[i].text)) {
                    cors_append(allowed_methods, sizeof(allowed_methods), method);
                    break;
                }
            }
        }
        for (uint32_t i = 0; i < config->cors_headers.count; i++) {
            const char *name = config->cors_headers.items[i].text;
            cors_append(allowed_headers, sizeof(allowed_headers), (struct rc_http_view){name, strlen(name)});
        }
    }
    const struct rc_cors_policy policy = {.origins = &config->allowed_origins,
                                          .methods = allowed_methods,
                                          .headers = allowed_headers,
                                          .credentials = config->cors_credentials,
                                          .max_age_s = (uint32_t)(config->cors_max_age_ms / 1000)};
    return rc_cors_judge(&policy, request, out, capacity);
}
