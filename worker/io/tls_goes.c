/* tls_goes: a TLS connection on its way to another worker, as bytes: its keys, and what has come of a record. See io.h and tls_left.h. */
#include "worker/io/io_internal.h"
#include "worker/io/tls.h"
#include "worker/io/tls_left.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

struct goes_head {
    struct rc_tls_keys keys;
    uint32_t part_bytes;
    uint32_t identity_bytes;
};

bool rc_io_tls_may_go(const struct rc_io *io, uint32_t index)
{
    const struct rc_truth_tls *left = rc_io_tls_left(io->truth, index);
    return !rc_io_is_tls(io, index) || (left != NULL && !left->failed && rc_tls_settled(io->tls_sockets[index]->conn));
}

uint32_t rc_io_tls_goes(struct rc_io *io, uint32_t index, uint8_t *out, uint32_t room)
{
    struct rc_tls_state state;
    RC_ASSERT(rc_io_tls_may_go(io, index) && !rc_io_busy(io, index));
    if (!rc_io_is_tls(io, index)) {
        return 0;
    }
    rc_tls_state_of(io->tls_sockets[index]->conn, &state);
    struct goes_head head = {
        .keys = state.keys, .part_bytes = state.part_bytes, .identity_bytes = state.identity_bytes};
    const uint64_t bytes = sizeof(head) + (uint64_t)state.part_bytes + state.identity_bytes;
    if (bytes <= room) {
        memcpy(out, &head, sizeof(head));
        if (state.part_bytes > 0) {
            memcpy(out + sizeof(head), state.part, state.part_bytes);
        }
        if (state.identity_bytes > 0) {
            memcpy(out + sizeof(head) + state.part_bytes, state.identity, state.identity_bytes);
        }
    }
    OPENSSL_cleanse(&state, sizeof(state));
    OPENSSL_cleanse(&head, sizeof(head));
    return bytes <= room ? (uint32_t)bytes : UINT32_MAX;
}

/* The connection as it went. NULL: these are not such bytes, or there is no memory. */
static struct rc_tls_conn *goes_restore(const struct goes_head *head, struct rc_span rest)
{
    struct rc_tls_state state = {.keys = head->keys,
                                 .part = rest.bytes,
                                 .part_bytes = head->part_bytes,
                                 .identity = (const char *)rest.bytes + head->part_bytes,
                                 .identity_bytes = head->identity_bytes};
    const bool whole = (uint64_t)head->part_bytes + head->identity_bytes == rest.count && !head->keys.told_end;
    struct rc_tls_conn *conn = whole ? rc_tls_restore(&state) : NULL;
    OPENSSL_cleanse(&state, sizeof(state));
    return conn;
}

int rc_io_tls_came(struct rc_io *io, uint32_t index, struct rc_span bytes)
{
    const uint8_t listener = io->truth->sockets[index].listener;
    struct goes_head head;
    if (bytes.count == 0) {
        return 0; /* it speaks none: also an end of a pipe, whatever its listener speaks */
    }
    if (listener >= io->listener_count || !io->tls_listener[listener] || bytes.count < sizeof(head) ||
        io->tls == NULL || io->tls_sockets == NULL) {
        return -EBADMSG;
    }
    memcpy(&head, bytes.bytes, sizeof(head));
    struct rc_io_tls tls = {
        .conn = goes_restore(&head, rc_span_of(bytes.bytes + sizeof(head), bytes.count - sizeof(head)))};
    OPENSSL_cleanse(&head, sizeof(head));
    if (tls.conn == NULL) {
        return -EBADMSG;
    }
    if (rc_io_tls_attach(io, index, &tls) < 0) {
        rc_tls_free(tls.conn);
        return -ENOMEM;
    }
    rc_io_tls_left_begin(io, index, io->tls_sockets[index]);
    return 0;
}
