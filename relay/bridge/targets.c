/* targets: see targets.h. */
#include "relay/bridge/targets.h"

#include <string.h>

#include "common/records/channel_name.h"

bool rc_targets_is_own(const char *instance, struct rc_span room, struct rc_sid *sid)
{
    return rc_sid_read(sid, room) && rc_sid_is_of(sid, instance);
}

bool rc_targets_wanted(const struct rc_bridge *bridge, struct rc_span nsp, struct rc_span room)
{
    const struct rc_bridge_host *host = &bridge->host;
    char name[RC_CHANNEL_NAME_MAX];
    const size_t bytes = rc_channel_of_room(name, RC_CHANNEL_NAME_MAX, nsp, room);
    if (bytes == 0) {
        return false; /* no client can subscribe to it */
    }
    return !host->known(host->context) || host->wanted(host->context, rc_span_of(name, bytes));
}

void rc_targets_room(struct rc_targets *targets, struct rc_span room)
{
    struct rc_sid sid;
    const bool wanted = rc_targets_wanted(targets->bridge, targets->nsp, room);
    const bool own = rc_targets_is_own(targets->instance, room, &sid);
    targets->room_count++;
    if (!wanted && !own) {
        return;
    }
    targets->is_client = own && !wanted;
    targets->client = own ? sid.client : targets->client;
    targets->kept_count++;
    rc_select_put(&targets->select, targets->nsp, room);
}

void rc_targets_everybody(struct rc_targets *targets)
{
    targets->room_count = targets->kept_count = 0;
    targets->is_client = false;
    targets->client = (struct rc_client_ref){.random = 0};
    targets->select = (struct rc_select){.text = targets->select.text};
}

void rc_targets_except(struct rc_targets *targets)
{
    targets->rooms_bytes = targets->select.bytes;
    rc_select_except(&targets->select);
}

void rc_targets_excepted(struct rc_targets *targets, struct rc_span room)
{
    struct rc_sid sid;
    if (rc_targets_is_own(targets->instance, room, &sid)) {
        if (targets->ref_count < RC_EXCLUDES_MAX) {
            targets->refs[targets->ref_count++] = sid.client;
        } else {
            targets->refs_cut++;
        }
    }
    if (rc_targets_wanted(targets->bridge, targets->nsp, room)) {
        targets->except_count++;
        rc_select_put(&targets->select, targets->nsp, room);
    }
}

enum rc_record_type rc_targets_view(struct rc_targets *targets, struct rc_envelope_view *view)
{
    if (targets->room_count > 0 && targets->kept_count == 0) {
        return 0;
    }
    memcpy(targets->everybody, targets->nsp.bytes, targets->nsp.count);
    targets->everybody[targets->nsp.count] = '#';
    view->channel = targets->everybody;
    view->head.channel_bytes = (uint8_t)(targets->nsp.count + 1);
    view->excludes = (const uint8_t *)targets->refs;
    view->head.exclude_count = (uint16_t)targets->ref_count;
    rc_metric_add(targets->bridge->wire->metrics, RC_METRIC_REDIS_EXCLUDES_CUT, targets->refs_cut);
    if (targets->except_count == 0 && targets->room_count == 0) {
        return RC_DOWN_MESSAGE;
    }
    if (targets->except_count == 0 && targets->kept_count == 1 && !targets->select.full) {
        if (targets->is_client && targets->ref_count == 0) {
            view->head.target = targets->client;
            return RC_DOWN_DIRECT;
        }
        if (!targets->is_client && targets->client.random == 0) {
            view->channel = targets->select.text;
            view->head.channel_bytes = (uint8_t)(targets->rooms_bytes - 1); /* its NUL */
            return RC_DOWN_MESSAGE;
        }
    }
    view->exclude_text = targets->select.text;
    view->head.exclude_text_bytes = targets->select.bytes;
    return RC_DOWN_SELECT;
}

bool rc_targets_cut(const struct rc_targets *targets, enum rc_record_type type)
{
    return type == RC_DOWN_SELECT && targets->select.full;
}
