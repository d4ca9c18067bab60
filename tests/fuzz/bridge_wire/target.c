/* Messages as they stand in Redis (relay/bridge/wire): whatever the bytes, a message is refused or yields views inside of it, and
 * what was read can be written and read again with the same payload. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "common/text/json_scan.h"
#include "common/base/log.h"
#include "relay/bridge/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_again(struct rc_wire *writer, struct rc_wire *reader, const struct rc_envelope_view *view)
{
    struct rc_span parts[RC_WIRE_PARTS];
    struct rc_envelope_view again;
    RC_ASSERT(rc_wire_write(writer, RC_WIRE_BROADCAST, view, parts));
    const size_t total = parts[0].count + parts[1].count + parts[2].count;
    uint8_t *text = malloc(total);
    RC_ASSERT(text != NULL);
    size_t used = 0;
    for (size_t i = 0; i < RC_WIRE_PARTS; i++) {
        if (parts[i].count > 0) {
            memcpy(text + used, parts[i].bytes, parts[i].count);
        }
        used += parts[i].count;
    }
    RC_ASSERT(rc_wire_read(reader, rc_span_of(text, total), "again", &again) == RC_WIRE_GOOD);
    RC_ASSERT(again.head.data_bytes == view->head.data_bytes);
    RC_ASSERT(again.head.flags == (view->head.flags & ~RC_ENVELOPE_RETAIN)); /* which only a channel's message is */
    RC_ASSERT(rc_span_equal(rc_span_of(again.event, again.head.event_bytes),
                            rc_span_of(view->event, view->head.event_bytes)));
    RC_ASSERT(memcmp(again.data, view->data, view->head.data_bytes) == 0);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct rc_wire wire;
    static struct rc_wire other;
    static struct rc_metrics metrics;
    if (wire.text == NULL) {
        rc_log_open("fuzz", -1, RC_LOG_OFF, RC_LOG_TEXT);
        RC_ASSERT(rc_wire_open(&wire, "here", 7, 4096, &metrics) == 0);
        RC_ASSERT(rc_wire_open(&other, "there", 8, 4096, &metrics) == 0);
    }
    struct rc_envelope_view view;
    if (rc_wire_read(&wire, rc_span_of(bytes, count), "fuzz", &view) == RC_WIRE_GOOD) {
        struct rc_span json = rc_span_of(view.data, view.head.data_bytes);
        RC_ASSERT(view.head.data_bytes <= 4096 + RC_ARGS_BEFORE_MAX && view.head.exclude_count <= RC_EXCLUDES_MAX);
        if ((view.head.flags & RC_ENVELOPE_ARGS) != 0) {
            struct rc_args_view args;
            RC_ASSERT(rc_args_read(json, &args) == 0 && rc_json_peek(args.json) == RC_JSON_ARRAY);
            json = args.json;
        } else {
            RC_ASSERT(view.data >= bytes && view.data + view.head.data_bytes <= bytes + count);
        }
        if ((view.head.flags & RC_ENVELOPE_BINARY) == 0) {
            struct rc_json_value value;
            RC_ASSERT(rc_json_scan(json, RC_JSON_CHECK_UTF8, &value, NULL) == 0);
        }
        char text[RC_SELECT_BYTES];
        struct rc_envelope_view selects = view;
        RC_ASSERT(rc_wire_select(&wire, RC_SPAN("/n#a"), &selects, text));
        RC_ASSERT(selects.head.exclude_text_bytes <= RC_EXCLUDE_TEXT_MAX && selects.head.exclude_text_bytes > 0);
        view.head.sequence = 0;
        check_again(&other, &wire, &view);
    }
    return 0;
}
