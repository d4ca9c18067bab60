#include "tests/support/recover_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/proto/native_binary.h"
#include "worker/ws/frame.h"

void recover_rig_open(struct recover_rig *rig, const struct hub_rig_options *options, uint64_t history_bytes)
{
    hub_rig_open(&rig->hub, options);
    history_rig_open(&rig->kept, history_bytes);
    rig->hub.config->namespaces[0].history = 100;
    rig->hub.control->history = rig->kept.view;
}

void recover_rig_close(struct recover_rig *rig)
{
    hub_rig_close(&rig->hub);
    history_rig_close(&rig->kept);
}

void recover_rig_acknowledge(struct recover_rig *rig, const char *channel)
{
    const uint64_t hash = rc_channel_hash(channel, strlen(channel));
    const uint32_t slot = rc_history_begin(&rig->kept.store, hash, rc_span_text(channel), rig->kept.now_ms);
    const struct rc_history_state state = rc_history_state(&rig->kept.view, slot);
    rc_hub_acknowledged(
        &rig->hub.hub, rc_hub_channel(&rig->hub.hub, rc_span_text(channel)),
        &(struct rc_hub_acknowledgement){.placed = true, .slot = slot, .epoch = state.epoch, .position = state.last});
}

struct rc_envelope_view recover_rig_route(struct recover_rig *rig, const char *channel, const char *data,
                                          const struct rc_client_ref *origin, const struct rc_client_ref *excluded)
{
    struct rc_envelope_view view = history_rig_record(&rig->kept, channel, "", data, (uint32_t)strlen(data));
    if (origin != NULL) {
        view.head.origin = *origin;
        view.head.flags = RC_ENVELOPE_NO_ECHO;
    }
    if (excluded != NULL) {
        view.head.exclude_count = 1;
        view.excludes = (const uint8_t *)excluded;
    }
    const struct rc_history_place place = rc_history_append(
        &rig->kept.store, &view, rc_history_policy(&rig->kept.store, rc_span_text(channel)), rig->kept.now_ms);
    view.head.epoch = place.epoch;
    view.head.position = place.offset;
    view.head.target.slot = place.slot;
    return view;
}

void recover_rig_down(struct recover_rig *rig, const struct rc_envelope_view *view)
{
    int rc;
    while ((rc = rc_hub_message(&rig->hub.hub, view)) == -ENOSPC) {
        hub_rig_run(&rig->hub);
    }
    RC_ASSERT(rc == 0);
}

void recover_rig_publish(struct recover_rig *rig, const char *channel, int from, int to)
{
    for (int i = from; i <= to; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        const struct rc_envelope_view view = recover_rig_route(rig, channel, text, NULL, NULL);
        recover_rig_down(rig, &view);
    }
}

enum rc_subscribed recover_rig_subscribe(struct recover_rig *rig, uint32_t client, const char *channel,
                                         const struct rc_hub_from *from)
{
    return rc_hub_subscribe_from(&rig->hub.hub, client, rc_span_text(channel), RC_SUBSCRIBER_CLIENT, RC_SPAN("1"), 0,
                                 from);
}

uint32_t recover_rig_connect(struct recover_rig *rig)
{
    return hub_rig_connect(&rig->hub, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
}

uint32_t recover_rig_join(struct recover_rig *rig, const char *channel)
{
    const uint32_t client = recover_rig_connect(rig);
    if (recover_rig_subscribe(rig, client, channel, NULL) == RC_SUBSCRIBE_WAITS) {
        recover_rig_acknowledge(rig, channel);
    }
    return client;
}

uint64_t recover_rig_epoch(const struct recover_rig *rig, const char *channel)
{
    return rc_history_state(&rig->kept.view, history_rig_slot(&rig->kept, channel)).epoch;
}

static size_t put_frame(char *out, size_t room, const char *json)
{
    const char *offset = strstr(json, "\"offset\":");
    const char *data = strstr(json, "\"data\":");
    const char *of = offset == NULL ? "?" : offset + 9;
    const int digits = (int)strspn(of, "0123456789?");
    if (strstr(json, "\"subscribed\"") != NULL) {
        const char *became = strstr(json, "\"recovered\":true") != NULL    ? "+"
                             : strstr(json, "\"recovered\":false") != NULL ? "-"
                                                                           : "";
        return (size_t)snprintf(out, room, " S%s%.*s", became, digits, of);
    }
    if (strstr(json, "\"gap\"") != NULL) {
        return (size_t)snprintf(out, room, " G");
    }
    if (data == NULL) {
        return 0;
    }
    return (size_t)snprintf(out, room, " %s%.*s=%.*s", strstr(json, "\"epoch\"") != NULL ? "E" : "", digits, of,
                            (int)strcspn(data + 7, ",}"), data + 7);
}

static uint64_t binary_number(struct rc_span *fields)
{
    uint64_t number = 0;
    for (unsigned shift = 0; fields->count > 0; shift += 7) {
        const uint8_t digit = *fields->bytes++;
        fields->count--;
        number |= (uint64_t)(digit & 0x7f) << shift;
        if ((digit & 0x80) == 0) {
            break;
        }
    }
    return number;
}

static void binary_skip_text(struct rc_span *fields)
{
    const uint64_t count = binary_number(fields);
    RC_ASSERT(count <= fields->count);
    *fields = rc_span_of(fields->bytes + count, fields->count - count);
}

/* The same of the binary form, of messages without from and event. */
static size_t put_binary(char *out, size_t room, struct rc_span frame)
{
    RC_ASSERT(frame.count >= 2);
    const uint8_t flags = frame.bytes[1];
    struct rc_span fields = rc_span_of(frame.bytes + 2, frame.count - 2);
    if (frame.bytes[0] == RC_NATIVE_BINARY_GAP) {
        return (size_t)snprintf(out, room, " G");
    }
    if (frame.bytes[0] != RC_NATIVE_BINARY_KEPT) {
        return 0;
    }
    const uint64_t offset = binary_number(&fields);
    const bool begins = (flags & RC_NATIVE_BINARY_BEGINS) != 0;
    if (begins) {
        binary_skip_text(&fields);
    }
    binary_skip_text(&fields);
    return (size_t)snprintf(out, room, " %s%llu=%.*s", begins ? "E" : "", (unsigned long long)offset, (int)fields.count,
                            (const char *)fields.bytes);
}

const char *recover_rig_heard(struct recover_rig *rig, uint32_t client, bool drains)
{
    static char text[262144];
    size_t used = 0;
    uint8_t opcode;
    struct rc_span frame;
    if (drains) {
        hub_rig_drain(&rig->hub);
    }
    text[0] = '\0';
    while (hub_rig_frame(&rig->hub, client, &opcode, &frame)) {
        if (opcode == RC_WS_BINARY) {
            used += put_binary(text + used, sizeof(text) - used, frame);
            continue;
        }
        char json[512] = "";
        memcpy(json, frame.bytes, frame.count < sizeof(json) - 1 ? frame.count : sizeof(json) - 1);
        used += put_frame(text + used, sizeof(text) - used, json);
        RC_ASSERT(used < sizeof(text));
    }
    return used > 0 ? text + 1 : text;
}
