/* ask: see ask.h. */
#include "worker/uplink/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"

#define SWEEP_MS 10u

static uint64_t now_ms(const struct rc_asks *asks)
{
    return *asks->now_ns / 1000000u;
}

static uint32_t relay_generation(const struct rc_asks *asks)
{
    return rc_control_relay_generation(asks->control);
}

void rc_asks_open(struct rc_asks *asks, const struct rc_control *control, struct rc_metrics *metrics,
                  const uint64_t *now_ns)
{
    uint64_t random[2];
    const ssize_t got = getrandom(random, sizeof(random), 0);
    RC_ASSERT(got == (ssize_t)sizeof(random)); /* up to 256 bytes are never short or interrupted */
    *asks = (struct rc_asks){.control = control, .metrics = metrics, .now_ns = now_ns};
    /* A relay that goes on with what an earlier worker asked knows its tokens: they must not be ours. */
    asks->nonce = random[0];
    asks->serial = random[1] / RC_ASKS_MAX / 2 + 1;
    asks->relay_generation = relay_generation(asks);
}

void rc_asks_close(struct rc_asks *asks)
{
    free(asks->items);
    asks->items = NULL;
}

/* --- the table ------------------------------------------------------------------------------------------------------- */

static int ask_allocate(struct rc_asks *asks)
{
    asks->items = calloc(RC_ASKS_MAX, sizeof(*asks->items));
    if (asks->items == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < RC_ASKS_MAX; i++) {
        asks->items[i].next = i + 1 < RC_ASKS_MAX ? i + 2 : 0;
    }
    asks->free = 1;
    return 0;
}

/* Puts an entry where it is due: nearly always at the end, since there are few different times. */
static void ask_enlist(struct rc_asks *asks, uint32_t number)
{
    struct rc_ask *ask = &asks->items[number - 1];
    uint32_t before = asks->last;
    while (before != 0 && asks->items[before - 1].due_ms > ask->due_ms) {
        before = asks->items[before - 1].previous;
    }
    ask->previous = before;
    ask->next = before == 0 ? asks->first : asks->items[before - 1].next;
    *(before == 0 ? &asks->first : &asks->items[before - 1].next) = number;
    *(ask->next == 0 ? &asks->last : &asks->items[ask->next - 1].previous) = number;
}

/* The entry is free afterwards; what it was. */
static struct rc_ask ask_take(struct rc_asks *asks, struct rc_ask *ask)
{
    const struct rc_ask was = *ask;
    *(was.previous == 0 ? &asks->first : &asks->items[was.previous - 1].next) = was.next;
    *(was.next == 0 ? &asks->last : &asks->items[was.next - 1].previous) = was.previous;
    asks->counts[was.asker->kind]--;
    *ask = (struct rc_ask){.next = asks->free};
    asks->free = (uint32_t)(ask - asks->items) + 1;
    return was;
}

static struct rc_ask *ask_find(const struct rc_asks *asks, uint64_t token)
{
    struct rc_ask *ask = asks->items == NULL ? NULL : &asks->items[token % RC_ASKS_MAX];
    return ask != NULL && ask->asker != NULL && ask->token == token ? ask : NULL;
}

/* Frees what nobody wants any more. Not over and over where all of it is wanted: who asks for nothing else would make the worker look. */
static void ask_sweep(struct rc_asks *asks, const struct rc_asker *asker)
{
    if (asker->wanted == NULL || now_ms(asks) - asks->swept_ms < SWEEP_MS) {
        return;
    }
    asks->swept_ms = now_ms(asks);
    for (uint32_t i = 0; i < RC_ASKS_MAX; i++) {
        struct rc_ask *ask = &asks->items[i];
        if (ask->asker == asker && !asker->wanted(ask)) {
            (void)ask_take(asks, ask);
        }
    }
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

int rc_asks_begin(struct rc_asks *asks, const struct rc_asker *asker, void *context, const struct rc_client_ref *client,
                  struct rc_span id, uint64_t *token)
{
    if (asks->items == NULL && ask_allocate(asks) < 0) {
        return -ENOMEM;
    }
    if (asks->counts[asker->kind] == RC_ASKS_OF_KIND_MAX) {
        ask_sweep(asks, asker);
    }
    if (asks->counts[asker->kind] == RC_ASKS_OF_KIND_MAX) {
        rc_metric_add(asks->metrics, RC_METRIC_ASKS_FULL, 1);
        return -ENOBUFS;
    }
    RC_ASSERT(asks->free != 0 && id.count <= RC_REQUEST_ID_MAX);
    const uint32_t number = asks->free;
    struct rc_ask *ask = &asks->items[number - 1];
    asks->free = ask->next;
    *ask = (struct rc_ask){.asker = asker,
                           .context = context,
                           .token = ++asks->serial * RC_ASKS_MAX + (number - 1),
                           .due_ms = now_ms(asks) + asker->in_ms,
                           .relay_generation = relay_generation(asks),
                           .id_bytes = (uint8_t)id.count};
    if (client != NULL) {
        ask->client = *client;
    }
    if (id.count > 0) {
        memcpy(ask->id, id.bytes, id.count);
    }
    asks->counts[asker->kind]++;
    ask_enlist(asks, number);
    *token = ask->token;
    return 0;
}

void rc_asks_end(struct rc_asks *asks, uint64_t token)
{
    struct rc_ask *ask = ask_find(asks, token);
    if (ask != NULL) {
        (void)ask_take(asks, ask);
    }
}

struct rc_call_tag rc_asks_tag(const struct rc_asks *asks, uint64_t token, uint32_t item)
{
    return (struct rc_call_tag){
        .nonce = asks->nonce, .index = (uint32_t)token, .serial = (uint32_t)(token >> 32), .item = item};
}

/* --- what comes back ------------------------------------------------------------------------------------------------- */

/* Does the token travel in a struct rc_call_tag, not in the record's head? */
static bool kind_is_tagged(enum rc_ask_kind kind)
{
    return kind == RC_ASK_API || kind == RC_ASK_RULES;
}

void rc_asks_answered(struct rc_asks *asks, enum rc_record_type type, const struct rc_envelope_view *view)
{
    const bool tagged = (view->head.flags & RC_ENVELOPE_API) != 0;
    uint64_t token = view->head.token;
    if (tagged) {
        struct rc_call_tag tag;
        if (!rc_call_tag_read(view, &tag)) {
            rc_metric_add(asks->metrics, RC_METRIC_RING_CORRUPT, 1);
            return;
        }
        if (tag.nonce != asks->nonce) {
            return; /* a predecessor's */
        }
        token = (uint64_t)tag.serial << 32 | tag.index;
    }
    struct rc_ask *ask = ask_find(asks, token);
    if (ask == NULL || kind_is_tagged(ask->asker->kind) != tagged) {
        return; /* too late, or a relay answered what its predecessor had answered already */
    }
    if (ask->asker->once) {
        const struct rc_ask was = ask_take(asks, ask);
        was.asker->answered(&was, type, view);
    } else {
        ask->asker->answered(ask, type, view);
    }
}

/* Another relay: what its predecessor kept in its own memory is lost. */
static void expire_replaced(struct rc_asks *asks, uint32_t generation)
{
    for (uint32_t i = 0; i < RC_ASKS_MAX; i++) {
        struct rc_ask *ask = &asks->items[i];
        if (ask->asker != NULL && ask->asker->of_relay && ask->relay_generation != generation) {
            const struct rc_ask was = ask_take(asks, ask);
            was.asker->unanswered(&was, RC_ASK_REPLACED);
        }
    }
}

void rc_asks_expire(struct rc_asks *asks)
{
    if (asks->first == 0) {
        return;
    }
    const uint32_t generation = relay_generation(asks);
    if (generation != asks->relay_generation) {
        asks->relay_generation = generation;
        expire_replaced(asks, generation);
    }
    while (asks->first != 0 && asks->items[asks->first - 1].due_ms <= now_ms(asks)) {
        const struct rc_ask was = ask_take(asks, &asks->items[asks->first - 1]);
        was.asker->unanswered(&was, RC_ASK_LATE);
    }
}

uint32_t rc_asks_sleep_ms(const struct rc_asks *asks, uint32_t most_ms)
{
    if (asks->first == 0) {
        return most_ms;
    }
    const uint64_t due_ms = asks->items[asks->first - 1].due_ms;
    const uint64_t in_ms = due_ms > now_ms(asks) ? due_ms - now_ms(asks) : 0;
    return in_ms < most_ms ? (uint32_t)in_ms : most_ms;
}
