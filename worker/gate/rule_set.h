/*
 * rule_set: what rows set on a connection, {client.NAME}: a JSON object of few members.
 *
 * Pure; nothing allocates.
 */
#ifndef RC_WORKER_GATE_RULE_SET_H
#define RC_WORKER_GATE_RULE_SET_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

#define RC_RULE_SET_MAX 1024u /* bytes as JSON */
#define RC_RULE_SET_MEMBERS_MAX 16u

/* `before` (empty: nothing was set) with these members taken over, the latter of one name. -EBADMSG: no JSON object; -E2BIG: more than
 * RC_RULE_SET_MEMBERS_MAX, or than RC_RULE_SET_MAX bytes. */
int rc_rule_set_merged(struct rc_span before, struct rc_span members, uint8_t out[RC_RULE_SET_MAX], size_t *bytes);

#endif
