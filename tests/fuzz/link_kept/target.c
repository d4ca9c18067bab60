/*
 * What a worker tells the relay of clients of an application behind links, and asks it: whatever comes, what is taken lies within it, and lists
 * have as many texts as they say.
 *
 * Input: a byte that says what it is to be, then that.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/link_kept.h"

static void within(struct rc_span part, struct rc_span whole)
{
    RC_ASSERT(part.count == 0 || (part.bytes >= whole.bytes && part.bytes + part.count <= whole.bytes + whole.count));
}

static void walk_list(struct rc_span list)
{
    struct rc_span text;
    uint32_t found = 0;
    const uint32_t count = rc_link_kept_list_begin(&list);
    while (rc_link_kept_list_next(&list, &text)) {
        found++;
    }
    RC_ASSERT(found == count && list.count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct rc_link_kept_session head;
    struct rc_span parts[3] = {{0}};
    if (bytes < 2) {
        return 0;
    }
    uint8_t *copy = malloc(bytes - 1); /* what is read beyond is noticed */
    RC_ASSERT(copy != NULL);
    memcpy(copy, data + 1, bytes - 1);
    const struct rc_span all = rc_span_of(copy, bytes - 1);
    switch (data[0] % 4) {
    case 0:
        if (rc_link_kept_session_read(all, &head, &parts[0], &parts[1], &parts[2]) == 0) {
            RC_ASSERT(sizeof(head) + parts[0].count + parts[1].count + parts[2].count == all.count);
        }
        break;
    case 1:
        if (rc_link_kept_said_read(all, &parts[0], &parts[1], &parts[2]) == 0) {
            RC_ASSERT(parts[0].count + parts[1].count + parts[2].count == all.count);
            walk_list(parts[0]);
            walk_list(parts[1]);
        }
        break;
    case 2:
        if (rc_link_kept_rest_read(all, &parts[0], &parts[1]) == 0) {
            walk_list(parts[1]);
        }
        break;
    default:
        if (rc_link_kept_question_read(all, &parts[0], &parts[1]) == 0) {
            RC_ASSERT(parts[0].count > 0 && parts[0].count + parts[1].count + 2 == all.count);
        }
        break;
    }
    for (size_t i = 0; i < 3; i++) {
        within(parts[i], all);
    }
    free(copy);
    return 0;
}
