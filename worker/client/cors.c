/* cors: what the configuration lets pages of other origins do. See session.h and worker/http/cors.h. */
#include "worker/client/client.h"

#include <string.h>

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

enum rc_cors_verdict rc_session_cors(const struct rc_config_http *config, const struct rc_http_request *request,
                                     const char *methods, char *out, size_t capacity)
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
