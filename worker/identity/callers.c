/* callers: see callers.h. */
#include "worker/identity/callers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

static struct rc_caller **caller_place(struct rc_callers *callers, uint64_t token)
{
    return &callers->buckets[rc_hash(&token, sizeof(token)) % RC_CALLERS_BUCKETS];
}

struct rc_caller *rc_caller_find(const struct rc_callers *callers, uint64_t token)
{
    struct rc_caller *caller = callers->buckets[rc_hash(&token, sizeof(token)) % RC_CALLERS_BUCKETS];
    while (caller != NULL && caller->asker.token != token) {
        caller = caller->next;
    }
    return caller;
}

void rc_caller_end(struct rc_callers *callers, struct rc_caller *caller)
{
    struct rc_caller **at = caller_place(callers, caller->asker.token);
    while (*at != caller) {
        at = &(*at)->next;
    }
    *at = caller->next;
    callers->count--;
    free(caller->body);
    free(caller);
}

void rc_caller_forget(struct rc_callers *callers, uint64_t token)
{
    struct rc_caller *caller = rc_caller_find(callers, token);
    if (caller != NULL) {
        rc_caller_end(callers, caller);
    }
}

void rc_callers_close(struct rc_callers *callers)
{
    for (uint32_t i = 0; i < RC_CALLERS_BUCKETS; i++) {
        while (callers->buckets[i] != NULL) {
            rc_caller_end(callers, callers->buckets[i]);
        }
    }
    free(callers->operations);
    callers->operations = NULL;
}

/* Tokens are random: a late answer finds nobody, and never somebody else. */
static void caller_answered(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct rc_callers *callers = context;
    struct rc_caller *caller = rc_caller_find(callers, token);
    if (caller == NULL || caller->answered) {
        return;
    }
    caller->answered = true;
    caller->answer = *answer;
    caller->answer.body = rc_span_of(NULL, 0);
    if (answer->outcome == RC_BACKEND_ANSWERED && answer->body.count > 0) {
        caller->body = malloc(answer->body.count);
        if (caller->body == NULL) {
            rc_metric_add(callers->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            caller->answer = (struct rc_backend_answer){.outcome = RC_BACKEND_REFUSED, .why = "no memory"};
        } else {
            memcpy(caller->body, answer->body.bytes, answer->body.count);
            caller->answer.body = rc_span_of(caller->body, answer->body.count);
        }
    }
    callers->ready(callers->context, &caller->asker);
}

int rc_caller_call(struct rc_callers *callers, const struct rc_identity_asker *asker, uint32_t backend,
                   const struct rc_backend_connect *connect)
{
    struct rc_backend_frame frame;
    struct rc_caller *caller = callers->count < RC_CALLERS_MAX ? calloc(1, sizeof(*caller)) : NULL;
    if (caller == NULL) {
        rc_metric_add(callers->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return -ENOBUFS;
    }
    struct rc_caller **place = caller_place(callers, asker->token);
    *caller = (struct rc_caller){.asker = *asker, .next = *place, .backend = rc_backend_mark(callers->config, backend)};
    *place = caller;
    callers->count++;
    rc_backend_connect_request_write(&frame, callers->backends, connect);
    memcpy(caller->call, frame.request.id, sizeof(caller->call));
    const struct rc_backend_waiter waiter = {.context = callers, .answered = caller_answered, .token = asker->token};
    const int rc = rc_backend_frame_call(&frame, callers->backends, backend, waiter);
    if (rc < 0) {
        rc_caller_end(callers, caller);
    }
    return rc;
}

int rc_caller_read(struct rc_callers *callers, const struct rc_caller *caller, struct rc_backend_connect_reply *reply)
{
    if (callers->operations == NULL && (callers->operations = malloc(sizeof(*callers->operations))) == NULL) {
        return -ENOMEM;
    }
    rc_backend_connect_reply_read(reply, callers->operations, &caller->answer);
    if (reply->refused) {
        rc_backend_reply_refused(callers->backends, rc_backend_marked(callers->config, caller->backend),
                                 RC_BACKEND_CONNECT, caller->call, reply->why);
    }
    return 0;
}
