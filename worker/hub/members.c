/* members: lists of indexes that grow, and those of a group's subscriptions. See hub.h. */
#include "worker/hub/hub_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"

int rc_index_list_push(struct rc_index_list *list, uint32_t item)
{
    if (list->count == list->capacity) {
        const uint32_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        uint32_t *items = realloc(list->items, (size_t)capacity * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return 0;
}

int rc_members_add(struct rc_members *members, uint32_t subscription)
{
    if (members->capacity == 0 && members->count == 0) {
        members->one = subscription;
        members->count = 1;
        return 0;
    }
    if (members->count >= members->capacity) {
        const uint32_t capacity = members->capacity == 0 ? 4 : members->capacity * 2;
        uint32_t *items = realloc(members->capacity == 0 ? NULL : members->items, (size_t)capacity * sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        if (members->capacity == 0) {
            items[0] = members->one;
        }
        members->items = items;
        members->capacity = capacity;
    }
    members->items[members->count++] = subscription;
    return 0;
}

void rc_members_remove(struct rc_hub *hub, struct rc_members *members, uint32_t position)
{
    uint32_t *items = rc_members_items(members);
    RC_ASSERT(position < members->count);
    if (RC_UNLIKELY(hub->serving == members) && position < hub->kept->unserved) {
        /* The last one has been served: it must not come to stand among those who have not. */
        const uint32_t waits = items[--hub->kept->unserved];
        items[position] = waits;
        rc_truth_subscription(hub->truth, waits)->member = position;
        position = hub->kept->unserved;
    }
    const uint32_t last = items[--members->count];
    if (position < members->count) {
        items[position] = last;
        rc_truth_subscription(hub->truth, last)->member = position;
    }
    if (members->capacity > 0 && members->count <= 1) {
        const uint32_t one = members->count == 1 ? items[0] : 0;
        free(items);
        members->one = one;
        members->capacity = 0;
    } else if (members->capacity >= 64 && members->count < members->capacity / 4) {
        uint32_t *smaller = realloc(items, (size_t)(members->capacity / 2) * sizeof(*items));
        if (smaller != NULL) {
            members->items = smaller;
            members->capacity /= 2;
        }
    }
}
