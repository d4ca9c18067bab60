/*
 * policies: who may do what in which channels, once the whole file is known: what "auto" means, and which channel namespaces are those
 * of [[event]] rows.
 *
 * The acceptor resolves them at the end of rc_config_finish; every process reads what came of it.
 */
#ifndef RC_COMMON_CONFIG_POLICIES_H
#define RC_COMMON_CONFIG_POLICIES_H

#include "common/base/err.h"
#include "common/config/values.h"

/*
 * A row that joins a room whose channel namespace is constant ("portfolio:{user.id}"), and that has a guard or names the room by a value,
 * would be walked round by whoever just subscribes to that channel: where `subscribe` is "auto" it becomes "rules" there, `publish` none,
 * and presence and history are for members. A namespace without a table of its own gets one like `default`'s, but for who may; a room without a
 * colon ("vip") one that is for that name alone. -EINVAL with the remedy in `err`: there are too many, or an [[endpoint]] joins one.
 */
int rc_config_policies_resolve(struct rc_config *config, struct rc_err *err);

#endif
