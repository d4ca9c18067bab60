/* tls_left: see tls_left.h. */
#include "worker/io/tls_left.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "worker/io/io_internal.h"
#include "worker/io/tls.h"

/* Behind struct rc_truth_tls; then the bytes of `part`, the identity, and of what has not left. */
struct left {
    struct rc_tls_keys keys;
    uint32_t part_bytes;
    uint32_t identity_bytes;
    uint32_t out_bytes;
    uint32_t failed;
};

uint32_t rc_io_tls_hinders(const struct rc_io *io, uint32_t from)
{
    for (uint32_t i = from; io->tls_count > 0 && i < io->truth->socket_count; i++) {
        if (io->truth->sockets[i].listener != RC_SOCKET_MADE_HERE && rc_io_tls_stays(io, i)) {
            return i;
        }
    }
    return RC_SOCKET_NONE;
}

/* --- out of a process ------------------------------------------------------------------------------------------------- */

static uint8_t *left_put(uint8_t *to, const void *bytes, size_t count)
{
    if (count > 0) {
        memcpy(to, bytes, count);
    }
    return to + count;
}

static void leave_in(struct rc_io *io, uint32_t index, uint32_t block, const struct left *left,
                     const struct rc_tls_state *state)
{
    const struct rc_io_tls *tls = io->tls_sockets[index];
    struct rc_truth_tls *head = rc_heap_at(&io->truth->heap, block);
    *head = (struct rc_truth_tls){.next = io->truth->layout->tls_left,
                                  .bytes = (uint32_t)sizeof(*left) + left->part_bytes + left->identity_bytes +
                                           left->out_bytes,
                                  .socket = index,
                                  .generation = io->truth->sockets[index].generation};
    uint8_t *to = left_put((uint8_t *)(head + 1), left, sizeof(*left));
    to = left_put(to, state->part, state->part_bytes);
    to = left_put(to, state->identity, state->identity_bytes);
    to = left_put(to, tls->out == NULL ? NULL : tls->out + tls->out_sent, left->out_bytes - tls->later_bytes);
    (void)left_put(to, tls->later, tls->later_bytes);
    RC_STORE_ORDER();
    io->truth->layout->tls_left = block;
}

static int leave_one(struct rc_io *io, uint32_t index)
{
    const struct rc_io_tls *tls = io->tls_sockets[index];
    struct rc_tls_state state;
    rc_tls_state_of(tls->conn, &state);
    const uint32_t unsent = tls->out_bytes - tls->out_sent;
    struct left left = {.keys = state.keys,
                        .part_bytes = state.part_bytes,
                        .identity_bytes = state.identity_bytes,
                        .out_bytes = unsent + tls->later_bytes,
                        .failed = tls->failed};
    const uint32_t bytes = (uint32_t)sizeof(left) + left.part_bytes + left.identity_bytes + left.out_bytes;
    const uint32_t block = rc_heap_alloc(&io->truth->heap, sizeof(struct rc_truth_tls) + bytes);
    if (block != 0) {
        leave_in(io, index, block, &left, &state);
    }
    OPENSSL_cleanse(&left, sizeof(left));
    OPENSSL_cleanse(&state, sizeof(state));
    return block != 0 ? 0 : -ENOMEM;
}
int rc_io_tls_leave(struct rc_io *io)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && io->tls_count > 0 && i < io->truth->socket_count; i++) {
        if (io->tls_sockets[i] != NULL && io->truth->sockets[i].state < RC_SOCKET_TERMINATING) {
            rc = leave_one(io, i);
        }
    }
    if (rc < 0) {
        rc_io_tls_stay(io);
    }
    return rc;
}

/* The first of the list goes. */
static void left_drop(struct rc_io *io)
{
    const uint32_t block = io->truth->layout->tls_left;
    struct rc_truth_tls *head = rc_heap_at(&io->truth->heap, block);
    io->truth->layout->tls_left = head->next;
    RC_STORE_ORDER();
    OPENSSL_cleanse(head, sizeof(*head) + head->bytes);
    rc_heap_free(&io->truth->heap, block);
}

void rc_io_tls_stay(struct rc_io *io)
{
    while (io->truth->layout->tls_left != 0) {
        left_drop(io);
    }
}

/* --- into another ------------------------------------------------------------------------------------------------------ */

/* What was left is another process's: sizes are looked at. */
static bool left_read(const struct rc_truth_tls *head, struct left *left, struct rc_tls_state *state,
                      const uint8_t **out)
{
    if (head->bytes < sizeof(*left)) {
        return false;
    }
    const uint8_t *at = (const uint8_t *)(head + 1);
    memcpy(left, at, sizeof(*left));
    at += sizeof(*left);
    if ((uint64_t)left->part_bytes + left->identity_bytes + left->out_bytes != head->bytes - sizeof(*left)) {
        return false;
    }
    *state = (struct rc_tls_state){.keys = left->keys,
                                   .part = at,
                                   .part_bytes = left->part_bytes,
                                   .identity = (const char *)at + left->part_bytes,
                                   .identity_bytes = left->identity_bytes};
    *out = at + left->part_bytes + left->identity_bytes;
    return true;
}

static void take_one(struct rc_io *io, const struct rc_truth_tls *head)
{
    struct left left;
    struct rc_tls_state state;
    const uint8_t *out = NULL;
    if (head->socket >= io->truth->socket_count || io->truth->sockets[head->socket].generation != head->generation ||
        io->tls_sockets == NULL || io->tls_sockets[head->socket] != NULL || !left_read(head, &left, &state, &out)) {
        return;
    }
    struct rc_io_tls tls = {.conn = rc_tls_restore(&state), .failed = left.failed != 0};
    if (left.out_bytes > 0) {
        tls.out = malloc(left.out_bytes);
        tls.out_bytes = left.out_bytes;
        if (tls.out != NULL) {
            memcpy(tls.out, out, left.out_bytes);
        }
    }
    if (tls.conn == NULL || (left.out_bytes > 0 && tls.out == NULL) || rc_io_tls_attach(io, head->socket, &tls) < 0) {
        rc_tls_free(tls.conn);
        free(tls.out);
    }
    OPENSSL_cleanse(&left, sizeof(left));
    OPENSSL_cleanse(&state, sizeof(state));
}

void rc_io_tls_take(struct rc_io *io)
{
    while (io->truth->layout->tls_left != 0) {
        take_one(io, rc_heap_at(&io->truth->heap, io->truth->layout->tls_left));
        left_drop(io);
    }
}

bool rc_io_tls_lacks(const struct rc_io *io, uint32_t index)
{
    const uint8_t listener = io->truth->sockets[index].listener;
    return listener < io->listener_count && io->tls_listener[listener] && !rc_io_is_tls(io, index);
}
