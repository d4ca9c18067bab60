/* acks: see acks.h. */
#include "worker/engine/acks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/records/emit.h"
#include "common/text/decimal.h"
#include "worker/store/order.h"
#include "worker/store/truth_found.h"

#define ACKS_TIMERS_MAX 64u /* a pass fires: each may be many clients */
#define ACKS_AGAIN_MS 50u   /* until the end is told again, which the up ring had no room for */

static struct rc_metrics *acks_metrics(const struct rc_engines *engines)
{
    return engines->clients->metrics;
}

/* --- lists ----------------------------------------------------------------------------------------------------------- */

static void ack_link(struct rc_engines *engines, uint32_t index, uint32_t emit_index, uint32_t client, uint64_t token)
{
    const struct rc_truth *truth = engines->clients->truth;
    struct rc_emit *emit = rc_truth_emit(truth, emit_index);
    struct rc_ack *ack = rc_truth_ack(truth, index);
    *ack = (struct rc_ack){.token = token,
                           .emit = emit_index,
                           .client = client,
                           .next_of_client = engines->acks[client],
                           .next_of_emit = emit->first};
    if (ack->next_of_client != 0) {
        rc_truth_ack(truth, ack->next_of_client)->previous_of_client = index;
    }
    if (ack->next_of_emit != 0) {
        rc_truth_ack(truth, ack->next_of_emit)->previous_of_emit = index;
    }
    engines->acks[client] = emit->first = index;
    emit->waiting++;
}

static void ack_drop(struct rc_engines *engines, uint32_t index)
{
    struct rc_truth *truth = engines->clients->truth;
    const struct rc_ack *ack = rc_truth_ack(truth, index);
    struct rc_emit *emit = rc_truth_emit(truth, ack->emit);
    *(ack->previous_of_client == 0 ? &engines->acks[ack->client]
                                   : &rc_truth_ack(truth, ack->previous_of_client)->next_of_client) =
        ack->next_of_client;
    *(ack->previous_of_emit == 0 ? &emit->first : &rc_truth_ack(truth, ack->previous_of_emit)->next_of_emit) =
        ack->next_of_emit;
    if (ack->next_of_client != 0) {
        rc_truth_ack(truth, ack->next_of_client)->previous_of_client = ack->previous_of_client;
    }
    if (ack->next_of_emit != 0) {
        rc_truth_ack(truth, ack->next_of_emit)->previous_of_emit = ack->previous_of_emit;
    }
    emit->waiting--;
    rc_pool_free(&truth->acks, index);
    rc_metric_set(acks_metrics(engines), RC_METRIC_ACKS, truth->acks.used);
}

/* A backend hears of the answer, or, without one, that there is none. It is not waited for any more. */
static void ack_tell(struct rc_engines *engines, uint32_t index, struct rc_span args)
{
    const struct rc_truth *truth = engines->clients->truth;
    const struct rc_ack *ack = rc_truth_ack(truth, index);
    const struct rc_emit *emit = rc_truth_emit(truth, ack->emit);
    const uint32_t client = ack->client;
    uint8_t asker[RC_EMIT_ASKER_MAX];
    const uint16_t bytes = emit->asker_bytes;
    const bool hook = (emit->flags & RC_EMIT_HOOK) != 0;
    memcpy(asker, emit->asker, bytes);
    if (hook) { /* which drops it, when a successor would tell it */
        engines->told(engines, client, rc_span_of(asker, bytes), args, index);
    } else {
        ack_drop(engines, index);
    }
}

void rc_acks_told(struct rc_engines *engines, uint32_t ack)
{
    ack_drop(engines, ack);
}

bool rc_acks_waits(const struct rc_engines *engines, uint32_t ack, uint32_t client, uint32_t emit_id)
{
    const struct rc_truth *truth = engines->clients->truth;
    for (uint32_t i = client < truth->clients.count_max ? engines->acks[client] : 0; i != 0;
         i = rc_truth_ack(truth, i)->next_of_client) {
        if (i == ack) {
            return rc_truth_emit(truth, rc_truth_ack(truth, i)->emit)->id == emit_id;
        }
    }
    return false;
}

static void emit_free(struct rc_engines *engines, uint32_t index)
{
    struct rc_truth *truth = engines->clients->truth;
    RC_ASSERT(rc_truth_emit(truth, index)->waiting == 0);
    rc_wheel_clear(&engines->emits, index);
    rc_truth_emit(truth, index)->id = 0; /* tells free ones from used ones */
    RC_STORE_ORDER();
    rc_pool_free(&truth->emits, index);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

/* An emit while its clients are told. */
struct emitting {
    struct rc_engines *engines;
    uint32_t emit; /* 0 = there was no place for it: nobody is waited for */
    uint32_t id_bytes;
    char id[RC_DECIMAL_BYTES_MAX];
};

static bool client_is_full(const struct rc_engines *engines, uint32_t client)
{
    uint32_t count = 0;
    for (uint32_t i = engines->acks[client]; i != 0 && count < RC_ACKS_OF_CLIENT_MAX; count++) {
        i = rc_truth_ack(engines->clients->truth, i)->next_of_client;
    }
    return count == RC_ACKS_OF_CLIENT_MAX;
}

static struct rc_span emitting_asked(void *context, uint32_t client, uint64_t token)
{
    struct emitting *emitting = context;
    struct rc_engines *engines = emitting->engines;
    struct rc_truth *truth = engines->clients->truth;
    const bool room = emitting->emit != 0 && !client_is_full(engines, client);
    const uint32_t index = room ? rc_pool_alloc(&truth->acks) : 0;
    if (index == 0) {
        rc_metric_add(acks_metrics(engines), RC_METRIC_ACKS_REFUSED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "acks_full", "waiting=%u slot=%u", truth->acks.used, client);
        return (struct rc_span){0};
    }
    ack_link(engines, index, emitting->emit, client, token);
    rc_metric_add(acks_metrics(engines), RC_METRIC_ACKS_ASKED, 1);
    return rc_span_of(emitting->id, emitting->id_bytes);
}

/* Ids come again after RC_ACKS_ID_FIRST others; that all of them were given once stays known. */
static uint32_t acks_next_id(struct rc_truth *truth)
{
    const uint32_t count = truth->layout->emit_count;
    truth->layout->emit_count = count + 1 == 2 * RC_ACKS_ID_FIRST ? RC_ACKS_ID_FIRST : count + 1;
    return RC_ACKS_ID_FIRST + count % RC_ACKS_ID_FIRST;
}

/* A place for the emit; 0: there is none. */
static uint32_t emit_begin(struct rc_engines *engines, const struct rc_envelope_view *view,
                           const struct rc_emit_head *head, struct rc_span asker)
{
    struct rc_truth *truth = engines->clients->truth;
    const uint32_t index = rc_pool_alloc(&truth->emits);
    if (index == 0) {
        return 0;
    }
    const uint64_t most_ms = rc_engine_settings(engines)->ack_timeout_ms;
    const uint64_t wait_ms = head->timeout_ms == 0 || head->timeout_ms > most_ms ? most_ms : head->timeout_ms;
    struct rc_emit *emit = rc_truth_emit(truth, index);
    emit->deadline_ds = rc_engine_deadline(engines, wait_ms + RC_ENGINE_TICK_MS);
    emit->worker = view->head.origin.worker;
    emit->flags = head->flags;
    emit->asker_bytes = (uint16_t)asker.count;
    if (!rc_call_tag_read(view, &emit->tag)) {
        RC_ASSERT(false); /* whoever calls has read it */
    }
    if (asker.count > 0) {
        memcpy(emit->asker, asker.bytes, asker.count);
    }
    RC_STORE_ORDER();
    emit->id = acks_next_id(truth); /* it is there from here on */
    return index;
}

uint32_t rc_acks_emit(struct rc_engines *engines, const struct rc_envelope_view *view, struct rc_span data)
{
    struct rc_emit_head head;
    struct rc_span asker;
    struct rc_span args;
    if (rc_emit_read(data, &head, &asker, &args) < 0) {
        rc_metric_add(acks_metrics(engines), RC_METRIC_RING_CORRUPT, 1);
        return 0;
    }
    struct emitting emitting = {.engines = engines, .emit = emit_begin(engines, view, &head, asker)};
    struct rc_truth *truth = engines->clients->truth;
    if (emitting.emit != 0) {
        const char *end = rc_decimal_write(emitting.id, rc_truth_emit(truth, emitting.emit)->id);
        emitting.id_bytes = (uint32_t)(end - emitting.id);
    }
    const struct rc_hub_asking asking = {
        .context = &emitting, .is_volatile = (head.flags & RC_EMIT_VOLATILE) != 0, .asked = emitting_asked};
    const uint32_t count = rc_hub_ask(engines->clients->hub, view, args, &asking);
    rc_metric_set(acks_metrics(engines), RC_METRIC_ACKS, truth->acks.used);
    if (emitting.emit == 0) {
        return count;
    }
    struct rc_emit *emit = rc_truth_emit(truth, emitting.emit);
    emit->unanswered = count - emit->waiting;
    const bool tells_end = (emit->flags & RC_EMIT_TELL_END) != 0;
    if (emit->waiting > 0) {
        rc_wheel_set(&engines->emits, emitting.emit, emit->deadline_ds);
    } else if (count > 0 && tells_end) {
        rc_wheel_set(&engines->emits, emitting.emit, rc_engine_now(engines)); /* behind the first reply */
    } else {
        emit_free(engines, emitting.emit);
    }
    return count;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* Hands an answer, or (no arguments) only the end, on to who asks. -EAGAIN: the up ring is full; -EMSGSIZE, -ENOMEM. */
static int emit_reply(struct rc_engines *engines, const struct rc_emit *emit, const struct rc_answer_head *answer,
                      struct rc_span args, bool last)
{
    struct rc_uplink *uplink = engines->clients->uplink;
    const uint32_t end = (uint32_t)RC_REPLY_LAST | (emit->unanswered > 0 ? (uint32_t)RC_REPLY_INCOMPLETE : 0);
    const struct rc_reply_head head = {.flags = (uint32_t)RC_REPLY_CLIENT | (last ? end : 0), .count = args.count > 0};
    const size_t before = sizeof(head) + sizeof(*answer) + emit->asker_bytes;
    const size_t bytes = before + args.count;
    if (bytes > UINT32_MAX) {
        return -EMSGSIZE;
    }
    if (bytes > engines->answer_capacity) {
        uint8_t *larger = realloc(engines->answer, bytes);
        if (larger == NULL) {
            return -ENOMEM;
        }
        engines->answer = larger;
        engines->answer_capacity = bytes;
    }
    uint8_t *at = engines->answer;
    memcpy(at, &head, sizeof(head));
    memcpy(at + sizeof(head), answer, sizeof(*answer));
    memcpy(at + sizeof(head) + sizeof(*answer), emit->asker, emit->asker_bytes);
    if (args.count > 0) {
        memcpy(at + before, args.bytes, args.count);
    }
    struct rc_envelope_view view = {.head = {.target = {.worker = emit->worker},
                                             .flags = RC_ENVELOPE_API,
                                             .data_bytes = (uint32_t)bytes,
                                             .request_id_bytes = sizeof(emit->tag)},
                                    .request_id = (const uint8_t *)&emit->tag,
                                    .data = at};
    return rc_uplink_queued(uplink) ? -EAGAIN : rc_uplink_write(uplink, RC_UP_REPLY, &view);
}

/* The number of an acknowledgement; 0: it has none, or one that nobody was given. */
static uint32_t answer_id(const struct rc_engines *engines, struct rc_span digits)
{
    uint64_t id = 0;
    for (size_t i = 0; i < digits.count && id <= UINT32_MAX; i++) {
        id = id * 10 + (uint64_t)(digits.bytes[i] - '0');
    }
    const uint32_t given = engines->clients->truth->layout->emit_count;
    const bool is_one = id >= RC_ACKS_ID_FIRST && id < 2 * (uint64_t)RC_ACKS_ID_FIRST &&
                        (given >= RC_ACKS_ID_FIRST || id - RC_ACKS_ID_FIRST < given);
    return is_one ? (uint32_t)id : 0;
}

static uint32_t ack_find(const struct rc_engines *engines, uint32_t client, uint64_t token, uint32_t id)
{
    const struct rc_truth *truth = engines->clients->truth;
    for (uint32_t i = engines->acks[client]; i != 0;) {
        const struct rc_ack *ack = rc_truth_ack(truth, i);
        if (ack->token == token && rc_truth_emit(truth, ack->emit)->id == id) {
            return i;
        }
        i = ack->next_of_client;
    }
    return 0;
}

static void acking_begins(struct rc_engines *engines, uint32_t ack)
{
    struct rc_truth_acking *acking = &engines->clients->truth->layout->acking;
    acking->up_position = engines->clients->uplink->up.position;
    RC_STORE_ORDER();
    acking->ack = ack;
    RC_STORE_ORDER();
}

static void acking_ends(struct rc_engines *engines)
{
    RC_STORE_ORDER();
    engines->clients->truth->layout->acking.ack = 0;
}

void rc_acks_taken(struct rc_engines *engines)
{
    const struct rc_truth *truth = engines->clients->truth;
    const struct rc_truth_acking *acking = &truth->layout->acking;
    const uint32_t index = acking->ack;
    if (index == 0) {
        return;
    }
    const struct rc_ack *ack = index < truth->acks.high ? rc_truth_ack(truth, index) : NULL;
    uint32_t i = ack == NULL || ack->client == 0 || ack->client >= truth->clients.high ? 0 : engines->acks[ack->client];
    while (i != 0 && i != index) {
        i = rc_truth_ack(truth, i)->next_of_client;
    }
    if (i != 0 && engines->clients->uplink->up.position != acking->up_position) {
        const uint32_t emit = ack->emit;
        ack_drop(engines, index);
        if (rc_truth_emit(truth, emit)->waiting == 0) { /* that was told with it, or nobody wants to know */
            emit_free(engines, emit);
        }
    }
    acking_ends(engines);
}

enum rc_engine_result rc_acks_answered(struct rc_engines *engines, uint32_t client,
                                       const struct rc_operation *operation, struct rc_span args)
{
    const struct rc_truth *truth = engines->clients->truth;
    const uint32_t id = answer_id(engines, operation->id);
    const uint64_t token = rc_truth_sid_token(truth, client, operation->nsp);
    const uint32_t index = id == 0 ? 0 : ack_find(engines, client, token, id);
    if (index == 0) {
        rc_metric_add(acks_metrics(engines), id == 0 ? RC_METRIC_ACKS_UNKNOWN : RC_METRIC_ACKS_LATE, 1);
        return RC_ENGINE_DONE;
    }
    const uint32_t emit_index = rc_truth_ack(truth, index)->emit;
    struct rc_emit *emit = rc_truth_emit(truth, emit_index);
    const bool tells_end = (emit->flags & RC_EMIT_TELL_END) != 0;
    if ((emit->flags & RC_EMIT_HOOK) != 0) {
        ack_tell(engines, index, args);
        rc_metric_add(acks_metrics(engines), RC_METRIC_ACKS_ANSWERED, 1);
        if (emit->waiting == 0) {
            emit_free(engines, emit_index);
        }
        return RC_ENGINE_DONE;
    }
    struct rc_answer_head answer = {.asker_bytes = emit->asker_bytes};
    rc_engine_nsp_sid(engines, client, operation->nsp, answer.sid);
    acking_begins(engines, index);
    const int rc = emit_reply(engines, emit, &answer, args, tells_end && emit->waiting == 1);
    if (rc == -EAGAIN) {
        acking_ends(engines);
        return RC_ENGINE_LATER;
    }
    ack_drop(engines, index);
    acking_ends(engines);
    if (rc < 0) {
        rc_metric_add(acks_metrics(engines), RC_METRIC_ACKS_DROPPED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "ack_dropped", "bytes=%zu reason=\"%s\"", args.count,
                       rc == -ENOMEM ? "no memory" : "it does not fit the server's rings");
        emit->unanswered++;
    } else {
        rc_metric_add(acks_metrics(engines), RC_METRIC_ACKS_ANSWERED, 1);
    }
    if (emit->waiting == 0 && (rc == 0 || !tells_end)) {
        emit_free(engines, emit_index);
    } else if (emit->waiting == 0) {
        rc_wheel_set(&engines->emits, emit_index, rc_engine_now(engines)); /* its end is still to be told */
    }
    return RC_ENGINE_DONE;
}

/* --- what does not come ---------------------------------------------------------------------------------------------- */

void rc_acks_forget(struct rc_engines *engines, uint32_t client, uint64_t token)
{
    const struct rc_truth *truth = engines->clients->truth;
    for (uint32_t i = engines->acks[client]; i != 0;) {
        const struct rc_ack *ack = rc_truth_ack(truth, i);
        const uint32_t index = i;
        const uint32_t emit_index = ack->emit;
        struct rc_emit *emit = rc_truth_emit(truth, emit_index);
        i = ack->next_of_client;
        if (token != RC_ACKS_ALL && ack->token != token) {
            continue;
        }
        ack_tell(engines, index, rc_span_of(NULL, 0));
        emit->unanswered++;
        rc_metric_add(acks_metrics(engines), RC_METRIC_ACKS_GONE, 1);
        if (emit->waiting == 0 && (emit->flags & RC_EMIT_TELL_END) != 0) {
            rc_wheel_set(&engines->emits, emit_index, rc_engine_now(engines));
        } else if (emit->waiting == 0) {
            emit_free(engines, emit_index);
        }
    }
}

static void emit_due(struct rc_engines *engines, uint32_t index)
{
    struct rc_emit *emit = rc_truth_emit(engines->clients->truth, index);
    const struct rc_answer_head nobody = {.asker_bytes = emit->asker_bytes};
    while (emit->first != 0) {
        ack_tell(engines, emit->first, rc_span_of(NULL, 0));
        emit->unanswered++;
        rc_metric_add(acks_metrics(engines), RC_METRIC_ACKS_EXPIRED, 1);
    }
    if ((emit->flags & RC_EMIT_TELL_END) != 0 &&
        emit_reply(engines, emit, &nobody, (struct rc_span){0}, true) == -EAGAIN) {
        rc_wheel_set(&engines->emits, index, rc_engine_deadline(engines, ACKS_AGAIN_MS));
        return;
    }
    emit_free(engines, index);
}

void rc_acks_timers(struct rc_engines *engines)
{
    const uint32_t now = rc_engine_now(engines);
    for (uint32_t i = 0; i < ACKS_TIMERS_MAX; i++) {
        const uint32_t emit = rc_wheel_expire(&engines->emits, now);
        if (emit == RC_WHEEL_NONE) {
            return;
        }
        emit_due(engines, emit);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_acks_open(struct rc_engines *engines)
{
    const struct rc_truth *truth = engines->clients->truth;
    engines->acks =
        calloc(truth->clients.count_max, sizeof(*engines->acks)); /* untouched pages while nobody is asked */
    if (engines->acks == NULL) {
        return -ENOMEM;
    }
    return rc_wheel_open(&engines->emits, truth->emits.count_max, rc_engine_now(engines));
}

void rc_acks_rebuild(struct rc_engines *engines, const struct rc_truth_found *found)
{
    const struct rc_truth *truth = engines->clients->truth;
    for (uint32_t i = 1; i < truth->acks.high; i++) {
        if (rc_truth_was_found(found, RC_TRUTH_POOL_acks, i) && rc_truth_ack(truth, i)->previous_of_client == 0) {
            engines->acks[rc_truth_ack(truth, i)->client] = i;
        }
    }
    for (uint32_t i = 1; i < truth->emits.high; i++) {
        if (rc_truth_was_found(found, RC_TRUTH_POOL_emits, i)) {
            rc_wheel_set(&engines->emits, i, rc_truth_emit(truth, i)->deadline_ds);
        }
    }
    rc_metric_set(acks_metrics(engines), RC_METRIC_ACKS, truth->acks.used);
}

void rc_acks_close(struct rc_engines *engines)
{
    rc_wheel_close(&engines->emits);
    free(engines->acks);
    free(engines->answer);
    engines->acks = NULL;
    engines->answer = NULL;
    engines->answer_capacity = 0;
}
