/* api_call: one call's life: its memory, what it has asked, its answer. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

_Static_assert(SHA256_DIGEST_LENGTH == RC_API_DIGEST_BYTES, "digest size");

int rc_api_fault(struct rc_api_fault *fault, uint16_t status, const char *format, ...)
{
    va_list list;
    fault->status = status;
    va_start(list, format);
    (void)vsnprintf(fault->message, sizeof(fault->message), format, list);
    va_end(list);
    return -EINVAL;
}

/* --- memory ---------------------------------------------------------------------------------------------------------- */

struct rc_api_call *rc_api_call_open(struct rc_api *api, struct rc_exchange *exchange, const struct rc_api_route *route)
{
    struct rc_api_call *call = api->call_count == RC_API_CALLS_MAX ? NULL : calloc(1, sizeof(*call));
    if (call == NULL) {
        return NULL;
    }
    call->api = api;
    call->exchange = exchange;
    call->route = route;
    api->call_count++;
    rc_metric_set(api->clients->metrics, RC_METRIC_API_CALLS, api->call_count);
    return call;
}

int rc_api_arena(struct rc_api_call *call, struct rc_api_fault *fault)
{
    /* A base64 text may be unescaped and then decoded: twice its size at the most. */
    struct rc_exchanges *exchanges = call->exchange->exchanges;
    const size_t size = 2 * call->exchange->byte_count + RC_CHANNEL_NAME_MAX + 1;
    if (rc_exchanges_charge(exchanges, size) < 0) {
        return rc_api_fault(fault, 503, "no memory for the body: try again");
    }
    call->arena = malloc(size);
    if (call->arena == NULL) {
        rc_exchanges_discharge(exchanges, size);
        rc_metric_add(exchanges->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return rc_api_fault(fault, 503, "no memory for the body: try again");
    }
    call->arena_size = size;
    return 0;
}

void rc_api_release_body(struct rc_api_call *call)
{
    rc_exchange_release_body(call->exchange);
    if (call->arena_size > 0) {
        rc_exchanges_discharge(call->exchange->exchanges, call->arena_size);
    }
    free(call->arena);
    call->arena = NULL;
    call->arena_size = call->arena_used = 0;
}

void rc_api_call_close(struct rc_api_call *call)
{
    struct rc_api *api = call->api;
    if (call->asking) {
        rc_asks_end(api->asks, call->token);
    }
    rc_uplink_leave(api->clients->uplink,
                    call->exchange->connection); /* what comes next on the connection does not wait */
    rc_api_release_body(call);
    for (uint32_t i = 0; i < call->list_count; i++) {
        free(call->lists[i].bytes);
    }
    free(call->lists);
    free(call->messages);
    free(call->places);
    free(call->does);
    if (call->own != NULL) {
        call->free_own(call->own);
    }
    free(call);
    api->call_count--;
    rc_metric_set(api->clients->metrics, RC_METRIC_API_CALLS, api->call_count);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

static void call_answered(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_api_call *call = ask->context;
    if (type == RC_DOWN_REPLY && view->head.data_bytes < sizeof(struct rc_reply_head)) {
        rc_metric_add(call->api->clients->metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    call->route->record(call, type, view);
}

static void call_unanswered(const struct rc_ask *ask, enum rc_ask_end why)
{
    struct rc_api_call *call = ask->context;
    struct rc_api_fault fault;
    (void)why; /* only LATE: what it asks outlives a relay */
    call->asking = false;
    rc_metric_add(call->api->clients->metrics, RC_METRIC_API_TIMEOUTS, 1);
    if (call->late != NULL) {
        call->late(call);
        return;
    }
    if (call->state == RC_API_SENDING && call->sent == 0) {
        rc_api_fault(&fault, 503, "the server cannot take messages now: try again");
    } else if (call->unfound) {
        rc_api_fault(&fault, 503, "the client is not found yet: try again");
    } else {
        rc_api_fault(&fault, 504,
                     "no answer in time; it may have been carried out all the same: try again, publishing with an "
                     "idempotency_key");
    }
    rc_api_fail(call, &fault);
}

static const struct rc_asker call_asker = {
    .kind = RC_ASK_API, .in_ms = RC_API_ANSWER_MS, .answered = call_answered, .unanswered = call_unanswered};

int rc_api_pass_on(struct rc_api_call *call, enum rc_record_type type, struct rc_envelope_view *view,
                   struct rc_api_fault *fault)
{
    struct rc_uplink *uplink = call->api->clients->uplink;
    if ((rc_uplink_queued(uplink) && !rc_uplink_room(uplink)) || rc_uplink_write(uplink, type, view) < 0) {
        return rc_api_fault(fault, 503, "the server cannot pass this call on now: try again");
    }
    return 0;
}

int rc_api_ask(struct rc_api_call *call, struct rc_api_fault *fault)
{
    if (rc_exchange_wait(call->exchange, 0) < 0 ||
        rc_asks_begin(call->api->asks, &call_asker, call, NULL, (struct rc_span){0}, &call->token) < 0) {
        return rc_api_fault(fault, 503, "too many API calls at once: try again");
    }
    call->asking = true;
    return 0;
}

/*
 * A key counts for who chose it and for what: callers number theirs from 1, and one's must not swallow another's. So it is hashed
 * with the API key, the route, and the channel or client it goes to. Each message of a batch has a key of its own, too, so that a
 * batch that was cut off goes on where it was.
 */
static void scope_key(const struct rc_api_call *call, uint32_t item, uint64_t key[2])
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
               .route = call->route->number,
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

struct rc_call_tag rc_api_tag(const struct rc_api_call *call, uint32_t item)
{
    struct rc_call_tag tag = rc_asks_tag(call->api->asks, call->token, item);
    if (call->key_bytes > 0 && call->messages != NULL) { /* what else a call may do may be done twice */
        scope_key(call, item, tag.key);
    }
    return tag;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

static void answer_call(struct rc_api_call *call, struct rc_exchange_answer *answer)
{
    answer->content_type = "application/json";
    rc_exchange_answer(call->exchange, answer);
}

void rc_api_finish(struct rc_api_call *call, struct rc_text *text)
{
    if (text->failed) {
        rc_text_free(text);
        struct rc_api_fault fault;
        rc_api_fault(&fault, 503, "no memory for the answer");
        rc_api_fail(call, &fault);
        return;
    }
    answer_call(call, &(struct rc_exchange_answer){.status = 200, .body = text->bytes, .body_bytes = text->count});
    rc_text_free(text);
}

void rc_api_fail(struct rc_api_call *call, const struct rc_api_fault *fault)
{
    struct rc_exchange_answer answer = {.status = fault->status,
                                        .message = fault->message,
                                        .retry_after_s = fault->status == 503 || fault->status == 504 ? 1 : 0};
    if (call->answered == 0) {
        answer_call(call, &answer);
        return;
    }
    /* Some of its messages are on their way: which ones, says the answer too. */
    struct rc_text text = {0};
    rc_text_put(&text, "{\"error\":{\"code\":%u,\"reason\":\"%s\",\"message\":", fault->status,
                rc_http_status_reason(fault->status));
    rc_text_put_json(&text, rc_span_text(fault->message));
    rc_text_put(&text, "},");
    call->route->put_partly(&text, call);
    rc_text_put(&text, "}\n");
    if (!text.failed) {
        answer.message = NULL;
        answer.body = text.bytes;
        answer.body_bytes = text.count;
    }
    answer_call(call, &answer);
    rc_text_free(&text);
}
