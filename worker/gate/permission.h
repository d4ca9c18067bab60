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
#include "common/records/sid.h"

/* `*` and `user:{id}`: joined and published to by the server only. */
bool rc_permission_reserved(struct rc_span channel);

/*
 * Why nobody is this user, whoever says so (a token, a session, a backend, a proxy, a certificate): for people to read; NULL: it may be. An id
 * is a part of the channel user:{id} and stands in JSON; those of a Pusher app's users are the app's alone to give.
 */
const char *rc_permission_user(const struct rc_config *config, struct rc_span user);

/*
 * Is the room a socket's own (its id), which nobody else may hear or use for more than direct messages? One of this instance is known by
 * its beginning. `others`: there may be those of other servers, Node's among them, which are known by their form alone; a name of 20
 * hexadecimal digits, which applications do give to rooms, is one of theirs as seldom as once in 2^40.
 */
bool rc_permission_socket(struct rc_span room, const char instance[RC_SID_INSTANCE_BYTES], bool others);

/* Whether `who` lets a client with this user (empty = anonymous) in. `channel` is for `owner`: its part after the first ':' must
 * be the user's id; a channel without ':' has no owner. `member`: it is subscribed to it, looked at for `member` alone. */
bool rc_permission_allows(enum rc_who who, struct rc_span user, struct rc_span channel, bool member);

/* How a refusal by `who` is answered: 401 when being a user would help, else 403. */
int rc_permission_refusal(enum rc_who who, struct rc_span user);

#endif
