/*
 * sse: arbitrary bytes as what a client that only listens asks for, as places in histories, and as what is told to it. Channels are those of the lines, places are
 * read as they are written, and an event is one event, whatever its name and data: nothing of a publisher's is a line of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/proto/codec.h"
#include "worker/proto/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static struct rc_operation_scratch scratch;

static void asked(const uint8_t *input, size_t bytes)
{
    struct rc_reader reader;
    struct rc_operation operation;
    struct rc_operation_error error;
    size_t lines = 0;
    size_t operations = 0;
    int rc;
    for (size_t i = 0; i < bytes; i++) {
        lines += input[i] == '\n';
    }
    rc_reader_begin(&reader, &rc_codec_sse, RC_PART_TEXT, rc_span_of(input, bytes), &scratch, NULL);
    while ((rc = rc_reader_next(&reader, &operation, &error)) != 0) {
        RC_ASSERT(rc < 0 ? error.code == RC_CODE_BAD_REQUEST
                         : operation.type == RC_OPERATION_SUBSCRIBE && operation.channel.count <= RC_CHANNEL_BYTES_MAX);
        operations++;
    }
    RC_ASSERT(operations == (lines > 3 ? lines - 3 : 0));
}

static void places(struct rc_span list)
{
    for (uint32_t index = 0; index < 8; index++) {
        struct rc_span epoch;
        uint64_t offset;
        if (rc_sse_position_of(list, index, &epoch, &offset)) {
            char text[RC_EPOCH_BYTES_MAX + 32];
            RC_ASSERT(epoch.count > 0 && epoch.count <= RC_EPOCH_BYTES_MAX && offset <= RC_OFFSET_MAX);
            const int bytes = snprintf(text, sizeof(text), "%.*s:%llu", (int)epoch.count, (const char *)epoch.bytes,
                                       (unsigned long long)offset);
            struct rc_span again;
            uint64_t same;
            RC_ASSERT(memchr(epoch.bytes, 0, epoch.count) != NULL ||
                      (rc_sse_position_of(rc_span_of(text, (size_t)bytes), 0, &again, &same) && same == offset &&
                       rc_span_equal(again, epoch)));
        }
    }
}

/* first byte: how long the name is | the name | the data */
static void told(enum rc_codec_id codec, const uint8_t *input, size_t bytes)
{
    const uint8_t encoding = rc_encoding_of(codec, RC_FRAMING_STREAM, 0);
    const size_t name = bytes == 0 ? 0 : input[0] < bytes - 1 ? input[0] : bytes - 1;
    const struct rc_event event = {.type = RC_EVENT_MESSAGE,
                                   .data_kind = (bytes & 1u) ? RC_DATA_BINARY : RC_DATA_JSON,
                                   .epoch = bytes,
                                   .offset = bytes & 3u,
                                   .channel = RC_SPAN("a"),
                                   .event = rc_span_of(input + 1, name),
                                   .data = rc_span_of(input + 1 + name, bytes == 0 ? 0 : bytes - 1 - name)};
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, &event);
    char *out = malloc(bytes_max + 1);
    if (out == NULL) {
        abort();
    }
    const size_t count = rc_event_unit_write(encoding, NULL, &event, bytes_max, (uint8_t *)out);
    RC_ASSERT(count <= bytes_max && count > 2 && memchr(out, '\r', count) == NULL);
    size_t names = 0;
    for (size_t at = 0; at < count;) {
        const char *end = memchr(out + at, '\n', count - at);
        RC_ASSERT(end != NULL);
        const size_t line = (size_t)(end - out) - at;
        RC_ASSERT(line > 0 || at + 1 == count); /* an empty one ends the event, and nothing is behind it */
        RC_ASSERT(line == 0 || strncmp(out + at, "data: ", 6) == 0 || strncmp(out + at, "id: ", 4) == 0 ||
                  strncmp(out + at, "event: ", 7) == 0);
        names += line > 0 && out[at] != 'd';
        at += line + 1;
    }
    RC_ASSERT(names <= 2);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    asked(input, bytes);
    places(rc_span_of(input, bytes));
    if (bytes > 0) {
        told(RC_CODEC_SSE, input, bytes);
        told(RC_CODEC_SSE_DATA, input, bytes);
    }
    return 0;
}
