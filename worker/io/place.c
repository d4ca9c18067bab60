/*
 * place: sockets that come from elsewhere than an accept: from other workers, out of the inbox (handover.h), or made here. See io.h.
 *
 *   message ─▶ place: descriptor, whose it is, bytes ─▶ a slot of the direct table, and of the vault ─▶ handlers.placed
 *
 * A message stays in the inbox until all that it brings is in the truth (struct rc_truth_coming): killed before, it is its successor's; killed behind that, the
 * successor knows it by what is there, and does not take it twice. So they are taken one by one:
 *
 *   look at the first ─▶ BEGUN ─▶ table, vault ─▶ the truth has it ─▶ DONE ─▶ out of the inbox ─▶ NONE ─▶ handlers.taken
 */
#include "worker/io/io.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/io/io_internal.h"
#include "worker/store/order.h"

#define PLACE_WAITS_DS 20u /* for a descriptor */

int rc_io_places_open(struct rc_io *io, const struct rc_spawn_args *args, const struct rc_control *control,
                      bool fd_install)
{
    io->inbox_fd = args->inbox_fd;
    io->worker_count = control->worker_count;
    io->places = calloc(RC_IO_PLACES_MAX, sizeof(*io->places));
    io->inbox_message = malloc(RC_HANDOVER_MESSAGE_MAX);
    if (io->places == NULL || io->inbox_message == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < RC_IO_PLACES_MAX; i++) {
        io->places[i].fd = -1;
    }
    if (!fd_install) {
        io->kept_fds = malloc(io->truth->socket_count * sizeof(*io->kept_fds));
        if (io->kept_fds == NULL) {
            return -ENOMEM;
        }
        for (uint32_t i = 0; i < io->truth->socket_count; i++) {
            io->kept_fds[i] = -1;
        }
    }
    io->inbox_left = io->inbox_fd >= 0; /* what waited for a predecessor is there already */
    return 0;
}

void rc_io_places_close(struct rc_io *io)
{
    for (uint32_t i = 0; io->places != NULL && i < RC_IO_PLACES_MAX; i++) {
        if (io->places[i].fd >= 0) {
            close(io->places[i].fd);
        }
    }
    for (uint32_t i = 0; io->kept_fds != NULL && i < io->truth->socket_count; i++) {
        if (io->kept_fds[i] >= 0) {
            close(io->kept_fds[i]);
        }
    }
    free(io->places);
    if (io->inbox_message != NULL) {
        OPENSSL_cleanse(io->inbox_message, RC_HANDOVER_MESSAGE_MAX);
    }
    free(io->inbox_message);
    free(io->kept_fds);
}

static struct rc_io_place *place_free(struct rc_io *io)
{
    for (uint32_t tries = 0; io->places_used < RC_IO_PLACES_MAX && tries < RC_IO_PLACES_MAX; tries++) {
        struct rc_io_place *place = &io->places[io->places_next];
        io->places_next = (io->places_next + 1) % RC_IO_PLACES_MAX;
        if (place->fd < 0) {
            return place;
        }
    }
    return NULL;
}

static void place_submit(struct rc_io *io, struct rc_io_place *place)
{
    io->places_used++;
    place->slot = place->fd;
    place->chosen = io->slots_free == NULL ? RC_SOCKET_NONE : rc_io_slot_take(io);
    const bool came = place->token == RC_IO_PLACE_ARRIVED;
    if (came && place->chosen != RC_SOCKET_NONE) { /* before anybody else has it, too */
        io->truth->layout->coming.socket = place->chosen + 1;
        RC_STORE_ORDER();
    }
    /* Without a free one it is asked for beyond the table, and refused: what is free for the kernel may just be accepted into. */
    const uint32_t into = io->slots_free == NULL            ? IORING_FILE_INDEX_ALLOC
                          : place->chosen == RC_SOCKET_NONE ? io->truth->socket_count
                                                            : place->chosen;
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io_uring_prep_files_update(sqe, &place->slot, 1, (int)into);
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_PLACE, came, (uint32_t)(place - io->places)));
    if (came && place->chosen != RC_SOCKET_NONE) { /* behind it */
        rc_kept_put_arriving(io, place->chosen);
    }
}

int rc_io_place(struct rc_io *io, int fd, const struct rc_handover *from, uint64_t token)
{
    struct rc_io_place *place = place_free(io);
    if (place == NULL) {
        return -EAGAIN;
    }
    *place = (struct rc_io_place){.fd = fd, .from = *from, .token = token};
    place_submit(io, place);
    return 0;
}

/* One more that the steering program did not see come: it is taken off again when it is closed. */
static void place_count(struct rc_io *io)
{
    io->open_count++;
    rc_metric_set(io->metrics, RC_METRIC_SOCKETS, io->open_count);
    if (io->steer != NULL) {
        __atomic_fetch_add(&io->steer->load, 1, __ATOMIC_RELAXED);
    }
}

/* --- the inbox ------------------------------------------------------------------------------------------------------- */

static struct rc_truth_coming *coming_of(const struct rc_io *io)
{
    return &io->truth->layout->coming;
}

static void coming_begins(struct rc_io *io, const struct rc_handover *from)
{
    struct rc_truth_coming *coming = coming_of(io);
    coming->head = *from;
    coming->random = 0;
    coming->socket = 0;
    RC_STORE_ORDER();
    coming->phase = RC_COMING_BEGUN;
    RC_STORE_ORDER();
}

/* All of it is here, or nothing of it will be. */
static void coming_ends(struct rc_io *io)
{
    struct rc_truth_coming *coming = coming_of(io);
    RC_STORE_ORDER();
    coming->phase = RC_COMING_DONE;
    RC_STORE_ORDER();
    rc_handover_consume(io->inbox_fd);
    RC_STORE_ORDER();
    coming->phase = RC_COMING_NONE;
    if (coming->head.flags & (RC_HANDOVER_CLIENT | RC_HANDOVER_WORD)) { /* keys of TLS may be in it */
        OPENSSL_cleanse(io->inbox_message + sizeof(coming->head), coming->head.bytes);
    }
}

void rc_io_coming_adopt(struct rc_io *io)
{
    struct rc_truth_coming *coming = coming_of(io);
    if (coming->phase == RC_COMING_NONE) {
        return;
    }
    const uint32_t slot = coming->socket - 1;
    if (coming->socket != 0 && slot < io->truth->socket_count && io->truth->sockets[slot].state == RC_SOCKET_FREE) {
        rc_kept_empty(io, slot); /* it comes again, into another one */
        RC_STORE_ORDER();
        coming->socket = 0;
        rc_io_slot_free(io, slot);
    }
}

void rc_io_coming_adopted(struct rc_io *io)
{
    struct rc_truth_coming *coming = coming_of(io);
    if (coming->phase == RC_COMING_DONE && rc_handover_waits(io->inbox_fd, &coming->head)) {
        rc_handover_consume(io->inbox_fd);
    }
    RC_STORE_ORDER();
    coming->phase = RC_COMING_NONE;
}

/* It begins in the truth; `state` last, by which it is there. */
static void place_begins(struct rc_io *io, const struct rc_io_place *place, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    RC_ASSERT(index < io->truth->socket_count && socket->state == RC_SOCKET_FREE);
    io->truth->peers[index] = place->from.peer;
    *socket = (struct rc_socket){.generation = socket->generation + 1,
                                 .sent_bytes = place->from.sent_bytes,
                                 .received_bytes = place->from.received_bytes,
                                 .received_ds = io->now_ds,
                                 .port = place->from.port,
                                 .listener = place->from.listener,
                                 .mode = RC_IO_HANDSHAKE};
    RC_STORE_ORDER();
    socket->state = RC_SOCKET_HTTP;
    place_count(io);
}

/* Into the vault, if it did not go there with the place. Before its message is gone: what is not there ends with this process. */
static void place_keep(struct rc_io *io, uint32_t index)
{
    const bool had = rc_kept_has(io, index);
    rc_kept_put(io, index, RC_KEEP_ALL);
    if (!had && rc_kept_has(io, index)) {
        const int rc = io_uring_submit(&io->ring);
        RC_ASSERT(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    }
}

void rc_io_on_place(struct rc_io *io, uint32_t entry, int result)
{
    RC_ASSERT(entry < RC_IO_PLACES_MAX && io->places[entry].fd >= 0 && io->places_used > 0);
    struct rc_io_place place = io->places[entry];
    const bool came = place.token == RC_IO_PLACE_ARRIVED;
    io->places[entry] = (struct rc_io_place){.fd = -1};
    io->places_used--;
    uint32_t index = RC_SOCKET_NONE;
    if (result == 1) {
        index = place.chosen != RC_SOCKET_NONE ? place.chosen : (uint32_t)place.slot;
        if (came) {
            coming_of(io)->socket = index + 1;
            RC_STORE_ORDER();
        }
        place_begins(io, &place, index);
        if (came && place.chosen != RC_SOCKET_NONE) {
            rc_kept_arrived(io, index);
        }
        if (io->kept_fds != NULL) {
            io->kept_fds[index] = place.fd;
            place.fd = -1;
        }
    } else {
        if (place.chosen != RC_SOCKET_NONE) {
            rc_io_slot_free(io, place.chosen);
        }
        place.error = place.chosen == RC_SOCKET_NONE && io->slots_free != NULL ? -ENFILE : result < 0 ? result : -EBADF;
        rc_log_limited(RC_LOG_WARN, 1, "socket_not_placed", "error=\"%s\"", strerror(-place.error));
    }
    if (place.fd >= 0) {
        close(place.fd);
    }
    io->handlers.placed(io->handlers.context, &place, index);
    if (index != RC_SOCKET_NONE && place.from.listener != RC_SOCKET_MADE_HERE) {
        place_keep(io, index);
    }
    if (came) {
        coming_ends(io);
        io->inbox_placing = false;
        if (index != RC_SOCKET_NONE) {
            io->handlers.taken(io->handlers.context, &place, index);
        }
    }
    if (index != RC_SOCKET_NONE) {
        rc_io_read(io, index);
    }
}

/* There is no descriptor for it, or no memory. It is tried again until it is given up; then what follows is, too, as long as that lasts. False: it is not
 * known what lies there, and who sends the next one says so. */
static bool inbox_waits(struct rc_io *io, int error)
{
    if (io->inbox_give_up_ds == 0) {
        io->inbox_give_up_ds = io->now_ds + PLACE_WAITS_DS;
    }
    if (io->now_ds < io->inbox_give_up_ds) {
        io->inbox_again_ds = io->now_ds + 1;
        return true;
    }
    rc_log_limited(RC_LOG_WARN, 1, "handover_lost", "reason=\"%s\"", strerror(-error));
    if (error != -EMFILE) {
        return false;
    }
    struct rc_io_place place = {.fd = -1, .error = error, .token = RC_IO_PLACE_ARRIVED};
    memcpy(&place.from, io->inbox_message, sizeof(place.from));
    place.bytes = place.from.bytes == 0 ? NULL : io->inbox_message + sizeof(place.from);
    coming_begins(io, &place.from);
    io->handlers.placed(io->handlers.context, &place, RC_SOCKET_NONE);
    coming_ends(io);
    return true;
}

/* The first message of the inbox: a word is heard, a connection is on its way. False: there is none now. */
static bool inbox_take(struct rc_io *io)
{
    int fd;
    struct rc_handover from;
    const int rc = rc_handover_peek(io->inbox_fd, io->inbox_message, io->listener_count, io->worker_count, &fd);
    if (rc == -EAGAIN) {
        io->inbox_give_up_ds = 0;
        return false;
    }
    if (rc == -EBADMSG) {
        OPENSSL_cleanse(io->inbox_message, RC_HANDOVER_MESSAGE_MAX); /* what is damaged may have keys of TLS */
        rc_metric_add(io->metrics, RC_METRIC_HANDOVERS_LOST, 1);
        rc_log_limited(RC_LOG_WARN, 1, "handover_lost", "reason=\"the message is damaged\"");
        rc_handover_consume(io->inbox_fd);
        return true;
    }
    if (rc < 0) {
        const bool left = inbox_waits(io, rc);
        OPENSSL_cleanse(io->inbox_message, RC_HANDOVER_MESSAGE_MAX); /* likewise */
        return left;
    }
    io->inbox_give_up_ds = 0;
    memcpy(&from, io->inbox_message, sizeof(from));
    coming_begins(io, &from);
    if (fd < 0) {
        io->handlers.word(io->handlers.context, &from, io->inbox_message + sizeof(from));
        coming_ends(io);
        return true;
    }
    struct rc_io_place *place = place_free(io);
    RC_ASSERT(place != NULL); /* rc_io_inbox has looked */
    *place = (struct rc_io_place){.fd = fd,
                                  .token = RC_IO_PLACE_ARRIVED,
                                  .from = from,
                                  .bytes = from.bytes == 0 ? NULL : io->inbox_message + sizeof(from)};
    io->inbox_placing = true;
    place_submit(io, place);
    return true;
}

bool rc_io_inbox(struct rc_io *io)
{
    for (uint32_t words = 0; words < RC_IO_INBOX_MAX; words++) {
        if (io->inbox_placing || io->places_used >= RC_IO_PLACES_MAX || io->now_ds < io->inbox_again_ds) {
            return false; /* goes on when there is a place again */
        }
        io->inbox_again_ds = 0;
        io->inbox_left = inbox_take(io);
        if (!io->inbox_left || io->inbox_placing) {
            break;
        }
    }
    return io->inbox_placing;
}
