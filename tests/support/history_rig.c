#include "tests/support/history_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static void rig_take(struct history_rig *rig)
{
    struct rc_err err;
    rc_history_format(rig->segment, rig->bytes);
    RC_ASSERT(rc_history_view_open(&rig->view, rig->segment, rig->bytes, &err) == 0);
    RC_ASSERT(rc_history_open(&rig->store, &rig->view, &rig->config, &rig->metrics, 32768) == 0);
}

void history_rig_open(struct history_rig *rig, uint64_t bytes)
{
    memset(rig, 0, sizeof(*rig));
    rc_config_defaults(&rig->config);
    rig->config.namespaces[0].history = 100;
    rig->bytes = bytes;
    rig->now_ms = 1000000;
    rig->segment = aligned_alloc(4096, (bytes + 4095) & ~(uint64_t)4095);
    RC_ASSERT(rig->segment != NULL);
    memset(rig->segment, 0, bytes);
    rig_take(rig);
}

void history_rig_close(struct history_rig *rig)
{
    rc_history_close(&rig->store);
    free(rig->segment);
}

void history_rig_restart(struct history_rig *rig)
{
    rc_history_close(&rig->store);
    rig_take(rig);
}

struct rc_envelope_view history_rig_record(struct history_rig *rig, const char *channel, const char *key,
                                           const void *data, uint32_t bytes)
{
    return (struct rc_envelope_view){.head = {.sequence = ++rig->sequence,
                                              .channel_hash = rc_channel_hash(channel, strlen(channel)),
                                              .channel_bytes = (uint8_t)strlen(channel),
                                              .key_bytes = (uint8_t)strlen(key),
                                              .data_bytes = bytes},
                                     .channel = channel,
                                     .key = (const uint8_t *)key,
                                     .data = data};
}

struct rc_history_place history_rig_append(struct history_rig *rig, const char *channel, const void *data,
                                           uint32_t bytes)
{
    const struct rc_envelope_view view = history_rig_record(rig, channel, "", data, bytes);
    const struct rc_config_namespace *policy = rc_history_policy(&rig->store, rc_span_text(channel));
    if (policy == NULL) {
        return (struct rc_history_place){.slot = RC_HISTORY_NO_SLOT};
    }
    return rc_history_append(&rig->store, &view, policy, rig->now_ms);
}

enum rc_history_kept history_rig_keep(struct history_rig *rig, const char *channel, const char *key, const char *data,
                                      uint64_t stamp_ms)
{
    const struct rc_envelope_view view = history_rig_record(rig, channel, key, data, (uint32_t)strlen(data));
    struct rc_history_stamp stamp = {.ms = stamp_ms, .instance = RC_SPAN("a")};
    return rc_history_keep(&rig->store, &view, &stamp, false, rig->now_ms);
}

uint32_t history_rig_slot(const struct history_rig *rig, const char *channel)
{
    return rc_history_find(&rig->store, rc_channel_hash(channel, strlen(channel)), rc_span_text(channel));
}

const char *history_rig_values(const struct history_rig *rig, const char *channel)
{
    static char text[65536];
    static uint8_t bytes[65536];
    const uint32_t slot = history_rig_slot(rig, channel);
    size_t used = 0;
    text[0] = '\0';
    const uint64_t count = slot == RC_HISTORY_NO_SLOT ? 0 : rc_history_values(&rig->store, slot, bytes, sizeof(bytes));
    struct rc_history_message message;
    for (uint64_t at = 0; at < count; at += rc_history_entry_bytes(&message.entry)) {
        RC_ASSERT(rc_history_message_of(bytes + at, count - at, &message));
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s=%.*s", used == 0 ? "" : " ",
                                 (int)message.key.count, (const char *)message.key.bytes, (int)message.data.count,
                                 (const char *)message.data.bytes);
        RC_ASSERT(used < sizeof(text));
    }
    return text;
}
