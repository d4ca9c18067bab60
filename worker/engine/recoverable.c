/* recoverable: see recoverable.h. */
#include "worker/engine/recoverable.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/log.h"

static bool is_on(const struct rc_engines *engines)
{
    return engines->session != NULL;
}

static struct rc_recoverable *recoverable_at(const struct rc_engines *engines, uint32_t index)
{
    return rc_truth_recoverable(engines->clients->truth, index);
}

static uint32_t *first_of(const struct rc_engines *engines, uint32_t client)
{
    return &engines->clients->truth->recoverable[client];
}

int rc_recoverable_open(struct rc_engines *engines)
{
    struct rc_truth *truth = engines->clients->truth;
    if (rc_engine_settings(engines)->recovery_ms == 0) {
        return 0;
    }
    engines->session = malloc(RC_SIO_SESSION_BYTES_MAX);
    truth->recoverable = calloc((size_t)truth->clients.count_max + 1, sizeof(*truth->recoverable));
    return engines->session == NULL || truth->recoverable == NULL ? -ENOMEM : 0;
}

void rc_recoverable_close(struct rc_engines *engines)
{
    free(engines->session);
    free(engines->clients->truth->recoverable);
    free(engines->recoverables.items);
    engines->session = NULL;
    engines->clients->truth->recoverable = NULL;
}

/* --- marks ------------------------------------------------------------------------------------------------------------- */

static void mark_dirty(struct rc_engines *engines, uint32_t index)
{
    struct rc_recoverable *one = recoverable_at(engines, index);
    if ((one->flags & (RC_RECOVERABLE_DIRTY | RC_RECOVERABLE_QUIET)) == 0) {
        one->flags |= RC_RECOVERABLE_DIRTY;
        if (engines->recoverables.count == 0) {
            engines->recoverables_since =
                atomic_load_explicit(&engines->clients->truth->layout->down.last_sequence, memory_order_relaxed);
        }
        const int rc = rc_index_list_push(&engines->recoverables, index);
        RC_ASSERT(rc == 0); /* four bytes for each at most */
    }
}

void rc_recoverable_changed(struct rc_engines *engines, uint32_t client)
{
    for (uint32_t i = is_on(engines) ? *first_of(engines, client) : 0; i != 0; i = recoverable_at(engines, i)->next) {
        mark_dirty(engines, i);
    }
}

void rc_recoverable_room(struct rc_engines *engines, uint32_t client, uint32_t channel)
{
    struct rc_hub *hub = engines->clients->hub;
    struct rc_span nsp;
    struct rc_span room;
    if (!is_on(engines) || *first_of(engines, client) == 0) {
        return;
    }
    (void)rc_channel_split(rc_hub_name(hub, rc_truth_channel(hub->truth, channel)), &nsp, &room);
    const uint32_t index = rc_truth_recoverable_of(hub->truth, client, nsp);
    if (index != 0) {
        mark_dirty(engines, index);
    }
}

/* --- what the relay is told -------------------------------------------------------------------------------------------- */

static bool part_put(uint8_t *out, size_t *used, struct rc_span part)
{
    if (part.count > RC_SIO_SESSION_BYTES_MAX - *used) {
        return false;
    }
    if (part.count > 0) {
        memcpy(out + *used, part.bytes, part.count);
    }
    *used += part.count;
    return true;
}

/* How the socket stands, into engines->session: its bytes; 0: it is too large to come back. */
static size_t record_put(const struct rc_engines *engines, const struct rc_recoverable *one,
                         enum rc_sio_session_state state)
{
    const struct rc_clients *clients = engines->clients;
    const struct rc_truth *truth = clients->truth;
    const struct rc_span its = rc_truth_recoverable_nsp(truth, one);
    const struct rc_span user = rc_client_user(clients, one->client);
    const struct rc_span set = rc_client_set(clients, one->client);
    struct rc_sio_session_head head = {.since_ms = one->since_ms,
                                       .state = (uint8_t)state,
                                       .user_bytes = (uint8_t)user.count,
                                       .set_bytes = (uint16_t)set.count};
    size_t used = sizeof(head);
    memcpy(head.pid, one->pid, sizeof(head.pid));
    memcpy(head.sid, one->sid, sizeof(head.sid));
    if (!part_put(engines->session, &used, user) || !part_put(engines->session, &used, set)) {
        return 0;
    }
    const size_t before = used;
    for (uint32_t i = rc_truth_client(truth, one->client)->subscriptions; i != 0;
         i = rc_truth_subscription(truth, i)->next) {
        const uint32_t channel = rc_truth_group(truth, rc_truth_subscription(truth, i)->group)->channel;
        const struct rc_span name = rc_hub_name(clients->hub, rc_truth_channel(truth, channel));
        struct rc_span nsp;
        struct rc_span room;
        (void)rc_channel_split(name, &nsp, &room);
        if (rc_span_equal(nsp, its) &&
            (!part_put(engines->session, &used, name) || !part_put(engines->session, &used, rc_span_of("", 1)))) {
            return 0;
        }
    }
    head.rooms_bytes = (uint32_t)(used - before);
    memcpy(engines->session, &head, sizeof(head));
    return used;
}

/* All that it is told of one that cannot come back. */
static size_t record_end(const struct rc_engines *engines, const struct rc_recoverable *one)
{
    struct rc_sio_session_head head = {.state = RC_SIO_SESSION_ENDED};
    memcpy(head.pid, one->pid, sizeof(head.pid));
    memcpy(head.sid, one->sid, sizeof(head.sid));
    memcpy(engines->session, &head, sizeof(head));
    return sizeof(head);
}

static int record_write(struct rc_engines *engines, struct rc_recoverable *one, const uint8_t *record, size_t bytes)
{
    struct rc_clients *clients = engines->clients;
    char everybody[RC_CHANNEL_NAME_MAX];
    const struct rc_span nsp = rc_truth_recoverable_nsp(clients->truth, one);
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .origin = {.random = one->random, .slot = one->client, .worker = (uint16_t)clients->worker},
                 .position = engines->recoverables_since,
                 .channel_bytes = (uint8_t)rc_channel_of_room(everybody, sizeof(everybody), nsp, (struct rc_span){0}),
                 .code = one->again ? RC_SIO_SESSION_AGAIN : 0,
                 .data_bytes = (uint32_t)bytes},
        .channel = everybody,
        .data = record};
    const int rc = rc_uplink_write(clients->uplink, RC_UP_SESSION, &view);
    if (rc != -EAGAIN) {
        one->again = 1; /* also what was too large: nothing is kept for it */
    }
    return rc;
}

static void recoverable_free(struct rc_engines *engines, uint32_t index)
{
    struct rc_recoverable *one = recoverable_at(engines, index);
    rc_socket_input_free(engines->clients, &one->nsp);
    rc_socket_input_free(engines->clients, &one->record);
    one->random = 0;
    rc_pool_free(&engines->clients->truth->recoverables, index);
}

/* -EAGAIN: later. */
static int tell_one(struct rc_engines *engines, uint32_t index)
{
    struct rc_recoverable *one = recoverable_at(engines, index);
    size_t bytes;
    const uint8_t *record = engines->session;
    if ((one->flags & RC_RECOVERABLE_GONE) && (one->flags & RC_RECOVERABLE_TOLD)) {
        recoverable_free(engines, index);
        return 0;
    }
    if ((one->flags & (RC_RECOVERABLE_GONE | RC_RECOVERABLE_QUIET)) == RC_RECOVERABLE_QUIET) {
        one->flags &= (uint8_t)~RC_RECOVERABLE_DIRTY;
        return 0; /* it is lost: its end comes */
    }
    if ((one->flags & RC_RECOVERABLE_GONE) == 0) {
        bytes = record_put(engines, one, RC_SIO_SESSION_LIVE);
        bytes = bytes != 0 ? bytes : record_end(engines, one);
    } else if (one->record != 0) {
        bytes = one->record_bytes;
        record = rc_heap_at(&engines->clients->truth->heap, one->record);
    } else {
        bytes = record_end(engines, one);
    }
    int rc = record_write(engines, one, record, bytes);
    if (rc < 0 && rc != -EAGAIN) { /* the relay must not go on with how it stood before */
        rc_log_limited(RC_LOG_WARN, 5, "session_not_told", "bytes=%zu remedy=\"raise server.ring_size\"", bytes);
        rc = record_write(engines, one, engines->session, record_end(engines, one));
    }
    if (rc == -EAGAIN) {
        return rc;
    }
    one->flags &= (uint8_t)~RC_RECOVERABLE_DIRTY;
    if (one->flags & RC_RECOVERABLE_GONE) {
        recoverable_free(engines, index);
    }
    return 0;
}

void rc_recoverables_tell(struct rc_engines *engines)
{
    uint32_t told = 0;
    struct rc_index_list *list = &engines->recoverables;
    while (told < list->count && tell_one(engines, list->items[told]) == 0) {
        told++;
    }
    if (told > 0) {
        memmove(list->items, list->items + told, (list->count - told) * sizeof(*list->items));
        list->count -= told;
    }
}

/* --- beginning and end ------------------------------------------------------------------------------------------------- */

static void pid_make(const struct rc_engines *engines, uint32_t client, char out[RC_PID_BYTES])
{
    const struct rc_client_ref ref = {
        .random = rc_clients_random(engines->clients), .slot = client, .worker = (uint16_t)engines->clients->worker};
    _Static_assert(RC_PID_BYTES == RC_SID_BYTES, "a pid looks like a sid");
    rc_sid_write(out, engines->instance, &ref);
}

void rc_recoverable_begin(struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                          const struct rc_sio_session_head *as)
{
    struct rc_truth *truth = engines->clients->truth;
    const uint32_t index = is_on(engines) ? rc_pool_alloc(&truth->recoverables) : 0;
    if (index == 0) {
        return;
    }
    struct rc_recoverable *one = recoverable_at(engines, index);
    *one = (struct rc_recoverable){.since_ms = as != NULL ? as->since_ms : engines->clients->io->now_ns / 1000000u,
                                   .client = client};
    if (nsp.count > 1) {
        one->nsp = rc_heap_alloc(&truth->heap, nsp.count);
        if (one->nsp == 0) {
            rc_pool_free(&truth->recoverables, index);
            return;
        }
        engines->clients->hub->input_bytes += rc_heap_block_bytes(&truth->heap, one->nsp);
        memcpy(rc_heap_at(&truth->heap, one->nsp), nsp.bytes, nsp.count);
        one->nsp_bytes = (uint8_t)nsp.count;
    }
    one->next = *first_of(engines, client);
    *first_of(engines, client) = index;
    if (as != NULL) {
        memcpy(one->pid, as->pid, sizeof(one->pid));
        memcpy(one->sid, as->sid, sizeof(one->sid));
        one->flags = RC_RECOVERABLE_QUIET;
        one->again = 1;
    } else {
        pid_make(engines, client, one->pid);
        rc_engine_place_sid(engines, client, nsp, one->sid);
    }
    RC_STORE_ORDER(); /* it is there from here on */
    one->random = rc_truth_client(truth, client)->random;
    RC_STORE_ORDER();
    if (as == NULL) {
        mark_dirty(engines, index);
    }
}

struct rc_span rc_recoverable_pid(const struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    const uint32_t index = rc_truth_recoverable_of(engines->clients->truth, client, nsp);
    return index == 0 ? rc_span_of(NULL, 0) : rc_span_of(recoverable_at(engines, index)->pid, RC_PID_BYTES);
}

void rc_recoverable_came(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    const uint32_t index = rc_truth_recoverable_of(engines->clients->truth, client, nsp);
    struct rc_sid sid;
    char natural[RC_SID_BYTES];
    if (index == 0) {
        return;
    }
    struct rc_recoverable *one = recoverable_at(engines, index);
    one->flags &= (uint8_t)~RC_RECOVERABLE_QUIET;
    rc_engine_place_sid(engines, client, nsp, natural);
    if (memcmp(natural, one->sid, RC_SID_BYTES) != 0 && rc_sid_read(&sid, rc_span_of(one->sid, RC_SID_BYTES))) {
        if (rc_hub_alias(engines->clients->hub, sid.client.random, client) < 0) {
            rc_client_failed_memory(engines->clients, client);
            return;
        }
        one->flags |= RC_RECOVERABLE_MOVED;
        rc_engine_of(engines, client)->flags |= RC_ENGINE_MOVED;
    }
    mark_dirty(engines, index);
}

/* As it was told to this worker, into engines->session: its bytes. */
static size_t record_of(const struct rc_engines *engines, struct rc_span as)
{
    struct rc_sio_session_head head;
    RC_ASSERT(as.count >= sizeof(head) && as.count <= RC_SIO_SESSION_BYTES_MAX);
    memcpy(engines->session, as.bytes, as.count);
    memcpy(&head, as.bytes, sizeof(head));
    head.state = RC_SIO_SESSION_LOST;
    memcpy(engines->session, &head, sizeof(head));
    return as.count;
}

void rc_recoverable_lost(struct rc_engines *engines, uint32_t client, struct rc_span nsp, struct rc_span as)
{
    const uint32_t index = is_on(engines) ? rc_truth_recoverable_of(engines->clients->truth, client, nsp) : 0;
    if (index == 0) {
        return;
    }
    struct rc_recoverable *one = recoverable_at(engines, index);
    uint32_t capacity = 0;
    const size_t bytes = as.count > 0 ? record_of(engines, as) : record_put(engines, one, RC_SIO_SESSION_LOST);
    one->flags |= RC_RECOVERABLE_QUIET; /* nothing else is told of it */
    if (bytes == 0) {
        return;
    }
    if (record_write(engines, one, engines->session, bytes) == 0) {
        one->flags |= RC_RECOVERABLE_TOLD;
    } else if (rc_socket_input_grow(engines->clients, &one->record, &capacity, bytes, 0) == 0) {
        memcpy(rc_heap_at(&engines->clients->truth->heap, one->record), engines->session, bytes);
        one->record_bytes = (uint32_t)bytes;
    }
}

void rc_recoverable_end(struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    struct rc_truth *truth = engines->clients->truth;
    const uint32_t index = is_on(engines) ? rc_truth_recoverable_of(truth, client, nsp) : 0;
    struct rc_sid sid;
    if (index == 0) {
        return;
    }
    struct rc_recoverable *one = recoverable_at(engines, index);
    uint32_t *link = first_of(engines, client);
    while (*link != index) {
        link = &recoverable_at(engines, *link)->next;
    }
    *link = one->next;
    if ((one->flags & RC_RECOVERABLE_MOVED) && rc_sid_read(&sid, rc_span_of(one->sid, RC_SID_BYTES))) {
        rc_hub_alias_end(engines->clients->hub, sid.client.random, client);
    }
    one->flags &= (uint8_t)~RC_RECOVERABLE_QUIET;
    one->flags |= RC_RECOVERABLE_GONE;
    mark_dirty(engines, index);
    rc_recoverables_tell(engines); /* before the relay hears that its rooms are empty */
}

/* --- from worker to worker --------------------------------------------------------------------------------------------- */

/* A socket as bytes; the name of its namespace is behind it. */
struct moving_socket {
    uint64_t since_ms;
    char pid[RC_PID_BYTES];
    char sid[RC_SID_BYTES];
    uint8_t nsp_bytes;
    uint8_t pad[7];
};

bool rc_recoverables_told(const struct rc_engines *engines, uint32_t client)
{
    for (uint32_t i = is_on(engines) ? *first_of(engines, client) : 0; i != 0; i = recoverable_at(engines, i)->next) {
        if (recoverable_at(engines, i)->flags != 0) {
            return false;
        }
    }
    return true;
}

/* Who goes has told all (rc_recoverables_told); of who went from a predecessor all is to be told again. */
void rc_recoverables_went(struct rc_engines *engines, uint32_t client)
{
    while (is_on(engines) && *first_of(engines, client) != 0) {
        const uint32_t index = *first_of(engines, client);
        struct rc_recoverable *one = recoverable_at(engines, index);
        *first_of(engines, client) = one->next;
        if (one->flags & RC_RECOVERABLE_DIRTY) {
            one->flags |= RC_RECOVERABLE_GONE | RC_RECOVERABLE_TOLD; /* its turn frees it, and tells nothing */
        } else {
            recoverable_free(engines, index);
        }
    }
}

uint32_t rc_recoverables_write(const struct rc_engines *engines, uint32_t client, uint8_t *out, uint32_t room)
{
    uint32_t bytes = 0;
    for (uint32_t i = is_on(engines) ? *first_of(engines, client) : 0; i != 0; i = recoverable_at(engines, i)->next) {
        const struct rc_recoverable *one = recoverable_at(engines, i);
        const struct rc_span nsp = rc_truth_recoverable_nsp(engines->clients->truth, one);
        struct moving_socket socket = {.since_ms = one->since_ms, .nsp_bytes = (uint8_t)nsp.count};
        memcpy(socket.pid, one->pid, sizeof(socket.pid));
        memcpy(socket.sid, one->sid, sizeof(socket.sid));
        if (sizeof(socket) + nsp.count > room - bytes) {
            return RC_RECOVERABLES_NO_ROOM;
        }
        if (out != NULL) {
            memcpy(out + bytes, &socket, sizeof(socket));
            memcpy(out + bytes + sizeof(socket), nsp.bytes, nsp.count);
        }
        bytes += (uint32_t)(sizeof(socket) + nsp.count);
    }
    return bytes;
}

/* There is no memory to keep the socket: it cannot come back. -ENOMEM: that cannot be told either, so it must not stay. */
static int moving_lost(struct rc_engines *engines, uint32_t client, const struct rc_sio_session_head *as)
{
    struct rc_recoverable one = {.random = rc_truth_client(engines->clients->truth, client)->random, .client = client};
    memcpy(one.pid, as->pid, sizeof(one.pid));
    memcpy(one.sid, as->sid, sizeof(one.sid));
    return record_write(engines, &one, engines->session, record_end(engines, &one)) == 0 ? 0 : -ENOMEM;
}

int rc_recoverables_read(struct rc_engines *engines, uint32_t client, struct rc_span bytes)
{
    while (bytes.count > 0) {
        struct moving_socket socket;
        if (bytes.count < sizeof(socket)) {
            return -EBADMSG;
        }
        memcpy(&socket, bytes.bytes, sizeof(socket));
        const struct rc_span nsp = rc_span_of(bytes.bytes + sizeof(socket), socket.nsp_bytes);
        if (socket.nsp_bytes == 0 || nsp.count > bytes.count - sizeof(socket) ||
            !rc_engine_has_joined(engines, client, nsp)) {
            return -EBADMSG;
        }
        struct rc_sio_session_head as = {.since_ms = socket.since_ms};
        memcpy(as.pid, socket.pid, sizeof(as.pid));
        memcpy(as.sid, socket.sid, sizeof(as.sid));
        if (rc_truth_recoverable_of(engines->clients->truth, client, nsp) == 0) {
            rc_recoverable_begin(engines, client, nsp, &as);
            rc_recoverable_came(engines, client, nsp);
        }
        if (is_on(engines) && rc_truth_recoverable_of(engines->clients->truth, client, nsp) == 0 &&
            moving_lost(engines, client, &as) < 0) {
            return -ENOMEM;
        }
        bytes = rc_span_of(nsp.bytes + nsp.count, bytes.count - sizeof(socket) - nsp.count);
    }
    return 0;
}

/* --- from another process's truth -------------------------------------------------------------------------------------- */

/* Of one that was coming back the question was the former process's: it is somebody new, or comes again. */
static void rebuild_one(struct rc_engines *engines, uint32_t index)
{
    struct rc_recoverable *one = recoverable_at(engines, index);
    const bool joined = (one->flags & RC_RECOVERABLE_GONE) == 0 &&
                        rc_truth_client(engines->clients->truth, one->client)->random == one->random &&
                        (one->flags & RC_RECOVERABLE_QUIET) == 0;
    struct rc_sid sid;
    one->flags &= (uint8_t) ~(RC_RECOVERABLE_QUIET | RC_RECOVERABLE_DIRTY);
    one->again = 1;
    if (!joined) {
        one->flags |= RC_RECOVERABLE_GONE;
    } else {
        one->next = *first_of(engines, one->client);
        *first_of(engines, one->client) = index;
        if ((one->flags & RC_RECOVERABLE_MOVED) && rc_sid_read(&sid, rc_span_of(one->sid, RC_SID_BYTES)) &&
            rc_hub_alias(engines->clients->hub, sid.client.random, one->client) < 0) {
            rc_client_failed_memory(engines->clients, one->client);
        }
    }
    mark_dirty(engines, index); /* what was to be told is not known: all of it */
}

void rc_recoverable_rebuild(struct rc_engines *engines, const struct rc_truth_found *found)
{
    for (uint32_t i = 1; is_on(engines) && i < engines->clients->truth->recoverables.high; i++) {
        if (rc_truth_was_found(found, RC_TRUTH_POOL_recoverables, i)) {
            rebuild_one(engines, i);
        }
    }
}
