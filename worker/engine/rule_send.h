/*
 * rule_send: how what a row does leaves: as an operation of its client, as a server's message where there is none, or straight to the
 * client. Owned as all of worker/engine.
 */
#ifndef RC_WORKER_ENGINE_RULE_SEND_H
#define RC_WORKER_ENGINE_RULE_SEND_H

#include "worker/engine/rule_state.h"

/* Name of the channel of everybody in the namespace. */
struct rc_span rc_rule_everybody(const struct rc_rule_run *run, char out[RC_CHANNEL_NAME_MAX]);

/* To who sent the event; who finds no memory for it ends. */
void rc_rule_send_reply(struct rc_rule_run *run, const struct rc_event *event);

/* RC_CARRIED_LATER: there is no room in the up ring now. */
enum rc_carried rc_rule_send_operation(struct rc_rule_run *run, const struct rc_operation *operation);

/* What was said is the retained value of a channel. One that does not fit the rings fails the run. */
enum rc_carried rc_rule_send_kept(struct rc_rule_run *run, struct rc_span channel);

/* A message for the channel of a room, a socket (by its `name`), everybody (no name), or run->rooms (everybody's channel). `flags`: RC_EVENT_OTHERS,
 * RC_EVENT_VOLATILE. One that does not fit the rings fails the run. */
enum rc_carried rc_rule_send_message(struct rc_rule_run *run, struct rc_span channel, struct rc_span name,
                                     struct rc_span event, struct rc_span args, uint32_t flags);

#endif
