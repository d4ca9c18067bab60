/* tls_truth: a TLS connection's place in the truth, while it goes on. See tls_left.h. */
#include "worker/io/io_internal.h"
#include "worker/io/tls.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

_Static_assert(sizeof(struct rc_tls_keys) == RC_TRUTH_TLS_KEYS_BYTES && _Alignof(struct rc_tls_keys) <= 8,
               "keys have their place");

struct rc_truth_tls *rc_io_tls_left(const struct rc_truth *truth, uint32_t index)
{
    return truth->tls[index] == 0 ? NULL : rc_heap_at(&truth->heap, truth->tls[index]);
}

const struct rc_truth_block *rc_io_tls_left_bytes(const struct rc_truth *truth, uint32_t block)
{
    static const struct rc_truth_block none;
    return block == 0 ? &none : rc_heap_at(&truth->heap, block);
}

/* What TLS keeps goes before logs and replies of all do, which have budgets of their own. A block may be nearly twice as large as asked for. */
static uint32_t left_alloc(struct rc_heap *heap, uint64_t bytes)
{
    return heap->used + 2 * bytes <= heap->bytes / 4 * 3 ? rc_heap_alloc(heap, bytes) : 0;
}

int rc_io_tls_left_put(struct rc_truth *truth, uint32_t *link, const void *first, uint32_t first_bytes,
                       const void *second, uint32_t second_bytes)
{
    const uint32_t block =
        left_alloc(&truth->heap, sizeof(struct rc_truth_block) + (uint64_t)first_bytes + second_bytes);
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

/* --- while it goes on -------------------------------------------------------------------------------------------------- */

void rc_io_tls_left_drop(struct rc_io *io, uint32_t index)
{
    struct rc_truth *truth = io->truth;
    struct rc_truth_tls *left = rc_io_tls_left(truth, index);
    if (left == NULL) {
        return;
    }
    const uint32_t block = truth->tls[index];
    uint32_t *const links[] = {&left->identity, &left->part, &left->unread, &left->out};
    left->changing = 1; /* killed from here on, nobody goes on with it, and no key is left behind */
    RC_STORE_ORDER();
    OPENSSL_cleanse(left->keys, sizeof(left->keys));
    RC_STORE_ORDER();
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
    rc_tls_keep_keys(tls->conn, NULL, NULL);
    rc_io_tls_left_drop(io, index);
    tls->out_before = 0;
}

void rc_io_tls_left_begin(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    struct rc_truth *truth = io->truth;
    if (!rc_tls_settled(tls->conn) || truth->sockets[index].listener == RC_SOCKET_MADE_HERE) {
        return;
    }
    const uint32_t block = left_alloc(&truth->heap, sizeof(struct rc_truth_tls));
    if (block == 0) {
        rc_metric_add(io->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
        return;
    }
    struct rc_tls_state state;
    struct rc_truth_tls *left = rc_heap_at(&truth->heap, block);
    *left = (struct rc_truth_tls){.generation = truth->sockets[index].generation, .changing = 1};
    RC_STORE_ORDER();
    truth->tls[index] = block; /* before keys are in it: who is killed leaves none that nobody wipes */
    RC_STORE_ORDER();
    rc_tls_keep_keys(tls->conn, left->keys, &left->changing);
    rc_tls_state_of(tls->conn, &state);
    if (state.identity_bytes > 0 &&
        rc_io_tls_left_put(truth, &left->identity, state.identity, state.identity_bytes, NULL, 0) < 0) {
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
    struct rc_truth_tls *left = rc_io_tls_left(io->truth, index);
    if (left != NULL) {
        RC_STORE_ORDER();
        left->changing = changing;
        RC_STORE_ORDER();
    }
}

/* While `changing`: that and where its output is are several words. */
void rc_io_tls_left_out(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = rc_io_tls_left(io->truth, index);
    if (left == NULL || tls->out == NULL) {
        return;
    }
    RC_ASSERT_HOT(left->changing);
    if (rc_io_tls_left_put(io->truth, &left->out, tls->out, tls->out_bytes, tls->later, tls->later_bytes) < 0) {
        left_give_up(io, index, tls);
        return;
    }
    tls->out_before = 0;
    left->out_sent = left->out_asked = tls->out_sent; /* what is in flight was asked for from there on */
}

void rc_io_tls_left_asked(struct rc_io *io, uint32_t index, const struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = rc_io_tls_left(io->truth, index);
    if (left != NULL) {
        left->out_asked = tls->out_before + tls->out_sent;
        RC_STORE_ORDER();
    }
}

void rc_io_tls_left_sent(struct rc_io *io, uint32_t index, const struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = rc_io_tls_left(io->truth, index);
    if (left != NULL) {
        left->out_sent = tls->out_before + tls->out_sent;
        RC_STORE_ORDER();
    }
}

void rc_io_tls_left_next(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    struct rc_truth_tls *left = rc_io_tls_left(io->truth, index);
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
    struct rc_truth_tls *left = rc_io_tls_left(io->truth, index);
    if (left == NULL) {
        return;
    }
    struct rc_tls_state state;
    rc_tls_state_of(tls->conn, &state);
    if (state.part_bytes == 0 && left->part != 0) {
        rc_heap_give(&io->truth->heap, &left->part);
    } else if (state.part_bytes > 0 &&
               rc_io_tls_left_put(io->truth, &left->part, state.part, state.part_bytes, NULL, 0) < 0) {
        left_give_up(io, index, tls);
    }
    OPENSSL_cleanse(&state, sizeof(state));
}

void rc_io_tls_left_failed(struct rc_io *io, uint32_t index)
{
    struct rc_truth_tls *left = rc_io_tls_left(io->truth, index);
    if (left != NULL) {
        left->failed = 1;
    }
}
