/*
 * permission: may this client do this? What each `who` of a namespace or of [permissions] means, and the names that are the server's.
 * Which of them an operation needs: worker/client/operation.c.
 *
 * Pure; only a worker calls it.
 */
#ifndef RC_WORKER_GATE_PERMISSION_H
#define RC_WORKER_GATE_PERMISSION_H

#include <stdbool.h>

#include "common/base/span.h"
#include "common/config/values.h"

/* `*` and `user:{id}`: joined and published to by the server only. */
bool rc_permission_reserved(struct rc_span channel);

/* Whether `who` lets a client with this user (empty = anonymous) in. `channel` is for `owner`: its part after the first ':' must
 * be the user's id; a channel without ':' has no owner. `member`: it is subscribed to it, looked at for `member` alone. */
bool rc_permission_allows(enum rc_who who, struct rc_span user, struct rc_span channel, bool member);

/* How a refusal by `who` is answered: 401 when being a user would help, else 403. */
int rc_permission_refusal(enum rc_who who, struct rc_span user);

#endif
