/*
 * permission: may this client do this? The namespaces' rules, [permissions], and the names that are the server's.
 *
 * Pure: reads the configuration in force; only a worker calls it.
 */
#ifndef RC_WORKER_GATE_PERMISSION_H
#define RC_WORKER_GATE_PERMISSION_H

#include <stdbool.h>

#include "common/config/config.h"
#include "common/base/span.h"

/* `*` and `user:{id}`: joined and published to by the server only. */
bool rc_permission_reserved(struct rc_span channel);

/* Whether `who` lets a client with this user (empty = anonymous) in. `channel` is for `owner`: its part after the first ':' must
 * be the user's id; a channel without ':' has no owner. */
bool rc_permission_allows(enum rc_who who, struct rc_span user, struct rc_span channel);

/* How a refusal by `who` is answered: 401 when being a user would help, else 403. */
int rc_permission_refusal(enum rc_who who, struct rc_span user);

bool rc_permission_subscribe(const struct rc_config *config, struct rc_span user, struct rc_span channel);
bool rc_permission_publish(const struct rc_config *config, struct rc_span user, struct rc_span channel);

#endif
