/*
 * hub_rig_listen: a hub rig whose ring accepts on a TCP listener of the test's, for tests of connections that stand still or change their ring.
 *
 * As the rig: one per test, single thread, everything that fails here fails the test (RC_ASSERT).
 */
#ifndef RC_TESTS_SUPPORT_HUB_RIG_LISTEN_H
#define RC_TESTS_SUPPORT_HUB_RIG_LISTEN_H

#include <netinet/in.h>

#include "tests/support/hub_rig.h"

/* Opens the rig; *address is where it listens. The listener's descriptor. */
int hub_rig_listen_open(struct hub_rig *rig, uint32_t slots, struct sockaddr_in *address);
void hub_rig_listen_close(struct hub_rig *rig, int listener);
/* The client's other end sends the text. */
void hub_rig_say(const struct hub_rig *rig, uint32_t client, const char *text);

#endif
