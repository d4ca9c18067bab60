/*
 * socketio_packet: any UTF-8 text as a packet of the text parser. Arguments are the JSON that stood there; placeholders are looked for
 * in them; what is written of them fits what it asked for, and is a packet again.
 */
#include "common/base/check.h"
#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/text/json_scan.h"
#include "worker/proto/codec.h"
#include "common/records/placeholders.h"
#include "worker/proto/socketio.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int packet_read(struct rc_span text, struct rc_operation *operation)
{
    static struct rc_operation_scratch scratch[2];
    static int turn;
    struct rc_reader reader;
    struct rc_operation_error error;
    turn = !turn;
    rc_reader_begin(&reader, &rc_codec_socketio, RC_PART_TEXT, text, &scratch[turn], NULL);
    return rc_reader_next(&reader, operation, &error);
}

static void write_again(const struct rc_operation *operation, struct rc_span args)
{
    static struct rc_operation again;
    char channel[RC_CHANNEL_BYTES_MAX];
    memcpy(channel, operation->nsp.bytes, operation->nsp.count);
    channel[operation->nsp.count] = '#';
    const struct rc_event event = {.type = operation->type == RC_OPERATION_ACK ? RC_EVENT_ACK : RC_EVENT_MESSAGE,
                                   .channel = rc_span_of(channel, operation->nsp.count + 1),
                                   .event = operation->event,
                                   .unnamed = RC_SPAN("message"),
                                   .id = operation->id,
                                   .data = args,
                                   .data_kind = RC_DATA_ARGS};
    const uint8_t encoding = rc_encoding_of(RC_CODEC_SOCKETIO, RC_FRAMING_POLLING, 0);
    const size_t room = rc_event_unit_bytes_max(encoding, &event);
    uint8_t *out = malloc(room);
    RC_ASSERT(out != NULL);
    const size_t bytes = rc_event_unit_write(encoding, NULL, &event, room, out);
    RC_ASSERT(bytes <= room && bytes > 2 && out[0] == 0x1e && out[1] == '4');
    if (memchr(operation->nsp.bytes, '#', operation->nsp.count) == NULL && !rc_config_event_reserved(event.event)) {
        RC_ASSERT(packet_read(rc_span_of(out + 2, bytes - 2), &again) == 1);
        RC_ASSERT(again.type == operation->type && rc_span_equal(again.id, operation->id));
        RC_ASSERT(rc_span_equal(again.nsp, operation->nsp));
        RC_ASSERT(operation->event.count == 0 || rc_span_equal(again.event, operation->event));
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rc_operation operation;
    struct rc_json_value value;
    if (!rc_json_utf8_valid(rc_span_of(data, size))) {
        return 0; /* nobody hands it on */
    }
    if (packet_read(rc_span_of(data, size), &operation) != 1) {
        return 0;
    }
    RC_ASSERT(operation.nsp.count > 0 && operation.nsp.bytes[0] == '/' && operation.nsp.count <= RC_SIO_NSP_MAX);
    RC_ASSERT(operation.id.count <= RC_SIO_ID_DIGITS_MAX && operation.event.count <= RC_EVENT_BYTES_MAX);
    if (operation.type != RC_OPERATION_EVENT && operation.type != RC_OPERATION_ACK) {
        RC_ASSERT(operation.data.count == 0 || rc_json_scan(operation.data, 0, &value, NULL) == 0);
        return 0;
    }
    const size_t json_bytes = 1 + operation.data.count;
    uint8_t *args = malloc(RC_ARGS_BEFORE_MAX + json_bytes);
    RC_ASSERT(args != NULL);
    uint8_t *json = args + RC_ARGS_BEFORE_MAX;
    json[0] = '[';
    memcpy(json + 1, operation.data.bytes, operation.data.count);
    RC_ASSERT(rc_json_scan(rc_span_of(json, json_bytes), 0, &value, NULL) == 0 && value.type == RC_JSON_ARRAY);
    (void)rc_placeholders_check(rc_span_of(json, json_bytes), operation.attachment_count < RC_ARGS_ATTACHMENTS_MAX
                                                                  ? operation.attachment_count
                                                                  : RC_ARGS_ATTACHMENTS_MAX);
    write_again(&operation, rc_args_wrap(json, json_bytes, 0, NULL, 0));
    free(args);
    return 0;
}
