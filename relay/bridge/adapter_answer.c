/* adapter_answer: see adapter_answer.h. */
#include "relay/bridge/adapter_answer.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/text/msgpack_json.h"
#include "relay/bridge/adapter_name.h"

const struct rc_adapter_form rc_adapter_classic_forms[] = {
    [RC_ADAPTER_SOCKETS] = {"{\"requestId\":", ",\"sockets\":[", "", "]}"},
    [RC_ADAPTER_FETCH] = {"{\"requestId\":", ",\"sockets\":[", "", "]}"},
    [RC_ADAPTER_ALL_ROOMS] = {"{\"requestId\":", ",\"rooms\":[", "", "]}"},
    [RC_ADAPTER_JOIN] = {"{\"requestId\":", "}", "", ""},
    [RC_ADAPTER_LEAVE] = {"{\"requestId\":", "}", "", ""},
    [RC_ADAPTER_DISCONNECT] = {"{\"requestId\":", "}", "", ""},
    /* No row that answers: null, or the asker would wait for us. */
    [RC_ADAPTER_SERVER_EVENT] = {"{\"type\":6,\"requestId\":", ",\"data\":", "null", "}"},
    [RC_ADAPTER_BROADCAST] = {"{\"type\":8,\"requestId\":", ",\"clientCount\":", "0", "}"},
};

const struct rc_adapter_form rc_adapter_cluster_forms[] = {
    [RC_ADAPTER_FETCH] = {"{\"type\":8,\"data\":{\"requestId\":", ",\"sockets\":[", "", "]}"},
    [RC_ADAPTER_SERVER_EVENT] = {"{\"type\":10,\"data\":{\"requestId\":", ",\"packet\":", "null", "}"},
    [RC_ADAPTER_BROADCAST] = {"{\"type\":11,\"data\":{\"requestId\":", ",\"clientCount\":", "0", "}"},
};

#define ANSWER_PARTS 10u

/* The same as msgpack, in memory that the caller frees. Empty: no memory. */
static struct rc_span answer_pack(const struct rc_span *parts, uint8_t **memory)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < ANSWER_PARTS; i++) {
        bytes += parts[i].count;
    }
    const size_t room = RC_JSON_MSGPACK_BYTES_MAX(bytes, 0, 0);
    *memory = malloc(bytes + room);
    if (*memory == NULL) {
        return (struct rc_span){0};
    }
    size_t at = 0;
    for (uint32_t i = 0; i < ANSWER_PARTS; i++) {
        at = rc_adapter_name_put((char *)*memory, at, parts[i]);
    }
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(*memory + bytes, room);
    const int rc = rc_json_to_msgpack(&writer, rc_span_of(*memory, bytes), NULL, 0);
    return rc == 0 ? rc_msgpack_written(&writer) : (struct rc_span){0};
}

/* Where it listens for answers. */
static struct rc_span answer_channel(const struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                                     char name[RC_ADAPTER_NAME_MAX])
{
    const char *mark = adapter->kind->answers.mark;
    return mark != NULL ? rc_adapter_channel(adapter, mark, asker->nsp, name)
                        : rc_adapter_name(adapter, asker->nsp, asker->uid, name);
}

void rc_adapter_answer(struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                       enum rc_adapter_request_type type, struct rc_span values)
{
    const struct rc_adapter_answers *answers = &adapter->kind->answers;
    const struct rc_adapter_form *answer = &answers->of[type];
    /* Worth nothing later: who asked gives up after five seconds. */
    const uint32_t flags = rc_adapter_flags(adapter, RC_REDIS_PUBLISH_FLEETING);
    char name[RC_ADAPTER_NAME_MAX];
    uint8_t nsp[RC_JSON_STRING_BYTES_MAX(RC_NSP_MAX)];
    uint8_t *memory = NULL;
    RC_ASSERT(answer->head != NULL);
    struct rc_span parts[ANSWER_PARTS] = {rc_span_text(answer->head), asker->id, rc_span_text(answer->middle),
                                          values.count > 0 ? values : rc_span_text(answer->none),
                                          rc_span_text(answer->tail)};
    if (answers->mark == NULL) {
        parts[5] = RC_SPAN(",\"uid\":\"");
        parts[6] = rc_span_of(adapter->uid, sizeof(adapter->uid));
        parts[7] = RC_SPAN("\",\"nsp\":");
        parts[8] = rc_span_of(nsp, rc_json_string_encode(nsp, sizeof(nsp), asker->nsp));
        parts[9] = RC_SPAN("}");
    }
    const struct rc_span channel = answer_channel(adapter, asker, name);
    if (answers->packed) {
        const struct rc_span packed = answer_pack(parts, &memory);
        if (packed.count > 0) {
            (void)rc_redis_publish(adapter->bridge->link, channel, &packed, 1, flags);
        }
        free(memory);
        return;
    }
    (void)rc_redis_publish(adapter->bridge->link, channel, parts, ANSWER_PARTS, flags);
}

int rc_adapter_acknowledge(struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                           const struct rc_args_view *args)
{
    const struct rc_adapter_ack ack = {
        .uid = rc_span_of(adapter->uid, sizeof(adapter->uid)), .nsp = asker->nsp, .id = asker->id, .args = *args};
    struct rc_scratch *buffer = &adapter->emission.buffer;
    const size_t room = adapter->kind->ack_room(&ack);
    char name[RC_ADAPTER_NAME_MAX];
    if (!rc_scratch_room(buffer, room)) {
        return -ENOMEM;
    }
    const struct rc_span bytes = adapter->kind->ack_write(&ack, buffer->bytes, room);
    if (bytes.count == 0) {
        return -EMSGSIZE;
    }
    /* Kept while Redis is away: who asked may wait for a minute. Only servers listen there: when all are gone, it counts as a failed
     * delivery. */
    const int rc = rc_redis_publish(adapter->bridge->link, answer_channel(adapter, asker, name), &bytes, 1,
                                    rc_adapter_flags(adapter, RC_REDIS_PUBLISH_TO_ONE));
    return rc < 0 ? rc : 0;
}
