/* Messages of python-socketio (relay/bridge/python_wire): whatever the bytes, they are refused or yield views inside of them; arguments
 * that were taken are ones that a record may carry, and whose callback they are is JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "common/records/placeholders.h"
#include "relay/bridge/python_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_names(const struct rc_json_value *value)
{
    uint8_t scratch[RC_CHANNEL_NAME_MAX];
    struct rc_span name;
    struct rc_python_names names = rc_python_names_of(value);
    size_t most = value->raw.count + 1; /* each takes a byte at least */
    int got;
    while ((got = rc_python_name_next(&names, scratch, &name)) != 0) {
        RC_ASSERT(most-- > 0);
        RC_ASSERT(got == 1 || (got == -ENOENT && name.count == 0));
        RC_ASSERT(name.count == 0 ||
                  rc_channel_name_check((const char *)name.bytes, name.count, RC_CHANNEL_NAME_MAX) == 0);
    }
}

static void check_args(const struct rc_python_message *message, size_t count, size_t data_bytes_max)
{
    uint8_t *buffer = malloc(rc_python_args_room(count, data_bytes_max));
    struct rc_span data;
    RC_ASSERT(buffer != NULL);
    const int rc = rc_python_args(message, buffer, data_bytes_max, &data);
    RC_ASSERT(rc <= 0 && (rc != -EMSGSIZE || count + 2 > data_bytes_max));
    if (rc == 0) {
        struct rc_args_view args;
        struct rc_json_value value;
        RC_ASSERT(rc_args_read(data, &args) == 0);
        RC_ASSERT(args.json.count + args.attachments.count <= data_bytes_max);
        RC_ASSERT(rc_json_scan(args.json, RC_JSON_CHECK_UTF8, &value, NULL) == 0 && value.type == RC_JSON_ARRAY);
        RC_ASSERT(args.attachment_count == 0 || rc_placeholders_check(args.json, args.attachment_count) == 0);
    }
    free(buffer);
}

/* What is published with an answer is JSON again. */
static void check_callback(const struct rc_python_message *message)
{
    uint8_t text[512 + 4];
    struct rc_json_value value;
    const int64_t used = rc_python_callback(message, text, 512);
    RC_ASSERT(used == -EINVAL || (used >= 0 && used <= 512));
    if (used > 0) {
        memcpy(text + used, "[1]}", 4);
        RC_ASSERT(rc_json_scan(rc_span_of(text, (size_t)used + 4), RC_JSON_CHECK_UTF8, &value, NULL) == 0);
        RC_ASSERT(value.type == RC_JSON_OBJECT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_python_message message;
    if (rc_python_read(&message, rc_span_of(bytes, count)) < 0 || message.method == RC_PYTHON_OTHER) {
        return 0;
    }
    RC_ASSERT(message.nsp.count > 0 && message.nsp.count <= RC_NSP_MAX && message.nsp.bytes[0] == '/');
    RC_ASSERT(message.event.count <= RC_EVENT_NAME_MAX && message.sid.count <= RC_SID_BYTES);
    check_names(&message.room);
    check_names(&message.skip_sid);
    if (message.method == RC_PYTHON_EMIT) {
        RC_ASSERT(message.event.count > 0);
        check_callback(&message);
        check_args(&message, count, 1u << 20);
        check_args(&message, count, 16);
    }
    return 0;
}
