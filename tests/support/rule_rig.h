/*
 * rule_rig: an engine rig whose one session speaks to [[event]] rows: what it says, what it is told, and what went up to the relay.
 *
 * One rig per test; single thread. Everything that fails here fails the test.
 */
#ifndef RC_TESTS_SUPPORT_RULE_RIG_H
#define RC_TESTS_SUPPORT_RULE_RIG_H

#include "tests/support/engine_rig.h"

struct rule_rig {
    struct engine_rig engine;
    struct engine_rig_wire *get;
    struct engine_rig_wire *post;
    char text[512];
};

void rule_rig_open(struct rule_rig *r);
void rule_rig_close(struct rule_rig *r);
/* These rows are in force, and a session has joined "/" (unless `connected` is false). */
void rule_rig_begin(struct rule_rig *r, const char *rows, bool connected);
/* Posts a packet, or hands it on without waiting for the answer. */
void rule_rig_says(struct rule_rig *r, const char *packet);
void rule_rig_posts(struct rule_rig *r, const char *packet);
/* The answer to what was posted: its status, 0 = it waits. */
int rule_rig_answer(struct rule_rig *r);
/* What the client is told next. */
void rule_rig_expect(struct rule_rig *r, const char *packets);
/* Arguments of the next message that went up, which `view` has, too (NULL: not wanted); "": none has. Valid until the next call. */
const char *rule_rig_went_up(struct rule_rig *r, struct rc_envelope_view *view);

/* Events of that row, from 0, that were counted as carried out, and as refused by none of its guards. */
void rule_rig_counted(const struct rule_rig *r, uint32_t row, uint64_t done, uint64_t refused);

#endif
