/* cidr: see cidr.h. */
#include "common/text/cidr.h"

#include <errno.h>

#include "common/config/text.h"

static int range_compare(const struct rc_address *a, const struct rc_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* a + 1 as a number, false when there is none. */
static bool address_successor(struct rc_address *address)
{
    for (size_t i = sizeof(address->bytes); i > 0; i--) {
        if (++address->bytes[i - 1] != 0) {
            return true;
        }
    }
    return false;
}

static struct rc_cidr_range range_of(const struct rc_network *network)
{
    struct rc_cidr_range range;
    memcpy(range.first.bytes, network->address, sizeof(range.first.bytes));
    range.last = range.first;
    for (uint32_t bit = network->prefix_bits; bit < 128; bit++) {
        range.last.bytes[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    }
    return range;
}

/* Puts a range where it belongs by its first address. */
static void range_insert(struct rc_cidr_list *list, const struct rc_cidr_range *range)
{
    uint32_t at = list->count++;
    for (; at > 0 && range_compare(&range->first, &list->ranges[at - 1].first) < 0; at--) {
        list->ranges[at] = list->ranges[at - 1];
    }
    list->ranges[at] = *range;
}

static void ranges_merge(struct rc_cidr_list *list)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct rc_cidr_range *const next = &list->ranges[i];
        if (kept > 0) {
            struct rc_cidr_range *const before = &list->ranges[kept - 1];
            struct rc_address behind = before->last;
            if (!address_successor(&behind) || range_compare(&next->first, &behind) <= 0) {
                if (range_compare(&next->last, &before->last) > 0) {
                    before->last = next->last;
                }
                continue;
            }
        }
        list->ranges[kept++] = *next;
    }
    list->count = kept;
}

int rc_cidr_list_compile(struct rc_cidr_list *list, const struct rc_config_list *entries, struct rc_err *err)
{
    struct rc_cidr_list compiled = {0};
    if (list != NULL) {
        list->count = 0;
    }
    for (uint32_t i = 0; i < entries->count; i++) {
        const char *const text = entries->items[i].text;
        struct rc_network network;
        struct rc_err why = {""};
        if (rc_network_parse(&network, text, strnlen(text, RC_CONFIG_TEXT_MAX), &why) != 0) {
            return rc_err_set(err, -EINVAL, "\"%.*s\": %s", RC_CONFIG_TEXT_MAX, text, why.text);
        }
        const struct rc_cidr_range range = range_of(&network);
        range_insert(&compiled, &range);
    }
    ranges_merge(&compiled);
    if (list != NULL) {
        *list = compiled;
    }
    return 0;
}

bool rc_cidr_list_contains(const struct rc_cidr_list *list, const struct rc_address *address)
{
    uint32_t low = 0;
    uint32_t high = list->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (range_compare(&list->ranges[middle].last, address) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < list->count && range_compare(&list->ranges[low].first, address) <= 0;
}
