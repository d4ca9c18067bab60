/* A history segment in private memory, a relay's store on it and a worker's view of it, and records for it. */
#ifndef RC_TESTS_SUPPORT_HISTORY_RIG_H
#define RC_TESTS_SUPPORT_HISTORY_RIG_H

#include "relay/history/store.h"

struct history_rig {
    struct rc_history_segment *segment; /* owner */
    uint64_t bytes;
    struct rc_history_view view;
    struct rc_history store;
    struct rc_config config;
    struct rc_metrics metrics;
    uint64_t now_ms;
    uint64_t sequence; /* of the last record */
};

void history_rig_open(struct history_rig *rig, uint64_t bytes);
void history_rig_close(struct history_rig *rig);
/* The relay died: another one takes over. */
void history_rig_restart(struct history_rig *rig);

/* A message of the channel with the next sequence, valid until the next call. */
struct rc_envelope_view history_rig_record(struct history_rig *rig, const char *channel, const char *key,
                                           const void *data, uint32_t bytes);
struct rc_history_place history_rig_append(struct history_rig *rig, const char *channel, const void *data,
                                           uint32_t bytes);
enum rc_history_kept history_rig_keep(struct history_rig *rig, const char *channel, const char *key, const char *data,
                                      uint64_t stamp_ms);
uint32_t history_rig_slot(const struct history_rig *rig, const char *channel);
/* The channel's values as "key=data key=data", in the order in which they were changed. */
const char *history_rig_values(const struct history_rig *rig, const char *channel);

#endif
