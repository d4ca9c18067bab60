/*
 * dialled: what comes through a listener of [link]: applications that dial a worker to become its link (docs/link.md, "How a link begins").
 *
 *   request ─▶ which worker? ─┬─ another one: the connection goes there (handover.h), where it is looked at again
 *                             └─ this one: it leaves HTTP, and becomes a socket of worker/link, which answers the upgrade
 *
 * Owned by main(), one thread. Nothing else is answered there, and nobody is asked who he is: both ends prove it on the link.
 */
#ifndef RC_WORKER_CARRIER_DIALLED_H
#define RC_WORKER_CARRIER_DIALLED_H

#include "worker/carrier/handover.h"

/* Wires itself to the clients of `handovers`. */
void rc_dialled_open(struct rc_handovers *handovers, struct rc_links *links);

#endif
