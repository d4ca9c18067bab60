/* api: keys, routes, and what becomes of requests below /api/. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"

/* --- life of the API ------------------------------------------------------------------------------------------------- */

void rc_api_close(struct rc_api *api)
{
    RC_ASSERT(api->call_count == 0); /* they ended with their exchanges */
    rc_api_scans_free(api);
}

void rc_api_reconfigure(struct rc_api *api)
{
    const struct rc_config_list *keys = &api->clients->config->http.api_keys;
    api->digest_count = keys->count < RC_API_KEYS_MAX ? keys->count : RC_API_KEYS_MAX;
    for (uint32_t i = 0; i < api->digest_count; i++) {
        SHA256((const unsigned char *)keys->items[i].text, strlen(keys->items[i].text), api->digests[i]);
    }
}

/* --- who may --------------------------------------------------------------------------------------------------------- */

/* Compares with every key whatever it is, so that time tells nothing about them. */
static bool api_key_known(const struct rc_api *api, struct rc_http_view key, uint8_t digest[RC_API_DIGEST_BYTES])
{
    int different = 1;
    SHA256((const unsigned char *)key.text, key.bytes, digest);
    for (uint32_t i = 0; i < api->digest_count; i++) {
        different &= CRYPTO_memcmp(digest, api->digests[i], RC_API_DIGEST_BYTES) != 0;
    }
    return !different;
}

/* NULL: the caller may, and `caller` is its key's digest; else the message, with `*headers` of the answer. */
static const char *api_refusal(const struct rc_api *api, const struct rc_http_request *request,
                               uint8_t caller[RC_API_DIGEST_BYTES], uint16_t *status, const char **headers)
{
    static const char scheme[] = "Bearer ";
    *headers = NULL;
    *status = 403;
    if (api->digest_count == 0) {
        return "no API key is configured: set http.api_keys, then send it as Authorization: Bearer KEY";
    }
    uint32_t index = 0;
    const struct rc_http_view *value = rc_http_header_next(request, "Authorization", &index);
    *status = 401;
    if (value == NULL || value->bytes < sizeof(scheme) || strncasecmp(value->text, scheme, sizeof(scheme) - 1) != 0) {
        *headers = "WWW-Authenticate: Bearer realm=\"ringcast\"\r\n";
        return "send an API key as Authorization: Bearer KEY";
    }
    struct rc_http_view key = {value->text + sizeof(scheme) - 1, value->bytes - (sizeof(scheme) - 1)};
    while (key.bytes > 0 && *key.text == ' ') {
        key.text++;
        key.bytes--;
    }
    if (!api_key_known(api, key, caller) || rc_http_header_next(request, "Authorization", &index) != NULL) {
        *headers = "WWW-Authenticate: Bearer realm=\"ringcast\", error=\"invalid_token\"\r\n";
        return "this API key is not one of those in http.api_keys";
    }
    return NULL;
}

/* Of the set: everything below /api/ is for who has a key, or the control socket. */
static bool api_admit(void *context, struct rc_exchange *exchange)
{
    struct rc_api *api = context;
    struct rc_exchange_answer answer = {0};
    if (exchange->console) {
        memset(api->caller, 0, sizeof(api->caller)); /* the digest of no key */
        return true;
    }
    answer.message = api_refusal(api, exchange->request, api->caller, &answer.status, &answer.headers);
    if (answer.message == NULL) {
        return true;
    }
    rc_exchange_answer(exchange, &answer);
    return false;
}

/* --- requests -------------------------------------------------------------------------------------------------------- */

static int api_key_header(struct rc_api_call *call, const struct rc_http_request *request, struct rc_api_fault *fault)
{
    const struct rc_http_view *key = rc_http_header(request, "Idempotency-Key");
    if (key == NULL) {
        return 0;
    }
    if (key->bytes == 0 || key->bytes > sizeof(call->key)) {
        return rc_api_fault(fault, 400, "Idempotency-Key must have 1 to %u bytes", RC_API_KEY_BYTES_MAX);
    }
    memcpy(call->key, key->text, key->bytes);
    call->key_bytes = (uint32_t)key->bytes;
    return 0;
}

static void api_run(struct rc_exchange *exchange)
{
    struct rc_api_call *call = exchange->context;
    struct rc_api_fault fault;
    if (call->route->run(call, &fault) < 0) {
        rc_api_fail(call, &fault);
    }
}

static void api_room(struct rc_exchange *exchange)
{
    struct rc_api_call *call = exchange->context;
    if (call->state == RC_API_SENDING) {
        call->route->room(call);
    }
}

/* The body did not come in time: who waits for records is told by what it asked. */
static void api_expired(struct rc_exchange *exchange)
{
    struct rc_api_call *call = exchange->context;
    struct rc_api_fault fault;
    rc_metric_add(exchange->exchanges->metrics, RC_METRIC_API_TIMEOUTS, 1);
    rc_api_fault(&fault, 408, "the body did not arrive in time");
    rc_api_fail(call, &fault);
}

static void api_ended(struct rc_exchange *exchange, uint16_t status)
{
    struct rc_api_call *call = exchange->context;
    const enum rc_metric_id id = status == 0                      ? RC_METRIC_API_ABANDONED
                                 : status < 400                   ? RC_METRIC_API_OK
                                 : status == 401 || status == 403 ? RC_METRIC_API_UNAUTHORIZED
                                 : status < 500                   ? RC_METRIC_API_REJECTED
                                                                  : RC_METRIC_API_UNAVAILABLE;
    rc_metric_add(exchange->exchanges->metrics, id, 1);
    if (call != NULL) {
        rc_api_call_close(call);
    }
}

const struct rc_exchange_user rc_api_user = {
    .run = api_run, .room = api_room, .expired = api_expired, .ended = api_ended};

void rc_api_begin(struct rc_api *api, struct rc_exchange *exchange, const struct rc_api_route *route, void *own,
                  void (*free_own)(void *own))
{
    const struct rc_http_request *request = exchange->request;
    const bool draining = exchange->exchanges->draining;
    const struct rc_exchange_answer busy = {.status = 503,
                                            .retry_after_s = 1,
                                            .message = draining ? "this server is going away: try again"
                                                                : "too many API calls at once: try again"};
    struct rc_api_call *call = draining ? NULL : rc_api_call_open(api, exchange, route);
    struct rc_api_fault fault;
    if (call == NULL) {
        if (own != NULL) {
            free_own(own);
        }
        rc_exchange_answer(exchange, &busy);
        return;
    }
    call->own = own;
    call->free_own = free_own;
    exchange->context = call;
    exchange->again = request->method == RC_HTTP_GET; /* it changes nothing (RFC 9110 section 9.2.1) */
    memcpy(call->caller, api->caller, sizeof(call->caller));
    if (api_key_header(call, request, &fault) < 0) {
        rc_api_fail(call, &fault);
    } else if (!call->route->body) {
        api_run(exchange);
    } else if (rc_exchange_read(exchange, &rc_api_user, call) < 0) {
        rc_exchange_answer(exchange, &busy);
    }
}

/* Of every route: the request becomes a call. */
static void api_begin(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    rc_api_begin(context, exchange, route->detail, NULL, NULL);
}

/* --- routes ---------------------------------------------------------------------------------------------------------- */

enum api_number {
    PUBLISH,
    BROADCAST,
    DIRECT,
    SUBSCRIBE,
    UNSUBSCRIBE,
    DISCONNECT,
    CHANNELS,
    PRESENCE,
    STATS,
    INSTANCES,
    REVOKE,
    RETAIN,
    DO,
    HISTORY,
    CLIENTS,
    CONFIG,
    MEMORY,
    TRACE
};

static const struct rc_api_route api_calls[] = {
    [PUBLISH] = {PUBLISH, true, rc_api_publish, rc_api_send, rc_api_published, rc_api_put_published},
    [BROADCAST] = {BROADCAST, true, rc_api_broadcast, rc_api_send, rc_api_published, rc_api_put_published},
    [DIRECT] = {DIRECT, true, rc_api_direct, rc_api_send, rc_api_published, rc_api_put_published},
    [SUBSCRIBE] = {SUBSCRIBE, true, rc_api_subscribe, NULL, rc_api_gathered, NULL},
    [UNSUBSCRIBE] = {UNSUBSCRIBE, true, rc_api_unsubscribe, NULL, rc_api_gathered, NULL},
    [DISCONNECT] = {DISCONNECT, true, rc_api_disconnect, NULL, rc_api_gathered, NULL},
    [CLIENTS] = {CLIENTS, false, rc_api_clients, NULL, rc_api_gathered, NULL},
    [CHANNELS] = {CHANNELS, false, rc_api_channels_of, NULL, rc_api_gathered, NULL},
    [PRESENCE] = {PRESENCE, false, rc_api_presence, NULL, rc_api_queried, NULL},
    [CONFIG] = {CONFIG, false, rc_api_config, NULL, NULL, NULL},
    [STATS] = {STATS, false, rc_api_stats, NULL, NULL, NULL},
    [INSTANCES] = {INSTANCES, false, rc_api_instances, NULL, rc_api_queried, NULL},
    [REVOKE] = {REVOKE, true, rc_api_revoke, NULL, rc_api_revoked, NULL},
    [RETAIN] = {RETAIN, true, rc_api_retain, rc_api_send, rc_api_published, rc_api_put_published},
    [DO] = {DO, true, rc_api_do, rc_api_do_room, rc_api_do_record, NULL},
    [HISTORY] = {HISTORY, false, rc_api_history, NULL, rc_api_queried, NULL},
    [MEMORY] = {MEMORY, false, rc_api_memory, NULL, NULL, NULL},
    [TRACE] = {TRACE, false, rc_api_trace, NULL, NULL, NULL},
};

#define API_POST(name, number)                                                                              \
    {                                                                                                       \
        .path = name, .methods = "POST", .allow = "POST", .wrong = "this call is a POST", .run = api_begin, \
        .detail = &api_calls[number]                                                                        \
    }
#define API_GET_DELETE(name, number)                                                              \
    {                                                                                             \
        .path = name, .methods = "GET, HEAD, DELETE", .allow = "GET, HEAD, DELETE",               \
        .wrong = "this call is a GET or a DELETE", .run = api_begin, .detail = &api_calls[number] \
    }
#define API_GET(name, number)                                                                                        \
    {                                                                                                                \
        .path = name, .methods = "GET, HEAD", .allow = "GET, HEAD", .wrong = "this call is a GET", .run = api_begin, \
        .detail = &api_calls[number]                                                                                 \
    }

static const struct rc_route api_routes[] = {
    API_POST("publish", PUBLISH),
    API_POST("broadcast", BROADCAST),
    API_POST("direct", DIRECT),
    API_POST("subscribe", SUBSCRIBE),
    API_POST("unsubscribe", UNSUBSCRIBE),
    API_POST("disconnect", DISCONNECT),
    API_GET("channels", CHANNELS),
    API_GET("clients", CLIENTS),
    API_GET("presence", PRESENCE),
    API_GET("config", CONFIG),
    API_GET("stats", STATS),
    API_GET("instances", INSTANCES),
    API_POST("revoke", REVOKE),
    API_POST("retain", RETAIN),
    API_POST("do", DO),
    API_GET("memory", MEMORY),
    API_GET_DELETE("history", HISTORY),
    API_GET_DELETE("trace", TRACE),
};

void rc_api_open(struct rc_api *api, struct rc_clients *clients)
{
    const struct rc_route_set set = {.below = "/api/",
                                     .routes = api_routes,
                                     .count = RC_ARRAY_COUNT(api_routes),
                                     .context = api,
                                     .missing = "no such API call",
                                     .user = &rc_api_user,
                                     .admit = api_admit};
    *api = (struct rc_api){.clients = clients, .asks = clients->asks};
    rc_api_reconfigure(api);
    rc_routes_add(&clients->routes, &set);
}
