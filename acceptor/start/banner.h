/*
 * banner: what `make run` shows once the broker is ready: where to connect, what to open, how to stop.
 */
#ifndef RC_ACCEPTOR_START_BANNER_H
#define RC_ACCEPTOR_START_BANNER_H

#include "acceptor/start/broker.h"
#include "acceptor/start/settings.h"

/* To the descriptor `fd`, without waiting for whoever reads it: what is not taken is left out. */
void rc_banner_print(int fd, const struct rc_settings *settings, const struct rc_broker *broker);

#endif
