/* record: what a record has added to logs, as a successor of a worker that was killed in the middle of it knows it. See hub_internal.h. */
#include "worker/hub/hub_internal.h"

void rc_record_begin(struct rc_hub *hub, uint64_t sequence)
{
    struct rc_truth_hub *kept = hub->kept;
    if (sequence == 0 || kept->order_of != sequence) {
        kept->order_of = 0;
        RC_STORE_ORDER();
        kept->order = hub->order;
        RC_STORE_ORDER();
        kept->order_of = sequence;
    }
}

bool rc_record_was_added(const struct rc_hub *hub, uint32_t log_index)
{
    const struct rc_channel_log *log = log_index == 0 ? NULL : rc_truth_log(hub->truth, log_index);
    const struct rc_frame *newest =
        log == NULL || log->frames == 0 ? NULL : rc_channel_log_frame(log, &hub->truth->heap, log->frames - 1);
    return newest != NULL && newest->order > hub->kept->order && !(newest->flags & RC_FRAME_GAP);
}
