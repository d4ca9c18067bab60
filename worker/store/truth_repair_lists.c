/* truth_repair_lists: see truth_repair_lists.h. */
#include "worker/store/truth_repair_lists.h"

#include <errno.h>
#include <stdlib.h>

#include "worker/store/truth_check_links.h"

struct lists {
    struct rc_truth *truth;
    uint32_t *members; /* of each group: its subscriptions */
    uint32_t *behind;  /* of them with a cursor */
    uint32_t *newest;  /* of each client: of what is linked just now */
    uint32_t *pending; /* of each client: its requests that wait */
    uint32_t *named;   /* subscriptions that clients name, or throttles that channels do */
    uint32_t named_count;
};

static bool lists_in(const struct rc_pool *pool, uint32_t index)
{
    return index > 0 && index < pool->high;
}

static bool lists_is_client(const struct rc_truth *truth, uint32_t index)
{
    return lists_in(&truth->clients, index) && rc_truth_client(truth, index)->random != 0;
}

static bool lists_is_channel(const struct rc_truth *truth, uint32_t index)
{
    return lists_in(&truth->channels, index) && rc_truth_channel(truth, index)->name != 0;
}

/* --- who is in which channel ----------------------------------------------------------------------------------------- */

static void lists_name(struct lists *lists, uint32_t index)
{
    const struct rc_subscription *its = rc_truth_subscription(lists->truth, index);
    lists->members[its->group]++;
    lists->behind[its->group] += (its->flags & RC_SUBSCRIPTION_CURSOR) != 0;
    if (lists->named_count < lists->truth->subscriptions.high) {
        lists->named[lists->named_count++] = index;
    }
}

/* The subscriptions that clients name in their lists. */
static void lists_subscriptions(struct lists *lists)
{
    const struct rc_truth *truth = lists->truth;
    for (uint32_t c = 1; c < truth->clients.high; c++) {
        const struct rc_client *client = rc_truth_client(truth, c);
        for (uint32_t i = client->random == 0 ? 0 : client->subscriptions; i != 0;
             i = rc_truth_subscription(truth, i)->next) {
            lists_name(lists, i);
        }
    }
}

/* And those for "*", which that channel does not count. */
static void lists_everybody(struct lists *lists)
{
    const struct rc_truth *truth = lists->truth;
    for (uint32_t c = 1; c < truth->clients.high; c++) {
        const struct rc_client *client = rc_truth_client(truth, c);
        if (client->random != 0 && client->everybody != 0) {
            lists_name(lists, client->everybody);
        }
    }
}

/* Has somebody been linked to the channel last of all, as who is counted next? */
static bool lists_just_subscribed(const struct lists *lists, uint32_t channel)
{
    const struct rc_truth *truth = lists->truth;
    bool just = false;
    for (uint32_t c = 1; !just && c < truth->clients.high; c++) {
        const struct rc_client *client = rc_truth_client(truth, c);
        if (client->random != 0 && client->subscriptions != 0) {
            const struct rc_subscription *its = rc_truth_subscription(truth, client->subscriptions);
            just =
                rc_truth_group(truth, its->group)->channel == channel && its->member == lists->members[its->group] - 1;
        }
    }
    return just;
}

/*
 * Who is subscribed is linked before it is counted; who goes is unlinked before it is not counted any more, from all of its channels at once where
 * its client ends. So a killed worker leaves one too many in one channel, or some too few. Any other one too many is a subscription whose group is a
 * wrong word: it would hear what is said to others, and which it is nobody knows, since there may be more such words.
 */
static int lists_counts(const struct lists *lists)
{
    const struct rc_truth *truth = lists->truth;
    uint64_t too_many = 0;
    uint64_t too_few = 0;
    uint32_t channel = 0; /* that has too many */
    for (uint32_t c = 1; c < truth->channels.high; c++) {
        uint64_t members = 0;
        uint32_t left = truth->groups.high;
        for (uint32_t g = lists_is_channel(truth, c) ? rc_truth_channel(truth, c)->groups : 0;
             lists_in(&truth->groups, g) && rc_truth_group(truth, g)->channel == c && left > 0;
             g = rc_truth_group(truth, g)->next, left--) {
            members += lists->members[g];
        }
        const uint64_t counted = lists_is_channel(truth, c) ? rc_truth_channel(truth, c)->subscriber_count : 0;
        channel = members > counted ? c : channel;
        too_many += members > counted ? members - counted : 0;
        too_few += members < counted ? counted - members : 0;
    }
    const bool right = too_many == 0 || (too_many == 1 && too_few == 0 && lists_just_subscribed(lists, channel));
    return right ? 0 : -EBADMSG;
}

static int lists_by_place(const void *a, const void *b, void *context)
{
    const struct rc_truth *truth = context;
    const struct rc_subscription *first = rc_truth_subscription(truth, *(const uint32_t *)a);
    const struct rc_subscription *second = rc_truth_subscription(truth, *(const uint32_t *)b);
    if (first->group != second->group) {
        return first->group < second->group ? -1 : 1;
    }
    return first->member < second->member ? -1 : first->member > second->member;
}

/* Each has a place of its own in its group: its old one, where others have not left gaps. */
static void lists_places(struct lists *lists)
{
    uint32_t group = 0;
    uint32_t place = 0;
    qsort_r(lists->named, lists->named_count, sizeof(*lists->named), lists_by_place, lists->truth);
    for (uint32_t i = 0; i < lists->named_count; i++) {
        struct rc_subscription *its = rc_truth_subscription(lists->truth, lists->named[i]);
        place = its->group == group ? place + 1 : 0;
        group = its->group;
        its->member = place;
    }
}

/* Replays of a client in a list, in no order. */
static void lists_replays(struct lists *lists)
{
    struct rc_truth *truth = lists->truth;
    for (uint32_t i = 0; i < lists->named_count; i++) {
        const struct rc_subscription *its = rc_truth_subscription(truth, lists->named[i]);
        if (its->replay != 0) {
            rc_truth_replay(truth, its->replay)->next_of_client = lists->newest[its->client];
            lists->newest[its->client] = its->replay;
        }
    }
    for (uint32_t c = 1; c < truth->clients.high; c++) {
        lists->newest[c] = 0;
    }
}

/* --- what waits in channels ------------------------------------------------------------------------------------------ */

static void lists_pending(struct lists *lists, uint32_t c)
{
    struct rc_truth *truth = lists->truth;
    struct rc_channel *channel = rc_truth_channel(truth, c);
    uint32_t *link = &channel->pending;
    uint32_t previous = 0;
    uint32_t left = truth->pending.high;
    while (*link != 0) {
        if (!lists_in(&truth->pending, *link) || rc_truth_pending(truth, *link)->channel != c || left-- == 0) {
            *link = 0;
            break;
        }
        const uint32_t index = *link;
        struct rc_pending *its = rc_truth_pending(truth, index);
        const bool settled =
            index == truth->layout->hub.settling && truth->layout->hub.settling_unit != truth->layout->hub.unit;
        if (settled || !lists_is_client(truth, its->client)) {
            *link = its->next; /* or its client has gone */
            continue;
        }
        if (!lists_in(&truth->replays, its->replay) || rc_truth_replay(truth, its->replay)->subscription != 0) {
            its->replay = 0;
        }
        its->previous = previous;
        its->previous_of_client = 0;
        its->next_of_client = lists->newest[its->client];
        if (its->next_of_client != 0) {
            rc_truth_pending(truth, its->next_of_client)->previous_of_client = index;
        }
        lists->newest[its->client] = index;
        lists->pending[its->client]++;
        previous = index;
        link = &its->next;
    }
    channel->pending_last = previous;
}

static void lists_throttles(struct lists *lists, uint32_t c)
{
    struct rc_truth *truth = lists->truth;
    struct rc_channel *channel = rc_truth_channel(truth, c);
    uint32_t *link = &channel->throttles;
    uint32_t previous = 0;
    uint16_t count = 0;
    for (; *link != 0; link = &rc_truth_throttle(truth, *link)->next_of_channel) {
        if (!lists_in(&truth->throttles, *link) || rc_truth_throttle(truth, *link)->channel != c ||
            lists->named_count == truth->throttles.high) {
            *link = 0;
            break;
        }
        struct rc_throttle *its = rc_truth_throttle(truth, *link);
        its->held = its->held_bytes < sizeof(struct rc_envelope) ? 0 : its->held;
        its->previous_of_channel = previous;
        previous = *link;
        count++;
        lists->named[lists->named_count++] = *link;
    }
    channel->throttle_count = count;
}

static int lists_by_time(const void *a, const void *b, void *context)
{
    const struct rc_truth *truth = context;
    const struct rc_throttle *first = rc_truth_throttle(truth, *(const uint32_t *)a);
    const struct rc_throttle *second = rc_truth_throttle(truth, *(const uint32_t *)b);
    return first->opened_ms < second->opened_ms ? -1 : first->opened_ms > second->opened_ms;
}

/* Those of a namespace in the order of their times. */
static void lists_queues(struct lists *lists)
{
    struct rc_truth *truth = lists->truth;
    uint32_t last[RC_CONFIG_NAMESPACES_MAX] = {0};
    qsort_r(lists->named, lists->named_count, sizeof(*lists->named), lists_by_time, truth);
    for (uint32_t i = 0; i < lists->named_count; i++) {
        const uint32_t index = lists->named[i];
        struct rc_throttle *its = rc_truth_throttle(truth, index);
        const uint32_t namespace = rc_truth_channel(truth, its->channel)->namespace % RC_CONFIG_NAMESPACES_MAX;
        its->next = 0;
        its->previous = last[namespace];
        if (its->previous != 0) {
            rc_truth_throttle(truth, its->previous)->next = index;
        }
        last[namespace] = index;
    }
}

/* --- channels -------------------------------------------------------------------------------------------------------- */

static void lists_groups(const struct lists *lists, uint32_t c)
{
    const struct rc_truth *truth = lists->truth;
    struct rc_channel *channel = rc_truth_channel(truth, c);
    uint32_t *link = &channel->groups;
    uint32_t left = truth->groups.high;
    channel->subscriber_count = 0;
    while (*link != 0) {
        if (!lists_in(&truth->groups, *link) || rc_truth_group(truth, *link)->channel != c || left-- == 0) {
            *link = 0;
            break;
        }
        struct rc_group *group = rc_truth_group(truth, *link);
        group->behind = lists->behind[*link];
        channel->subscriber_count += lists->members[*link];
        link = &group->next;
    }
    if (!lists_in(&truth->places, channel->place) || rc_truth_place(truth, channel->place)->channel != c) {
        channel->place = 0;
    }
}

/* What the relay is to be told, and what it has not acknowledged. Told once too often does no harm. */
static void lists_interests(const struct lists *lists, uint32_t c, uint32_t *asked)
{
    struct rc_truth *truth = lists->truth;
    struct rc_truth_interests *interests = &truth->layout->interests;
    struct rc_channel *channel = rc_truth_channel(truth, c);
    const bool wanted = (channel->flags & RC_CHANNEL_WANTED) != 0;
    const bool told = (channel->flags & RC_CHANNEL_TOLD) != 0;
    channel->flags &= (uint16_t)~RC_CHANNEL_SETTLING;
    channel->next_dirty = 0;
    if (wanted != told || channel->pending != 0 || (channel->flags & RC_CHANNEL_DIRTY)) {
        channel->flags |= RC_CHANNEL_DIRTY;
        channel->next_dirty = interests->dirty;
        interests->dirty = c;
    }
    channel->next_asked = channel->previous_asked = 0;
    if (channel->flags & RC_CHANNEL_ASKED) {
        channel->next_asked = *asked;
        if (*asked != 0) {
            rc_truth_channel(truth, *asked)->previous_asked = c;
        }
        *asked = c;
    }
}

static void lists_channels(struct lists *lists)
{
    struct rc_truth *truth = lists->truth;
    struct rc_truth_interests *interests = &truth->layout->interests;
    uint32_t asked = 0;
    lists->named_count = 0;
    interests->dirty = interests->asked = interests->asked_before = 0;
    for (uint32_t c = 1; c < truth->channels.high; c++) {
        if (lists_is_channel(truth, c)) {
            lists_groups(lists, c);
            lists_pending(lists, c);
            lists_throttles(lists, c);
            lists_interests(lists, c, &asked);
        }
    }
    interests->asked = asked;
    lists_queues(lists);
    for (uint32_t c = 1; c < truth->clients.high; c++) {
        struct rc_client *client = rc_truth_client(truth, c);
        if (client->random != 0) {
            client->pending_count = (uint16_t)lists->pending[c];
        }
        lists->newest[c] = 0;
    }
}

/* --- those of one session, of one emit ------------------------------------------------------------------------------- */

static int lists_by_session(const void *a, const void *b, void *context)
{
    const struct rc_truth *truth = context;
    const uint32_t first = rc_truth_user(truth, rc_truth_client(truth, *(const uint32_t *)a)->user)->session;
    const uint32_t second = rc_truth_user(truth, rc_truth_client(truth, *(const uint32_t *)b)->user)->session;
    return first < second ? -1 : first > second;
}

/* Those who are connected with the same session name each other, in no order. */
static void lists_sessions(struct lists *lists)
{
    struct rc_truth *truth = lists->truth;
    uint32_t *clients = lists->pending; /* its numbers are written already */
    uint32_t count = 0;
    for (uint32_t c = 1; c < truth->clients.high; c++) {
        const struct rc_client *client = rc_truth_client(truth, c);
        if (client->random != 0 && client->user != 0) {
            struct rc_user *user = rc_truth_user(truth, client->user);
            user->session_next = user->session_previous = 0;
            if (user->session != 0) {
                clients[count++] = c;
            }
        }
    }
    qsort_r(clients, count, sizeof(*clients), lists_by_session, truth);
    for (uint32_t i = 1; i < count; i++) {
        struct rc_user *before = rc_truth_user(truth, rc_truth_client(truth, clients[i - 1])->user);
        struct rc_user *its = rc_truth_user(truth, rc_truth_client(truth, clients[i])->user);
        if (before->session == its->session) {
            before->session_next = clients[i] + 1;
            its->session_previous = clients[i - 1] + 1;
        }
    }
}

static void lists_emit(struct lists *lists, uint32_t e)
{
    struct rc_truth *truth = lists->truth;
    struct rc_emit *emit = rc_truth_emit(truth, e);
    uint32_t *link = &emit->first;
    uint32_t previous = 0;
    uint32_t left = truth->acks.high;
    emit->waiting = 0;
    while (*link != 0) {
        if (!lists_in(&truth->acks, *link) || rc_truth_ack(truth, *link)->emit != e || left-- == 0) {
            *link = 0;
            break;
        }
        const uint32_t index = *link;
        struct rc_ack *ack = rc_truth_ack(truth, index);
        if (!lists_is_client(truth, ack->client)) {
            emit->unanswered++;
            *link = ack->next_of_emit;
            continue;
        }
        ack->previous_of_emit = previous;
        ack->previous_of_client = 0;
        ack->next_of_client = lists->newest[ack->client];
        if (ack->next_of_client != 0) {
            rc_truth_ack(truth, ack->next_of_client)->previous_of_client = index;
        }
        lists->newest[ack->client] = index;
        emit->waiting++;
        previous = index;
        link = &ack->next_of_emit;
    }
}

static void lists_answers(struct lists *lists)
{
    struct rc_truth *truth = lists->truth;
    for (uint32_t e = 1; e < truth->emits.high; e++) {
        if (rc_truth_emit(truth, e)->id != 0) {
            lists_emit(lists, e);
        }
    }
    for (uint32_t i = 1; i < truth->recoverables.high; i++) {
        struct rc_recoverable *one = rc_truth_recoverable(truth, i);
        one->nsp_bytes = one->nsp == 0 ? 0 : one->nsp_bytes;
        one->record_bytes = one->record == 0 ? 0 : one->record_bytes;
        if (!(one->flags & RC_RECOVERABLE_GONE) && !lists_is_client(truth, one->client)) {
            one->random = 0; /* its client was just going */
        }
    }
    for (uint32_t i = 1; i < truth->hooks.high; i++) {
        struct rc_hook *hook = rc_truth_hook(truth, i);
        hook->request_bytes = hook->request == 0 ? 0 : hook->request_bytes;
        hook->reply_bytes = hook->reply == 0 ? 0 : hook->reply_bytes;
    }
}

int rc_truth_repair_lists(struct rc_truth *truth)
{
    const size_t groups = (size_t)truth->groups.high + 1;
    const size_t clients = (size_t)truth->clients.high + 1;
    const size_t names = (size_t)truth->subscriptions.high + truth->throttles.high + 1;
    struct lists lists = {.truth = truth,
                          .members = calloc(groups, sizeof(uint32_t)),
                          .behind = calloc(groups, sizeof(uint32_t)),
                          .newest = calloc(clients, sizeof(uint32_t)),
                          .pending = calloc(clients, sizeof(uint32_t)),
                          .named = calloc(names, sizeof(uint32_t))};
    const bool memory = lists.members != NULL && lists.behind != NULL && lists.newest != NULL &&
                        lists.pending != NULL && lists.named != NULL;
    int rc = memory ? 0 : -ENOMEM;
    if (rc == 0) {
        lists_subscriptions(&lists);
        rc = lists_counts(&lists); /* before anything is made anew: the next one sees it, too */
    }
    if (rc == 0) {
        lists_everybody(&lists);
        lists_places(&lists);
        lists_replays(&lists);
        lists_channels(&lists);
        lists_sessions(&lists);
        lists_answers(&lists);
        rc_truth_repair_links(truth);
    }
    free(lists.members);
    free(lists.behind);
    free(lists.newest);
    free(lists.pending);
    free(lists.named);
    return rc;
}
