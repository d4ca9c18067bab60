/*
 * link_rig: links of a worker in the test's own process, above a client_rig: they are ready, their other ends are in the test's hands, and no byte
 * of theirs is carried out but by calls of the test.
 *
 * One rig per test; single thread. Everything that fails here fails the test (RC_ASSERT).
 */
#ifndef RC_TESTS_SUPPORT_LINK_RIG_H
#define RC_TESTS_SUPPORT_LINK_RIG_H

#include "tests/support/client_rig.h"
#include "worker/link/links.h"

struct link_rig {
    struct client_rig c;
    struct rc_engines engines; /* of it, what links are wired to */
    struct rc_links *links;
    struct rc_link_table table;
    int fds[RC_LINKS_MAX]; /* of other ends; 0 = none */
};

void link_rig_open(struct link_rig *rig);
void link_rig_close(struct link_rig *rig);

/* A link of that process that is ready, and resumes; `frames`: what READY says that it has handed on, UINT64_MAX: nothing. */
struct rc_link *link_rig_link(struct link_rig *rig, const char *process, uint64_t frames);
/* Its stream ends. */
void link_rig_cut(struct link_rig *rig, struct rc_link *link);
/* A client whose connection is the link's. */
uint32_t link_rig_client(struct link_rig *rig, struct rc_link *link);

/* What the other end has been sent since: "OPEN 3 hello, RECEIPT …": name, connection's client and payload (a number of RECEIPT) of each. */
const char *link_rig_sent(struct link_rig *rig, const struct rc_link *link);

#endif
