/* truth_check_channels: see truth_check_channels.h. */
#include "worker/store/truth_check_channels.h"

#include <errno.h>

#include "common/records/channel_name.h"

/* --- logs ------------------------------------------------------------------------------------------------------------ */

static const struct rc_frame *log_frame(const struct rc_truth *truth, const struct rc_channel_log *log, uint32_t i)
{
    const uint8_t *end = (const uint8_t *)rc_heap_at(&truth->heap, log->block) + log->block_bytes;
    return (const struct rc_frame *)(const void *)end - 1 - i;
}

static int check_frames(struct rc_truth_found *found, const struct rc_channel_log *log, const char *of, uint32_t number)
{
    const uint64_t bytes = log->head - log->origin;
    RC_FOUND_MUST(found,
                  bytes <= log->block_bytes && log->frames <= (log->block_bytes - bytes) / sizeof(struct rc_frame),
                  "the log of %s %u has %llu bytes in %u frames, in a block of %u", of, number,
                  (unsigned long long)bytes, log->frames, log->block_bytes);
    RC_FOUND_MUST(found, (log->frames == 0) == (bytes == 0), "the log of %s %u has %llu bytes in %u frames", of, number,
                  (unsigned long long)bytes, log->frames);
    uint64_t order = 0;
    uint64_t next = 0; /* the first begins the block */
    for (uint32_t i = 0; i < log->frames; i++) {
        const struct rc_frame *frame = log_frame(found->truth, log, i);
        RC_FOUND_MUST(found, i == 0 ? frame->offset == 0 : frame->offset >= next && frame->offset < bytes,
                      "frame %u of the log of %s %u begins at %u of %llu bytes", i, of, number, frame->offset,
                      (unsigned long long)bytes);
        RC_FOUND_MUST(found, frame->order > order, "frame %u of the log of %s %u came before the one before it", i, of,
                      number);
        RC_FOUND_MUST(found, !(frame->flags & RC_FRAME_VOLATILE) || log->has_volatile,
                      "frame %u of the log of %s %u is volatile, and the log does not say so", i, of, number);
        order = frame->order;
        next = (uint64_t)frame->offset + 1;
    }
    return 0;
}

/* Is that where a frame begins? */
static bool log_begins_at(const struct rc_truth *truth, const struct rc_channel_log *log, uint64_t position)
{
    if (position == log->head) {
        return true;
    }
    uint32_t low = 0;
    uint32_t high = log->frames;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (log->origin + log_frame(truth, log, middle)->offset < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < log->frames && log->origin + log_frame(truth, log, low)->offset == position;
}

static int check_exclusions(struct rc_truth_found *found, const struct rc_channel_log *log, const char *of,
                            uint32_t number)
{
    RC_FOUND_MUST(found, log->exclusion_count <= log->exclusion_capacity,
                  "the log of %s %u has %u exclusions in room for %u", of, number, log->exclusion_count,
                  log->exclusion_capacity);
    RC_FOUND_TRY(rc_truth_found_block(found, log->exclusions,
                                      (uint64_t)log->exclusion_capacity * sizeof(struct rc_exclusion),
                                      RC_TRUTH_BYTES_LOGS, of, number));
    const struct rc_exclusion *list = log->exclusions == 0 ? NULL : rc_heap_at(&found->truth->heap, log->exclusions);
    for (uint32_t i = 0; i < log->exclusion_count; i++) {
        RC_FOUND_MUST(found, list[i].position < log->head && (i == 0 || list[i].position >= list[i - 1].position),
                      "exclusion %u of the log of %s %u is at %llu of %llu", i, of, number,
                      (unsigned long long)list[i].position, (unsigned long long)log->head);
    }
    return 0;
}

int rc_truth_check_log(struct rc_truth_found *found, uint32_t index, bool direct, uint32_t number)
{
    const struct rc_truth *truth = found->truth;
    const struct rc_channel_log *log = rc_truth_log(truth, index);
    const char *of = direct ? "client" : "group";
    RC_FOUND_MUST(found, log->origin <= log->base && log->base <= log->served && log->served <= log->head,
                  "the log of %s %u is at origin %llu, base %llu, served %llu, head %llu", of, number,
                  (unsigned long long)log->origin, (unsigned long long)log->base, (unsigned long long)log->served,
                  (unsigned long long)log->head);
    RC_FOUND_MUST(found, log->target <= log->head && log->marked <= log->head,
                  "the log of %s %u has target %llu and marked %llu beyond %llu", of, number,
                  (unsigned long long)log->target, (unsigned long long)log->marked, (unsigned long long)log->head);
    RC_FOUND_TRY(rc_truth_found_block(found, log->block, log->block_bytes, RC_TRUTH_BYTES_LOGS, of, number));
    RC_FOUND_MUST(found, log->block == 0 || log->block_bytes == rc_heap_block_bytes(&found->heap, log->block),
                  "the log of %s %u has %u bytes of its block", of, number, log->block_bytes);
    RC_FOUND_TRY(check_frames(found, log, of, number));
    RC_FOUND_MUST(found, log->block == 0 || log_begins_at(truth, log, log->served),
                  "what was served of the log of %s %u ends in the middle of a frame, at %llu", of, number,
                  (unsigned long long)log->served);
    RC_FOUND_MUST(found, direct || log->block == 0 || log_begins_at(truth, log, log->base),
                  "the log of %s %u begins in the middle of a frame, at %llu", of, number,
                  (unsigned long long)log->base);
    return check_exclusions(found, log, of, number);
}

/* --- what waits ------------------------------------------------------------------------------------------------------ */

static int check_pending(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_channel *channel = rc_truth_channel(found->truth, c);
    uint32_t previous = 0;
    for (uint32_t i = channel->pending; i != 0; i = rc_truth_pending(found->truth, i)->next) {
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_pending, i, "channel", c));
        const struct rc_pending *pending = rc_truth_pending(found->truth, i);
        RC_FOUND_MUST(found, pending->channel == c, "request %u of channel %u is channel %u's", i, c, pending->channel);
        RC_FOUND_MUST(found, pending->previous == previous, "request %u of channel %u is behind %u, and says %u", i, c,
                      previous, pending->previous);
        RC_FOUND_MUST(found, rc_truth_found_is_client(found, pending->client),
                      "request %u is of client %u, who is not there", i, pending->client);
        RC_FOUND_MUST(found, pending->id_bytes <= RC_REQUEST_ID_MAX, "request %u has an id of %u bytes", i,
                      pending->id_bytes);
        if (pending->replay != 0) {
            RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_replays, pending->replay, "request", i));
            RC_FOUND_MUST(found, rc_truth_replay(found->truth, pending->replay)->subscription == 0,
                          "request %u wants of a history what subscription %u gets", i,
                          rc_truth_replay(found->truth, pending->replay)->subscription);
        }
        found->pending[pending->client]++;
        previous = i;
    }
    RC_FOUND_MUST(found, channel->pending_last == previous || channel->pending == 0,
                  "the last request of channel %u is %u, and it says %u", c, previous, channel->pending_last);
    return 0;
}

/* In the lists of their clients, whose beginnings are index: each link must have its other side. */
static int check_pending_of_clients(struct rc_truth_found *found)
{
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_pending]; i++) {
        if (!rc_truth_was_found(found, RC_TRUTH_POOL_pending, i)) {
            continue;
        }
        const struct rc_pending *pending = rc_truth_pending(found->truth, i);
        const uint32_t next = pending->next_of_client;
        const uint32_t previous = pending->previous_of_client;
        RC_FOUND_MUST(found,
                      next == 0 || (rc_truth_was_found(found, RC_TRUTH_POOL_pending, next) &&
                                    rc_truth_pending(found->truth, next)->previous_of_client == i &&
                                    rc_truth_pending(found->truth, next)->client == pending->client),
                      "request %u of client %u is before %u, which does not know", i, pending->client, next);
        RC_FOUND_MUST(found,
                      previous == 0 || (rc_truth_was_found(found, RC_TRUTH_POOL_pending, previous) &&
                                        rc_truth_pending(found->truth, previous)->next_of_client == i),
                      "request %u of client %u is behind %u, which does not know", i, pending->client, previous);
    }
    return 0;
}

static int check_throttles(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_channel *channel = rc_truth_channel(found->truth, c);
    uint32_t previous = 0;
    uint32_t count = 0;
    for (uint32_t i = channel->throttles; i != 0; i = rc_truth_throttle(found->truth, i)->next_of_channel) {
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_throttles, i, "channel", c));
        const struct rc_throttle *throttle = rc_truth_throttle(found->truth, i);
        RC_FOUND_MUST(found, throttle->channel == c, "throttle %u of channel %u is channel %u's", i, c,
                      throttle->channel);
        RC_FOUND_MUST(found, throttle->previous_of_channel == previous,
                      "throttle %u of channel %u is behind %u, and says %u", i, c, previous,
                      throttle->previous_of_channel);
        RC_FOUND_TRY(rc_truth_found_block(found, throttle->held, throttle->held == 0 ? 0 : throttle->held_bytes,
                                          RC_TRUTH_BYTES_HELD, "throttle", i));
        RC_FOUND_MUST(found, throttle->held == 0 || throttle->held_bytes >= sizeof(struct rc_envelope),
                      "throttle %u holds a record of %u bytes", i, throttle->held_bytes);
        previous = i;
        count++;
    }
    RC_FOUND_MUST(found, count == channel->throttle_count, "channel %u has %u throttles, and counts %u", c, count,
                  channel->throttle_count);
    return 0;
}

static int check_queues(struct rc_truth_found *found)
{
    for (uint32_t i = 1; i < found->highs[RC_TRUTH_POOL_throttles]; i++) {
        if (!rc_truth_was_found(found, RC_TRUTH_POOL_throttles, i)) {
            continue;
        }
        const struct rc_throttle *throttle = rc_truth_throttle(found->truth, i);
        const uint32_t next = throttle->next;
        const uint32_t previous = throttle->previous;
        RC_FOUND_MUST(found,
                      next == 0 || (rc_truth_was_found(found, RC_TRUTH_POOL_throttles, next) &&
                                    rc_truth_throttle(found->truth, next)->previous == i &&
                                    rc_truth_throttle(found->truth, next)->opened_ms >= throttle->opened_ms),
                      "throttle %u is due before %u, which does not know or is due sooner", i, next);
        RC_FOUND_MUST(found,
                      previous == 0 || (rc_truth_was_found(found, RC_TRUTH_POOL_throttles, previous) &&
                                        rc_truth_throttle(found->truth, previous)->next == i),
                      "throttle %u is due behind %u, which does not know", i, previous);
    }
    return 0;
}

/* --- channels -------------------------------------------------------------------------------------------------------- */

static int check_groups(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_truth *truth = found->truth;
    uint64_t encodings = 0;
    for (uint32_t g = rc_truth_channel(truth, c)->groups; g != 0; g = rc_truth_group(truth, g)->next) {
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_groups, g, "channel", c));
        const struct rc_group *group = rc_truth_group(truth, g);
        RC_FOUND_MUST(found, group->channel == c, "group %u of channel %u is channel %u's", g, c, group->channel);
        RC_FOUND_MUST(found, group->encoding < RC_ENCODING_COUNT, "group %u has encoding %u", g, group->encoding);
        RC_FOUND_MUST(found, (encodings & (UINT64_C(1) << group->encoding)) == 0,
                      "channel %u has two groups of encoding %u", c, group->encoding);
        encodings |= UINT64_C(1) << group->encoding;
        if (group->log != 0) {
            RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_logs, group->log, "group", g));
            RC_FOUND_TRY(rc_truth_check_log(found, group->log, false, g));
        }
    }
    return 0;
}

static int check_channel(struct rc_truth_found *found, uint32_t c)
{
    const struct rc_truth *truth = found->truth;
    const struct rc_channel *channel = rc_truth_channel(truth, c);
    RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_channels, c, "channel", c));
    RC_FOUND_TRY(rc_truth_found_block(found, channel->name, (uint64_t)channel->name_bytes + channel->json_bytes,
                                      RC_TRUTH_BYTES_NAMES, "channel", c));
    const struct rc_span name = rc_truth_channel_name(truth, channel);
    RC_FOUND_MUST(found, name.count > 0 && channel->json_bytes >= name.count + 2, "channel %u has a name of %zu bytes",
                  c, name.count);
    RC_FOUND_MUST(found, channel->hash == rc_channel_hash((const char *)name.bytes, name.count),
                  "channel %u, \"%.*s\", has the hash of another name", c, (int)name.count, (const char *)name.bytes);
    RC_FOUND_MUST(found, channel->namespace < RC_CONFIG_NAMESPACES_MAX, "channel %u is of namespace %u", c,
                  channel->namespace);
    RC_FOUND_MUST(found, !(channel->flags & RC_CHANNEL_SETTLING), "those who wait for channel %u are being answered",
                  c);
    if (rc_span_equal(name, RC_SPAN("*"))) {
        RC_FOUND_MUST(found, found->everybody == 0, "channels %u and %u are both \"*\"", found->everybody, c);
        found->everybody = c;
    }
    if (channel->place != 0) {
        RC_FOUND_TRY(rc_truth_found_object(found, RC_TRUTH_POOL_places, channel->place, "channel", c));
        RC_FOUND_MUST(found, rc_truth_place(truth, channel->place)->channel == c,
                      "place %u of channel %u is channel %u's", channel->place, c,
                      rc_truth_place(truth, channel->place)->channel);
    }
    RC_FOUND_TRY(check_groups(found, c));
    RC_FOUND_TRY(check_pending(found, c));
    return check_throttles(found, c);
}

int rc_truth_check_channels(struct rc_truth_found *found)
{
    for (uint32_t c = 1; c < found->highs[RC_TRUTH_POOL_channels]; c++) {
        if (rc_truth_channel(found->truth, c)->name != 0) {
            RC_FOUND_TRY(check_channel(found, c));
        }
    }
    RC_FOUND_MUST(found, found->everybody != 0, "there is no channel \"*\"");
    RC_FOUND_TRY(check_pending_of_clients(found));
    return check_queues(found);
}

int rc_truth_check_counts(const struct rc_truth_found *found)
{
    const struct rc_truth *truth = found->truth;
    for (uint32_t c = 1; c < found->highs[RC_TRUTH_POOL_channels]; c++) {
        if (!rc_truth_was_found(found, RC_TRUTH_POOL_channels, c)) {
            continue;
        }
        const struct rc_channel *channel = rc_truth_channel(truth, c);
        uint32_t members = 0;
        for (uint32_t g = channel->groups; g != 0; g = rc_truth_group(truth, g)->next) {
            RC_FOUND_MUST(found, rc_truth_group(truth, g)->behind == found->groups[g].behind,
                          "group %u has %u members behind, and counts %u", g, found->groups[g].behind,
                          rc_truth_group(truth, g)->behind);
            members += found->groups[g].members;
        }
        RC_FOUND_MUST(found, c == found->everybody || members == channel->subscriber_count,
                      "channel %u has %u subscribers, and counts %u", c, members, channel->subscriber_count);
    }
    return 0;
}
