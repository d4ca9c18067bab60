/* api: keys, routes, bodies and the life of a call. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/log.h"

#define API_BODY_FIRST 1024u

_Static_assert(SHA256_DIGEST_LENGTH == RC_API_DIGEST_BYTES, "digest size");

static const struct rc_api_route api_routes[] = {
    {"publish", true, rc_api_publish},
    {"broadcast", true, rc_api_broadcast},
    {"direct", true, rc_api_direct},
    {"subscribe", true, rc_api_subscribe},
    {"unsubscribe", true, rc_api_unsubscribe},
    {"disconnect", true, rc_api_disconnect},
    {"channels", false, rc_api_channels},
    {"presence", false, rc_api_presence},
    {"stats", false, rc_api_stats},
    {"instances", false, rc_api_instances},
};

static void api_called(void *context, enum rc_record_type type, const struct rc_envelope_view *view);

/* --- life of the API --- */

int rc_api_open(struct rc_sessions *sessions)
{
    struct rc_api *api = calloc(1, sizeof(*api));
    if (api == NULL) {
        return -ENOMEM;
    }
    const ssize_t got = getrandom(&api->nonce, sizeof(api->nonce), 0);
    RC_ASSERT(got == (ssize_t)sizeof(api->nonce));
    api->sessions = sessions;
    sessions->api = api;
    sessions->uplink->call = api_called;
    sessions->uplink->call_context = api;
    rc_api_reconfigure(api);
    rc_api_take_sample(api, &api->sample);
    return 0;
}

void rc_api_reconfigure(struct rc_api *api)
{
    const struct rc_config_list *keys = &api->sessions->config->http.api_keys;
    api->digest_count = keys->count < RC_API_KEYS_MAX ? keys->count : RC_API_KEYS_MAX;
    for (uint32_t i = 0; i < api->digest_count; i++) {
        SHA256((const unsigned char *)keys->items[i].text, strlen(keys->items[i].text), api->digests[i]);
    }
}

int rc_api_fault(struct rc_api_fault *fault, uint16_t status, const char *format, ...)
{
    va_list list;
    fault->status = status;
    va_start(list, format);
    (void)vsnprintf(fault->message, sizeof(fault->message), format, list);
    va_end(list);
    return -EINVAL;
}

/* --- calls --- */

static void api_gauges(struct rc_api *api)
{
    rc_metric_set(api->sessions->metrics, RC_METRIC_API_CALLS, api->call_count);
    rc_metric_set(api->sessions->metrics, RC_METRIC_API_BYTES, api->bytes);
}

static struct rc_api_call *api_call_of(const struct rc_api *api, uint32_t slot)
{
    const uint32_t call = api->sessions->truth->sockets[slot].call;
    return call == 0 ? NULL : api->calls[call - 1];
}

/* NULL when there are too many. */
static struct rc_api_call *api_call_open(struct rc_api *api, uint32_t slot, const struct rc_api_route *route)
{
    struct rc_api_call *call = api->call_count == RC_API_CALLS_MAX ? NULL : calloc(1, sizeof(*call));
    if (call == NULL) {
        return NULL;
    }
    while (api->calls[api->next] != NULL) {
        api->next = (api->next + 1) % RC_API_CALLS_MAX;
    }
    call->index = api->next;
    call->serial = ++api->serial;
    call->slot = slot;
    call->route = route;
    api->calls[call->index] = call;
    api->call_count++;
    api->sessions->truth->sockets[slot].call = call->index + 1;
    api_gauges(api);
    return call;
}

void rc_api_release_body(struct rc_api *api, struct rc_api_call *call)
{
    api->bytes -= call->byte_capacity + call->arena_size;
    free(call->bytes);
    free(call->arena);
    call->bytes = call->arena = NULL;
    call->byte_count = call->byte_capacity = call->arena_size = call->arena_used = 0;
    api_gauges(api);
}

static void api_call_close(struct rc_api *api, struct rc_api_call *call)
{
    rc_api_release_body(api, call);
    rc_api_lists_free(call);
    free(call->messages);
    free(call->sequences);
    free(call->headers);
    api->sessions->truth->sockets[call->slot].call = 0;
    api->calls[call->index] = NULL;
    api->call_count--;
    free(call);
    api_gauges(api);
}

void rc_api_close(struct rc_sessions *sessions)
{
    struct rc_api *api = sessions->api;
    if (api == NULL) {
        return;
    }
    for (uint32_t i = 0; i < RC_API_CALLS_MAX; i++) {
        if (api->calls[i] != NULL) {
            api_call_close(api, api->calls[i]);
        }
    }
    rc_api_scans_free(api);
    free(api);
    sessions->api = NULL;
}

/*
 * A key counts for who chose it and for what: callers number theirs from 1, and one's must not swallow another's. So it is hashed
 * with the API key, the route, and the channel or client it goes to. Each message of a batch has a key of its own, too, so that a
 * batch that was cut off goes on where it was.
 */
static void api_scope_key(const struct rc_api_call *call, uint32_t item, uint64_t key[2])
{
    struct {
        uint8_t caller[RC_API_DIGEST_BYTES];
        uint64_t target_random;
        uint32_t target_slot;
        uint32_t route;
        uint32_t item;
        uint16_t target_worker;
        uint8_t channel_bytes; /* what follows: the channel, then the key */
        uint8_t key_bytes;
        uint8_t text[RC_CHANNEL_NAME_MAX + RC_API_KEY_BYTES_MAX];
    } scope = {.target_random = call->target.random,
               .target_slot = call->target.slot,
               .route = (uint32_t)(call->route - api_routes),
               .item = item,
               .target_worker = call->target.worker,
               .key_bytes = (uint8_t)call->key_bytes};
    unsigned char digest[SHA256_DIGEST_LENGTH];
    const struct rc_span channel = call->messages[item].channel;
    RC_ASSERT(channel.count <= RC_CHANNEL_NAME_MAX);
    memcpy(scope.caller, call->caller, sizeof(scope.caller));
    scope.channel_bytes = (uint8_t)channel.count;
    if (channel.count > 0) {
        memcpy(scope.text, channel.bytes, channel.count);
    }
    memcpy(scope.text + channel.count, call->key, call->key_bytes);
    SHA256((const unsigned char *)&scope, offsetof(typeof(scope), text) + channel.count + call->key_bytes, digest);
    memcpy(key, digest, 2 * sizeof(key[0]));
    key[1] |= 1; /* never "none" */
}

struct rc_call_tag rc_api_tag(const struct rc_api *api, const struct rc_api_call *call, uint32_t item)
{
    struct rc_call_tag tag = {.nonce = api->nonce, .index = call->index, .serial = call->serial, .item = item};
    if (call->key_bytes > 0 && call->messages != NULL) { /* what else a call may do may be done twice */
        api_scope_key(call, item, tag.key);
    }
    return tag;
}

void rc_api_wait(struct rc_api *api, struct rc_api_call *call, enum rc_api_state state)
{
    call->state = state;
    if (call->end_ds == 0) {
        call->end_ds = rc_io_deadline(api->sessions->io, RC_API_ANSWER_MS);
        rc_session_deadline(api->sessions, call->slot, RC_API_ANSWER_MS);
    }
}

/* --- answers --- */

static void api_count(struct rc_api *api, uint16_t status)
{
    const enum rc_metric_id id = status < 400                     ? RC_METRIC_API_OK
                                 : status == 401 || status == 403 ? RC_METRIC_API_UNAUTHORIZED
                                 : status < 500                   ? RC_METRIC_API_REJECTED
                                                                  : RC_METRIC_API_UNAVAILABLE;
    rc_metric_add(api->sessions->metrics, id, 1);
}

static void api_answer(struct rc_api *api, struct rc_api_call *call, struct rc_answer *answer)
{
    const uint32_t slot = call->slot;
    api_count(api, answer->status);
    answer->keep_alive = call->keep_alive;
    answer->head = call->head;
    answer->headers = call->headers;
    answer->content_type = "application/json";
    char *headers = call->headers;
    call->headers = NULL;
    api_call_close(api, call);
    rc_session_answer(api->sessions, slot, answer);
    free(headers);
}

void rc_api_finish(struct rc_api *api, struct rc_api_call *call, struct rc_text *text)
{
    if (text->failed) {
        rc_text_free(text);
        struct rc_api_fault fault;
        rc_api_fault(&fault, 503, "no memory for the answer");
        rc_api_fail(api, call, &fault);
        return;
    }
    struct rc_answer answer = {.status = 200, .body = text->bytes, .body_bytes = text->count};
    api_answer(api, call, &answer);
    rc_text_free(text);
}

void rc_api_fail(struct rc_api *api, struct rc_api_call *call, const struct rc_api_fault *fault)
{
    struct rc_answer answer = {.status = fault->status,
                               .message = fault->message,
                               .retry_after_s = fault->status == 503 || fault->status == 504 ? 1 : 0};
    if (call->answered == 0) {
        api_answer(api, call, &answer);
        return;
    }
    /* Some of its messages are on their way: which ones, says the answer too. */
    struct rc_text text = {0};
    rc_text_put(&text, "{\"error\":{\"code\":%u,\"reason\":\"%s\",\"message\":", fault->status,
                rc_http_status_reason(fault->status));
    rc_text_put_json(&text, rc_span_text(fault->message));
    rc_text_put(&text, "},");
    rc_api_put_published(&text, call);
    rc_text_put(&text, "}\n");
    if (!text.failed) {
        answer.message = NULL;
        answer.body = text.bytes;
        answer.body_bytes = text.count;
    }
    api_answer(api, call, &answer);
    rc_text_free(&text);
}

static void api_run(struct rc_api *api, struct rc_api_call *call)
{
    struct rc_api_fault fault;
    if (call->route->run(api, call, &fault) < 0) {
        rc_api_fail(api, call, &fault);
    }
}

/* --- requests --- */

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

static bool api_has_body(const struct rc_http_request *request)
{
    return request->chunked || (request->has_content_length && request->content_length > 0);
}

/* An answer without a call: nothing was begun. A body that may come is thrown away while the connection lingers. */
static void api_refuse(struct rc_api *api, uint32_t slot, const struct rc_http_request *request,
                       struct rc_answer answer)
{
    api_count(api, answer.status);
    answer.keep_alive = answer.keep_alive && !api_has_body(request);
    answer.head = request->method == RC_HTTP_HEAD;
    rc_session_answer(api->sessions, slot, &answer);
}

static char *api_join(const char *first, const char *second)
{
    char *both = NULL;
    return asprintf(&both, "%s%s", first == NULL ? "" : first, second == NULL ? "" : second) < 0 ? NULL : both;
}

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

static void api_begin(struct rc_api *api, struct rc_api_call *call, const struct rc_http_request *request)
{
    struct rc_api_fault fault;
    const struct rc_config_limits *limits = &api->sessions->config->limits;
    if (api_key_header(call, request, &fault) < 0) {
        call->keep_alive = call->keep_alive && !api_has_body(request);
        rc_api_fail(api, call, &fault);
        return;
    }
    if (!call->route->post) {
        call->keep_alive = call->keep_alive && !api_has_body(request);
        call->query = request->query;
        api_run(api, call);
        return;
    }
    if (rc_http_body_begin(&call->body, request, limits->max_body_bytes) < 0) {
        rc_api_fault(&fault, 413, "the body is larger than limits.max_body");
        call->keep_alive = false;
        rc_api_fail(api, call, &fault);
        return;
    }
    if (rc_http_body_complete(&call->body)) {
        api_run(api, call);
        return;
    }
    call->state = RC_API_READING;
    rc_session_deadline(api->sessions, call->slot, limits->handshake_timeout_ms);
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (request->expect_100 &&
        rc_hub_answer(api->sessions->hub, call->slot, go_on, (uint32_t)(sizeof(go_on) - 1)) < 0) {
        rc_session_failed_memory(api->sessions, call->slot);
    }
}

static const struct rc_api_route *api_route(const char *path)
{
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(api_routes); i++) {
        if (strcmp(path + strlen("/api/"), api_routes[i].path) == 0) {
            return &api_routes[i];
        }
    }
    return NULL;
}

const char *rc_api_methods(const char *path)
{
    const struct rc_api_route *route = api_route(path);
    return route == NULL ? NULL : route->post ? "POST" : "GET, HEAD";
}

void rc_api_request(struct rc_api *api, uint32_t slot, const struct rc_http_request *request, const char *path,
                    bool keep_alive, const char *headers)
{
    const struct rc_api_route *route = api_route(path);
    struct rc_answer answer = {.keep_alive = keep_alive};
    const char *more;
    uint8_t caller[RC_API_DIGEST_BYTES];
    answer.message = api_refusal(api, request, caller, &answer.status, &more);
    if (answer.message != NULL) {
        char *both = api_join(headers, more);
        answer.headers = both;
        api_refuse(api, slot, request, answer);
        free(both);
        return;
    }
    answer.headers = headers;
    const enum rc_http_method method = request->method;
    if (route == NULL) {
        answer.status = 404;
        answer.message = "no such API call";
    } else if (route->post ? method != RC_HTTP_POST : method != RC_HTTP_GET && method != RC_HTTP_HEAD) {
        answer.status = 405;
        answer.allow = route->post ? "POST" : "GET, HEAD";
        answer.message = route->post ? "this call is a POST" : "this call is a GET";
    }
    const bool draining = api->sessions->draining;
    struct rc_api_call *call = answer.message != NULL || draining ? NULL : api_call_open(api, slot, route);
    if (call == NULL) {
        if (answer.message == NULL) {
            answer.status = 503;
            answer.retry_after_s = 1;
            answer.message =
                draining ? "this server is going away: try again" : "too many API calls at once: try again";
        }
        api_refuse(api, slot, request, answer);
        return;
    }
    memcpy(call->caller, caller, sizeof(call->caller));
    call->keep_alive = keep_alive;
    call->head = method == RC_HTTP_HEAD;
    call->headers = headers == NULL ? NULL : strdup(headers);
    api_begin(api, call, request);
}

/* --- bodies --- */

/* More private memory within the worker's budget. */
static bool api_may_take(const struct rc_api *api, uint64_t bytes)
{
    return api->bytes + bytes <= api->sessions->config->limits.worker_log_bytes;
}

static int api_body_append(struct rc_api *api, struct rc_api_call *call, struct rc_http_view span,
                           struct rc_api_fault *fault)
{
    const size_t need = call->byte_count + span.bytes;
    if (need > call->byte_capacity) {
        size_t capacity = call->byte_capacity == 0 ? API_BODY_FIRST : call->byte_capacity;
        while (capacity < need) {
            capacity *= 2;
        }
        uint8_t *larger = api_may_take(api, capacity - call->byte_capacity) ? realloc(call->bytes, capacity) : NULL;
        if (larger == NULL) {
            rc_metric_add(api->sessions->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            return rc_api_fault(fault, 503, "no memory for the body: try again");
        }
        api->bytes += capacity - call->byte_capacity;
        call->bytes = larger;
        call->byte_capacity = capacity;
        api_gauges(api);
    }
    memcpy(call->bytes + call->byte_count, span.text, span.bytes);
    call->byte_count = need;
    return 0;
}

int rc_api_arena(struct rc_api *api, struct rc_api_call *call, struct rc_api_fault *fault)
{
    /* A base64 text may be unescaped and then decoded: twice its size at the most. */
    const size_t size = 2 * call->byte_count + RC_CHANNEL_NAME_MAX + 1;
    call->arena = api_may_take(api, size) ? malloc(size) : NULL;
    if (call->arena == NULL) {
        rc_metric_add(api->sessions->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return rc_api_fault(fault, 503, "no memory for the body: try again");
    }
    call->arena_size = size;
    api->bytes += size;
    return 0;
}

uint32_t rc_api_body(struct rc_api *api, uint32_t slot, const uint8_t *bytes, uint32_t count)
{
    struct rc_api_call *call = api_call_of(api, slot);
    uint32_t used = 0;
    if (call == NULL || call->state != RC_API_READING) {
        return 0;
    }
    while (used < count) {
        struct rc_http_view span;
        struct rc_api_fault fault;
        size_t consumed;
        const int rc = rc_http_body_feed(&call->body, bytes + used, count - used, &consumed, &span);
        used += (uint32_t)consumed;
        if (rc < 0) {
            rc_api_fault(&fault, (uint16_t)-rc,
                         rc == -413 ? "the body is larger than limits.max_body" : "the body's chunks are broken");
        }
        if (rc < 0 || (span.bytes > 0 && api_body_append(api, call, span, &fault) < 0)) {
            call->keep_alive = false; /* where the next request would begin is not known, or far away */
            rc_api_fail(api, call, &fault);
            return count;
        }
        if (rc == 1) {
            api_run(api, call);
            return used;
        }
    }
    return used;
}

bool rc_api_waits(const struct rc_api *api, uint32_t slot)
{
    const struct rc_api_call *call = api_call_of(api, slot);
    return call != NULL && call->state != RC_API_READING;
}

bool rc_api_answering(const struct rc_api *api)
{
    for (uint32_t i = 0; api->call_count > 0 && i < RC_API_CALLS_MAX; i++) {
        if (api->calls[i] != NULL && api->calls[i]->state != RC_API_READING) {
            return true;
        }
    }
    return false;
}

/* --- what happens meanwhile --- */

void rc_api_room(struct rc_api *api, uint32_t slot)
{
    struct rc_api_call *call = api_call_of(api, slot);
    if (call != NULL && call->state == RC_API_SENDING) {
        rc_api_send(api, call);
    }
}

void rc_api_expired(struct rc_api *api, uint32_t slot)
{
    struct rc_api_call *call = api_call_of(api, slot);
    struct rc_api_fault fault;
    if (call == NULL) {
        return;
    }
    rc_metric_add(api->sessions->metrics, RC_METRIC_API_TIMEOUTS, 1);
    if (call->state == RC_API_READING) {
        call->keep_alive = false;
        rc_api_fault(&fault, 408, "the body did not arrive in time");
    } else {
        rc_api_fault(&fault, 504,
                     "no answer in time; it may have been carried out all the same: try again, publishing with an "
                     "idempotency_key");
    }
    rc_api_fail(api, call, &fault);
}

void rc_api_last(struct rc_api *api, uint32_t slot)
{
    struct rc_api_call *call = api_call_of(api, slot);
    if (call != NULL) {
        call->keep_alive = false;
    }
}

void rc_api_abandon(struct rc_api *api, uint32_t slot)
{
    struct rc_api_call *call = api_call_of(api, slot);
    if (call != NULL) {
        rc_metric_add(api->sessions->metrics, RC_METRIC_API_ABANDONED, 1);
        api_call_close(api, call);
    }
}

/* The call that a record belongs to, if it still waits. */
static struct rc_api_call *api_call_tagged(const struct rc_api *api, const struct rc_call_tag *tag)
{
    struct rc_api_call *call = tag->index < RC_API_CALLS_MAX ? api->calls[tag->index] : NULL;
    return tag->nonce == api->nonce && call != NULL && call->serial == tag->serial && call->state != RC_API_READING
               ? call
               : NULL;
}

static void api_answered(struct rc_api *api, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_call_tag tag;
    if (!rc_call_tag_read(view, &tag)) {
        rc_metric_add(api->sessions->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    struct rc_api_call *call = api_call_tagged(api, &tag);
    if (call == NULL) {
        return; /* too late, or its client went away */
    }
    const uint32_t slot = call->slot;
    if (type == RC_DOWN_QUERY) {
        rc_api_queried(api, call, view);
    } else if (type == RC_DOWN_REPLY) {
        if (view->head.data_bytes < sizeof(struct rc_reply_head)) {
            rc_metric_add(api->sessions->metrics, RC_METRIC_RING_CORRUPT, 1);
        } else if (call->message_count > 0) {
            rc_api_direct_replied(api, call, view);
        } else {
            rc_api_replied(api, call, view);
        }
    } else if (call->message_count > 0) {
        rc_api_message_answered(api, call, &tag, &view->head);
    } else if (type == RC_DOWN_ANSWER) {
        rc_api_asked(api, call, view);
    }
    if (api->sessions->truth->sockets[slot].call == 0) {
        rc_session_resume(api->sessions, slot); /* what was pipelined behind it */
    }
}

static void api_called(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_api *api = context;
    if (type == RC_DOWN_CALL) {
        rc_api_serve(api, view);
    } else if (type == RC_DOWN_DIRECT) {
        rc_api_serve_direct(api, view);
    } else if (type == RC_DOWN_REPLY || type == RC_DOWN_QUERY || (view->head.flags & RC_ENVELOPE_ANSWER)) {
        api_answered(api, type, view);
    }
}
