/*
 * cidr: a list of address ranges, compiled for quick membership tests.
 *
 * Filled from a configuration list whose entries are in the form of rc_network_parse (common/config/text.h): "10.0.0.0/8",
 * "192.0.2.1", "2001:db8::/32", both families together. What overlaps or touches is merged, so that a test is a
 * binary search over disjoint ranges: at most 7 comparisons for 32 entries. A value without pointers, owned by whoever declares
 * it; zeroed, it contains nothing. Only compiling can fail.
 */
#ifndef RC_COMMON_TEXT_CIDR_H
#define RC_COMMON_TEXT_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/text/address.h"
#include "common/config/values.h"
#include "common/base/err.h"

struct rc_cidr_list {
    uint32_t count;
    struct rc_cidr_range {
        struct rc_address first;
        struct rc_address last;
    } ranges[RC_CONFIG_LIST_MAX]; /* ascending, with something between each two */
};

/*
 * Compiles `entries`. -EINVAL with the first wrong entry's text and what is wrong with it in `err`; `list` is then
 * empty. `list` may be NULL: only checked.
 */
int rc_cidr_list_compile(struct rc_cidr_list *list, const struct rc_config_list *entries, struct rc_err *err);

bool rc_cidr_list_contains(const struct rc_cidr_list *list, const struct rc_address *address);

#endif
