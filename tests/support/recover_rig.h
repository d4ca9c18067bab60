/* A hub rig and a history rig as worker and relay: what is published is kept, sequenced and sent down. */
#ifndef RC_TESTS_SUPPORT_RECOVER_RIG_H
#define RC_TESTS_SUPPORT_RECOVER_RIG_H

#include "tests/support/history_rig.h"
#include "tests/support/hub_rig.h"

struct recover_rig {
    struct hub_rig hub;
    struct history_rig kept;
};

/* The default namespace keeps 100 messages. */
void recover_rig_open(struct recover_rig *rig, const struct hub_rig_options *options, uint64_t history_bytes);
void recover_rig_close(struct recover_rig *rig);

/* As the relay's acknowledgement: how the channel stands now. */
void recover_rig_acknowledge(struct recover_rig *rig, const char *channel);
/* The relay takes a message in: the record that it sends down. `origin` does not get its own; both may be NULL. */
struct rc_envelope_view recover_rig_route(struct recover_rig *rig, const char *channel, const char *data,
                                          const struct rc_client_ref *origin, const struct rc_client_ref *excluded);
/* The record comes down. */
void recover_rig_down(struct recover_rig *rig, const struct rc_envelope_view *view);
/* Messages whose data are these numbers, routed and sent down. */
void recover_rig_publish(struct recover_rig *rig, const char *channel, int from, int to);
enum rc_subscribed recover_rig_subscribe(struct recover_rig *rig, uint32_t client, const char *channel,
                                         const struct rc_hub_from *from);
/* A new client that speaks JSON and is in the channel. */
uint32_t recover_rig_join(struct recover_rig *rig, const char *channel);
uint32_t recover_rig_connect(struct recover_rig *rig);
uint64_t recover_rig_epoch(const struct recover_rig *rig, const char *channel);
/* What the client got, in short: "S" for subscribed ("+" recovered, "-" not) and its offset, "G" for a gap, offset=data for messages, "E"
 * before it when it says its epoch. Valid until the next call. Of who speaks the binary form "G" and messages only. `drains`: everything that there is comes first. */
const char *recover_rig_heard(struct recover_rig *rig, uint32_t client, bool drains);

#endif
