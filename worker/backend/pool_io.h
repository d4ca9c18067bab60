/*
 * pool_io: what io tells of the sockets that lead to backends; wired by main(). See pool.h.
 */
#ifndef RC_WORKER_BACKEND_POOL_IO_H
#define RC_WORKER_BACKEND_POOL_IO_H

#include <stdint.h>

#include "worker/io/io.h"

struct rc_backends;

#define RC_BACKEND_TOKEN 0x80000000u /* in the lower half of a token; a socket's index never has it */

/* Handlers of io. */
void rc_backend_connected(struct rc_backends *backends, const struct rc_io_connect *connect, int fd, int error);
void rc_backend_placed(struct rc_backends *backends, const struct rc_io_place *place, uint32_t socket);
void rc_backend_received(struct rc_backends *backends, uint32_t socket, const uint8_t *bytes, uint32_t count);
void rc_backend_ended(struct rc_backends *backends, uint32_t socket, int error);
void rc_backend_terminated(struct rc_backends *backends, uint32_t socket);
void rc_backend_timer(struct rc_backends *backends, uint32_t socket);

#endif
