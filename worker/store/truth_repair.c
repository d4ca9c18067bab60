/* truth_repair: see truth_repair.h. */
#include "worker/store/truth_repair.h"

#include <errno.h>
#include <stdlib.h>

#include "worker/store/receiving.h"
#include "worker/store/truth_repair_lists.h"

static bool repair_in(const struct rc_pool *pool, uint32_t index)
{
    return index > 0 && index < pool->high;
}

static bool repair_is_client(const struct rc_truth *truth, uint32_t index)
{
    return repair_in(&truth->clients, index) && rc_truth_client(truth, index)->random != 0;
}

/* Who was just coming comes again, and goes from here without a word (worker/move/take.c). */
static bool repair_comes_again(const struct rc_truth *truth, uint64_t random, uint32_t socket)
{
    const struct rc_truth_coming *coming = &truth->layout->coming;
    return coming->phase == RC_COMING_BEGUN &&
           ((random != 0 && coming->random == random) || (socket != RC_SOCKET_NONE && coming->socket == socket + 1));
}

void rc_truth_give_up_client(struct rc_truth *truth, uint32_t index, struct rc_truth_repaired *repaired)
{
    struct rc_client *client = rc_truth_client(truth, index);
    if (client->random != 0 && !repair_comes_again(truth, client->random, client->socket) &&
        !(client->flags & RC_CLIENT_BROKEN)) {
        client->flags |= RC_CLIENT_BROKEN;
        repaired->clients++;
    }
}

static bool repair_lives(const struct rc_socket *socket)
{
    return socket->state != RC_SOCKET_FREE && socket->state < RC_SOCKET_TERMINATING;
}

void rc_truth_give_up_socket(struct rc_truth *truth, uint32_t index, struct rc_truth_repaired *repaired)
{
    struct rc_socket *socket = &truth->sockets[index];
    if (!repair_lives(socket) || repair_comes_again(truth, 0, index)) {
        return;
    }
    if (repair_is_client(truth, socket->client)) {
        rc_truth_give_up_client(truth, socket->client, repaired);
    } else if (socket->exchange != RC_EXCHANGE_LOST) {
        socket->exchange = RC_EXCHANGE_LOST;
        repaired->sockets++;
    }
}

/* --- logs ------------------------------------------------------------------------------------------------------------ */

static const struct rc_frame *log_entry(const struct rc_truth *truth, const struct rc_channel_log *log, uint32_t i)
{
    const uint8_t *end = (const uint8_t *)rc_heap_at(&truth->heap, log->block) + log->block_bytes;
    return (const struct rc_frame *)(const void *)end - 1 - i;
}

/* So many entries lie in its block, behind its bytes. */
static bool log_fits(const struct rc_truth *truth, const struct rc_channel_log *log, uint64_t entries)
{
    return log->block < truth->heap.units && log->origin <= log->head && log->head - log->origin <= log->block_bytes &&
           (uint64_t)log->block * RC_HEAP_UNIT + log->block_bytes <= truth->heap.bytes &&
           entries * sizeof(struct rc_frame) <= log->block_bytes - (log->head - log->origin);
}

/* A frame that begins before the head, came after the last one, and is not counted (rc_channel_log_append). */
static bool log_lacks_frame(const struct rc_truth *truth, const struct rc_channel_log *log)
{
    if (log->block == 0 || !log_fits(truth, log, (uint64_t)log->frames + 1) || log->head == log->origin) {
        return false;
    }
    const struct rc_frame *next = log_entry(truth, log, log->frames);
    const struct rc_frame *last = log->frames == 0 ? NULL : log_entry(truth, log, log->frames - 1);
    return next->offset < log->head - log->origin &&
           (last == NULL || (next->order > last->order && next->offset > last->offset));
}

static void repair_log(struct rc_truth *truth, uint32_t index, bool direct, struct rc_truth_repaired *repaired)
{
    struct rc_channel_log *log = rc_truth_log(truth, index);
    if (log_lacks_frame(truth, log)) {
        log->frames++;
        repaired->logs++;
    }
    if (direct) {
        log->served = log->head; /* it is one step behind what was appended */
    }
    if (log->exclusions == 0) {
        log->exclusion_count = log->exclusion_capacity = 0;
    }
    const struct rc_exclusion *list =
        log->exclusions == 0 || log->exclusions >= truth->heap.units ? NULL : rc_heap_at(&truth->heap, log->exclusions);
    while (list != NULL && log->exclusion_count > 0 && log->exclusion_count <= log->exclusion_capacity &&
           list[log->exclusion_count - 1].position >= log->head) {
        log->exclusion_count--; /* from a frame that did not come to be */
    }
}

/* The group's members are told a gap: nothing of the log can be used. Who was in the middle of a frame ends. */
static void give_up_group_log(struct rc_truth *truth, uint32_t group_index, struct rc_truth_repaired *repaired)
{
    struct rc_group *group = rc_truth_group(truth, group_index);
    for (uint32_t i = 1; i < truth->subscriptions.high; i++) {
        struct rc_subscription *its = rc_truth_subscription(truth, i);
        if (its->group != group_index || !repair_is_client(truth, its->client) || its->replay != 0) {
            continue;
        }
        struct rc_client *client = rc_truth_client(truth, its->client);
        if (client->cut == i) {
            rc_truth_give_up_client(truth, its->client, repaired);
            client->cut = 0;
        }
        if (client->everybody == i) {
            client->everybody = 0; /* it exists for the cursor alone */
        }
        its->flags &= ~(uint32_t)(RC_SUBSCRIPTION_CURSOR | RC_SUBSCRIPTION_LATEST);
    }
    group->owes_gap = 1;
    RC_STORE_ORDER();
    group->log = 0;
    repaired->logs++;
}

static void repair_fragile_log(struct rc_truth *truth, uint32_t index, struct rc_truth_repaired *repaired)
{
    struct rc_channel_log *log = rc_truth_log(truth, index);
    if (log->frames == 0 && log->head == log->origin) {
        log->block = log->block_bytes = 0; /* it was to get its first block, or a smaller one: nothing was in it */
        return;
    }
    for (uint32_t c = 1; c < truth->channels.high; c++) {
        const struct rc_channel *channel = rc_truth_channel(truth, c);
        for (uint32_t g = channel->name == 0 ? 0 : channel->groups, left = truth->groups.high;
             repair_in(&truth->groups, g) && left > 0; g = rc_truth_group(truth, g)->next, left--) {
            if (rc_truth_group(truth, g)->log == index) {
                give_up_group_log(truth, g, repaired);
            }
        }
    }
    for (uint32_t c = 1; c < truth->clients.high; c++) {
        struct rc_client *client = rc_truth_client(truth, c);
        if (client->random != 0 && client->direct_log == index) {
            rc_truth_give_up_client(truth, c, repaired);
            client->cut = client->cut == RC_CUT_DIRECT ? 0 : client->cut;
            client->direct_log = 0;
        }
    }
}

/* Its words were just being changed to what `moving` says. */
static void repair_moving_log(struct rc_truth *truth, struct rc_truth_repaired *repaired)
{
    const struct rc_log_moving *moving = &truth->layout->hub.moving;
    struct rc_channel_log moved = *rc_truth_log(truth, moving->log);
    rc_log_moved(&moved, moving);
    if (log_fits(truth, &moved, moved.frames)) {
        *rc_truth_log(truth, moving->log) = moved;
    } else {
        repair_fragile_log(truth, moving->log, repaired);
    }
}

/* --- outputs --------------------------------------------------------------------------------------------------------- */

static bool output_is_right(const struct rc_output *output)
{
    return output->cut_sent <= output->cut_bytes && output->replies_sent <= output->replies_bytes &&
           output->replies_frames <= output->replies_bytes && output->replies_bytes <= output->replies_capacity &&
           output->close_bytes <= sizeof(output->close_frame) && output->close_sent <= output->close_bytes;
}

/* False: nothing in it can be used any more. */
static bool repair_output(struct rc_truth *truth, uint32_t index, bool takes_back)
{
    struct rc_output *output = rc_truth_output(truth, index);
    const struct rc_truth_hub *hub = &truth->layout->hub;
    if (output->cut_block == 0) {
        output->cut_bytes = output->cut_sent = 0;
    }
    if (output->replies == 0) {
        output->replies_capacity = output->replies_bytes = output->replies_sent = output->replies_frames = 0;
    }
    if (output->replies_bytes == 0) {
        output->replies_sent = output->replies_frames = 0;
    }
    const bool right = hub->fragile_output != index && output_is_right(output);
    if (!right) {
        *output = (struct rc_output){0};
    } else if (takes_back && output->unit == hub->unit && output->replies_mark <= output->replies_bytes) {
        output->replies_bytes =
            output->replies_mark > output->replies_sent ? output->replies_mark : output->replies_sent;
        output->replies_frames =
            output->replies_frames < output->replies_bytes ? output->replies_frames : output->replies_bytes;
    }
    return right;
}

/* --- clients --------------------------------------------------------------------------------------------------------- */

/* Its place in the log, or in the history. False: nothing is known of it. */
static bool repair_place(struct rc_truth *truth, uint32_t index)
{
    struct rc_subscription *its = rc_truth_subscription(truth, index);
    const struct rc_group *group = rc_truth_group(truth, its->group);
    if (!(its->flags & RC_SUBSCRIPTION_CURSOR)) {
        const bool alone = its->replay == 0;
        its->flags &= ~(uint32_t)RC_SUBSCRIPTION_LATEST;
        its->replay = 0;
        return alone;
    }
    const bool asks =
        repair_in(&truth->replays, its->replay) && rc_truth_replay(truth, its->replay)->subscription == index;
    const struct rc_channel_log *log = repair_in(&truth->logs, group->log) ? rc_truth_log(truth, group->log) : NULL;
    if (its->cursor == RC_CURSOR_IN_HISTORY
            ? asks
            : its->replay == 0 && log != NULL && its->cursor >= log->base && its->cursor <= log->head) {
        return true;
    }
    its->flags &= ~(uint32_t)(RC_SUBSCRIPTION_CURSOR | RC_SUBSCRIPTION_LATEST);
    its->replay = 0;
    return false;
}

static bool repair_is_its(const struct rc_truth *truth, uint32_t client, uint32_t index)
{
    return repair_in(&truth->subscriptions, index) && rc_truth_subscription(truth, index)->client == client &&
           repair_in(&truth->groups, rc_truth_subscription(truth, index)->group);
}

/* No moment leaves a list that comes to what is not its client's. Where one does a word is wrong, and with what is behind it is not known who has come to
 * stand in whose place (lists_counts). */
static bool repair_lists_whole(const struct rc_truth *truth)
{
    bool whole = true;
    uint32_t left = truth->subscriptions.high;
    for (uint32_t c = 1; c < truth->clients.high; c++) {
        const struct rc_client *client = rc_truth_client(truth, c);
        uint32_t i = client->random == 0 ? 0 : client->subscriptions;
        while (i != 0 && whole) {
            whole = repair_is_its(truth, c, i) && left-- > 0;
            i = whole ? rc_truth_subscription(truth, i)->next : 0;
        }
    }
    return whole;
}

static void repair_subscriptions(struct rc_truth *truth, uint32_t c, struct rc_truth_repaired *repaired)
{
    struct rc_client *client = rc_truth_client(truth, c);
    const uint32_t *link = &client->subscriptions;
    uint32_t count = 0;
    uint32_t cursors = 0;
    bool in_history = false;
    bool cut = client->cut == 0 || (client->cut == RC_CUT_DIRECT && client->direct_log != 0);
    for (; *link != 0; link = &rc_truth_subscription(truth, *link)->next, count++) {
        if (!repair_place(truth, *link)) {
            rc_truth_give_up_client(truth, c, repaired);
        }
        const struct rc_subscription *its = rc_truth_subscription(truth, *link);
        cursors += (its->flags & RC_SUBSCRIPTION_CURSOR) != 0;
        in_history = in_history || its->replay != 0;
        cut = cut || (client->cut == *link && (its->flags & RC_SUBSCRIPTION_CURSOR));
    }
    /* Made for a place that it did not come to have, or has lost: it stands where the turn's mark says. */
    if (client->everybody != 0 && (!repair_is_its(truth, c, client->everybody) ||
                                   !(rc_truth_subscription(truth, client->everybody)->flags & RC_SUBSCRIPTION_CURSOR) ||
                                   !repair_place(truth, client->everybody))) {
        client->everybody = 0;
    }
    cursors += client->everybody != 0;
    if (!cut && (client->everybody == 0 || client->cut != client->everybody)) {
        client->cut = 0;
        rc_truth_give_up_client(truth, c, repaired);
    }
    client->subscription_count = (uint16_t)count;
    client->cursor_count = (uint16_t)cursors;
    client->in_history = in_history;
}

static void repair_user(struct rc_truth *truth, struct rc_client *client)
{
    if (!repair_in(&truth->users, client->user)) {
        client->user = 0;
        return;
    }
    struct rc_user *user = rc_truth_user(truth, client->user);
    user->attributes_bytes = user->attributes == 0 ? 0 : user->attributes_bytes;
    user->set_bytes = user->set == 0 ? 0 : user->set_bytes;
    user->request_bytes = user->request == 0 ? 0 : user->request_bytes;
    user->token_bytes = user->token == 0 ? 0 : user->token_bytes;
    user->session_key_bytes = user->session_key == 0 ? 0 : user->session_key_bytes;
}

static void repair_engine(struct rc_truth *truth, uint32_t c, struct rc_truth_repaired *repaired)
{
    struct rc_engine *engine = &truth->engines[c];
    if (!rc_encoding_is_engine(rc_truth_client(truth, c)->encoding)) {
        return;
    }
    engine->namespaces_bytes = engine->namespaces == 0 ? 0 : engine->namespaces_bytes;
    if (engine->other != 0 && !(repair_is_client(truth, engine->other) && truth->engines[engine->other].other == c)) {
        engine->other =
            0; /* an upgrade that was just beginning, or ending: who probes ends, the session stays as it is */
        if (engine->flags & RC_ENGINE_PROBE) {
            rc_truth_give_up_client(truth, c, repaired);
        }
    }
}

static void repair_client(struct rc_truth *truth, uint32_t c, bool takes_back, struct rc_truth_repaired *repaired)
{
    struct rc_client *client = rc_truth_client(truth, c);
    client->flags &= (uint16_t)~RC_CLIENT_SELECTED;
    if (client->socket != RC_SOCKET_NONE &&
        (client->socket >= truth->socket_count || truth->sockets[client->socket].client != c)) {
        client->socket = RC_SOCKET_NONE;
        rc_truth_give_up_client(truth, c, repaired);
    }
    if (client->state != RC_CLIENT_OPEN && client->state != RC_CLIENT_CLOSING) {
        client->state = RC_CLIENT_OPEN; /* it was ending */
        rc_truth_give_up_client(truth, c, repaired);
    }
    if (client->output != 0 &&
        (!repair_in(&truth->outputs, client->output) || !repair_output(truth, client->output, takes_back))) {
        rc_truth_give_up_client(truth, c, repaired);
    }
    if ((client->flags & (RC_CLIENT_CLOSE_QUEUED | RC_CLIENT_CLOSE_SENT)) == RC_CLIENT_CLOSE_QUEUED &&
        (client->output == 0 || rc_truth_output(truth, client->output)->close_bytes == 0)) {
        client->flags &= (uint16_t)~RC_CLIENT_CLOSE_QUEUED;
        rc_truth_give_up_client(truth, c, repaired);
    }
    if (repair_in(&truth->logs, client->direct_log)) {
        repair_log(truth, client->direct_log, true, repaired);
    }
    repair_subscriptions(truth, c, repaired);
    repair_user(truth, client);
    repair_engine(truth, c, repaired);
}

/* --- sockets --------------------------------------------------------------------------------------------------------- */

static void repair_input(struct rc_truth *truth, uint32_t s, struct rc_truth_repaired *repaired)
{
    struct rc_socket *socket = &truth->sockets[s];
    if (!repair_in(&truth->inputs, socket->input)) {
        socket->input = 0;
        return;
    }
    struct rc_input *input = rc_truth_input(truth, socket->input);
    input->message_capacity = input->message == 0 ? 0 : input->message_capacity;
    if (input->parked == 0) {
        input->parked_capacity = input->parked_bytes = input->parked_scanned = 0;
    }
    if (input->request_bytes > input->parked_bytes || input->request > RC_REQUEST_ONCE) {
        input->request_bytes = 0; /* it was just being taken out, by who is given up */
        input->request = RC_REQUEST_ONCE;
    }
    if ((input->waiting_opcode != 0 && input->waiting_bytes > input->message_capacity) ||
        (rc_ws_receiver_uses_buffer(&input->receiver) && input->receiver.message_bytes > input->message_capacity)) {
        socket->input = 0;
        rc_truth_give_up_socket(truth, s, repaired);
    }
}

/* Who was just sealing or opening a record with its keys is given up: nothing is ever sealed with them again. */
static void repair_tls(struct rc_truth *truth, uint32_t s, struct rc_truth_repaired *repaired)
{
    struct rc_truth_tls *tls =
        truth->tls[s] == 0 || truth->tls[s] >= truth->heap.units ? NULL : rc_heap_at(&truth->heap, truth->tls[s]);
    if (tls == NULL || truth->sockets[s].state == RC_SOCKET_FREE || tls->generation != truth->sockets[s].generation) {
        truth->tls[s] = 0;
        return;
    }
    if (tls->changing) {
        rc_truth_give_up_socket(truth, s, repaired);
    }
    if (tls->changing || tls->out == 0) { /* how much of it has left is said behind the block's change */
        tls->out_sent = tls->out_asked = 0;
    }
}

static void repair_socket(struct rc_truth *truth, uint32_t s, bool takes_back, struct rc_truth_repaired *repaired)
{
    struct rc_socket *socket = &truth->sockets[s];
    if (socket->state == RC_SOCKET_FREE) {
        socket->client = socket->output = socket->input = 0;
        return;
    }
    const bool carries = repair_is_client(truth, socket->client) && rc_truth_client(truth, socket->client)->socket == s;
    const bool ending = socket->state >= RC_SOCKET_TERMINATING;
    if (!carries) {
        socket->client = 0;
    }
    if (ending && (socket->client | socket->output | socket->input) == 0) {
        return;
    }
    if (ending || carries != (socket->state == RC_SOCKET_CARRYING || (carries && socket->state == RC_SOCKET_LINGER))) {
        /* It was being ended, or joined with its client: it begins once more to end. */
        socket->state = carries ? RC_SOCKET_CARRYING : RC_SOCKET_HTTP;
        socket->history = 0;
        socket->history_bytes = 0;
        rc_truth_give_up_socket(truth, s, repaired);
    }
    if (carries && socket->output != 0) {
        socket->output = 0;
        rc_truth_give_up_socket(truth, s, repaired);
    }
    if (socket->output != 0 &&
        (!repair_in(&truth->outputs, socket->output) || !repair_output(truth, socket->output, takes_back))) {
        rc_truth_give_up_socket(truth, s, repaired);
    }
    if (carries) {
        socket->history_bytes = socket->history == 0 ? 0 : socket->history_bytes;
    }
    repair_input(truth, s, repaired);
}

/* --- the whole ------------------------------------------------------------------------------------------------------- */

static void repair_working(struct rc_truth *truth, struct rc_truth_repaired *repaired)
{
    struct rc_truth_layout *layout = truth->layout;
    if (layout->working_socket > 0 && layout->working_socket <= truth->socket_count) {
        rc_truth_give_up_socket(truth, layout->working_socket - 1, repaired);
    }
    if (repair_is_client(truth, layout->working_client)) {
        rc_truth_give_up_client(truth, layout->working_client, repaired);
    }
}

int rc_truth_repair(struct rc_truth *truth, struct rc_truth_repaired *repaired, struct rc_err *err)
{
    struct rc_truth_layout *layout = truth->layout;
    const uint64_t last = atomic_load_explicit(&layout->down.last_sequence, memory_order_relaxed);
    const bool handled = layout->down.begun_sequence != 0 && layout->down.begun_sequence == last;
    const bool takes_back = (layout->down.begun == layout->down.done + 1 && !handled) || rc_receiving_takes_back(truth);
    *repaired = (struct rc_truth_repaired){0};
    if (!repair_lists_whole(truth)) {
        return rc_err_set(err, -EBADMSG, "a client of a killed worker names a subscription that is not its");
    }
    repair_working(truth, repaired);
    if (repair_in(&truth->logs, layout->hub.moving.log)) {
        repair_moving_log(truth, repaired);
    }
    if (repair_in(&truth->logs, layout->hub.fragile_log)) {
        repair_fragile_log(truth, layout->hub.fragile_log, repaired);
    }
    for (uint32_t g = 1; g < truth->groups.high; g++) {
        const struct rc_group *group = rc_truth_group(truth, g);
        if (repair_in(&truth->logs, group->log) && repair_in(&truth->channels, group->channel)) {
            repair_log(truth, group->log, false, repaired);
        }
    }
    for (uint32_t c = 1; c < truth->clients.high; c++) {
        if (rc_truth_client(truth, c)->random != 0) {
            repair_client(truth, c, takes_back, repaired);
        }
    }
    for (uint32_t s = 0; s < truth->socket_count; s++) {
        repair_tls(truth, s, repaired);
        repair_socket(truth, s, takes_back, repaired);
    }
    const int rc = rc_truth_repair_lists(truth);
    if (rc < 0) {
        return rc_err_set(err, rc, "%s",
                          rc == -EBADMSG ? "some are in channels of a killed worker that do not count them"
                                         : "no memory to put the lists of a killed worker right");
    }
    RC_STORE_ORDER(); /* who is killed until here leaves these words for the next one */
    layout->working_socket = layout->working_client = 0;
    layout->hub.fragile_log = layout->hub.fragile_output = 0;
    layout->hub.moving.log = 0;
    layout->hub.settling = 0;
    return 0;
}
