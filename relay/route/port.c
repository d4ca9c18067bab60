/* port: one worker's rings as the relay sees them. Up rings are drained record by record, down rings never block. */
#include "relay/route/port.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

/* Records that one pump moves at most, so that a worker with a deep overflow does not hold up the others. */
#define PUMP_RECORDS_MAX 512u

/* The smallest ring (rc_port_view_open): it also gives every answer room in half an overflow (see rc_port_stalled). */
#define RING_BYTES_MIN 4096u
_Static_assert(RING_BYTES_MIN / 2 >= 2 * (sizeof(struct rc_envelope) + RC_CHANNEL_NAME_MAX + RC_REQUEST_ID_MAX + 16),
               "an answer and its wrap padding fit half of the smallest overflow");

static void count_corrupt(struct rc_relay_port *port, const char *what)
{
    rc_metric_add(port->setup.metrics, RC_METRIC_RING_CORRUPT, 1);
    rc_log_limited(RC_LOG_ERROR, 5, "ring_corrupt", "worker=%u generation=%u what=\"%s\"", port->index,
                   port->generation, what);
}

static uint32_t generation_of(const struct rc_relay_port *port)
{
    /* P2 pairs with B1 in acceptor/start/broker.c: the former worker has written its last. */
    return atomic_load_explicit(&port->setup.life->generation, memory_order_acquire);
}

/* A ring that the living worker uses is of no use any more: the acceptor replaces the worker. */
static void tell_lost(struct rc_relay_port *port)
{
    /* P4 pairs with the acquire in acceptor/watch/watch.c: it says which generation, in one word. */
    atomic_store_explicit(&port->setup.verdict->lost, RC_VERDICT_LOST << 32 | port->generation, memory_order_release);
}

static void attach_up(struct rc_relay_port *port, uint32_t pair)
{
    port->up_pair = pair;
    port->up_lost = rc_ring_attach_consumer(&port->up, &port->view.shared->pairs[pair].up,
                                            rc_port_data(&port->view, pair, RC_PORT_UP), port->view.ring_bytes) != 0;
    if (port->up_lost) {
        count_corrupt(port, "up ring positions");
        if (pair == (port->generation & 1)) {
            tell_lost(port);
        }
    }
}

/* A ring whose other end is dead and whose positions or records are corrupt: what it holds is lost, but the worker after next
 * has to attach to it. Both cursors are the relay's while nobody is at the other end. */
static void mend_dead_ring(struct rc_ring_shared *ring)
{
    const uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed) & ~(uint64_t)(RC_RING_ALIGN - 1);
    atomic_store_explicit(&ring->tail, tail, memory_order_relaxed);
    atomic_store_explicit(&ring->head, tail, memory_order_release); /* P5 pairs with R4a in ring_cursors */
}

/* Starts with what the dead generation left behind; when there is nothing, with the living one's pair. */
static void select_up(struct rc_relay_port *port)
{
    const uint32_t current = port->generation & 1;
    attach_up(port, current ^ 1);
    if (port->up_lost) {
        mend_dead_ring(&port->view.shared->pairs[current ^ 1].up);
        attach_up(port, current);
    } else if (!rc_ring_readable(&port->up)) {
        attach_up(port, current);
    }
}

static int attach_overflow(struct rc_relay_port *port, uint32_t pair)
{
    struct rc_ring_shared *shared = &port->view.shared->pairs[pair].overflow;
    void *data = rc_port_data(&port->view, pair, RC_PORT_OVERFLOW);
    const int in = rc_ring_attach_producer(&port->overflow_in, shared, data, port->view.overflow_bytes);
    const int out = rc_ring_attach_consumer(&port->overflow_out, shared, data, port->view.overflow_bytes);
    return in != 0 ? in : out;
}

static void discard_overflow(struct rc_relay_port *port)
{
    port->overflow_out.position = port->overflow_in.position;
    port->overflow_out.peer = port->overflow_in.position;
    rc_ring_release(&port->overflow_out);
}

/* Down and overflow of the living generation. */
static void attach_down(struct rc_relay_port *port)
{
    const uint32_t pair = port->generation & 1;
    struct rc_port_pair *dead = &port->view.shared->pairs[pair ^ 1];
    if (attach_overflow(port, pair ^ 1) == 0) {
        discard_overflow(port); /* for clients that died with their worker */
    } else {
        mend_dead_ring(&dead->overflow);
    }
    if (rc_ring_attach_producer(&port->down, &dead->down, rc_port_data(&port->view, pair ^ 1, RC_PORT_DOWN),
                                port->view.ring_bytes) != 0) {
        mend_dead_ring(&dead->down);
    }
    int rc = rc_ring_attach_producer(&port->down, &port->view.shared->pairs[pair].down,
                                     rc_port_data(&port->view, pair, RC_PORT_DOWN), port->view.ring_bytes);
    if (rc == 0) {
        rc = attach_overflow(port, pair);
    }
    port->down_lost = rc != 0;
    if (port->down_lost) {
        count_corrupt(port, "down ring positions");
        tell_lost(port);
    }
}

int rc_port_open(struct rc_relay_port *port, struct rc_port *shared, uint64_t bytes,
                 const struct rc_relay_port_setup *setup, struct rc_err *err)
{
    const int rc = rc_port_view_open(&port->view, shared, bytes, err);
    if (rc != 0) {
        return rc;
    }
    port->setup = *setup;
    port->index = setup->index;
    port->record_bytes_max = port->view.ring_bytes / 2 - sizeof(struct rc_ring_record_header); /* rc_ring_payload_max */
    port->generation = generation_of(port);
    attach_down(port);
    port->sent = port->down_lost ? 0 : atomic_load_explicit(&port->down.shared->noted, memory_order_relaxed);
    select_up(port);
    if (atomic_load_explicit(setup->gap_pending, memory_order_relaxed) != 0) {
        rc_gap_set_add_all(&port->gaps); /* a predecessor dropped something; what it was died with it */
    }
    (void)rc_port_follow(port);
    return 0;
}

void rc_port_close(struct rc_relay_port *port)
{
    rc_acknowledgements_close(&port->acknowledgements);
}

static void end_gap(struct rc_relay_port *port)
{
    atomic_store_explicit(&port->setup.verdict->behind, 0, memory_order_relaxed);
    /* P6 pairs with nothing that runs at the same time: a successor finds the end of a gap only behind what told of it. */
    atomic_store_explicit(port->setup.gap_pending, 0, memory_order_release);
}

/* A successor knows by it whether the worker has handled all that it was sent. Before that is in the ring: too high a number only has it look closer. */
static void note_sent(struct rc_relay_port *port, uint64_t sequence)
{
    port->sent = sequence;
    if (RC_LIKELY(!port->down_lost)) {
        atomic_store_explicit(&port->down.shared->noted, sequence, memory_order_relaxed);
    }
}

bool rc_port_follow(struct rc_relay_port *port)
{
    /* P3 pairs with B2 in acceptor/start/broker.c: the generation is the one that runs, or ran last. */
    const bool running = atomic_load_explicit(&port->setup.life->running, memory_order_acquire) != 0;
    const uint32_t generation = generation_of(port);
    const bool adopt = generation != port->generation;
    if (RC_UNLIKELY(adopt)) {
        rc_log_info("worker_generation", "worker=%u from=%u to=%u", port->index, port->generation, generation);
        port->generation = generation;
        if (attach_overflow(port, generation & 1) == 0) {
            discard_overflow(port); /* leftovers of the worker two generations ago */
        }
        attach_down(port);
        note_sent(port, 0);
        select_up(port);
        rc_gap_set_clear(&port->gaps);
        rc_acknowledgements_clear(&port->acknowledgements);
        end_gap(port);
    }
    port->live = running && !port->down_lost;
    return adopt;
}

static bool valid_record(uint32_t type, const struct rc_envelope *head)
{
    switch (type) {
    case RC_UP_PUBLISH:
    case RC_UP_RETAIN:
    case RC_UP_INTEREST_ADD:
    case RC_UP_INTEREST_REMOVE:
        return head->channel_bytes > 0;
    case RC_UP_DIRECT:
    case RC_UP_SNAPSHOT_BEGIN:
    case RC_UP_SNAPSHOT_END:
        return true;
    case RC_UP_MEMBERS_BEGIN:
    case RC_UP_MEMBERS_END:
        return true;
    case RC_UP_SELECT:
        return head->channel_bytes > 0 && head->exclude_text_bytes > 0;
    case RC_UP_QUERY:
        return head->origin.random != 0 || (head->flags & RC_ENVELOPE_API) != 0;
    case RC_UP_LIMIT:
        return head->data_bytes > 0;
    case RC_UP_MEMBER_ADD:
    case RC_UP_MEMBER_REMOVE:
        return head->channel_bytes > 0 && head->origin.random != 0 && head->data_bytes <= RC_CHANNEL_NAME_MAX;
    case RC_UP_SESSION:
        return head->channel_bytes > 0 && head->origin.random != 0;
    case RC_UP_LINK:
        return head->code != 0;
    case RC_UP_GUEST:
        return head->origin.random != 0;
    case RC_UP_BARRIER:
        return head->flags == 0 && head->data_bytes % sizeof(struct rc_client_ref) == 0 &&
               head->data_bytes <= RC_MOVE_CLIENTS_MAX * sizeof(struct rc_client_ref);
    case RC_UP_CALL:
    case RC_UP_REPLY:
        return (head->flags & RC_ENVELOPE_API) != 0;
    default:
        return false;
    }
}

int rc_port_next(struct rc_relay_port *port, struct rc_port_record *record)
{
    const void *payload;
    uint32_t bytes;
    while (!port->up_lost) {
        const uint64_t before = port->up.position;
        const int rc = rc_ring_next(&port->up, &record->type, &payload, &bytes);
        if (rc > 0) {
            if (rc_envelope_read(&record->view, payload, bytes) != 0 ||
                !valid_record(record->type, &record->view.head)) {
                count_corrupt(port, "up record");
                rc_ring_release(&port->up);
                return -EBADMSG;
            }
            record->current = record->view.head.generation == port->generation;
            if (!record->current && record->view.head.generation == generation_of(port)) {
                /* A worker that was started since rc_port_follow looked: to be adopted first, or its interest were lost. */
                port->up.position = before;
                return 0;
            }
            return 1;
        }
        if (rc < 0) {
            count_corrupt(port, "up ring");
        }
        if (port->up_pair != (port->generation & 1)) { /* the dead generation's ring is drained, or of no use */
            if (rc < 0) {
                mend_dead_ring(&port->view.shared->pairs[port->up_pair].up);
            }
            attach_up(port, port->generation & 1);
        } else if (rc < 0) {
            port->up_lost = true;
            tell_lost(port);
        } else {
            return 0;
        }
    }
    return 0;
}

void rc_port_release(struct rc_relay_port *port)
{
    rc_ring_release(&port->up);
}

uint64_t rc_port_position(const struct rc_relay_port *port)
{
    /* Not up.position: that may stand behind a padding record which the shared head has not passed yet. */
    return port->up.released;
}

bool rc_port_rewind(struct rc_relay_port *port, uint32_t pair, uint64_t position)
{
    if (atomic_load_explicit(&port->view.shared->pairs[pair].up.head, memory_order_relaxed) != position) {
        return false;
    }
    attach_up(port, pair);
    return !port->up_lost && rc_ring_readable(&port->up);
}

void rc_port_resume(struct rc_relay_port *port)
{
    select_up(port);
}

static bool write_record(struct rc_relay_port *port, struct rc_ring *ring, enum rc_record_type type,
                         const struct rc_envelope_view *view, uint32_t bytes)
{
    void *record = rc_ring_claim(ring, (uint32_t)type, bytes);
    if (record == NULL) {
        return false;
    }
    rc_envelope_write(record, view);
    memcpy((uint8_t *)record + offsetof(struct rc_envelope, generation), &port->generation, sizeof(port->generation));
    rc_ring_commit(ring, bytes);
    return true;
}

static bool is_message(enum rc_record_type type)
{
    return type == RC_DOWN_MESSAGE || type == RC_DOWN_DIRECT || type == RC_DOWN_SELECT;
}

/* May a record go to the worker? See port.h. Everything that is written passes here; 0, -ENOTCONN, -EMSGSIZE or -EAGAIN. */
static int port_admit(const struct rc_relay_port *port, enum rc_record_type type, uint64_t bytes)
{
    if (RC_UNLIKELY(!port->live)) {
        return -ENOTCONN;
    }
    if (RC_UNLIKELY(bytes > port->record_bytes_max)) {
        rc_metric_add(port->setup.metrics, RC_METRIC_DOWN_TOO_LARGE, 1);
        rc_log_limited(RC_LOG_WARN, 5, "record_too_large", "worker=%u bytes=%llu max=%llu remedy=\"%s\"", port->index,
                       (unsigned long long)bytes, (unsigned long long)port->record_bytes_max, "raise server.ring_size");
        return -EMSGSIZE;
    }
    return is_message(type) || type == RC_DOWN_ANSWER || RC_LIKELY(!rc_port_stalled(port)) ? 0 : -EAGAIN;
}

/* Down if nothing waits before it, else (or if down is full) overflow: 0, or why not. */
static int write_in_order(struct rc_relay_port *port, enum rc_record_type type, const struct rc_envelope_view *view)
{
    const uint64_t bytes = rc_envelope_bytes(&view->head);
    const int rc = port_admit(port, type, bytes);
    if (RC_UNLIKELY(rc != 0)) {
        return rc;
    }
    if (RC_LIKELY(rc_port_overflow_used(port) == 0) && write_record(port, &port->down, type, view, (uint32_t)bytes)) {
        port->ring_due = true;
    } else if (write_record(port, &port->overflow_in, type, view, (uint32_t)bytes)) {
        rc_metric_add(port->setup.metrics, RC_METRIC_OVERFLOWED, 1);
    } else {
        return -EAGAIN;
    }
    rc_metric_add(port->setup.metrics, RC_METRIC_ROUTED, 1);
    return 0;
}

static void begin_gap(struct rc_relay_port *port)
{
    /* P7 pairs with nothing that runs at the same time: before the up record is released, since a successor that does not route this
     * record again must know of the loss. */
    if (atomic_load_explicit(port->setup.gap_pending, memory_order_relaxed) == 0) {
        atomic_store_explicit(port->setup.gap_pending, 1, memory_order_release); /* P7 */
        atomic_store_explicit(&port->setup.verdict->behind, 1, memory_order_relaxed);
        rc_log_limited(RC_LOG_WARN, 5, "worker_overflow", "worker=%u overflow_bytes=%llu", port->index,
                       (unsigned long long)rc_port_overflow_used(port));
    }
}

/* In order: behind those that wait already. */
static int port_acknowledge(struct rc_relay_port *port, const struct rc_envelope_view *view)
{
    const int rc = !port->live                                          ? -ENOTCONN
                   : rc_acknowledgements_empty(&port->acknowledgements) ? write_in_order(port, RC_DOWN_INTEREST, view)
                                                                        : -EAGAIN;
    if (RC_LIKELY(rc != -EAGAIN)) {
        return rc;
    }
    rc_metric_add(port->setup.metrics, RC_METRIC_ACKNOWLEDGEMENTS_LATE, 1);
    /* How the channel stands is told for this place of the ring only. */
    struct rc_envelope_view plain = *view;
    plain.head.flags = (uint16_t)(plain.head.flags & ~RC_ENVELOPE_STATE);
    plain.head.data_bytes = 0;
    return rc_acknowledgements_put(&port->acknowledgements, &plain);
}

static void tell_acknowledgements(struct rc_relay_port *port)
{
    struct rc_envelope_view view;
    while (rc_acknowledgements_first(&port->acknowledgements, &view) &&
           write_in_order(port, RC_DOWN_INTEREST, &view) == 0) {
        rc_acknowledgements_pop(&port->acknowledgements);
    }
}

int rc_port_send(struct rc_relay_port *port, enum rc_record_type type, const struct rc_envelope_view *view)
{
    if (type == RC_DOWN_INTEREST) {
        return port_acknowledge(port, view);
    }
    const uint64_t hash = view->head.channel_hash;
    /* Behind a gap that is not told yet nothing of the same channel may pass: the gap would come too late. */
    const bool behind_gap =
        is_message(type) && rc_gap_set_covers(&port->gaps, hash, view->channel, view->head.channel_bytes);
    if (RC_LIKELY(port->live && !behind_gap) && view->head.sequence > port->sent) {
        note_sent(port, view->head.sequence);
    }
    const int rc = behind_gap ? -EAGAIN : write_in_order(port, type, view);
    if (RC_UNLIKELY(rc != 0) && is_message(type) && port->live) {
        begin_gap(port);
        rc_gap_set_add(&port->gaps, hash, view->channel, view->head.channel_bytes);
        port->gaps_unkept |= type != RC_DOWN_MESSAGE;
        rc_metric_add(port->setup.metrics, RC_METRIC_DOWN_DROPPED, 1);
    }
    return rc;
}

/* Only this process writes overflow, so this is a stray write of another one: what was in it is lost, the worker is told. */
static void lose_overflow(struct rc_relay_port *port)
{
    count_corrupt(port, "overflow ring");
    discard_overflow(port);
    begin_gap(port);
    rc_gap_set_add_all(&port->gaps);
}

/* Moves the oldest overflow record down. False when there is none or no room. */
static bool move_one(struct rc_relay_port *port)
{
    const uint64_t before = port->overflow_out.position;
    const void *payload;
    uint32_t type;
    uint32_t bytes;
    const int rc = rc_ring_next(&port->overflow_out, &type, &payload, &bytes);
    if (rc == 0) {
        return false;
    }
    if (rc < 0 || bytes > port->record_bytes_max) { /* one that never fits is none that was admitted */
        lose_overflow(port);
        return false;
    }
    uint32_t generation = 0;
    if (bytes >= sizeof(struct rc_envelope)) {
        memcpy(&generation, (const uint8_t *)payload + offsetof(struct rc_envelope, generation), sizeof(generation));
    }
    if (generation == port->generation) { /* else written for a worker that is dead */
        void *copy = rc_ring_claim(&port->down, type, bytes);
        if (copy == NULL && rc_ring_want_room(&port->down, bytes)) {
            copy = rc_ring_claim(&port->down, type, bytes);
        }
        if (copy == NULL) {
            port->overflow_out.position = before;
            return false;
        }
        memcpy(copy, payload, bytes);
        rc_ring_commit(&port->down, bytes);
        port->ring_due = true;
    }
    /* Dying here writes the record twice; workers drop a sequence that they have seen. */
    rc_ring_release(&port->overflow_out);
    return true;
}

static bool write_gap(struct rc_relay_port *port, uint64_t hash, const char *name, uint32_t name_bytes,
                      struct rc_gap_behind behind, bool remote)
{
    const struct rc_envelope_view view = {
        .head = {.epoch = behind.epoch,
                 .position = behind.offset,
                 .channel_bytes = (uint8_t)name_bytes,
                 .channel_hash = hash,
                 .flags = remote ? RC_ENVELOPE_REMOTE : 0},
        .channel = name,
    };
    const bool written = write_in_order(port, RC_DOWN_GAP, &view) == 0;
    rc_metric_add(port->setup.metrics, RC_METRIC_DOWN_GAPS, written);
    return written;
}

/* Half empty (admit) is room enough: earlier, a sustained overload would be all gaps; later, a channel could wait for ever. */
static void tell_gaps(struct rc_relay_port *port)
{
    const char *name;
    uint32_t name_bytes;
    while (rc_gap_set_next(&port->gaps, &name, &name_bytes)) {
        if (!write_gap(port, name_bytes > 0 ? rc_channel_hash(name, name_bytes) : 0, name, name_bytes,
                       (struct rc_gap_behind){0}, port->gaps_unkept)) {
            return;
        }
        rc_gap_set_pop(&port->gaps);
    }
    port->gaps_unkept = false;
    if (rc_gap_set_empty(&port->gaps) && atomic_load_explicit(port->setup.gap_pending, memory_order_relaxed) != 0) {
        end_gap(port);
    }
}

void rc_port_gap(struct rc_relay_port *port, uint64_t hash, const char *name, uint32_t name_bytes,
                 struct rc_gap_behind behind)
{
    if (!port->live) {
        return; /* nobody is there */
    }
    const bool noted = rc_gap_set_covers(&port->gaps, hash, name, name_bytes);
    if (!noted && write_gap(port, hash, name, name_bytes, behind, true)) {
        return;
    }
    port->gaps_unkept = true;
    if (noted) {
        return;
    }
    begin_gap(port);
    if (name_bytes > 0) {
        rc_gap_set_add(&port->gaps, hash, name, name_bytes);
    } else {
        rc_gap_set_add_all(&port->gaps);
    }
}

bool rc_port_pump(struct rc_relay_port *port)
{
    if (!port->live) {
        return false;
    }
    uint32_t moved = 0;
    while (rc_port_overflow_used(port) > 0 && moved < PUMP_RECORDS_MAX && move_one(port)) {
        moved++;
    }
    tell_gaps(port);
    tell_acknowledgements(port);
    return moved == PUMP_RECORDS_MAX;
}

void rc_port_ring(struct rc_relay_port *port)
{
    const bool room = !port->up_lost && rc_ring_room_due(&port->up);
    const bool due = port->ring_due || room;
    port->ring_due = false;
    if (due && port->live && rc_doorbell_ring(port->setup.bell, port->setup.bell_fd, &port->rung) > 0) {
        rc_metric_add(port->setup.metrics, RC_METRIC_WAKES_SENT, 1);
    }
}

/* The size of the oldest overflow record, without taking it. */
static bool overflow_can_move(struct rc_relay_port *port)
{
    const uint64_t before = port->overflow_out.position;
    const void *payload;
    uint32_t type;
    uint32_t bytes;
    const int rc = rc_ring_next(&port->overflow_out, &type, &payload, &bytes);
    port->overflow_out.position = before;
    return rc < 0 || (rc > 0 && rc_ring_want_room(&port->down, bytes));
}

bool rc_port_pending(struct rc_relay_port *port)
{
    if (generation_of(port) != port->generation) {
        return true;
    }
    if (!port->up_lost && !rc_port_stalled(port) &&
        (port->up_pair != (port->generation & 1) || rc_ring_readable(&port->up))) {
        return true;
    }
    if (!port->live) {
        return false;
    }
    if (rc_port_overflow_used(port) > 0 && overflow_can_move(port)) {
        return true;
    }
    return !rc_port_stalled(port) &&
           (!rc_gap_set_empty(&port->gaps) || !rc_acknowledgements_empty(&port->acknowledgements));
}

bool rc_port_drained(struct rc_relay_port *port)
{
    return port->up_lost || (port->up_pair == (port->generation & 1) && !rc_ring_readable(&port->up));
}
