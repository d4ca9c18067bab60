/* tls_left: see tls_left.h. */
#include "worker/io/tls_left.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "worker/io/io_internal.h"
#include "worker/io/tls.h"
#include "worker/store/truth_repair.h"

_Static_assert(sizeof(struct rc_tls_keys) == RC_TRUTH_TLS_KEYS_BYTES && _Alignof(struct rc_tls_keys) <= 8,
               "keys have their place");

static struct rc_truth_tls *left_of(const struct rc_truth *truth, uint32_t index)
{
    return truth->tls[index] == 0 ? NULL : rc_heap_at(&truth->heap, truth->tls[index]);
}

static const struct rc_truth_block *left_bytes(const struct rc_truth *truth, uint32_t block)
{
    static const struct rc_truth_block none;
    return block == 0 ? &none : rc_heap_at(&truth->heap, block);
}

/* The link says both of them, one behind the other, from one store on. -ENOMEM: unchanged. */
static int left_put(struct rc_truth *truth, uint32_t *link, const void *first, uint32_t first_bytes, const void *second,
                    uint32_t second_bytes)
{
    const uint32_t block = rc_heap_alloc(&truth->heap, sizeof(struct rc_truth_block) + first_bytes + second_bytes);
    if (block == 0) {
        return -ENOMEM;
    }
    struct rc_truth_block *its = rc_heap_at(&truth->heap, block);
    its->count = first_bytes + second_bytes;
    if (first_bytes > 0) {
        memcpy(its->bytes, first, first_bytes);
    }
    if (second_bytes > 0) {
        memcpy(its->bytes + first_bytes, second, second_bytes);
    }
    uint32_t old = *link;
    RC_STORE_ORDER();
    *link = block;
    RC_STORE_ORDER();
    if (old != 0) {
        rc_heap_give(&truth->heap, &old);
    }
    return 0;
}

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

/* --- while it goes on -------------------------------------------------------------------------------------------------- */

void rc_io_tls_left_drop(struct rc_io *io, uint32_t index)
{
    struct rc_truth *truth = io->truth;
    struct rc_truth_tls *left = left_of(truth, index);
    if (left == NULL) {
        return;
    }
    const uint32_t block = truth->tls[index];
    uint32_t *const links[] = {&left->identity, &left->part, &left->unread, &left->out};
    truth->tls[index] = 0; /* nobody names any of it from here on */
    RC_STORE_ORDER();
    for (size_t i = 0; i < RC_ARRAY_COUNT(links); i++) {
        if (*links[i] != 0) {
            rc_heap_give(&truth->heap, links[i]);
        }
    }
    OPENSSL_cleanse(left, sizeof(*left));
    rc_heap_free(&truth->heap, block);
}

/* The heap has no room for it: its process has its keys alone again. */
static void left_give_up(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    rc_metric_add(io->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    rc_tls_keep_keys(tls->conn, NULL);
    rc_io_tls_left_drop(io, index);
    tls->out_before = 0;
}

void rc_io_tls_left_begin(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    struct rc_truth *truth = io->truth;
    if (!rc_tls_settled(tls->conn) || truth->sockets[index].listener == RC_SOCKET_MADE_HERE) {
        return;
    }
    const uint32_t block = rc_heap_alloc(&truth->heap, sizeof(struct rc_truth_tls));
    if (block == 0) {
        rc_metric_add(io->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return;
    }
    struct rc_tls_state state;
    struct rc_truth_tls *left = rc_heap_at(&truth->heap, block);
    *left = (struct rc_truth_tls){.generation = truth->sockets[index].generation, .changing = 1};
    rc_tls_keep_keys(tls->conn, left->keys);
    rc_tls_state_of(tls->conn, &state);
    RC_STORE_ORDER();
    truth->tls[index] = block;
    RC_STORE_ORDER();
    if (state.identity_bytes > 0 &&
        left_put(truth, &left->identity, state.identity, state.identity_bytes, NULL, 0) < 0) {
        left_give_up(io, index, tls);
    }
    OPENSSL_cleanse(&state, sizeof(state));
    rc_io_tls_left_part(io, index, tls);
    rc_io_tls_left_out(io, index, tls);
    rc_io_tls_left_asked(io, index, tls);
    rc_io_tls_changes(io, index, false);
}

void rc_io_tls_changes(struct rc_io *io, uint32_t index, bool changing)
{
    struct rc_truth_tls *left = left_of(io->truth, index);
    if (left != NULL) {
        RC_STORE_ORDER();
        left->changing = changing;
        RC_STORE_ORDER();
    }
}

/* While `changing`: that and where its output is are several words. */
void rc_io_tls_left_out(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = left_of(io->truth, index);
    if (left == NULL || tls->out == NULL) {
        return;
    }
    RC_ASSERT_HOT(left->changing);
    if (left_put(io->truth, &left->out, tls->out, tls->out_bytes, tls->later, tls->later_bytes) < 0) {
        left_give_up(io, index, tls);
        return;
    }
    tls->out_before = 0;
    left->out_sent = left->out_asked = tls->out_sent; /* what is in flight was asked for from there on */
}

void rc_io_tls_left_asked(struct rc_io *io, uint32_t index, const struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = left_of(io->truth, index);
    if (left != NULL) {
        left->out_asked = tls->out_before + tls->out_sent;
        RC_STORE_ORDER();
    }
}

void rc_io_tls_left_sent(struct rc_io *io, uint32_t index, const struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = left_of(io->truth, index);
    if (left != NULL) {
        left->out_sent = tls->out_before + tls->out_sent;
        RC_STORE_ORDER();
    }
}

void rc_io_tls_left_next(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = left_of(io->truth, index);
    if (left == NULL) {
        return;
    }
    tls->out_before += tls->out_bytes;
    left->out_sent = tls->out_before;
    if (tls->later == NULL && left->out != 0) {
        rc_heap_give(&io->truth->heap, &left->out);
        left->out_sent = left->out_asked = tls->out_before = 0;
    }
}

void rc_io_tls_left_part(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = left_of(io->truth, index);
    if (left == NULL) {
        return;
    }
    struct rc_tls_state state;
    rc_tls_state_of(tls->conn, &state);
    if (state.part_bytes == 0 && left->part != 0) {
        rc_heap_give(&io->truth->heap, &left->part);
    } else if (state.part_bytes > 0 && left_put(io->truth, &left->part, state.part, state.part_bytes, NULL, 0) < 0) {
        left_give_up(io, index, tls);
    }
    OPENSSL_cleanse(&state, sizeof(state));
}

void rc_io_tls_left_failed(struct rc_io *io, uint32_t index)
{
    struct rc_truth_tls *left = left_of(io->truth, index);
    if (left != NULL) {
        left->failed = 1;
    }
}

/* --- what a killed process had not looked at --------------------------------------------------------------------------- */

uint32_t rc_io_tls_left_unread_bytes(const struct rc_truth *truth, uint32_t index)
{
    const struct rc_truth_tls *left = left_of(truth, index);
    return left == NULL ? 0 : left_bytes(truth, left->unread)->count;
}

int rc_io_tls_left_unread(struct rc_truth *truth, uint32_t index, uint32_t before, const uint8_t *bytes, uint32_t count)
{
    struct rc_truth_tls *left = left_of(truth, index);
    if (left == NULL) {
        return -ENOENT;
    }
    const struct rc_truth_block *unread = left_bytes(truth, left->unread);
    return left_put(truth, &left->unread, unread->bytes, before < unread->count ? before : unread->count, bytes, count);
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
    const struct rc_truth_block *part = left_bytes(truth, left->part);
    const struct rc_truth_block *identity = left_bytes(truth, left->identity);
    const struct rc_truth_block *out = left_bytes(truth, left->out);
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
    rc_tls_keep_keys(tls.conn, left_of(truth, index)->keys);
    return 0;
}

void rc_io_tls_take(struct rc_io *io)
{
    for (uint32_t i = 0; i < io->truth->socket_count; i++) {
        const struct rc_socket *socket = &io->truth->sockets[i];
        const struct rc_truth_tls *left = left_of(io->truth, i);
        if (left == NULL) {
            continue;
        }
        const bool goes_on = socket->state != RC_SOCKET_FREE && socket->state < RC_SOCKET_TERMINATING &&
                             left->generation == socket->generation && !left->changing && io->tls_sockets != NULL &&
                             io->tls_sockets[i] == NULL && !(io->truth->cut && left_given_up(io->truth, socket));
        if (!goes_on || take_one(io, i, left) < 0) {
            rc_io_tls_left_drop(io, i);
        }
    }
}

bool rc_io_tls_lacks(const struct rc_io *io, uint32_t index)
{
    const uint8_t listener = io->truth->sockets[index].listener;
    return listener < io->listener_count && io->tls_listener[listener] && !rc_io_is_tls(io, index);
}

void rc_io_tls_read_left(struct rc_io *io, uint32_t index)
{
    struct rc_truth *truth = io->truth;
    struct rc_truth_tls *left = left_of(truth, index);
    if (left == NULL || left->unread == 0 || !rc_io_is_tls(io, index)) {
        return;
    }
    uint32_t block = left->unread;
    left->unread = 0; /* who is killed in the middle of it has this client named: layout.working_socket */
    RC_STORE_ORDER();
    const struct rc_truth_block *unread = left_bytes(truth, block);
    rc_io_tls_received(io, index, unread->bytes, unread->count);
    rc_heap_give(&truth->heap, &block);
}
