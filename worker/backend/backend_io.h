/*
 * backend_io: what main() wires: the life of a worker's backends, and what io tells of their sockets.
 *
 * Sockets whose listener is RC_SOCKET_MADE_HERE, and connects whose token has RC_BACKEND_TOKEN, are theirs; those of clients are the client
 * room's. Owned by the worker's main(); one thread.
 */
#ifndef RC_WORKER_BACKEND_BACKEND_IO_H
#define RC_WORKER_BACKEND_BACKEND_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/backend/backend.h"
#include "worker/backend/pool_io.h"
#include "worker/hub/hub.h"
#include "worker/io/io.h"

/* NULL: no memory. */
struct rc_backends *rc_backends_open(const struct rc_control *control, struct rc_truth *truth, struct rc_io *io,
                                     struct rc_hub *hub, const struct rc_config *config, uint32_t worker);
/* Calls that are in flight are forgotten, their waiters are told nothing. After io was closed. */
void rc_backends_close(struct rc_backends *backends);
/* Another configuration is in force: tables that are the same stay as they are; calls of the others end as they began. */
void rc_backends_reconfigure(struct rc_backends *backends, const struct rc_config *config);
/* What is due: late calls, answers to those who wait, calls that find a connection. Once in each pass. */
void rc_backends_work(struct rc_backends *backends);
/* How long the loop may sleep, at most `wait_ms`; 0: there is work. */
uint32_t rc_backends_sleep_ms(const struct rc_backends *backends, uint32_t wait_ms);
/* Calls are waiting or in flight, or somebody is still to be told: a draining worker stays for them, at most for their timeout. */
bool rc_backends_busy(const struct rc_backends *backends);
/* The same of those that cannot be left to a successor (rc_backend_request.leaves). */
bool rc_backends_hinder(const struct rc_backends *backends);
/* All others are forgotten, their waiters are told nothing. */
void rc_backends_leave(struct rc_backends *backends);
/* When the first of the authorities of the backend of that index in config->backends expires, in seconds since 1970; 0: it has none. Where
 * tls_ca is empty these are the system's. */
int64_t rc_backends_authorities_not_after_s(const struct rc_backends *backends, uint32_t backend);

#endif
