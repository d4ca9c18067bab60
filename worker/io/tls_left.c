/* tls_left: see tls_left.h. */
#include "worker/io/tls_left.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "worker/io/io_internal.h"
#include "worker/io/tls.h"
#include "worker/io/tls_opening.h"
#include "worker/store/truth_repair.h"

uint32_t rc_io_tls_hinders(const struct rc_io *io, uint32_t from)
{
    for (uint32_t i = from; io->tls_count > 0 && i < io->truth->socket_count; i++) {
        if (io->truth->sockets[i].listener != RC_SOCKET_MADE_HERE && io->tls_sockets[i] != NULL &&
            io->truth->sockets[i].state < RC_SOCKET_TERMINATING && io->truth->tls[i] == 0) {
            return i;
        }
    }
    return RC_SOCKET_NONE;
}

/* --- what a killed process had not looked at --------------------------------------------------------------------------- */

uint32_t rc_io_tls_left_unread_bytes(const struct rc_truth *truth, uint32_t index)
{
    const struct rc_truth_tls *left = rc_io_tls_left(truth, index);
    return left == NULL ? 0 : rc_io_tls_left_bytes(truth, left->unread)->count;
}

int rc_io_tls_left_unread(struct rc_truth *truth, uint32_t index, uint32_t before, const uint8_t *bytes, uint32_t count)
{
    struct rc_truth_tls *left = rc_io_tls_left(truth, index);
    if (left == NULL) {
        return -ENOENT;
    }
    const struct rc_truth_block *unread = rc_io_tls_left_bytes(truth, left->unread);
    return rc_io_tls_left_put(truth, &left->unread, unread->bytes, before < unread->count ? before : unread->count,
                              bytes, count);
}

/* --- into another process ---------------------------------------------------------------------------------------------- */

/* Whom the dead process was working for ends: nothing is said any more with its keys. */
static bool left_given_up(const struct rc_truth *truth, const struct rc_socket *socket)
{
    return socket->client != 0 ? (rc_truth_client(truth, socket->client)->flags & RC_CLIENT_BROKEN) != 0
                               : socket->exchange == RC_EXCHANGE_LOST;
}

static int take_one(struct rc_io *io, uint32_t index, const struct rc_truth_tls *left)
{
    const struct rc_truth *truth = io->truth;
    const struct rc_truth_block *part = rc_io_tls_left_bytes(truth, left->part);
    const struct rc_truth_block *identity = rc_io_tls_left_bytes(truth, left->identity);
    const struct rc_truth_block *out = rc_io_tls_left_bytes(truth, left->out);
    struct rc_tls_state state = {.part = part->bytes,
                                 .part_bytes = part->count,
                                 .identity = (const char *)identity->bytes,
                                 .identity_bytes = identity->count};
    memcpy(&state.keys, left->keys, sizeof(state.keys));
    struct rc_io_tls tls = {.conn = rc_tls_restore(&state), .failed = left->failed != 0};
    OPENSSL_cleanse(&state, sizeof(state));
    if (out->count > left->out_sent) { /* else all of it has left, and is given back with the next one */
        tls.out = malloc(out->count);
        tls.out_bytes = out->count;
        tls.out_sent = left->out_sent;
        if (tls.out != NULL) {
            memcpy(tls.out, out->bytes, out->count);
        }
    }
    if (tls.conn == NULL || (tls.out_bytes > 0 && tls.out == NULL) || rc_io_tls_attach(io, index, &tls) < 0) {
        rc_tls_free(tls.conn);
        free(tls.out);
        return -ENOMEM;
    }
    struct rc_truth_tls *its = rc_io_tls_left(truth, index);
    rc_tls_keep_keys(tls.conn, its->keys, &its->changing);
    return 0;
}

void rc_io_tls_take(struct rc_io *io)
{
    for (uint32_t i = 0; i < io->truth->socket_count; i++) {
        const struct rc_socket *socket = &io->truth->sockets[i];
        const struct rc_truth_tls *left = rc_io_tls_left(io->truth, i);
        if (left == NULL) {
            continue;
        }
        /* One that had failed, and has sent its alert, has nothing left to do. */
        const bool over = left->failed && rc_io_tls_left_bytes(io->truth, left->out)->count <= left->out_sent;
        const bool goes_on = !over && socket->state != RC_SOCKET_FREE && socket->state < RC_SOCKET_TERMINATING &&
                             left->generation == socket->generation && !left->changing && io->tls_sockets != NULL &&
                             io->tls_sockets[i] == NULL && !(io->truth->cut && left_given_up(io->truth, socket));
        if (!goes_on || take_one(io, i, left) < 0) {
            rc_io_tls_left_drop(io, i);
        }
    }
}

bool rc_io_tls_lacks(const struct rc_io *io, uint32_t index)
{
    return io->truth->sockets[index].tls && !rc_io_is_tls(io, index);
}

void rc_io_tls_read_left(struct rc_io *io, uint32_t index)
{
    struct rc_truth *truth = io->truth;
    struct rc_truth_tls *left = rc_io_tls_left(truth, index);
    if (left == NULL || left->unread == 0 || !rc_io_is_tls(io, index)) {
        return;
    }
    const uint32_t block = left->unread;
    const struct rc_truth_block *unread = rc_io_tls_left_bytes(truth, block);
    const uint32_t count = unread->count;
    /* Where the heap has no room for what is made of them, the block is given back before all of it is read (left_give_up), and is somebody else's. */
    uint8_t *bytes = malloc(count);
    if (bytes == NULL) {
        io->handlers.ended(io->handlers.context, index, -ENOMEM);
        return;
    }
    memcpy(bytes, unread->bytes, count);
    rc_io_tls_read(io, index, bytes, count, block);
    free(bytes);
    left = rc_io_tls_left(truth, index); /* it may have ended by that */
    if (left != NULL && left->unread == block) {
        rc_heap_give(&truth->heap, &left->unread);
    }
    rc_io_tls_opening_end(truth);
}
