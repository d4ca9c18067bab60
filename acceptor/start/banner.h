/*
 * banner: what `make run` shows once the broker is ready: where to connect, what to open, how to stop.
 */
#ifndef RC_ACCEPTOR_START_BANNER_H
#define RC_ACCEPTOR_START_BANNER_H

#include <stdio.h>

#include "acceptor/start/broker.h"
#include "acceptor/start/settings.h"

void rc_banner_print(FILE *out, const struct rc_settings *settings, const struct rc_broker *broker);

#endif
