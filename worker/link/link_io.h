/*
 * link_io: what main() wires of links: their life, and what io tells of their sockets. See links.h.
 *
 * Sockets whose listener is RC_SOCKET_MADE_HERE and whose `exchange` has RC_LINK_SOCKET, and connects whose token has RC_LINK_TOKEN, are
 * theirs. Owned by the worker's main(); one thread.
 */
#ifndef RC_WORKER_LINK_LINK_IO_H
#define RC_WORKER_LINK_LINK_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/engine/session.h"
#include "worker/io/io.h"

#define RC_LINK_TOKEN 0x40000000u  /* in the lower half of a token, which is neither a backend's nor a socket's then */
#define RC_LINK_SOCKET 0x80000000u /* in `exchange` of a socket that was made here */

struct rc_links;

/* NULL: no memory. Wires itself to the engines. */
struct rc_links *rc_links_open(struct rc_clients *clients, struct rc_engines *engines, const struct rc_config *config);
/* After io was closed. */
void rc_links_close(struct rc_links *links);
void rc_links_reconfigure(struct rc_links *links, const struct rc_config *config);
/* Of a truth that another process has written: connections that outlive their link go on, the others end. */
void rc_links_rebuild(struct rc_links *links);
/* What has come, and what is due. Once in each pass, before the turn. */
void rc_links_work(struct rc_links *links);
/* A channel that it had made is gone: hub.handlers.here_gone. */
void rc_links_share_gave(struct rc_links *links, uint64_t process);
/* Channels that are kept for rooms of linked processes: hub.handlers.here_kept. 0 without links (NULL), and while half of all are free. */
uint32_t rc_links_share_kept(struct rc_links *links);
/* How long the loop may sleep, at most `wait_ms`. */
uint32_t rc_links_sleep_ms(const struct rc_links *links, uint32_t wait_ms);

/* May one be taken that the application `backend` (empty: any) has dialled? 0: so it may, and a stranger has given way if there were too many;
 * -ENOENT: there is no such; -ENOSPC: there are too many. */
int rc_links_may_take(struct rc_links *links, struct rc_span backend);
/* A connection on which an application asks for a link: `bytes` of its request have come. The caller's descriptor stays the caller's. 0; as above,
 * or what it cannot be had for. */
int rc_links_take(struct rc_links *links, int fd, struct rc_span bytes, const struct rc_address *peer);

/* Handlers of io. */
void rc_link_connected(struct rc_links *links, const struct rc_io_connect *connect, int fd, int error);
void rc_link_placed(struct rc_links *links, const struct rc_io_place *place, uint32_t socket);
void rc_link_received(struct rc_links *links, uint32_t socket, const uint8_t *bytes, uint32_t count);
void rc_link_ended(struct rc_links *links, uint32_t socket, int error);
void rc_link_terminated(struct rc_links *links, uint32_t socket);

#endif
