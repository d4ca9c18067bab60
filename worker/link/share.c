/*
 * share: how many rooms each process of the application may have. See links.h.
 *
 * Each room with somebody of this worker in it is a channel of the worker's, and those are bounded (limits.max_channels_per_worker), for native
 * clients, too. A process that makes rooms without end, or whose clients do, must not take them all: then whoever joins one is closed, at other
 * processes as well. So some are kept free for each process that is linked, until it has them, and some for all who are not behind links, who have
 * none of the former (rc_hub_channel):
 *
 *   | of processes, beyond their shares: whoever comes first | shares that are not used yet, each process's own | for others |
 *
 * A room is of the process that has made it, as long as it is there, whoever else joins it: channel->token says whose it is.
 */
#include <string.h>

#include "common/base/hash.h"
#include "worker/link/link_io.h"
#include "worker/link/links.h"

#define SHARE_OTHERS_PART 8u    /* of all: for native clients, the API, rules */
#define SHARE_PROCESSES_PART 4u /* of all: what the shares of all processes are together */

uint64_t rc_link_process(const struct rc_link *link)
{
    return rc_hash(link->ready.process, strlen(link->ready.process)) | 1u;
}

/* Who has `process`; NULL: it is not there, and there is no room for it. */
static struct rc_link_share *share_of(struct rc_links *links, uint64_t process, bool make)
{
    struct rc_link_share *free = NULL;
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link_share *share = &links->shares[i];
        if (share->process == process) {
            return share;
        }
        if (free == NULL && share->rooms == 0) {
            free = share;
        }
    }
    if (!make || free == NULL) {
        return NULL;
    }
    *free = (struct rc_link_share){.process = process};
    return free;
}

static uint64_t share_most(const struct rc_links *links)
{
    return links->clients->config->limits.max_channels_per_worker;
}

/* Nobody is short of anything. */
static bool share_plenty(const struct rc_links *links)
{
    return links->clients->truth->channels.used < share_most(links) / 2;
}

/* Rooms of each process that is linked. */
static uint64_t share_each(const struct rc_links *links)
{
    return share_most(links) / SHARE_PROCESSES_PART / (links->ready > 0 ? links->ready : 1);
}

/* What is kept free for those that are linked, but `process`. */
static uint64_t kept_for_others(struct rc_links *links, uint64_t process)
{
    const uint64_t share = share_each(links);
    uint64_t kept = 0;
    for (uint32_t i = 0, left = links->ready; i < RC_LINKS_MAX && left > 0; i++) {
        const struct rc_link *link = &links->links[i];
        if (link->state != RC_LINK_IS_READY) {
            continue;
        }
        left--;
        const uint64_t other = rc_link_process(link);
        const struct rc_link_share *its = share_of(links, other, false);
        const uint64_t rooms = its == NULL ? 0 : its->rooms;
        kept += other != process && rooms < share ? share - rooms : 0;
    }
    return kept;
}

uint32_t rc_links_share_kept(struct rc_links *links)
{
    return links == NULL || share_plenty(links) ? 0 : (uint32_t)kept_for_others(links, 0);
}

bool rc_link_share_allows(struct rc_links *links, const struct rc_link *link)
{
    if (share_plenty(links)) {
        return true;
    }
    const uint64_t process = rc_link_process(link);
    const struct rc_link_share *its = share_of(links, process, false);
    if ((its == NULL ? 0 : its->rooms) < share_each(links)) {
        return true;
    }
    const uint64_t others = share_most(links) / SHARE_OTHERS_PART;
    return links->clients->truth->channels.used + kept_for_others(links, process) + others < share_most(links);
}

void rc_link_share_took(struct rc_links *links, const struct rc_link *link, uint32_t channel)
{
    const uint64_t process = rc_link_process(link);
    struct rc_link_share *share = share_of(links, process, true);
    rc_truth_channel(links->clients->truth, channel)->token = share == NULL ? 0 : process;
    if (share != NULL) {
        share->rooms++;
    }
}

void rc_links_share_gave(struct rc_links *links, uint64_t process)
{
    struct rc_link_share *share = links == NULL || process == 0 ? NULL : share_of(links, process, false);
    if (share != NULL && share->rooms > 0) {
        share->rooms--;
    }
}

void rc_links_shares_rebuild(struct rc_links *links)
{
    const struct rc_truth *truth = links->clients->truth;
    for (uint32_t i = 1; i < truth->channels.high; i++) {
        const struct rc_channel *channel = rc_truth_channel(truth, i);
        struct rc_link_share *share = NULL;
        if (channel->name != 0 && (channel->flags & RC_CHANNEL_HERE) && channel->token != 0) {
            share = share_of(links, channel->token, true);
        }
        if (share != NULL) {
            share->rooms++;
        }
    }
}
