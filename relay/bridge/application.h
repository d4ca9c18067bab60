/*
 * application: bare JSON that backends publish on Redis channels of their own ([[bridge]]).
 *
 *   [[bridge]] redis = "match:result"  room = "match:{json.matchId}"  event = "match:result"
 *   [[bridge]] pattern = "orders.*"  room = "{match.1}"  event = "{json.event}"  args = ["{json.data}"]  except = "{json.socket}"
 *
 * A message becomes a message on the room's channel, with the JSON as it came as its data, or with arguments; several bridges may listen to
 * one Redis channel, or to one pattern. {json.name.name} is the text, number or boolean at that place of the JSON, {match.N} what the Nth
 * star of the pattern stood for; a message in which it is missing, null or a container, or whose room is then no channel name, is dropped
 * and counted for its bridge. An argument that is one field is that value as it stands, null where it is missing. Every instance hears it
 * from Redis itself, delivers it to its workers and publishes nothing.
 *
 * A pattern hears what nobody named; what is ringcast's own (ws:…, websocket:notifications, those of the adapter and of python-socketio)
 * is passed over.
 */
#ifndef RC_RELAY_BRIDGE_APPLICATION_H
#define RC_RELAY_BRIDGE_APPLICATION_H

#include "common/records/sid.h"
#include "common/shm/layout.h"
#include "common/text/glob.h"
#include "common/text/template.h"
#include "relay/bridge/bridge.h"
#include "relay/bridge/scratch.h"

struct rc_application_bridge {
    const struct rc_config_bridge *config; /* borrowed: a copy of ours, see rc_application */
    struct rc_template room;
    struct rc_template event;
    struct rc_template nsp;
    struct rc_template except;
    struct rc_template args[RC_CONFIG_BRIDGE_ARGS_MAX];
    struct rc_application_bridge *same;        /* the next one on the same Redis channel, or pattern */
    struct rc_bridge_counters *counters;       /* borrowed */
    struct rc_application *application;        /* borrowed */
    struct rc_redis_subscription subscription; /* of the first one on its Redis channel */
};

struct rc_application {
    const struct rc_bridge *bridge; /* borrowed */
    uint32_t name_bytes_max;        /* limits.max_channel_name */
    uint32_t bridge_count;
    char instance[RC_SID_INSTANCE_BYTES]; /* what our sids begin with */
    struct rc_config_text adapter_key;    /* "" = there is no adapter */
    struct rc_config_text python_channel;
    struct rc_scratch args; /* owner: of a message that has them */
    struct rc_scratch text; /* owner: of one of them, before it is written as JSON */
    struct rc_application_bridge bridges[RC_CONFIG_BRIDGES_MAX];
    struct rc_config_bridge configs[RC_CONFIG_BRIDGES_MAX]; /* names outlive a reload, which writes the other copy */
};

/* Subscribes for the life of the link. `counters` has RC_CONFIG_BRIDGES_MAX entries. */
void rc_application_open(struct rc_application *application, const struct rc_bridge *bridge,
                         const struct rc_config *config, struct rc_bridge_counters *counters);
/* Behind the link's end. */
void rc_application_close(struct rc_application *application);
/* After a reload: limits. */
void rc_application_configure(struct rc_application *application, const struct rc_config *config);

/* Where a message goes. The texts live as long as it. */
struct rc_application_destination {
    uint32_t channel_bytes;
    uint32_t event_bytes;
    bool everywhere; /* "*", on every protocol */
    bool excepts;
    struct rc_client_ref except;
    char channel[RC_CHANNEL_NAME_MAX];
    char event[RC_EVENT_NAME_MAX];
};

/* A message that came: valid JSON, and what the stars of its pattern stood for. */
struct rc_application_message {
    struct rc_span json;
    struct rc_glob_match match;
};

/* Fills a template from a message. The bytes written; -ENOENT a field is missing, null, an object or an array; -EMSGSIZE longer than
 * `room`. */
int rc_application_fill(const struct rc_template *template, const struct rc_application_message *message, char *out,
                        size_t room);
/* Writes an argument as JSON. Its bytes, or as above; one field alone that is missing is null. `scratch` holds a text before it is
 * written, and has `room` bytes as `out`. */
int rc_application_argument(const struct rc_template *template, const struct rc_application_message *message,
                            uint8_t *out, uint8_t *scratch, size_t room);
/* The channel, and the event's name, of a message. NULL, or why it has none. */
const char *rc_application_room(const struct rc_application_bridge *one, const struct rc_application_message *message,
                                struct rc_application_destination *to);
const char *rc_application_event(const struct rc_application_bridge *one, const struct rc_application_message *message,
                                 struct rc_application_destination *to);

#endif
