/*
 * policies: who may do what in which channels, once the whole file is known: what "auto" means, and which channel namespaces are those
 * of [[event]] rows.
 *
 * The acceptor resolves them at the end of rc_config_finish; every process reads what came of it.
 */
#ifndef RC_COMMON_CONFIG_POLICIES_H
#define RC_COMMON_CONFIG_POLICIES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/config/values.h"

/* True when every listener is loopback or a Unix socket: http.admin_listen serves clients too; those of [link] serve none. */
bool rc_config_listeners_private(const struct rc_config *config);

/* Is there a listener that speaks TLS? Without one tls.certificates are not looked at. */
bool rc_config_serves_tls(const struct rc_config *config);

/* How clients of other machines may come, for people to read; NULL when none do: every listener is private and no proxy
 * is believed to bring others. Then `anyone` is the default of all permissions. */
const char *rc_config_outsiders(const struct rc_config *config);

/* "anyone", "none", ... */
const char *rc_config_who_name(enum rc_who who);

/* The namespace policy of a channel name (of one of a Socket.IO namespace, "/admin#room", of the part after the "#"): what stands before
 * its first ':' looked up among the tables, else namespaces[0]. */
const struct rc_config_namespace *rc_config_namespace_of(const struct rc_config *config, const char *name,
                                                         size_t bytes);

/*
 * A row that joins a room whose channel namespace is constant ("portfolio:{user.id}"), and that has a guard or names the room by a value,
 * would be walked round by whoever just subscribes to that channel: where `subscribe` is "auto" it becomes "rules" there, `publish` none,
 * and presence and history are for members. A namespace without a table of its own gets one like `default`'s, but for who may; a room without a
 * colon ("vip") one that is for that name alone. -EINVAL with the remedy in `err`: there are too many, or an [[endpoint]] joins one.
 */
int rc_config_policies_resolve(struct rc_config *config, struct rc_err *err);

/* What a row's author may not have meant with its rooms; the first that is so. Of a resolved configuration. */
enum rc_config_row_flaw {
    RC_ROW_FLAWLESS,
    RC_ROW_JOINS_OPEN, /* it joins a room that is called by a value, and has no constant beginning with a colon: `subscribe` of `default`
                            * lets clients in without the row */
    RC_ROW_JOINS_DECIDED, /* a client names a room that it joins, where a backend decides who subscribes: nobody may */
    RC_ROW_SENDS_DECIDED, /* or that it sends to or keeps a value of, where one decides who publishes */
};
enum rc_config_row_flaw rc_config_row_flaw(const struct rc_config *config, const struct rc_config_event *row);

#endif
