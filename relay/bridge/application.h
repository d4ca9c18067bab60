/*
 * application: bare JSON that backends publish on Redis channels of their own ([[bridge]]).
 *
 *   [[bridge]] redis = "match:result"  room = "match:{json.matchId}"  event = "match:result"
 *
 * A message becomes a message on channel `room`, with the JSON as it came as its data; several bridges may listen to one Redis
 * channel. {json.name.name} in room and event is the text, number or boolean at that place of the JSON; a message in which it is
 * missing, null or a container, or whose room is then no channel name, is dropped and counted for its bridge. Every instance
 * hears it from Redis itself, delivers it to its workers and publishes nothing.
 */
#ifndef RC_RELAY_BRIDGE_APPLICATION_H
#define RC_RELAY_BRIDGE_APPLICATION_H

#include "common/shm/layout.h"
#include "common/text/template.h"
#include "relay/bridge/bridge.h"

struct rc_application_bridge {
    const struct rc_config_bridge *config; /* borrowed: a copy of ours, see rc_application */
    struct rc_template room;
    struct rc_template event;
    struct rc_application_bridge *same;        /* the next one on the same Redis channel */
    struct rc_bridge_counters *counters;       /* borrowed */
    struct rc_application *application;        /* borrowed */
    struct rc_redis_subscription subscription; /* of the first one on its Redis channel */
};

struct rc_application {
    const struct rc_bridge *bridge; /* borrowed */
    uint32_t name_bytes_max;        /* limits.max_channel_name */
    uint32_t bridge_count;
    struct rc_application_bridge bridges[RC_CONFIG_BRIDGES_MAX];
    struct rc_config_bridge configs[RC_CONFIG_BRIDGES_MAX]; /* names outlive a reload, which writes the other copy */
};

/* Subscribes for the life of the link. `counters` has RC_CONFIG_BRIDGES_MAX entries. */
void rc_application_open(struct rc_application *application, const struct rc_bridge *bridge,
                         const struct rc_config *config, struct rc_bridge_counters *counters);
/* After a reload: limits. */
void rc_application_configure(struct rc_application *application, const struct rc_config *config);

/* Fills a template from a message that is valid JSON. The bytes written; -ENOENT a field is missing, null, an object or an
 * array; -EMSGSIZE longer than `room`. */
int rc_application_fill(const struct rc_template *template, struct rc_span json, char *out, size_t room);

#endif
