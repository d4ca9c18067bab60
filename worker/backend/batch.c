/* batch: see batch.h. */
#include "worker/backend/batch.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "worker/backend/count.h"

static const char batch_head[] = "{\"calls\":[";

struct batch {
    struct rc_batches *all;
    struct rc_telling_queue told; /* those that are being told are the first `sent` */
    uint32_t sent;
    uint64_t serial; /* token of its calls: counts how often what was sent was given up */
    uint64_t due_ms; /* not before that: the last try failed */
    char name[RC_CONFIG_TEXT_MAX];
};

struct rc_batches {
    struct rc_backends *backends; /* borrowed */
    struct rc_hub *hub;           /* borrowed */
    struct rc_backend_counters *counters;
    uint64_t now_ms; /* of the last work */
    struct batch of[RC_CONFIG_BACKENDS_MAX];
};

struct rc_batches *rc_batches_open(struct rc_backends *backends, struct rc_hub *hub,
                                   struct rc_backend_counters *counters)
{
    struct rc_batches *batches = calloc(1, sizeof(*batches));
    for (uint32_t i = 0; batches != NULL && i < RC_CONFIG_BACKENDS_MAX; i++) {
        batches->of[i].all = batches;
    }
    if (batches != NULL) {
        batches->backends = backends;
        batches->hub = hub;
        batches->counters = counters;
    }
    return batches;
}

static void batch_remove(struct batch *batch, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rc_telling_remove_first(batch->all->hub, &batch->told);
    }
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
    free(batches);
}

static uint16_t batch_mark(const struct batch *batch)
{
    return (uint16_t)(rc_hash_public(batch->name, strlen(batch->name)) | 1u);
}

/* Of the backend that it was for, wherever that is now: its number, if the name is that, else the one of that name. */
static struct rc_telling_queue *batch_queue_of(void *context, struct rc_telling_to to)
{
    struct rc_batches *batches = context;
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        struct batch *batch = &batches->of[(to.number + i) % RC_CONFIG_BACKENDS_MAX];
        if (batch->name[0] != '\0' && (to.mark == batch_mark(batch) || (to.mark == 0 && i == 0))) {
            return &batch->told;
        }
    }
    return NULL;
}

void rc_batches_taken(struct rc_batches *batches)
{
    const uint32_t dropped = rc_tellings_take(batches->hub, RC_TELLING_DISCONNECT, batches, batch_queue_of);
    if (dropped > 0) {
        rc_log_limited(RC_LOG_WARN, 1, "disconnects_dropped",
                       "backend=\"\" count=%u reason=\"no memory, or the backend is not configured any more\"",
                       dropped);
    }
}

void rc_batch_add(struct rc_batches *batches, uint32_t backend, struct rc_backend_frame *frame, uint64_t now_ms)
{
    struct batch *batch = &batches->of[backend];
    const bool good = rc_backend_frame_end(frame) && batch->told.bytes + frame->count <= RC_BATCH_BYTES_MAX &&
                      rc_telling_add(batches->hub, &batch->told, RC_TELLING_DISCONNECT,
                                     (struct rc_telling_to){.number = (uint8_t)backend, .mark = batch_mark(batch)},
                                     frame->request.body, now_ms) == 0;
    if (!good) {
        batch_drop(batch, 1, "too many wait, or no memory");
    }
    rc_backend_frame_drop(frame);
}

/* Nobody is it for any more: its counters are gone, too. */
static void batch_forget(struct batch *batch)
{
    if (batch->told.count > 0) {
        rc_log_limited(RC_LOG_WARN, 1, "disconnects_dropped", "backend=\"%s\" count=%u reason=\"%s\"", batch->name,
                       batch->told.count, "the backend is not configured any more");
        batch_remove(batch, batch->told.count);
    }
}

void rc_batches_reconfigure(struct rc_batches *batches, const struct rc_config *config)
{
    struct batch before[RC_CONFIG_BACKENDS_MAX];
    memcpy(before, batches->of, sizeof(before));
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        struct batch *batch = &batches->of[i];
        const char *name = i < config->backend_count ? config->backends[i].name.text : "";
        uint32_t was = 0;
        while (was < RC_CONFIG_BACKENDS_MAX && strcmp(before[was].name, name) != 0) {
            was++;
        }
        if (name[0] == '\0' || was != i) {
            batch->told = (struct rc_telling_queue){.first = 0};
            batch
                ->serial++; /* an answer that is still to come is not about those that are here from now on: they are told once more */
            batch->sent = 0;
            batch->due_ms = 0;
            memset(batch->name, 0, sizeof(batch->name));
            memcpy(batch->name, name, strlen(name));
        }
        if (name[0] != '\0' && was < RC_CONFIG_BACKENDS_MAX) {
            batch->told = before[was].told;
            batch->due_ms = before[was].due_ms;
            before[was].told = (struct rc_telling_queue){.first = 0};
        }
    }
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        batch_forget(&before[i]);
    }
}

static void on_told(void *context, uint64_t token, const struct rc_backend_answer *answer)
{
    struct batch *batch = context;
    struct rc_batches *batches = batch->all;
    const bool good = answer->outcome == RC_BACKEND_ANSWERED && answer->status < 500;
    if (token != batch->serial) {
        return;
    }
    batch_remove(batch, good ? batch->sent : 0);
    batch->sent = 0;
    batch->due_ms = good ? 0 : batches->now_ms + RC_BATCH_AGAIN_MS;
}

/* Since when the first waits; there is one. */
static uint64_t batch_since_ms(const struct batch *batch)
{
    return rc_telling_since_ms(batch->all->hub, &batch->told);
}

/* What is too old is not told any more. */
static void batch_expire(struct batch *batch, uint64_t now_ms)
{
    uint32_t old = 0;
    while (batch->told.count > 0 && batch_since_ms(batch) + RC_BATCH_KEEP_MS <= now_ms) {
        batch_remove(batch, 1);
        old++;
    }
    batch_drop(batch, old, "it was not reached for a minute");
}

static bool batch_due(const struct batch *batch, uint64_t now_ms)
{
    return batch->sent == 0 && batch->told.count > 0 && batch->due_ms <= now_ms &&
           (batch->told.count >= RC_BATCH_CALLS_MAX || batch_since_ms(batch) + RC_BATCH_WAIT_MS <= now_ms);
}

static void batch_send(struct rc_batches *batches, uint32_t backend, uint64_t now_ms)
{
    struct batch *batch = &batches->of[backend];
    const uint32_t count = batch->told.count < RC_BATCH_CALLS_MAX ? batch->told.count : RC_BATCH_CALLS_MAX;
    size_t bytes = sizeof(batch_head) + 2;
    uint32_t told = batch->told.first;
    for (uint32_t i = 0; i < count; i++, told = rc_telling_next(batches->hub, told)) {
        bytes += rc_telling_text(batches->hub, told).count + 1;
    }
    uint8_t *body = malloc(bytes);
    batch->due_ms = now_ms + RC_BATCH_AGAIN_MS; /* unless it is sent, and answered */
    if (body == NULL) {
        return;
    }
    size_t at = sizeof(batch_head) - 1;
    memcpy(body, batch_head, at);
    told = batch->told.first;
    for (uint32_t i = 0; i < count; i++, told = rc_telling_next(batches->hub, told)) {
        const struct rc_span frame = rc_telling_text(batches->hub, told);
        if (i > 0) {
            body[at++] = ',';
        }
        memcpy(body + at, frame.bytes, frame.count);
        at += frame.count;
    }
    memcpy(body + at, "]}", 2);
    at += 2;
    RC_ASSERT(at <= bytes);
    struct rc_backend_request request = {.kind = RC_BACKEND_DISCONNECT, .leaves = true, .body = rc_span_of(body, at)};
    rc_backend_next_id(batches->backends, request.id);
    if (rc_backend_call(batches->backends, backend, &request,
                        (struct rc_backend_waiter){.context = batch, .answered = on_told, .token = batch->serial}) ==
        0) {
        batch->sent = count;
    }
    free(body);
}

void rc_batches_work(struct rc_batches *batches, uint64_t now_ms)
{
    batches->now_ms = now_ms;
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        struct batch *batch = &batches->of[i];
        if (batch->told.count > 0 && batch->sent == 0) {
            batch_expire(batch, now_ms);
        }
        if (batch_due(batch, now_ms)) {
            batch_send(batches, i, now_ms);
        }
    }
}

void rc_batches_leave(struct rc_batches *batches)
{
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        batches->of[i].serial++;
        batches->of[i].sent = 0;
        batches->of[i].due_ms = 0;
    }
}

uint32_t rc_batches_sleep_ms(const struct rc_batches *batches, uint64_t now_ms, uint32_t most_ms)
{
    for (uint32_t i = 0; i < RC_CONFIG_BACKENDS_MAX; i++) {
        const struct batch *batch = &batches->of[i];
        if (batch->told.count == 0 || batch->sent > 0) {
            continue;
        }
        uint64_t due_ms = batch->told.count >= RC_BATCH_CALLS_MAX ? now_ms : batch_since_ms(batch) + RC_BATCH_WAIT_MS;
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
        if (batch->sent > 0 || (batch->told.count > 0 && batch->due_ms == 0)) {
            return true;
        }
    }
    return false;
}
