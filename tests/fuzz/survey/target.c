/* Lists of clients and channels out of another worker's reply: entries lie within the list, one behind the other, and nothing behind a cut one
 * is looked at. */
#include <string.h>

#include "common/base/check.h"
#include "common/records/survey.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const struct rc_span list = rc_span_of(bytes, count);
    struct rc_survey_head head;
    struct rc_span entry;
    size_t at = 0;
    size_t before = 0;
    uint32_t entries = 0;
    while (rc_survey_next(list, &at, &head, &entry)) {
        RC_ASSERT(entry.bytes == bytes + before + sizeof(head) && entry.count == head.bytes);
        RC_ASSERT(at == before + sizeof(head) + head.bytes && at <= count);
        before = at;
        entries++;
    }
    RC_ASSERT(at == before && entries <= count / sizeof(head));
    RC_ASSERT(!rc_survey_next(list, &at, &head, &entry) && at == before);
    return 0;
}
