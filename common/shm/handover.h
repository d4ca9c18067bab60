/*
 * handover: a connection on its way to a worker, from another one or from the acceptor's control socket: one message in its inbox.
 *
 *   | struct rc_handover | bytes that were received and not handled |   and the socket itself (SCM_RIGHTS)
 *
 * An inbox is a SOCK_SEQPACKET pair that the acceptor makes (common/shm/spawn_args.h): each worker receives from its own and sends into
 * those of the others, the acceptor into each of them. What waits in it when its worker dies is the successor's, and a message waits until what it brought is
 * in the receiver's truth (rc_handover_peek). It is bounded by the sending end's buffer: when that is full the connection stays where it is. No state, no memory; what comes out is another process's and is checked.
 */
#ifndef RC_COMMON_SHM_HANDOVER_H
#define RC_COMMON_SHM_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/text/address.h"

#define RC_HANDOVER_MAGIC 0x52434832u /* "RCH2": raised with the layout */
#define RC_HANDOVER_BYTES_MAX 65536u  /* of what was received */
#define RC_HANDOVER_COUNTED (1u << 0) /* the connection counts in the limits of its address */
#define RC_HANDOVER_HERE (1u << 1)    /* RC_SOCKET_HERE */
#define RC_HANDOVER_CLIENT (1u << 2)  /* it carries a client: worker/move/state.h */
#define RC_HANDOVER_WORD (1u << 3) /* without a descriptor: what workers say of moving clients (worker/move/word.h) */
#define RC_HANDOVER_FLAGS_ALL 15u

struct rc_handover {
    uint32_t magic;
    uint32_t bytes;          /* behind this */
    uint64_t sent_bytes;     /* on the connection since it was accepted, */
    uint64_t received_bytes; /* and from it, `bytes` included */
    uint64_t time_ms;        /* CLOCK_MONOTONIC when it was sent */
    struct rc_address peer;
    uint32_t worker;     /* that sent it, */
    uint32_t generation; /* of that worker */
    uint16_t port;       /* of the peer, host order */
    uint8_t listener;    /* index in control->listeners: what it came in through; RC_LISTENER_CONSOLE */
    uint8_t flags;       /* RC_HANDOVER_* */
    uint32_t number;     /* by chance, of this message: what else is here may be the same of two */
};
_Static_assert(sizeof(struct rc_handover) == 64, "the head of a hand-over");

#define RC_HANDOVER_MESSAGE_MAX (sizeof(struct rc_handover) + RC_HANDOVER_BYTES_MAX)

/* Is it one that a process of this broker can have sent, in a message of `message_bytes`? 0 or -EBADMSG. */
int rc_handover_check(const struct rc_handover *handover, size_t message_bytes, uint32_t listener_count,
                      uint32_t worker_count);

/* Sends the message with the socket `fd`, of which the receiver gets a descriptor of its own (RC_HANDOVER_WORD: -1); magic and number are set here. 0; -EAGAIN: the inbox is
 * full, or too many descriptors are under way; -EMSGSIZE; another error: it cannot be sent. Never waits. */
int rc_handover_send(int outbox_fd, const struct rc_handover *handover, const void *bytes, int fd);

/* The first message, which stays there: `buffer` has RC_HANDOVER_MESSAGE_MAX bytes, the head first; *fd is a descriptor of the caller's own (-1
 * with RC_HANDOVER_WORD). 0; -EAGAIN: there is none; -EBADMSG: it is none of ours; -EMFILE: it is right, but there is no descriptor for it now;
 * another error of recvmsg(2). Never waits. */
int rc_handover_peek(int inbox_fd, uint8_t *buffer, uint32_t listener_count, uint32_t worker_count, int *fd);
/* Takes it out, with its descriptors. */
void rc_handover_consume(int inbox_fd);
/* Is `handover` the first message still? */
bool rc_handover_waits(int inbox_fd, const struct rc_handover *handover);

#endif
