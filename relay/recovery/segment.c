/* segment: see segment.h. */
#include "relay/recovery/segment.h"

#include <errno.h>

#define PAGE 4096u
#define BYTES_MIN (4 * PAGE)

static void segment_lay_out(struct rc_recovery_segment *segment, uint64_t bytes)
{
    segment->log_bytes = bytes / 4 * 3 & ~(uint64_t)(PAGE - 1);
    const uint64_t units = (bytes - PAGE - segment->log_bytes) / RC_RECOVERY_UNIT;
    segment->unit_count = units > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)units;
    /* RV1 pairs with RV2 in rc_recovery_view_open of a successor: the counts are there. */
    atomic_store_explicit(&segment->ready, RC_RECOVERY_READY, memory_order_release);
}

int rc_recovery_view_open(struct rc_recovery_view *view, void *memory, uint64_t bytes, struct rc_err *err)
{
    struct rc_recovery_segment *segment = memory;
    *view = (struct rc_recovery_view){0};
    if (bytes < BYTES_MIN) {
        return 0;
    }
    /* RV2 pairs with RV1 in segment_lay_out of a predecessor. */
    if (atomic_load_explicit(&segment->ready, memory_order_acquire) != RC_RECOVERY_READY) {
        segment_lay_out(segment, bytes);
    }
    view->segment = segment;
    view->log_bytes = segment->log_bytes;
    view->unit_count = segment->unit_count;
    if (view->log_bytes > bytes - PAGE || view->log_bytes % PAGE != 0 ||
        view->unit_count > (bytes - PAGE - view->log_bytes) / RC_RECOVERY_UNIT) {
        return rc_err_set(err, -EBADMSG, "the recovery memory is damaged: %llu bytes of log, %u units in %llu bytes",
                          (unsigned long long)view->log_bytes, view->unit_count, (unsigned long long)bytes);
    }
    view->log = (uint8_t *)memory + PAGE;
    view->units = view->log + view->log_bytes;
    return 0;
}
