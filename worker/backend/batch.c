/* batch: see batch.h. */
#include "worker/backend/batch.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/backend/count.h"

static const char batch_head[] = "{\"calls\":[";

struct told {
    struct told *next;
    uint64_t added_ms;
    uint32_t bytes;
    uint8_t frame[];
};

struct batch {
    struct rc_batches *all;
    struct told *first; /* those that are being told are the first `sent` */
    struct told *last;
    uint32_t count;
    uint32_t sent;
    uint64_t bytes;
    uint64_t due_ms; /* not before that: the last try failed */
    char name[RC_CONFIG_TEXT_MAX];
};

struct rc_batches {
    struct rc_backends *backends; /* borrowed */
    struct rc_backend_counters *counters;
    uint64_t now_ms; /* of the last work */
    struct batch of[RC_CONFIG_BACKENDS_MAX];
};

struct rc_batches *rc_batches_open(struct rc_backends *backends, struct rc_backend_counters *counters)
{
    struct rc_batches *batches = calloc(1, sizeof(*batches));
    for (uint32_t i = 0; batches != NULL && i < RC_CONFIG_BACKENDS_MAX; i++) {
        batches->of[i].all = batches;
    }
    if (batches != NULL) {
        batches->backends = backends;
        batches->counters = counters;
    }
    return batches;
}

static void batch_remove_first(struct batch *batch)
{
    struct told *told = batch->first;
    batch->first = told->next;
    batch->last = batch->first == NULL ? NULL : batch->last;
    batch->count--;
    batch->bytes -= told->bytes;
    free(told);
}

static void batch_drop(struct batch *batch, uint32_t count, const char *why)
{
    if (count > 0) {
        rc_backend_count_add(&batch->all->counters[batch - batch->all->of].dropped, count);
        rc_log_limited(RC_LOG_WARN, 1, "disconnects_dropped", "backend=\"%s\" count=%u reason=\"%s\"", batch->name,
                       count, why);
    }
}

void rc_batches_close(struct rc_batches *batches)
{
    for (uint32_t i = 0; batches != NULL && i < RC_CONFIG_BACKENDS_MAX; i++) {
        while (batches->of[i].first != NULL) {
            batch_remove_first(&batches->of[i]);
        }
    }
    free(batches);
}

void rc_batch_add(struct rc_batches *batches, uint32_t backend, struct rc_backend_frame *frame, uint64_t now_ms)
{
    struct batch *batch = &batches->of[backend];
    const size_t bytes = frame->count + 1;
    struct told *told =
        frame->failed || batch->bytes + bytes > RC_BATCH_BYTES_MAX ? NULL : malloc(sizeof(*told) + bytes);
    if (told == NULL) {
        batch_drop(batch, 1, "too many wait, or no memory");
        rc_backend_frame_drop(frame);
        return;
    }
    *told = (struct told){.added_ms = now_ms, .bytes = (uint32_t)bytes};
    memcpy(told->frame, frame->bytes, frame->count);
    told->frame[frame->count] = '}';
    *(batch->last != NULL ? &batch->last->next : &batch->first) = told;
    batch->last = told;
    batch->count++;
    batch->bytes += bytes;
    rc_backend_frame_drop(frame);
}

void rc_batches_reconfigure(struct rc_batches *batches, const struct rc_config *config)
{
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        struct batch *batch = &batches->of[i];
        const char *name = i < config->backend_count ? config->backends[i].name.text : "";
        if (strcmp(batch->name, name) == 0) {
            continue;
        }
        batch_drop(batch, batch->count, "the backend is not configured any more, or in another place");
        while (batch->first != NULL) {
            batch_remove_first(batch);
        }
        batch->due_ms = 0;
        memset(batch->name, 0, sizeof(batch->name));
        memcpy(batch->name, name, strlen(name));
    }
}

static void on_told(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct batch *batch = context;
    struct rc_batches *batches = batch->all;
    const bool good = answer->outcome == RC_BACKEND_ANSWERED && answer->status < 500;
    (void)token;
    /* A reload may have emptied it meanwhile. */
    const uint32_t sent = batch->sent < batch->count ? batch->sent : batch->count;
    batch->sent = 0;
    for (uint32_t i = 0; good && i < sent; i++) {
        batch_remove_first(batch);
    }
    batch->due_ms = good ? 0 : batches->now_ms + RC_BATCH_AGAIN_MS;
}

/* What is too old is not told any more. */
static void batch_expire(struct batch *batch, uint64_t now_ms)
{
    uint32_t old = 0;
    while (batch->first != NULL && batch->first->added_ms + RC_BATCH_KEEP_MS <= now_ms) {
        batch_remove_first(batch);
        old++;
    }
    batch_drop(batch, old, "it was not reached for a minute");
}

static bool batch_due(const struct batch *batch, uint64_t now_ms)
{
    return batch->sent == 0 && batch->count > 0 && batch->due_ms <= now_ms &&
           (batch->count >= RC_BATCH_CALLS_MAX || batch->first->added_ms + RC_BATCH_WAIT_MS <= now_ms);
}

static void batch_send(struct rc_batches *batches, uint32_t backend, uint64_t now_ms)
{
    struct batch *batch = &batches->of[backend];
    const uint32_t count = batch->count < RC_BATCH_CALLS_MAX ? batch->count : RC_BATCH_CALLS_MAX;
    size_t bytes = sizeof(batch_head) + 2;
    const struct told *told = batch->first;
    for (uint32_t i = 0; i < count; i++, told = told->next) {
        bytes += told->bytes + 1;
    }
    uint8_t *body = malloc(bytes);
    batch->due_ms = now_ms + RC_BATCH_AGAIN_MS; /* unless it is sent, and answered */
    if (body == NULL) {
        return;
    }
    size_t at = sizeof(batch_head) - 1;
    memcpy(body, batch_head, at);
    told = batch->first;
    for (uint32_t i = 0; i < count; i++, told = told->next) {
        if (i > 0) {
            body[at++] = ',';
        }
        memcpy(body + at, told->frame, told->bytes);
        at += told->bytes;
    }
    memcpy(body + at, "]}", 2);
    at += 2;
    RC_ASSERT(at <= bytes);
    struct rc_backend_request request = {.kind = RC_BACKEND_DISCONNECT, .body = rc_span_of(body, at)};
    rc_backend_next_id(batches->backends, request.id);
    if (rc_backend_call(batches->backends, backend, &request,
                        (struct rc_backend_waiter){.context = batch, .answered = on_told}) == 0) {
        batch->sent = count;
    }
    free(body);
}

void rc_batches_work(struct rc_batches *batches, uint64_t now_ms)
{
    batches->now_ms = now_ms;
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        struct batch *batch = &batches->of[i];
        if (batch->count > 0 && batch->sent == 0) {
            batch_expire(batch, now_ms);
        }
        if (batch_due(batch, now_ms)) {
            batch_send(batches, i, now_ms);
        }
    }
}

uint32_t rc_batches_sleep_ms(const struct rc_batches *batches, uint64_t now_ms, uint32_t most_ms)
{
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        const struct batch *batch = &batches->of[i];
        if (batch->count == 0 || batch->sent > 0) {
            continue;
        }
        uint64_t due_ms = batch->count >= RC_BATCH_CALLS_MAX ? now_ms : batch->first->added_ms + RC_BATCH_WAIT_MS;
        due_ms = due_ms < batch->due_ms ? batch->due_ms : due_ms;
        const uint64_t left = due_ms > now_ms ? due_ms - now_ms : 0;
        most_ms = left < most_ms ? (uint32_t)left : most_ms;
    }
    return most_ms;
}

bool rc_batches_busy(const struct rc_batches *batches)
{
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        const struct batch *batch = &batches->of[i];
        if (batch->sent > 0 || (batch->count > 0 && batch->due_ms == 0)) {
            return true;
        }
    }
    return false;
}
