/*
 * unread: what a process that is dead left in its ring memory (memory.h): sends of a batch that was not settled, and what it had received and
 * not handled. Reads only, but for how far who reads has come. Whatever lies there is looked at before it is believed.
 */
#ifndef RC_WORKER_IO_UNREAD_H
#define RC_WORKER_IO_UNREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/io/io.h"

/* A socket whose input was being handled; RC_SOCKET_NONE: none was. */
uint32_t rc_io_unread_working(const struct rc_io_memory *memory);

/* Is that a send of TLS records, of which the truth says all, or rc_io_unread_tls does? */
bool rc_io_unread_sending(const struct rc_io_memory *memory);

/* A socket whose peer's address was just being noted, and may be half there; RC_SOCKET_NONE: none's. */
uint32_t rc_io_unread_peername(const struct rc_io_memory *memory);

/* Was a connection of the inbox, which has its place, being taken in: what its message brings was looked at? */
bool rc_io_unread_takes_in(const struct rc_io_memory *memory);

/* Completions were more than their queue holds: what sockets with a receive in flight sent may be lost. */
bool rc_io_unread_overflowed(const struct rc_io_memory *memory);

/* What each socket has sent of the batch is counted, whatever of it was. Done again, it comes to the same. */
void rc_io_unread_counts(const struct rc_io_memory *memory, struct rc_truth *truth);

/* Calls `each` for every packet of which less than all has left, with how much. One that was not committed is among them, with 0. */
void rc_io_unread_sends(const struct rc_io_memory *memory,
                        void (*each)(void *context, const struct rc_packet *packet, const struct rc_piece *pieces,
                                     uint32_t sent),
                        void *context);

/* What of TLS records a send had taken that was carried out and not handled is said in the truth. Done again, it comes to the same. */
void rc_io_unread_tls(const struct rc_io_memory *memory, struct rc_truth *truth);

/* What the socket, if it still is of that generation, had sent. */
struct rc_io_unread {
    uint32_t socket;
    uint32_t generation; /* its low bits */
    const uint8_t *bytes;
    uint32_t count;
};
/* The receive that was being handled; false: none was. */
bool rc_io_unread_current(const struct rc_io_memory *memory, struct rc_io_unread *unread);
/* The receive at *at, the first is 0, in the order in which they came; false: there is no more. What is none is passed over. */
bool rc_io_unread_next(const struct rc_io_memory *memory, uint32_t *at, struct rc_io_unread *unread);
bool rc_io_unread_is(const struct rc_truth *truth, const struct rc_io_unread *unread);

#endif
