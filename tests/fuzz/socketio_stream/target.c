/* Entries of the streams adapter's stream (relay/bridge/cluster_wire): fields and values, each ended by a NUL, in any order and number. Whatever
 * they are, they are refused or yield views of them; what is written of an event that was taken is taken again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/bridge/cluster_wire.h"
#include "tests/support/adapter_check.h"

#define VALUES_MAX 32u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static int read_entry(struct rc_cluster_message *message, const struct rc_cluster_entry *entry, uint8_t **text)
{
    const size_t room = rc_cluster_read_room(entry->data.count, ADAPTER_CHECK_TEXT_MAX);
    *text = malloc(room);
    RC_ASSERT(*text != NULL);
    return rc_cluster_read_entry(message, entry, *text, room);
}

static void check_again(const struct rc_cluster_message *message, const struct rc_adapter_event *event)
{
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_ARGS, .data_bytes = (uint32_t)event->data.count}, .data = event->data.bytes};
    const struct rc_adapter_message ours = {
        .uid = message->request.uid, .nsp = message->nsp, .event = event->name, .view = &view};
    const size_t room = rc_cluster_write_room(&ours);
    uint8_t *buffer = malloc(room);
    uint8_t *text;
    struct rc_cluster_message again;
    RC_ASSERT(buffer != NULL);
    const struct rc_cluster_entry entry = {.uid = message->request.uid,
                                           .nsp = message->nsp,
                                           .type = RC_CLUSTER_BROADCAST,
                                           .data = rc_cluster_write_entry(&ours, buffer, room)};
    if (entry.data.count > 0) {
        const int rc = read_entry(&again, &entry, &text);
        RC_ASSERT(rc == 0 || rc == -EOVERFLOW || rc == -EMSGSIZE);
        free(text);
    }
    free(buffer);
}

static void check_taken(void *context, const struct rc_adapter_event *event, const struct rc_args_view *args)
{
    (void)args;
    check_again(context, event);
}

static void check_message(struct rc_cluster_message *message, size_t count)
{
    RC_ASSERT(message->request.uid.count > 0 && message->request.uid.count <= RC_ADAPTER_ASKER_MAX);
    RC_ASSERT(message->nsp.count > 0 && message->nsp.count <= RC_NSP_MAX && rc_json_utf8_valid(message->nsp));
    if (message->request.type == RC_ADAPTER_BROADCAST) {
        rc_adapter_check_event(&message->request.broadcast, count, check_taken, message);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_span values[VALUES_MAX];
    struct rc_cluster_message message;
    uint32_t value_count = 0;
    uint8_t *text;
    const uint8_t *at = bytes;
    const uint8_t *end = bytes + count;
    while (at < end && value_count < VALUES_MAX) {
        const uint8_t *mark = memchr(at, '\0', (size_t)(end - at));
        const uint8_t *stop = mark != NULL ? mark : end;
        values[value_count++] = rc_span_of(at, (size_t)(stop - at));
        at = mark != NULL ? mark + 1 : end;
    }
    const struct rc_cluster_entry entry = rc_cluster_entry_of(values, value_count);
    if (read_entry(&message, &entry, &text) == 0) {
        check_message(&message, count);
    }
    free(text);
    return 0;
}
