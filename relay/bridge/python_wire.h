/*
 * python_wire: what python-socketio's managers publish (RedisManager and its like, Flask-SocketIO's message_queue), as JSON in Redis.
 *
 *   {"method":"emit","event":…,"data":…,"binary":false,"namespace":"/","room":…,"skip_sid":…,"callback":…,"host_id":…}
 *   {"method":"disconnect","sid":…,"namespace":…}    {"method":"enter_room" | "leave_room","sid":…,"room":…,"namespace":…}
 *   {"method":"close_room","room":…,"namespace":…}
 *
 * `data` is the list of the arguments (5.15.1 and later) or one argument that is no list (5.14; its lists cannot be told from several
 * arguments, and python-socketio does not either); null alone is no argument. With binary (5.14.2 and later) it is [that, base64, …]
 * with placeholders. Before 5.14 it is a pickle: nothing that could be read safely.
 *
 * `callback` is null or [room, namespace, id]: what each client that acknowledges the event answers is wanted by the server `host_id`:
 *
 *   {"method":"callback","host_id":…,"sid":room,"namespace":…,"id":…,"args":[…]}
 *
 * Pure; anybody who can publish to Redis may have written it: everything is checked before anything is believed, unknown members are
 * passed over. Errors are those of json_scan; -EINVAL: it is none of these.
 */
#ifndef RC_RELAY_BRIDGE_PYTHON_WIRE_H
#define RC_RELAY_BRIDGE_PYTHON_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/args.h"
#include "common/records/envelope.h"
#include "common/records/sid.h"
#include "common/text/json_scan.h"

enum rc_python_method {
    RC_PYTHON_OTHER = 0, /* for other servers ("callback"), or of a version to come */
    RC_PYTHON_EMIT,
    RC_PYTHON_DISCONNECT,
    RC_PYTHON_ENTER_ROOM,
    RC_PYTHON_LEAVE_ROOM,
    RC_PYTHON_CLOSE_ROOM,
};

/* Views of the message, or of what is in it; they live as long as both do. */
struct rc_python_message {
    enum rc_python_method method;
    bool binary;
    struct rc_span nsp;        /* "/" when it says none */
    struct rc_span event;      /* its name; of an emit */
    struct rc_span sid;        /* of the others but close_room */
    struct rc_json_value data; /* of an emit */
    struct rc_json_value room;
    struct rc_json_value skip_sid;
    struct rc_json_value callback; /* of an emit */
    struct rc_json_value host_id;
    uint8_t nsp_text[RC_NSP_MAX];
    uint8_t event_text[RC_EVENT_NAME_MAX];
    uint8_t sid_text[RC_SID_BYTES];
};

int rc_python_read(struct rc_python_message *message, struct rc_span text);

/* Writes the message of an answer up to its arguments, which are a JSON array and "}". Its bytes; 0: no callback is wanted, as Python
 * looks at it; -EINVAL: its server has no name, or it does not fit `room`. */
int64_t rc_python_callback(const struct rc_python_message *message, uint8_t *out, size_t room);

/* Names of rooms: a text, a number, null, or a list of such. */
struct rc_python_names {
    struct rc_json_value value;
    struct rc_json_cursor cursor;
    bool list;
    bool ended;
};

struct rc_python_names rc_python_names_of(const struct rc_json_value *value);
/* Takes the next one. 1; 0 at the end; one that no client of ours can be in (too long, control characters, neither text nor number) is an
 * empty name, except null, which is -ENOENT: everybody. `scratch` has RC_CHANNEL_NAME_MAX bytes. */
int rc_python_name_next(struct rc_python_names *names, uint8_t *scratch, struct rc_span *name);

/* Bytes of a buffer for the arguments of a message of `text_bytes`, unless they are more than `data_bytes_max`. */
size_t rc_python_args_room(size_t text_bytes, size_t data_bytes_max);
/* Lays the arguments of an emit out in `buffer`, as common/records/args.h has them. -EMSGSIZE: more than `data_bytes_max`; -EINVAL: no
 * list with attachments. */
int rc_python_args(const struct rc_python_message *message, uint8_t *buffer, size_t data_bytes_max,
                   struct rc_span *args);

#endif
