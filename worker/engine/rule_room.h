/*
 * rule_room: what a row asks about rooms: {count:ROOM}, {members:ROOM}, {users:ROOM}, `when`. This worker knows of its own clients; the
 * others that have somebody in the room are asked through the relay, and other instances; those who ask wait for at most RC_RULE_ROOM_MS.
 * Without an answer of this host's workers the question fails; without one of other instances it is what is known, and counted.
 *
 * Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULE_ROOM_H
#define RC_WORKER_ENGINE_RULE_ROOM_H

#include "worker/engine/rule_wait.h"

#define RC_RULE_ROOM_MS 1000u

enum rc_rule_asked {
    RC_RULE_KNOWN, /* run->values.input.answers are there */
    RC_RULE_ASKS,  /* it waits: rc_client_answered comes when they are, or wait->goes_on */
    RC_RULE_FULL,  /* there is no room in the up ring now */
    RC_RULE_FAILED /* run->code says why */
};

/* The run has come to where it needs the answers. `wait` is its own, kept beforehand. */
enum rc_rule_asked rc_rule_room_ask(struct rc_rule_run *run, struct rc_rule_wait *wait);

#endif
