/* emission: see emission.h. */
#include "relay/bridge/emission.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"

int rc_emission_open(struct rc_emission *emission, const struct rc_bridge *bridge)
{
    *emission = (struct rc_emission){.bridge = bridge, .names = malloc(RC_EXCLUDE_TEXT_MAX)};
    if (emission->names == NULL) {
        emission->bridge = NULL;
        return -ENOMEM;
    }
    rc_sid_instance(emission->instance, bridge->wire->instance_id);
    return 0;
}

void rc_emission_close(struct rc_emission *emission)
{
    free(emission->names);
    free(emission->buffer.bytes);
    *emission = (struct rc_emission){.bridge = NULL};
}

struct rc_targets rc_emission_targets(struct rc_emission *emission, struct rc_span nsp)
{
    return (struct rc_targets){.bridge = emission->bridge,
                               .instance = emission->instance,
                               .nsp = nsp,
                               .refs = emission->refs,
                               .select = {.text = emission->names}};
}

struct rc_envelope_view rc_emission_view(void)
{
    return (struct rc_envelope_view){
        .head = {.time_ns = rc_clock_ns(), .flags = RC_ENVELOPE_REMOTE | RC_ENVELOPE_ARGS}};
}

void rc_emission_fill(const struct rc_emission *emission, struct rc_envelope_view *view, struct rc_span event,
                      struct rc_span data, enum rc_metric_id received)
{
    const struct rc_bridge *bridge = emission->bridge;
    view->event = (const char *)event.bytes;
    view->head.event_bytes = (uint8_t)event.count;
    view->data = data.bytes;
    view->head.data_bytes = (uint32_t)data.count;
    rc_metric_add(bridge->wire->metrics, received, 1);
    rc_metric_add(bridge->wire->metrics, RC_METRIC_CROSS_INSTANCE, 1);
    rc_metric_add(bridge->wire->metrics, RC_METRIC_CROSS_INSTANCE_BYTES, data.count);
}

void rc_emission_deliver(struct rc_emission *emission, enum rc_record_type type, struct rc_envelope_view *view,
                         struct rc_span event, struct rc_span data, enum rc_metric_id received)
{
    const struct rc_bridge *bridge = emission->bridge;
    rc_emission_fill(emission, view, event, data, received);
    if (type == RC_DOWN_MESSAGE && bridge->host.share != NULL && bridge->host.share(bridge->host.context, view)) {
        return;
    }
    (void)bridge->host.deliver(bridge->host.context, type, view);
}
