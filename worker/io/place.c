/*
 * place: sockets that come from elsewhere than an accept: from other workers, out of the inbox (handover.h), or made here. See io.h.
 *
 *   message ─▶ place: descriptor, whose it is, bytes ─▶ a slot of the direct table, chosen by the kernel ─▶ handlers.placed
 */
#include "worker/io/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/io/io_internal.h"

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
            free(io->places[i].bytes);
        }
    }
    for (uint32_t i = 0; io->kept_fds != NULL && i < io->truth->socket_count; i++) {
        if (io->kept_fds[i] >= 0) {
            close(io->kept_fds[i]);
        }
    }
    free(io->places);
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
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    io->places_used++;
    place->slot = place->fd;
    io_uring_prep_files_update(sqe, &place->slot, 1, (int)IORING_FILE_INDEX_ALLOC);
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_PLACE, 0, (uint32_t)(place - io->places)));
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

void rc_io_on_place(struct rc_io *io, uint32_t entry, int result)
{
    RC_ASSERT(entry < RC_IO_PLACES_MAX && io->places[entry].fd >= 0 && io->places_used > 0);
    struct rc_io_place place = io->places[entry];
    io->places[entry] = (struct rc_io_place){.fd = -1};
    io->places_used--;
    io->clients_arriving -= (place.from.flags & RC_HANDOVER_CLIENT) != 0;
    uint32_t index = RC_SOCKET_NONE;
    if (result == 1) {
        index = (uint32_t)place.slot;
        RC_ASSERT(index < io->truth->socket_count);
        struct rc_socket *socket = &io->truth->sockets[index];
        RC_ASSERT(socket->state == RC_SOCKET_FREE);
        *socket = (struct rc_socket){.generation = socket->generation + 1,
                                     .sent_bytes = place.from.sent_bytes,
                                     .received_bytes = place.from.received_bytes,
                                     .received_ds = io->now_ds,
                                     .state = RC_SOCKET_HTTP,
                                     .port = place.from.port,
                                     .listener = place.from.listener,
                                     .mode = RC_IO_HANDSHAKE};
        io->truth->peers[index] = place.from.peer;
        place_count(io);
        if (io->kept_fds != NULL) {
            io->kept_fds[index] = place.fd;
            place.fd = -1;
        }
    } else {
        rc_log_limited(RC_LOG_WARN, 1, "socket_not_placed", "error=\"%s\"", strerror(result < 0 ? -result : EBADF));
    }
    if (place.fd >= 0) {
        close(place.fd);
    }
    io->handlers.placed(io->handlers.context, &place, index);
    free(place.bytes);
    if (index != RC_SOCKET_NONE && place.from.listener != RC_SOCKET_MADE_HERE) {
        rc_kept_put(io, index, RC_KEEP_ALL);
    }
    if (index != RC_SOCKET_NONE) {
        rc_io_read(io, index);
    }
}

/* One message of the inbox. False: there is none now. */
static bool inbox_take(struct rc_io *io, struct rc_io_place *place)
{
    int fd;
    const int rc = rc_handover_receive(io->inbox_fd, io->inbox_message, io->listener_count, io->worker_count, &fd);
    if (rc == -EAGAIN) {
        return false;
    }
    if (rc < 0) {
        rc_metric_add(io->metrics, RC_METRIC_HANDOVERS_LOST, 1);
        rc_log_limited(RC_LOG_WARN, 1, "handover_lost", "reason=\"%s\"",
                       rc == -EBADMSG ? "the message is damaged" : strerror(-rc));
        return rc == -EBADMSG;
    }
    struct rc_handover from;
    memcpy(&from, io->inbox_message, sizeof(from));
    if (fd < 0) {
        io->handlers.word(io->handlers.context, &from, io->inbox_message + sizeof(from));
        return true;
    }
    *place = (struct rc_io_place){.fd = fd, .token = RC_IO_PLACE_ARRIVED, .from = from};
    if (from.flags & RC_HANDOVER_CLIENT) {
        io->clients_arriving++;
    }
    if (place->from.bytes > 0) {
        place->bytes = malloc(place->from.bytes);
        if (place->bytes == NULL) {
            close(fd);
            place->fd = -1;
            io->clients_arriving -= (from.flags & RC_HANDOVER_CLIENT) != 0;
            rc_metric_add(io->metrics, RC_METRIC_HANDOVERS_LOST, 1);
            return true;
        }
        memcpy(place->bytes, io->inbox_message + sizeof(place->from), place->from.bytes);
    }
    place_submit(io, place);
    return true;
}

void rc_io_inbox(struct rc_io *io)
{
    io->inbox_left = false;
    for (uint32_t i = 0; i < RC_IO_INBOX_MAX; i++) {
        struct rc_io_place *place = place_free(io);
        if (place == NULL) {
            break; /* goes on when one is free */
        }
        if (!inbox_take(io, place)) {
            return;
        }
    }
    io->inbox_left = true;
}
