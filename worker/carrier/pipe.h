/*
 * pipe: two sockets whose bytes go from each to the other as they are: a connection that has to stay in this process, and the near end of
 * what stands for it elsewhere: another worker's end of a socket pair, or a connection to another instance.
 *
 *   client ◀─▶ socket ◀──what one receives is the other's output──▶ near end ◀─▶ far end, which is another process's connection
 *
 * What waits is bounded (64 KiB and one receive each way): beyond it the one is not read until half has left. An end of file from the
 * client is passed on behind what it sent; one from the far end ends both, as every server does that has answered for the last time.
 * Owned by struct rc_handovers; the truth (socket.pipe) says which two belong together.
 */
#ifndef RC_WORKER_CARRIER_PIPE_H
#define RC_WORKER_CARRIER_PIPE_H

#include "worker/client/client.h"

struct rc_pipes {
    struct rc_clients *clients; /* borrowed */
    uint32_t count;             /* open */
};

/* The socket, which is LEAVING, stays, and its bytes go to and come from `fd` (owned: a connected stream socket): `first`, which may be
 * nothing, then what is parked, then what it receives. -EAGAIN, -ENOMEM: `fd` is closed, and it is LEAVING still. */
int rc_pipe_open(struct rc_pipes *pipes, uint32_t socket, int fd, const void *first, uint32_t first_bytes);
/* Counts what a predecessor had open: of a truth that another process has written. */
void rc_pipes_rebuild(struct rc_pipes *pipes);
/* Is a draining worker to stay for others' clients, which come through it? */
bool rc_pipes_wanted(const struct rc_pipes *pipes);

/* As struct rc_io_handlers and struct rc_passage_ops have them. */
void rc_pipe_placed(struct rc_pipes *pipes, const struct rc_io_place *place, uint32_t near);
void rc_pipe_received(struct rc_pipes *pipes, uint32_t socket, const uint8_t *bytes, uint32_t count);
void rc_pipe_drained(struct rc_pipes *pipes, uint32_t socket);
void rc_pipe_answered(struct rc_pipes *pipes, uint32_t socket);
void rc_pipe_ended(struct rc_pipes *pipes, uint32_t socket, int error);
void rc_pipe_terminated(struct rc_pipes *pipes, uint32_t socket);

#endif
