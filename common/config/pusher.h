/*
 * pusher: what the names of the Pusher Channels protocol mean here: apps, their channels, their users.
 *
 *   app "7", channels = "own"      room           is the channel  pusher-7:room
 *                                  user 42                        user:pusher-7/42
 *            channels = "plain"    room                           room
 *                                  user 42                        user:42
 *
 * A channel's name has 1 to RC_PUSHER_NAME_MAX bytes of letters, digits and _-=@,.; and no colon, so that an app's channels are never
 * those of another. Its beginning says what it is (enum rc_pusher_kind). Pure; any process may call.
 * Names and limits: pusher.com/docs/channels, "Channels" and "Pusher Channels Protocol".
 */
#ifndef RC_COMMON_CONFIG_PUSHER_H
#define RC_COMMON_CONFIG_PUSHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/values.h"

#define RC_PUSHER_NAME_MAX 164u       /* bytes of a channel's name */
#define RC_PUSHER_USER_MAX 128u       /* bytes of a user's id */
#define RC_PUSHER_INFO_MAX 2048u      /* bytes of a member's user_info as JSON */
#define RC_PUSHER_EVENT_MAX 200u      /* bytes of an event's name */
#define RC_PUSHER_NAMESPACE "pusher-" /* and the app's id */
#define RC_PUSHER_USER_CHANNEL "#server-to-user-"
#define RC_PUSHER_WATCH_CHANNEL "#watch-"
#define RC_PUSHER_WATCHED_MAX 100u /* users of a watchlist */

/* What a channel is by its name, or-ed. */
enum rc_pusher_kind {
    RC_PUSHER_PRIVATE = 1u << 0,   /* who subscribes needs a signature: private-, presence- */
    RC_PUSHER_PRESENCE = 1u << 1,  /* it says who is in it: presence- */
    RC_PUSHER_ENCRYPTED = 1u << 2, /* private-encrypted-: what is in it only clients can read */
    RC_PUSHER_CACHE = 1u << 3,     /* who comes gets its last event: cache-, private-cache-, … */
    RC_PUSHER_USER = 1u << 4,      /* #server-to-user-{id} */
    RC_PUSHER_WATCH =
        1u << 5, /* #watch-{id}: the broker's own. Connections of the user are members, who watches it is subscribed */
};
uint32_t rc_pusher_kind_of(struct rc_span channel);
/* Is that a channel's name, as clients and SDKs have it? */
bool rc_pusher_channel_valid(struct rc_span channel);

/* The name of the channel in which that user of an app is watched: its id with =HH for each byte that names do not have; its bytes, 0 when it
 * does not fit. And back: the user of such a name, in `scratch`; empty: it is none. */
size_t rc_pusher_watch_write(struct rc_span user, char out[RC_PUSHER_NAME_MAX]);
struct rc_span rc_pusher_watch_user(struct rc_span name, uint8_t scratch[RC_PUSHER_USER_MAX]);

/* The app with that key, or id: its index in config->pusher_apps, or -1. */
int rc_pusher_app_of_key(const struct rc_config *config, struct rc_span key);
int rc_pusher_app_of_id(const struct rc_config *config, struct rc_span id);
/* The app whose channel this is, with the name that it has there in *name; -1: none's. */
int rc_pusher_app_of_channel(const struct rc_config *config, struct rc_span channel, struct rc_span *name);

/* The channel of an app's channel `name`, at most RC_CHANNEL_NAME_MAX bytes to `out`; its bytes, 0 when it does not fit. */
size_t rc_pusher_channel_write(const struct rc_config_pusher_app *app, struct rc_span name,
                               char out[RC_CHANNEL_NAME_MAX]);
/* The user here of an app's user, likewise; 0: it is too long, or looks like that of another app. */
size_t rc_pusher_user_write(const struct rc_config_pusher_app *app, struct rc_span user, char out[RC_CHANNEL_NAME_MAX]);
/* Is that the user here of a user of an app whose channels are its own? The app alone says who that is. */
bool rc_pusher_user_is(const struct rc_config *config, struct rc_span user);
/* What an app calls a channel, whichever app's it is: what stands before its first colon is left out. Of a user's channel its id is in the
 * result, and *user is set. */
struct rc_span rc_pusher_name_of(struct rc_span channel, bool *user);

/* May clients of other protocols not subscribe and publish to this channel? It is of an app's own, or a private one. */
bool rc_pusher_guards(const struct rc_config *config, struct rc_span channel);
/* Does the relay have to know who is in that channel? */
bool rc_pusher_roster(const struct rc_config *config, struct rc_span channel);
/* The same for presence of the channel's namespace, too. */
bool rc_pusher_or_presence(const struct rc_config *config, struct rc_span channel);

/* What a webhook tells, a bit each; 0: no such name. */
enum rc_pusher_webhook {
    RC_PUSHER_OCCUPIED = 1u << 0,
    RC_PUSHER_VACATED = 1u << 1,
    RC_PUSHER_MEMBER_ADDED = 1u << 2,
    RC_PUSHER_MEMBER_REMOVED = 1u << 3,
    RC_PUSHER_CLIENT_EVENT = 1u << 4,
    RC_PUSHER_CACHE_MISS = 1u << 5,
    RC_PUSHER_COUNT = 1u << 6,
};
uint32_t rc_pusher_webhook_of(struct rc_span name);
const char *rc_pusher_webhook_name(enum rc_pusher_webhook webhook);
/* Is the app's backend told of it? */
bool rc_pusher_tells(const struct rc_config_pusher_app *app, enum rc_pusher_webhook webhook);

/* What must hold across tables. -EINVAL with the remedy. */
int rc_config_pusher_check(const struct rc_config *config, struct rc_err *err);

#endif
