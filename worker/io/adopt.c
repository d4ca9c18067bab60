/*
 * adopt: a predecessor's sockets become this process's, under the same numbers, out of the vault that both have used. See io.h.
 *
 *   rc_io_open, adopting: a ring, nothing is read or accepted ─▶ rc_io_adopt ─▶ rc_io_go_on
 */
#include "worker/io/io.h"

#include "common/base/log.h"
#include "worker/io/io_internal.h"
#include "worker/io/tls_left.h"
#include "worker/store/truth_repair.h"

/* Of one that speaks HTTP: its request in progress, the predecessor's alone, can be begun anew, or there is none. */
static bool adopt_request(const struct rc_truth *truth, const struct rc_socket *socket)
{
    const enum rc_request kept =
        socket->input == 0 ? RC_REQUEST_NONE : (enum rc_request)rc_truth_input(truth, socket->input)->request;
    const bool in_progress = socket->exchange != 0 && socket->state != RC_SOCKET_LINGER;
    return socket->exchange != RC_EXCHANGE_LOST && kept != RC_REQUEST_ONCE &&
           (!in_progress || (kept == RC_REQUEST_AGAIN && socket->listener != RC_SOCKET_MADE_HERE));
}

/* Is there a connection that this process can go on with? */
static bool adopt_goes_on(const struct rc_truth *truth, const struct rc_socket *socket)
{
    return socket->state != RC_SOCKET_TERMINATING && socket->state != RC_SOCKET_CLOSED &&
           socket->mode != RC_IO_LEFT && /* another worker may have it: the connection ends only if that has not */
           (socket->state == RC_SOCKET_CARRYING || adopt_request(truth, socket));
}

void rc_io_begin_anew(const struct rc_truth *truth, struct rc_socket *socket)
{
    struct rc_input *input = socket->input == 0 ? NULL : rc_truth_input(truth, socket->input);
    if (input != NULL && input->request == RC_REQUEST_AGAIN) {
        input->request_bytes = 0;
        RC_STORE_ORDER();
    }
    socket->exchange = 0;
}

static void adopt_socket(struct rc_io *io, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    socket->inflight = 0;
    socket->cancelled = 0;
    if (socket->mode == RC_IO_GIVING || socket->mode == RC_IO_GIVEN) {
        socket->mode = RC_IO_HANDSHAKE; /* on its way to another worker: its next request takes it there again */
    }
    io->open_count++;
}

/* What is not there, or cannot go on, is lost. Not what another's end has ended meanwhile (a pipe's): its close is on its way. */
static uint32_t adopt_or_lose(struct rc_io *io, uint32_t index)
{
    struct rc_socket *socket = &io->truth->sockets[index];
    if (socket->state == RC_SOCKET_FREE || (socket->inflight & RC_INFLIGHT_CLOSE)) {
        return 0;
    }
    if (!rc_kept_has(io, index) || !adopt_goes_on(io->truth, socket) || rc_io_tls_lacks(io, index)) {
        const struct rc_truth_coming *coming = &io->truth->layout->coming;
        const bool comes_again = coming->phase == RC_COMING_BEGUN && coming->socket == index + 1;
        const bool counts =
            socket->state < RC_SOCKET_TERMINATING && socket->listener != RC_SOCKET_MADE_HERE && !comes_again;
        if (socket->state != RC_SOCKET_CARRYING) {
            socket->exchange = 0; /* the predecessor's, private to it */
        }
        rc_io_lose(io, index);
        return counts ? 1 : 0;
    }
    if (socket->state != RC_SOCKET_CARRYING) {
        rc_io_begin_anew(io->truth, socket);
    }
    return 0;
}

uint32_t rc_io_adopt(struct rc_io *io, uint32_t *lost)
{
    uint32_t sockets[RC_VAULT_ENTRIES];
    bool there[RC_VAULT_ENTRIES];
    uint32_t adopted = 0;
    uint32_t next = 0;
    rc_io_coming_adopt(io);
    while (next < io->truth->socket_count) {
        uint32_t count = 0;
        for (; next < io->truth->socket_count && count < RC_VAULT_ENTRIES; next++) {
            if (io->truth->sockets[next].state != RC_SOCKET_FREE) {
                sockets[count++] = next;
            }
        }
        rc_kept_adopt(io, sockets, there, count);
        for (uint32_t i = 0; i < count; i++) {
            adopt_socket(io, sockets[i]);
            adopted += there[i] ? 1u : 0u;
        }
    }
    rc_io_tls_take(io);
    /* All are counted, and known as they are, before the end of one touches another. */
    for (uint32_t i = 0; i < io->truth->socket_count; i++) {
        *lost += adopt_or_lose(io, i);
    }
    rc_io_coming_adopted(io);
    rc_metric_set(io->metrics, RC_METRIC_SOCKETS, io->open_count);
    return adopted;
}
