/* sessions: see sessions.h. */
#include "relay/recovery/sessions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

#define EVICT_MAX 64u /* sessions that go for one */

/* --- what a block says ------------------------------------------------------------------------------------------------ */

void rc_recovery_session_parts(const struct rc_recovery_session *session, struct rc_sio_session_parts *parts)
{
    const uint8_t *at = (const uint8_t *)(session + 1);
    parts->user = rc_span_of(at, session->head.user_bytes);
    parts->set = rc_span_of(at + parts->user.count, session->head.set_bytes);
    parts->rooms = rc_span_of(parts->set.bytes + parts->set.count, session->head.rooms_bytes);
}

static uint64_t block_need(const struct rc_sio_session_head *head)
{
    return sizeof(struct rc_recovery_session) + (uint64_t)head->user_bytes + head->set_bytes + head->rooms_bytes;
}

uint64_t rc_recovery_session_token(const struct rc_recovery_session *session)
{
    struct rc_sid sid;
    return !session->linked && rc_sid_read(&sid, rc_span_of(session->head.sid, RC_SID_BYTES)) ? sid.client.random : 0;
}

/* --- how it is found ---------------------------------------------------------------------------------------------------- */

struct pid_sought {
    const struct rc_recovery_sessions *sessions;
    const char *pid;
};

static bool pid_equal(const void *context, uint32_t unit)
{
    const struct pid_sought *sought = context;
    return memcmp(rc_recovery_session_at(sought->sessions, unit)->head.pid, sought->pid, RC_PID_BYTES) == 0;
}

uint32_t rc_recovery_sessions_find(const struct rc_recovery_sessions *sessions, const char pid[RC_PID_BYTES])
{
    const struct pid_sought sought = {.sessions = sessions, .pid = pid};
    return rc_hashmap_find(&sessions->pids, rc_hash(pid, RC_PID_BYTES), pid_equal, &sought);
}

struct token_sought {
    const struct rc_recovery_sessions *sessions;
    uint64_t token;
};

static bool token_equal(const void *context, uint32_t unit)
{
    const struct token_sought *sought = context;
    return rc_recovery_session_token(rc_recovery_session_at(sought->sessions, unit)) == sought->token;
}

static uint64_t token_hash(uint64_t token)
{
    return rc_hash(&token, sizeof(token));
}

uint32_t rc_recovery_sessions_of_token(const struct rc_recovery_sessions *sessions, uint64_t token)
{
    const struct token_sought sought = {.sessions = sessions, .token = token};
    return token == 0 ? RC_SIO_SESSION_NONE
                      : rc_hashmap_find(&sessions->tokens, token_hash(token), token_equal, &sought);
}

/* --- when they end ------------------------------------------------------------------------------------------------------ */

static uint64_t session_ms(const struct rc_recovery_sessions *sessions, const struct rc_recovery_session *session)
{
    return session->linked ? session->head.since_ms : sessions->own_ms;
}

bool rc_recovery_session_over(const struct rc_recovery_sessions *sessions, const struct rc_recovery_session *session,
                              uint64_t now_ms)
{
    return now_ms > session->lost_ms && now_ms - session->lost_ms > session_ms(sessions, session);
}

static void due_add(struct rc_recovery_sessions *sessions, uint32_t unit)
{
    const struct rc_recovery_session *session = rc_recovery_session_at(sessions, unit);
    const uint64_t ms = session_ms(sessions, session);
    const uint64_t due_ms = session->lost_ms <= UINT64_MAX - ms ? session->lost_ms + ms : UINT64_MAX;
    uint64_t tick = due_ms / RC_RECOVERY_DUE_MS;
    tick = tick > sessions->swept_tick ? tick : sessions->swept_tick + 1; /* what is over already is in the next one */
    struct rc_recovery_index *one = &sessions->index[unit];
    uint32_t *list = &sessions->due[tick % RC_RECOVERY_DUE_TICKS];
    one->tick = (uint32_t)(tick % RC_RECOVERY_DUE_TICKS);
    one->before = 0;
    one->behind = *list;
    if (*list != 0) {
        sessions->index[*list - 1].before = unit + 1;
    }
    *list = unit + 1;
}

static void due_remove(struct rc_recovery_sessions *sessions, uint32_t unit)
{
    const struct rc_recovery_index *one = &sessions->index[unit];
    *(one->before != 0 ? &sessions->index[one->before - 1].behind : &sessions->due[one->tick]) = one->behind;
    if (one->behind != 0) {
        sessions->index[one->behind - 1].before = one->before;
    }
}

void rc_recovery_sessions_keep_for(struct rc_recovery_sessions *sessions, uint64_t own_ms)
{
    if (own_ms == sessions->own_ms) {
        return;
    }
    sessions->own_ms = own_ms;
    for (uint32_t at = sessions->oldest; at != 0; at = sessions->index[at - 1].newer) {
        due_remove(sessions, at - 1);
        due_add(sessions, at - 1);
    }
}

void rc_recovery_sessions_sweep(struct rc_recovery_sessions *sessions, uint64_t now_ms,
                                void (*over)(void *context, uint32_t unit), void *context)
{
    const uint64_t now = now_ms / RC_RECOVERY_DUE_MS;
    const uint64_t round = now > RC_RECOVERY_DUE_TICKS ? now - RC_RECOVERY_DUE_TICKS : 0;
    for (uint64_t tick = sessions->swept_tick > round ? sessions->swept_tick + 1 : round + 1; tick <= now; tick++) {
        for (uint32_t at = sessions->due[tick % RC_RECOVERY_DUE_TICKS], behind = 0; at != 0; at = behind) {
            behind = sessions->index[at - 1].behind;
            if (rc_recovery_session_over(sessions, rc_recovery_session_at(sessions, at - 1), now_ms)) {
                over(context, at - 1);
            } /* else it is of a later round, or of later in this tick */
        }
    }
    sessions->swept_tick = now > 0 ? now - 1 : 0; /* some of this tick are not over yet */
}

/* --- the order of loss --------------------------------------------------------------------------------------------------- */

static void lost_add(struct rc_recovery_sessions *sessions, uint32_t unit)
{
    sessions->index[unit] = (struct rc_recovery_index){.older = sessions->newest};
    *(sessions->newest != 0 ? &sessions->index[sessions->newest - 1].newer : &sessions->oldest) = unit + 1;
    sessions->newest = unit + 1;
    sessions->lost_count++;
    due_add(sessions, unit);
}

static void lost_remove(struct rc_recovery_sessions *sessions, uint32_t unit)
{
    const struct rc_recovery_index *one = &sessions->index[unit];
    *(one->older != 0 ? &sessions->index[one->older - 1].newer : &sessions->oldest) = one->newer;
    *(one->newer != 0 ? &sessions->index[one->newer - 1].older : &sessions->newest) = one->older;
    sessions->lost_count--;
    due_remove(sessions, unit);
}

/* --- coming and going ------------------------------------------------------------------------------------------------------ */

static int session_index(struct rc_recovery_sessions *sessions, uint32_t unit)
{
    const struct rc_recovery_session *session = rc_recovery_session_at(sessions, unit);
    const uint64_t hash = rc_hash(session->head.pid, RC_PID_BYTES);
    if (rc_hashmap_insert(&sessions->pids, hash, unit) != 0) {
        return -ENOMEM;
    }
    const uint64_t token = rc_recovery_session_token(session);
    if (token != 0 && rc_hashmap_insert(&sessions->tokens, token_hash(token), unit) != 0) {
        (void)rc_hashmap_remove(&sessions->pids, hash, unit);
        return -ENOMEM;
    }
    sessions->count++;
    if (rc_recovery_session_state(session) == RC_SIO_SESSION_LOST) {
        lost_add(sessions, unit);
    }
    return 0;
}

static void block_free(struct rc_recovery_sessions *sessions, uint32_t unit)
{
    /* RV5 pairs with nothing that runs at the same time: before its memory is used again. */
    const uint32_t units = rc_recovery_session_at(sessions, unit)->bytes / RC_RECOVERY_UNIT;
    for (uint32_t i = 0; i < units; i++) { /* what stood there is no block's beginning */
        atomic_store_explicit(&rc_recovery_session_at(sessions, unit + i)->state, 0, memory_order_release); /* RV5 */
    }
    rc_blocks_free(&sessions->blocks, unit);
}

void rc_recovery_sessions_remove(struct rc_recovery_sessions *sessions, uint32_t unit)
{
    const struct rc_recovery_session *session = rc_recovery_session_at(sessions, unit);
    (void)rc_hashmap_remove(&sessions->pids, rc_hash(session->head.pid, RC_PID_BYTES), unit);
    if (rc_recovery_session_token(session) != 0) {
        (void)rc_hashmap_remove(&sessions->tokens, token_hash(rc_recovery_session_token(session)), unit);
    }
    sessions->count--;
    if (rc_recovery_session_state(session) == RC_SIO_SESSION_LOST) {
        lost_remove(sessions, unit);
    }
    block_free(sessions, unit);
}

/* The one that was lost first, but for the one that is to be replaced; RC_SIO_SESSION_NONE: there is no other. */
static uint32_t session_victim(const struct rc_recovery_sessions *sessions, const char pid[RC_PID_BYTES])
{
    uint32_t at = sessions->oldest;
    if (at != 0 && memcmp(rc_recovery_session_at(sessions, at - 1)->head.pid, pid, RC_PID_BYTES) == 0) {
        at = sessions->index[at - 1].newer;
    }
    return at == 0 ? RC_SIO_SESSION_NONE : at - 1;
}

uint32_t rc_recovery_sessions_make(struct rc_recovery_sessions *sessions, const struct rc_recovery_session *head,
                                   const struct rc_sio_session_parts *parts, enum rc_sio_session_state state)
{
    const uint64_t need = block_need(&head->head);
    const uint32_t order = rc_blocks_order(need, RC_RECOVERY_UNIT);
    uint32_t unit = order < RC_BLOCK_ORDERS ? rc_blocks_alloc(&sessions->blocks, order) : RC_BLOCK_NONE;
    for (uint32_t i = 0; order < RC_BLOCK_ORDERS && unit == RC_BLOCK_NONE && i < EVICT_MAX; i++) {
        const uint32_t victim = session_victim(sessions, head->head.pid);
        if (victim == RC_SIO_SESSION_NONE) {
            break;
        }
        sessions->evicted(sessions->context, victim);
        rc_recovery_sessions_remove(sessions, victim);
        unit = rc_blocks_alloc(&sessions->blocks, order);
    }
    if (unit == RC_BLOCK_NONE) {
        return RC_SIO_SESSION_NONE;
    }
    struct rc_recovery_session *session = rc_recovery_session_at(sessions, unit);
    uint8_t *out = (uint8_t *)(session + 1);
    if (unit + (1u << order) > sessions->units_high) {
        sessions->units_high = unit + (1u << order);
        atomic_store_explicit(&sessions->view.segment->units_high, sessions->units_high, memory_order_relaxed);
    }
    memcpy((uint8_t *)session + sizeof(session->state), (const uint8_t *)head + sizeof(session->state),
           sizeof(*session) - sizeof(session->state));
    session->bytes = RC_RECOVERY_UNIT << order;
    session->version = ++sessions->version;
    const struct rc_span all[] = {parts->user, parts->set, parts->rooms};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i].count > 0) {
            memcpy(out, all[i].bytes, all[i].count);
            out += all[i].count;
        }
    }
    /* RV6 pairs with nothing that runs at the same time: behind all else, so that a successor finds it whole. */
    atomic_store_explicit(&session->state, (uint32_t)state + 1, memory_order_release); /* RV6 */
    return unit;
}

int rc_recovery_sessions_replace(struct rc_recovery_sessions *sessions, uint32_t old, uint32_t unit)
{
    if (old != RC_SIO_SESSION_NONE) {
        rc_recovery_sessions_remove(sessions, old);
    }
    return session_index(sessions, unit);
}

void rc_recovery_sessions_spoil(struct rc_recovery_sessions *sessions, uint32_t unit,
                                const struct rc_recovery_session *head, enum rc_sio_session_state state)
{
    struct rc_recovery_session *session = rc_recovery_session_at(sessions, unit);
    if (rc_recovery_session_state(session) == RC_SIO_SESSION_LOST) {
        lost_remove(sessions, unit);
    }
    session->spoilt = 1;
    session->slot = head->slot;
    session->worker = head->worker;
    session->generation = head->generation;
    session->lost_ms = head->lost_ms;
    memcpy(session->lives, head->lives, sizeof(session->lives));
    /* RV6 pairs with nothing that runs at the same time: behind all else, so that a successor finds it whole. */
    atomic_store_explicit(&session->state, (uint32_t)state + 1, memory_order_release); /* RV6 */
    if (state == RC_SIO_SESSION_LOST) {
        lost_add(sessions, unit);
    }
}

void rc_recovery_sessions_unmake(struct rc_recovery_sessions *sessions, uint32_t unit)
{
    block_free(sessions, unit);
}

void rc_recovery_sessions_lose(struct rc_recovery_sessions *sessions, uint32_t unit, uint64_t now_ms)
{
    struct rc_recovery_session *session = rc_recovery_session_at(sessions, unit);
    session->lost_ms = now_ms;
    atomic_store_explicit(&session->state, RC_SIO_SESSION_LOST + 1, memory_order_release); /* RV6 */
    lost_add(sessions, unit);
}

/* --- taking over ----------------------------------------------------------------------------------------------------------- */

static bool session_whole(const struct rc_recovery_sessions *sessions, uint32_t unit, uint32_t *order)
{
    const uint64_t left = (uint64_t)(sessions->view.unit_count - unit) * RC_RECOVERY_UNIT;
    const struct rc_recovery_session *session = rc_recovery_session_at(sessions, unit);
    if (left < sizeof(*session)) {
        return false;
    }
    const uint32_t state = atomic_load_explicit(&session->state, memory_order_relaxed);
    *order = rc_blocks_order(session->bytes, RC_RECOVERY_UNIT);
    return (state == RC_SIO_SESSION_LIVE + 1 || state == RC_SIO_SESSION_LOST + 1) && *order < RC_BLOCK_ORDERS &&
           session->bytes == (uint64_t)RC_RECOVERY_UNIT << *order && session->bytes <= left &&
           block_need(&session->head) <= session->bytes && session->channel_bytes > 0 &&
           (rc_recovery_session_token(session) != 0) != (session->linked != 0);
}

struct age {
    uint64_t lost_ms;
    uint32_t unit;
};

static int age_compare(const void *a, const void *b)
{
    const struct age *first = a;
    const struct age *second = b;
    return first->lost_ms < second->lost_ms ? -1 : first->lost_ms > second->lost_ms;
}

/* The lost ones in the order of their loss, which was found in that of their places. */
static int order_lost(struct rc_recovery_sessions *sessions)
{
    struct age *ages = calloc((size_t)sessions->lost_count + 1, sizeof(*ages));
    uint32_t count = 0;
    if (ages == NULL) {
        return -ENOMEM;
    }
    for (uint32_t at = sessions->oldest; at != 0; at = sessions->index[at - 1].newer) {
        ages[count++] = (struct age){.lost_ms = rc_recovery_session_at(sessions, at - 1)->lost_ms, .unit = at - 1};
    }
    qsort(ages, count, sizeof(*ages), age_compare);
    sessions->oldest = sessions->newest = sessions->lost_count = 0;
    memset(sessions->due, 0, RC_RECOVERY_DUE_TICKS * sizeof(*sessions->due));
    for (uint32_t i = 0; i < count; i++) {
        lost_add(sessions, ages[i].unit);
    }
    free(ages);
    return 0;
}

static int session_adopt(struct rc_recovery_sessions *sessions, uint32_t unit, uint32_t order)
{
    const struct rc_recovery_session *session = rc_recovery_session_at(sessions, unit);
    const uint32_t other = rc_recovery_sessions_find(sessions, session->head.pid);
    if (!rc_blocks_take(&sessions->blocks, unit, order)) {
        return 0;
    }
    sessions->version = session->version > sessions->version ? session->version : sessions->version;
    if (other != RC_SIO_SESSION_NONE && rc_recovery_session_at(sessions, other)->version > session->version) {
        block_free(sessions, unit);
        return 0;
    }
    return rc_recovery_sessions_replace(sessions, other, unit);
}

int rc_recovery_sessions_open(struct rc_recovery_sessions *sessions, const struct rc_recovery_view *view,
                              uint64_t own_ms)
{
    *sessions = (struct rc_recovery_sessions){.view = *view, .own_ms = own_ms};
    int rc = rc_blocks_open(&sessions->blocks, view->unit_count);
    rc = rc == 0 ? rc_hashmap_init(&sessions->pids, 1, view->unit_count) : rc;
    rc = rc == 0 ? rc_hashmap_init(&sessions->tokens, 1, view->unit_count) : rc;
    sessions->index = calloc(view->unit_count, sizeof(*sessions->index));
    sessions->due = calloc(RC_RECOVERY_DUE_TICKS, sizeof(*sessions->due));
    rc = sessions->index == NULL || sessions->due == NULL ? -ENOMEM : rc;
    const uint32_t high = atomic_load_explicit(&view->segment->units_high, memory_order_relaxed);
    sessions->units_high = high < view->unit_count ? high : view->unit_count;
    for (uint32_t unit = 0; rc == 0 && unit < sessions->units_high;) {
        uint32_t order = 0;
        const bool whole = session_whole(sessions, unit, &order);
        rc = whole ? session_adopt(sessions, unit, order) : 0;
        unit += whole ? 1u << order : 1u;
    }
    rc = rc == 0 ? order_lost(sessions) : rc;
    if (rc != 0) {
        rc_recovery_sessions_close(sessions);
    }
    return rc;
}

void rc_recovery_sessions_close(struct rc_recovery_sessions *sessions)
{
    rc_hashmap_free(&sessions->pids);
    rc_hashmap_free(&sessions->tokens);
    rc_blocks_close(&sessions->blocks);
    free(sessions->index);
    free(sessions->due);
    *sessions = (struct rc_recovery_sessions){0};
}
