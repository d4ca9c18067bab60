/* pages: the messages of a channel, in a chain of pages. See store.h. */
#include "relay/history/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define EVICT_PAGES_MAX 64u            /* for one block of the wanted size, before a smaller one is good enough */
#define EVICT_PAGES_LAST_MAX 4096u     /* for one without which the message cannot be kept */
#define PAGE_BYTES_MAX (1024u * 1024u) /* but for larger messages */
#define PAGES_A_CHANNEL 8u             /* a page is an eighth of what its channel has */
#define PIECES_OF_MEMORY 32u           /* and of a small memory a small part, for it has to find room in one row */
#define FITTING_TRIES_MAX 16u
#define SHORTENED_BYTES 2048u /* about so much that is over is given back at a time */

static uint64_t less_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static struct rc_history_slot *pages_slot(const struct rc_history *history, uint32_t slot)
{
    return &history->view.slots[slot];
}

static struct rc_history_page *page_at(const struct rc_history *history, uint32_t unit_plus)
{
    struct rc_history_page *page =
        (struct rc_history_page *)rc_history_at(&history->view, unit_plus, sizeof(struct rc_history_page));
    RC_ASSERT(page != NULL); /* our own index named it */
    return page;
}

static uint32_t page_next(const struct rc_history *history, uint32_t unit_plus)
{
    return atomic_load_explicit(&page_at(history, unit_plus)->next, memory_order_relaxed);
}

/* Of a page in use, from our own index: a block's size is not believed twice. */
static uint64_t page_bytes(const struct rc_history *history, uint32_t unit_plus)
{
    return (uint64_t)RC_HISTORY_UNIT * history->pages[unit_plus - 1].units;
}

/* --- the order of age ------------------------------------------------------------------------------------------------ */

static void age_add(struct rc_history *history, uint32_t unit_plus)
{
    struct rc_history_page_index *page = &history->pages[unit_plus - 1];
    page->older = history->newest_page;
    page->newer = 0;
    *(page->older != 0 ? &history->pages[page->older - 1].newer : &history->oldest_page) = unit_plus;
    history->newest_page = unit_plus;
}

static void age_remove(struct rc_history *history, uint32_t unit_plus)
{
    struct rc_history_page_index *page = &history->pages[unit_plus - 1];
    *(page->older != 0 ? &history->pages[page->older - 1].newer : &history->oldest_page) = page->newer;
    *(page->newer != 0 ? &history->pages[page->newer - 1].older : &history->newest_page) = page->older;
}

/* The page, with its index, is elsewhere from here on; its place in the order stays. */
static void age_move(struct rc_history *history, uint32_t unit_plus, uint32_t to)
{
    const struct rc_history_page_index page = history->pages[unit_plus - 1];
    history->pages[unit_plus - 1] = (struct rc_history_page_index){0};
    history->pages[to - 1] = page;
    *(page.older != 0 ? &history->pages[page.older - 1].newer : &history->oldest_page) = to;
    *(page.newer != 0 ? &history->pages[page.newer - 1].older : &history->newest_page) = to;
}

/* --- what goes ------------------------------------------------------------------------------------------------------- */

/* What a reader of the channel is looking at may be another thing from here on: HY9 pairs with HY10 and HY11 in common/shm/history.c. */
static void tell_readers(struct rc_history_slot *its)
{
    atomic_store_explicit(&its->moves, atomic_load_explicit(&its->moves, memory_order_relaxed) + 1,
                          memory_order_release); /* HY9 */
    atomic_thread_fence(memory_order_release);
}

/* The channel's oldest page is nobody's any more; readers are told before it is used again. */
static void drop_page(struct rc_history *history, uint32_t slot)
{
    struct rc_history_slot *its = pages_slot(history, slot);
    struct rc_history_channel *channel = &history->channels[slot];
    const uint32_t page = atomic_load_explicit(&its->page, memory_order_relaxed);
    const uint32_t next = page == channel->tail ? 0 : page_next(history, page);
    const uint64_t last = atomic_load_explicit(&its->last, memory_order_relaxed);
    const uint64_t first = atomic_load_explicit(&its->first, memory_order_relaxed);
    const uint64_t kept = next != 0 ? page_at(history, next)->first : last + 1;
    atomic_store_explicit(&its->first, kept > first ? kept : first, memory_order_relaxed);
    atomic_store_explicit(&its->page, next, memory_order_relaxed);
    tell_readers(its);
    if (next == 0) {
        channel->tail = 0;
    }
    channel->head = 0;
    channel->bytes -= page_bytes(history, page);
    age_remove(history, page);
    rc_blocks_free_units(&history->blocks, page - 1, history->pages[page - 1].units);
    history->pages[page - 1] = (struct rc_history_page_index){0};
}

void rc_history_clear(struct rc_history *history, uint32_t slot)
{
    while (history->channels[slot].tail != 0) {
        drop_page(history, slot);
    }
    tell_readers(pages_slot(history, slot)); /* also of a slot whose next channel begins to count anew */
}

/* The oldest page of all is the oldest one of its channel. False: there is none. */
static bool evict_oldest(struct rc_history *history)
{
    if (history->oldest_page == 0) {
        return false;
    }
    drop_page(history, history->pages[history->oldest_page - 1].owner - 1);
    rc_metric_add(history->metrics, RC_METRIC_HISTORY_EVICTED_MEMORY, 1);
    return true;
}

static uint32_t block_evicting(struct rc_history *history, uint32_t order, uint32_t pages_max)
{
    uint32_t unit = rc_blocks_alloc(&history->blocks, order);
    for (uint32_t i = 0; unit == RC_BLOCK_NONE && i < pages_max && evict_oldest(history); i++) {
        unit = rc_blocks_alloc(&history->blocks, order);
    }
    return unit;
}

uint32_t rc_history_block(struct rc_history *history, uint32_t order)
{
    return block_evicting(history, order, EVICT_PAGES_LAST_MAX);
}

/* --- appending ------------------------------------------------------------------------------------------------------- */

uint64_t rc_history_entry_need(const struct rc_envelope_view *view)
{
    const struct rc_envelope *head = &view->head;
    const struct rc_history_entry entry = {.key_bytes = head->key_bytes,
                                           .event_bytes = head->event_bytes,
                                           .exclude_count = head->exclude_count,
                                           .data_bytes = head->data_bytes};
    return rc_history_entry_bytes(&entry);
}

static uint8_t *part_put(uint8_t *out, const void *bytes, size_t count)
{
    if (count > 0) {
        memcpy(out, bytes, count);
    }
    return out + count;
}

void rc_history_entry_write(uint8_t *out, const struct rc_envelope_view *view, uint64_t now_ms)
{
    const struct rc_envelope *head = &view->head;
    const struct rc_history_entry entry = {
        .time_ms = now_ms & RC_HISTORY_TIME_MAX,
        .origin_random = head->origin.random,
        .origin_slot = head->origin.slot,
        .origin_worker = (uint8_t)head->origin.worker, /* of this host */
        .flags = (((head->flags & RC_ENVELOPE_BINARY) ? RC_HISTORY_BINARY : 0u) |
                  ((head->flags & RC_ENVELOPE_ARGS) ? RC_HISTORY_ARGS : 0u) |
                  ((head->flags & RC_ENVELOPE_NO_ECHO) ? RC_HISTORY_NO_ECHO : 0u) |
                  ((head->flags & RC_ENVELOPE_REMOTE) ? RC_HISTORY_REMOTE : 0u)) &
                 UINT8_MAX,
        .key_bytes = head->key_bytes,
        .event_bytes = head->event_bytes,
        .exclude_count = head->exclude_count,
        .data_bytes = head->data_bytes,
    };
    out = part_put(out, &entry, sizeof(entry));
    out = part_put(out, view->key, head->key_bytes);
    out = part_put(out, view->event, head->event_bytes);
    out = part_put(out, view->excludes, (size_t)head->exclude_count * sizeof(struct rc_client_ref));
    (void)part_put(out, view->data, head->data_bytes);
}

void rc_history_seal(const struct rc_history *history, uint8_t *bytes, uint64_t owner, uint64_t place)
{
    if (RC_UNLIKELY(history->view.file)) {
        struct rc_history_entry entry;
        memcpy(&entry, bytes, sizeof(entry));
        entry.checksum = rc_history_checksum(bytes, owner, place);
        memcpy(bytes, &entry, sizeof(entry));
    }
}

bool rc_history_sealed(const struct rc_history *history, const uint8_t *bytes, uint64_t room, uint64_t owner,
                       uint64_t place)
{
    struct rc_history_entry entry;
    if (history->doubt == RC_HISTORY_SURE) {
        return true;
    }
    if (room < sizeof(entry)) {
        return false;
    }
    memcpy(&entry, bytes, sizeof(entry));
    return rc_history_entry_bytes(&entry) <= room && rc_history_checksum(bytes, owner, place) == entry.checksum;
}

/* The channel's newest page gets no more messages: units behind its last one are given back. Nobody reads there. */
static void page_complete(struct rc_history *history, struct rc_history_channel *channel)
{
    struct rc_history_page_index *page = &history->pages[channel->tail - 1];
    const uint32_t used = (channel->tail_at + RC_HISTORY_UNIT - 1) / RC_HISTORY_UNIT;
    if (used < page->units) {
        atomic_store_explicit(&page_at(history, channel->tail)->bytes, used * RC_HISTORY_UNIT, memory_order_relaxed);
        rc_blocks_keep_units(&history->blocks, channel->tail - 1, page->units, channel->tail - 1, used);
        channel->bytes -= (uint64_t)(page->units - used) * RC_HISTORY_UNIT;
        page->units = used;
    }
}

/* Of `units`, so many that messages of this size leave little of them unused: as many messages as fit, or a few less. */
static uint32_t units_fitting(uint32_t units, uint64_t need)
{
    const uint64_t fits = ((uint64_t)units * RC_HISTORY_UNIT - sizeof(struct rc_history_page)) / need;
    uint64_t best = units;
    uint64_t least = UINT64_MAX; /* bytes unused of a thousand messages */
    for (uint64_t count = fits; count > 0 && 2 * count >= fits && count + FITTING_TRIES_MAX > fits; count--) {
        const uint64_t bytes = sizeof(struct rc_history_page) + count * need;
        const uint64_t its = (bytes + RC_HISTORY_UNIT - 1) / RC_HISTORY_UNIT;
        const uint64_t unused = (its * RC_HISTORY_UNIT - bytes) * 1000 / count;
        best = unused < least ? its : best;
        least = unused < least ? unused : least;
    }
    return (uint32_t)best;
}

/* A page for an entry of so many bytes behind the channel's newest one. False: there is no room for it. */
static bool page_add(struct rc_history *history, uint32_t slot, uint64_t need, uint64_t offset)
{
    struct rc_history_channel *channel = &history->channels[slot];
    const uint32_t least = rc_blocks_order(need + sizeof(struct rc_history_page), RC_HISTORY_UNIT);
    uint32_t order = rc_blocks_order(less_of(channel->bytes / PAGES_A_CHANNEL, PAGE_BYTES_MAX), RC_HISTORY_UNIT);
    order = order > least ? order : least;
    uint32_t unit = order == least ? RC_BLOCK_NONE : block_evicting(history, order, EVICT_PAGES_MAX);
    if (unit == RC_BLOCK_NONE) {
        order = least;
        unit = order < RC_BLOCK_ORDERS ? rc_history_block(history, order) : RC_BLOCK_NONE;
    }
    if (unit == RC_BLOCK_NONE) {
        return false;
    }
    const uint32_t units = UINT32_C(1) << order;
    const uint32_t kept = units_fitting(units, need);
    if (kept < units) {
        rc_blocks_keep_units(&history->blocks, unit, units, unit, kept);
    }
    struct rc_history_page *page = page_at(history, unit + 1);
    page->first = offset;
    atomic_store_explicit(&page->bytes, RC_HISTORY_UNIT * kept, memory_order_relaxed);
    atomic_store_explicit(&page->next, 0, memory_order_relaxed);
    /* HY7 pairs with HY8 in common/shm/history.c: who finds the page finds its head. */
    atomic_store_explicit(channel->tail != 0 ? &page_at(history, channel->tail)->next
                                             : &pages_slot(history, slot)->page,
                          unit + 1, memory_order_release);
    if (channel->tail != 0) {
        page_complete(history, channel);
    }
    channel->tail = unit + 1;
    channel->tail_at = sizeof(*page);
    channel->bytes += (uint64_t)RC_HISTORY_UNIT * kept;
    history->pages[unit] = (struct rc_history_page_index){.owner = slot + 1, .units = kept};
    age_add(history, unit + 1);
    return true;
}

static bool page_has_room(const struct rc_history *history, const struct rc_history_channel *channel, uint64_t need)
{
    return channel->tail != 0 && page_bytes(history, channel->tail) - channel->tail_at >= need;
}

/* The oldest page begins anew at `cut`, in the middle of a message that is over: a head, and a message that stands for all before `shown`
 * and is shown to nobody. */
static void page_cut(struct rc_history *history, uint32_t slot, uint32_t cut, uint64_t shown, uint32_t shown_at)
{
    struct rc_history_slot *its = pages_slot(history, slot);
    struct rc_history_channel *channel = &history->channels[slot];
    const uint32_t old = atomic_load_explicit(&its->page, memory_order_relaxed);
    const uint32_t units = history->pages[old - 1].units;
    const uint32_t page = old + cut / RC_HISTORY_UNIT;
    struct rc_history_page *head = page_at(history, page);
    struct rc_history_entry entry;
    memcpy(&entry, (const uint8_t *)page_at(history, old) + shown_at, sizeof(entry));
    const uint64_t time_ms = entry.time_ms;
    entry = (struct rc_history_entry){.time_ms = time_ms & RC_HISTORY_TIME_MAX,
                                      .data_bytes =
                                          shown_at - cut - (uint32_t)(sizeof(struct rc_history_page) + sizeof(entry))};
    /* Who reads a message that was shown a moment ago is told before it is written over; who reads along the old page finds heads of messages
     * where they were: what is written over is data alone. */
    tell_readers(its);
    head->first = shown - 1;
    atomic_store_explicit(&head->bytes, (units - cut / RC_HISTORY_UNIT) * RC_HISTORY_UNIT, memory_order_relaxed);
    atomic_store_explicit(&head->next, page_next(history, old), memory_order_relaxed);
    memcpy(head + 1, &entry, sizeof(entry));
    rc_history_seal(history, (uint8_t *)(head + 1), channel->owner, shown - 1);
    atomic_store_explicit(&its->page, page, memory_order_release); /* HY7 */
    tell_readers(its);
    age_move(history, old, page);
    history->pages[page - 1].units = units - cut / RC_HISTORY_UNIT;
    rc_blocks_keep_units(&history->blocks, old - 1, units, page - 1, history->pages[page - 1].units);
    channel->bytes -= cut;
    channel->head_at -= cut;
}

/* Gives back what the oldest page has before the messages that are shown. */
static void page_shorten(struct rc_history *history, uint32_t slot)
{
    const struct rc_history_slot *its = pages_slot(history, slot);
    struct rc_history_channel *channel = &history->channels[slot];
    const uint64_t last = atomic_load_explicit(&its->last, memory_order_relaxed);
    const uint64_t first = atomic_load_explicit(&its->first, memory_order_relaxed);
    const uint32_t unit_plus = atomic_load_explicit(&its->page, memory_order_relaxed);
    if (unit_plus == channel->tail) {
        return;
    }
    if (channel->head == 0) {
        channel->head = page_at(history, unit_plus)->first;
        channel->head_at = sizeof(struct rc_history_page);
    }
    if (first <= channel->head || (first - channel->head) * channel->bytes < SHORTENED_BYTES * (last + 1 - first)) {
        return;
    }
    const uint8_t *page = (const uint8_t *)page_at(history, unit_plus);
    const uint32_t least = sizeof(struct rc_history_page) + sizeof(struct rc_history_entry); /* what stands at a cut */
    uint32_t cut = 0;
    for (; channel->head < first; channel->head++) {
        struct rc_history_entry entry;
        memcpy(&entry, page + channel->head_at, sizeof(entry));
        const uint32_t end = channel->head_at + (uint32_t)rc_history_entry_bytes(&entry);
        const uint32_t here = (end - least) & ~(RC_HISTORY_UNIT - 1);
        cut = here >= channel->head_at + sizeof(entry) && end >= least ? here : cut;
        channel->head_at = end;
    }
    if (cut > 0) {
        page_cut(history, slot, cut, first, channel->head_at);
    }
}

/* What is beyond the policy's bounds goes; whole pages, but nobody is shown more messages than it says. */
static void history_trim(struct rc_history *history, uint32_t slot, const struct rc_config_namespace *policy)
{
    struct rc_history_slot *its = pages_slot(history, slot);
    struct rc_history_channel *channel = &history->channels[slot];
    const uint64_t last = atomic_load_explicit(&its->last, memory_order_relaxed);
    const uint64_t first = atomic_load_explicit(&its->first, memory_order_relaxed);
    if (last - first >= policy->history && last >= first) {
        atomic_store_explicit(&its->first, last - policy->history + 1, memory_order_relaxed);
    }
    for (;;) {
        const uint32_t page = atomic_load_explicit(&its->page, memory_order_relaxed);
        if (page == channel->tail) {
            return;
        }
        const bool needed =
            page_at(history, page_next(history, page))->first > atomic_load_explicit(&its->first, memory_order_relaxed);
        if (needed && (policy->history_bytes == 0 || channel->bytes <= policy->history_bytes)) {
            page_shorten(history, slot);
            return;
        }
        if (needed) {
            rc_metric_add(history->metrics, RC_METRIC_HISTORY_EVICTED_BYTES, 1);
        }
        drop_page(history, slot);
    }
}

/* The message is the channel's newest one, of this offset; `time_ms`: of the message. */
static void page_put(struct rc_history *history, uint32_t slot, const struct rc_envelope_view *view,
                     const struct rc_config_namespace *policy, uint64_t time_ms, uint64_t offset)
{
    struct rc_history_slot *its = pages_slot(history, slot);
    struct rc_history_channel *channel = &history->channels[slot];
    /* HP1 pairs with nothing that runs at the same time: the offset before the sequence, both before the message, so that a successor that
     * finds the sequence finds its offset. */
    atomic_store_explicit(&its->promised_offset, offset, memory_order_release);                /* HP1 */
    atomic_store_explicit(&its->promised_sequence, view->head.sequence, memory_order_release); /* HP1 */
    const uint64_t need = rc_history_entry_need(view);
    if (page_has_room(history, channel, need) || page_add(history, slot, need, offset)) {
        uint8_t *entry = (uint8_t *)page_at(history, channel->tail) + channel->tail_at;
        rc_history_entry_write(entry, view, time_ms);
        rc_history_seal(history, entry, channel->owner, offset);
        channel->tail_at += (uint32_t)need;
    } else {
        /* It has its offset; who misses it is told so. */
        rc_history_clear(history, slot);
        atomic_store_explicit(&its->first, offset + 1, memory_order_relaxed);
        rc_metric_add(history->metrics, RC_METRIC_HISTORY_REFUSED, 1);
    }
    atomic_store_explicit(&its->time_ms, time_ms, memory_order_relaxed);
    atomic_store_explicit(&its->last, offset, memory_order_release); /* HY5 pairs with HY6 in common/shm/history.c */
    history_trim(history, slot, policy);
    rc_metric_add(history->metrics, RC_METRIC_HISTORY_MESSAGES, 1);
}

struct rc_history_place rc_history_pages_append(struct rc_history *history, uint32_t slot,
                                                const struct rc_envelope_view *view,
                                                const struct rc_config_namespace *policy, uint64_t now_ms)
{
    const struct rc_history_slot *its = pages_slot(history, slot);
    const uint64_t epoch = atomic_load_explicit(&its->epoch, memory_order_relaxed);
    const uint64_t last = atomic_load_explicit(&its->last, memory_order_relaxed);
    if (last != 0 && atomic_load_explicit(&its->promised_sequence, memory_order_relaxed) == view->head.sequence &&
        atomic_load_explicit(&its->promised_offset, memory_order_relaxed) == last) {
        return (struct rc_history_place){.epoch = epoch, .offset = last, .slot = slot}; /* a predecessor kept it */
    }
    page_put(history, slot, view, policy, now_ms, last + 1);
    return (struct rc_history_place){.epoch = epoch, .offset = last + 1, .slot = slot};
}

bool rc_history_pages_append_at(struct rc_history *history, uint32_t slot, const struct rc_envelope_view *view,
                                const struct rc_config_namespace *policy, uint64_t time_ms, uint64_t offset)
{
    const uint64_t last = atomic_load_explicit(&pages_slot(history, slot)->last, memory_order_relaxed);
    if (offset != last + 1) {
        return false;
    }
    page_put(history, slot, view, policy, time_ms, offset);
    return true;
}

/* --- what was there before ------------------------------------------------------------------------------------------- */

/* All pages of the channel are the newest ones. Of others those go first that were made longest ago. */
static void age_renew(struct rc_history *history, uint32_t slot)
{
    const uint32_t tail = history->channels[slot].tail;
    uint32_t page = tail == 0 ? 0 : atomic_load_explicit(&pages_slot(history, slot)->page, memory_order_relaxed);
    for (; page != 0; page = page == tail ? 0 : page_next(history, page)) {
        age_remove(history, page);
        age_add(history, page);
    }
}

uint64_t rc_history_prepend_piece(const struct rc_history *history, uint32_t slot,
                                  const struct rc_config_namespace *policy)
{
    const uint64_t most = policy->history_bytes != 0 ? policy->history_bytes : UINT64_MAX;
    const uint64_t left = most - less_of(most, history->channels[slot].bytes);
    const uint64_t all = (uint64_t)history->view.unit_count * RC_HISTORY_UNIT;
    const uint64_t part = less_of(less_of(all / PIECES_OF_MEMORY, PAGE_BYTES_MAX), most / PAGES_A_CHANNEL);
    const uint64_t piece = less_of(part > RC_HISTORY_UNIT ? part : RC_HISTORY_UNIT, left - left % RC_HISTORY_UNIT);
    return piece > 0 ? piece - sizeof(struct rc_history_page) : 0;
}

bool rc_history_prepends(const struct rc_history *history, uint32_t slot)
{
    const struct rc_history_slot *its = pages_slot(history, slot);
    const uint64_t first = atomic_load_explicit(&its->first, memory_order_relaxed);
    return first > 1 && (history->channels[slot].tail == 0 ||
                         page_at(history, atomic_load_explicit(&its->page, memory_order_relaxed))->first == first);
}

bool rc_history_prepend_begin(struct rc_history *history, uint32_t slot, const struct rc_config_namespace *policy,
                              uint64_t first, uint64_t bytes, struct rc_history_prepend *prepend, uint64_t *evicted)
{
    const bool single = first + 1 == atomic_load_explicit(&pages_slot(history, slot)->first, memory_order_relaxed);
    const uint32_t pages_max = single ? EVICT_PAGES_LAST_MAX : EVICT_PAGES_MAX; /* of several some may do */
    const uint64_t all = bytes + sizeof(struct rc_history_page);
    const uint32_t units = (uint32_t)((all + RC_HISTORY_UNIT - 1) / RC_HISTORY_UNIT);
    const uint32_t order = rc_blocks_order(all, RC_HISTORY_UNIT);
    if (order >= RC_BLOCK_ORDERS ||
        (policy->history_bytes != 0 &&
         history->channels[slot].bytes + (uint64_t)units * RC_HISTORY_UNIT > policy->history_bytes)) {
        return false;
    }
    age_renew(history, slot);
    uint32_t unit = rc_blocks_alloc(&history->blocks, order);
    for (uint32_t i = 0; unit == RC_BLOCK_NONE && i < pages_max && history->oldest_page != 0 &&
                         history->pages[history->oldest_page - 1].owner != slot + 1;
         i++) {
        *evicted += page_bytes(history, history->oldest_page);
        (void)evict_oldest(history);
        unit = rc_blocks_alloc(&history->blocks, order);
    }
    if (unit == RC_BLOCK_NONE) {
        return false;
    }
    if (units < UINT32_C(1) << order) {
        rc_blocks_keep_units(&history->blocks, unit, UINT32_C(1) << order, unit, units);
    }
    *prepend = (struct rc_history_prepend){.slot = slot,
                                           .unit = unit,
                                           .units = units,
                                           .at = sizeof(struct rc_history_page),
                                           .first = first,
                                           .next = first};
    return true;
}

void rc_history_prepend_put(struct rc_history *history, struct rc_history_prepend *prepend,
                            const struct rc_envelope_view *view, uint64_t time_ms)
{
    const uint64_t need = rc_history_entry_need(view);
    uint8_t *entry = (uint8_t *)page_at(history, prepend->unit + 1) + prepend->at;
    RC_ASSERT(need <= (uint64_t)prepend->units * RC_HISTORY_UNIT - prepend->at);
    rc_history_entry_write(entry, view, time_ms);
    rc_history_seal(history, entry, history->channels[prepend->slot].owner, prepend->next);
    prepend->at += (uint32_t)need;
    prepend->next++;
}

void rc_history_prepend_end(struct rc_history *history, const struct rc_history_prepend *prepend)
{
    struct rc_history_slot *its = pages_slot(history, prepend->slot);
    struct rc_history_channel *channel = &history->channels[prepend->slot];
    struct rc_history_page *page = page_at(history, prepend->unit + 1);
    const bool alone = channel->tail == 0;
    RC_ASSERT(prepend->next == atomic_load_explicit(&its->first, memory_order_relaxed));
    page->first = prepend->first;
    atomic_store_explicit(&page->bytes, prepend->units * RC_HISTORY_UNIT, memory_order_relaxed);
    atomic_store_explicit(&page->next, alone ? 0 : atomic_load_explicit(&its->page, memory_order_relaxed),
                          memory_order_relaxed);
    history->pages[prepend->unit] = (struct rc_history_page_index){.owner = prepend->slot + 1, .units = prepend->units};
    age_add(history, prepend->unit + 1);
    if (alone) {
        channel->tail = prepend->unit + 1;
        channel->tail_at = prepend->at;
    }
    channel->head = 0;
    channel->bytes += (uint64_t)prepend->units * RC_HISTORY_UNIT;
    atomic_store_explicit(&its->page, prepend->unit + 1, memory_order_release); /* HY7 */
    /* HY9: who reads the new `first` and the old page looks again. Dying before it is shown leaves a page that has more than is shown. */
    tell_readers(its);
    /* HY13 pairs with HY11 in common/shm/history.c: who has read the new `first` sees behind that fence that the channel moved. */
    atomic_store_explicit(&its->first, prepend->first, memory_order_release); /* HY13 */
    age_renew(history, prepend->slot);
}

/* --- what is too old ------------------------------------------------------------------------------------------------- */

static uint64_t entry_time(const uint8_t *entry)
{
    struct rc_history_entry head;
    memcpy(&head, entry, sizeof(head));
    return head.time_ms;
}

static uint64_t entry_bytes_at(const uint8_t *entry)
{
    struct rc_history_entry head;
    memcpy(&head, entry, sizeof(head));
    return rc_history_entry_bytes(&head);
}

/* Messages of the oldest page that are older than `before_ms`. */
static void expire_in_page(struct rc_history *history, uint32_t slot, uint64_t before_ms)
{
    struct rc_history_slot *its = pages_slot(history, slot);
    const uint32_t page = atomic_load_explicit(&its->page, memory_order_relaxed);
    const uint8_t *memory = (const uint8_t *)page_at(history, page);
    const uint64_t bytes =
        page == history->channels[slot].tail ? history->channels[slot].tail_at : page_bytes(history, page);
    const uint64_t last = atomic_load_explicit(&its->last, memory_order_relaxed);
    uint64_t first = atomic_load_explicit(&its->first, memory_order_relaxed);
    uint64_t at = sizeof(struct rc_history_page);
    for (uint64_t offset = page_at(history, page)->first;
         offset <= last && at + sizeof(struct rc_history_entry) <= bytes && entry_time(memory + at) < before_ms;
         offset++) {
        first = offset + 1 > first ? offset + 1 : first;
        at += entry_bytes_at(memory + at);
    }
    atomic_store_explicit(&its->first, first, memory_order_relaxed);
}

static void history_expire(struct rc_history *history, uint32_t slot, uint64_t before_ms)
{
    const struct rc_history_slot *its = pages_slot(history, slot);
    const struct rc_history_channel *channel = &history->channels[slot];
    if (channel->tail == 0) {
        return;
    }
    if (atomic_load_explicit(&its->time_ms, memory_order_relaxed) < before_ms) {
        rc_history_clear(history, slot);
        return;
    }
    for (;;) {
        const uint32_t page = atomic_load_explicit(&its->page, memory_order_relaxed);
        const uint32_t next = page == channel->tail ? 0 : page_next(history, page);
        /* A page without an entry has just been begun by a predecessor. */
        if (next == 0 || page_at(history, next)->first > atomic_load_explicit(&its->last, memory_order_relaxed) ||
            entry_time((const uint8_t *)page_at(history, next) + sizeof(struct rc_history_page)) >= before_ms) {
            break;
        }
        drop_page(history, slot);
    }
    expire_in_page(history, slot, before_ms);
}

struct rc_history_state rc_history_stand(struct rc_history *history, uint32_t slot,
                                         const struct rc_config_namespace *policy, uint64_t now_ms)
{
    if (policy != NULL && policy->history_ttl_ms > 0 && now_ms > policy->history_ttl_ms) {
        history_expire(history, slot, now_ms - policy->history_ttl_ms);
    }
    if (policy != NULL) {
        history_trim(history, slot, policy);
    }
    return rc_history_state(&history->view, slot);
}

/* --- taking over ----------------------------------------------------------------------------------------------------- */

/* Where the next entry of the newest page goes; 0: what is there does not reach `last`. */
static uint32_t tail_end(const struct rc_history *history, uint32_t unit_plus, uint64_t last)
{
    const struct rc_history_page *page = page_at(history, unit_plus);
    const uint64_t bytes = page_bytes(history, unit_plus);
    uint64_t at = sizeof(*page);
    for (uint64_t offset = page->first; offset <= last; offset++) {
        if (bytes - at < sizeof(struct rc_history_entry)) {
            return 0;
        }
        const uint64_t size = entry_bytes_at((const uint8_t *)page + at);
        if (size > bytes - at) {
            return 0;
        }
        at += size;
    }
    return (uint32_t)at;
}

/* Are the entries of a page that is in doubt whole, from `first` on, and do they reach the next page? What is before `first` is shown to
 * nobody, and may be a message that another one's head stands in. */
static bool page_sealed(const struct rc_history *history, uint32_t slot, uint32_t unit_plus, uint64_t first,
                        uint64_t behind)
{
    const uint8_t *page = (const uint8_t *)page_at(history, unit_plus);
    const uint64_t bytes = page_bytes(history, unit_plus);
    uint64_t at = sizeof(struct rc_history_page);
    for (uint64_t offset = page_at(history, unit_plus)->first; offset < behind; offset++) {
        if (bytes - at < sizeof(struct rc_history_entry) || entry_bytes_at(page + at) > bytes - at ||
            (offset >= first &&
             !rc_history_sealed(history, page + at, bytes - at, history->channels[slot].owner, offset))) {
            return false;
        }
        at += entry_bytes_at(page + at);
    }
    return true;
}

/* All of the chain, in doubt; and nothing behind the newest message that `last` does not count: else `last` is not what it was. One that a
 * relay wrote and did not count any more is promised. */
static bool chain_sealed(const struct rc_history *history, uint32_t slot, uint64_t first, uint64_t last)
{
    const struct rc_history_slot *its = pages_slot(history, slot);
    const struct rc_history_channel *channel = &history->channels[slot];
    uint32_t page = atomic_load_explicit(&its->page, memory_order_relaxed);
    if (history->doubt == RC_HISTORY_SURE || page == 0) {
        return true;
    }
    for (; page != channel->tail; page = page_next(history, page)) {
        if (!page_sealed(history, slot, page, first, page_at(history, page_next(history, page))->first)) {
            return false;
        }
    }
    const uint8_t *behind = (const uint8_t *)page_at(history, page) + channel->tail_at;
    return page_sealed(history, slot, page, first, last + 1) &&
           (atomic_load_explicit(&its->promised_offset, memory_order_relaxed) == last + 1 ||
            page_bytes(history, page) == channel->tail_at ||
            !rc_history_sealed(history, behind, page_bytes(history, page) - channel->tail_at, channel->owner,
                               last + 1));
}

/* The page is in use. False: it cannot be, or not where the chain has it. */
static bool adopt_page(struct rc_history *history, uint32_t slot, uint32_t unit_plus, uint64_t least, uint64_t most)
{
    const struct rc_history_page *page =
        (const struct rc_history_page *)rc_history_at(&history->view, unit_plus, sizeof(*page));
    if (page == NULL || page->first < least || page->first > most) {
        return false;
    }
    const uint32_t bytes = atomic_load_explicit(&page->bytes, memory_order_relaxed);
    if (bytes % RC_HISTORY_UNIT != 0 ||
        !rc_blocks_take_units(&history->blocks, unit_plus - 1, bytes / RC_HISTORY_UNIT)) {
        return false;
    }
    history->pages[unit_plus - 1] = (struct rc_history_page_index){.owner = slot + 1, .units = bytes / RC_HISTORY_UNIT};
    history->channels[slot].bytes += bytes;
    history->channels[slot].tail = unit_plus;
    return true;
}

/* As if nothing of the chain were there. */
static void disown_pages(struct rc_history *history, uint32_t slot, uint32_t pages)
{
    struct rc_history_slot *its = pages_slot(history, slot);
    uint32_t page = atomic_load_explicit(&its->page, memory_order_relaxed);
    for (; pages > 0; pages--) {
        const uint32_t next = page_next(history, page);
        rc_blocks_free_units(&history->blocks, page - 1, history->pages[page - 1].units);
        history->pages[page - 1] = (struct rc_history_page_index){0};
        page = next;
    }
    atomic_store_explicit(&its->page, 0, memory_order_relaxed);
    history->channels[slot].tail = 0;
    history->channels[slot].bytes = 0;
}

bool rc_history_adopt_pages(struct rc_history *history, uint32_t slot)
{
    struct rc_history_slot *its = pages_slot(history, slot);
    struct rc_history_channel *channel = &history->channels[slot];
    const uint64_t last = atomic_load_explicit(&its->last, memory_order_relaxed);
    uint64_t first = atomic_load_explicit(&its->first, memory_order_relaxed);
    uint32_t page = atomic_load_explicit(&its->page, memory_order_relaxed);
    uint64_t least = 1;
    uint32_t pages = 0;
    bool whole = last < UINT64_MAX / 2 && first >= 1 && first <= last + 2;
    for (; whole && page != 0; pages++) {
        whole = adopt_page(history, slot, page, least, last + 1);
        if (!whole) {
            break;
        }
        least = page_at(history, page)->first + 1;
        page = page_next(history, page);
    }
    if (whole && channel->tail != 0) {
        channel->tail_at = tail_end(history, channel->tail, last);
        whole = channel->tail_at != 0 && chain_sealed(history, slot, first, last);
    }
    if (!whole) {
        disown_pages(history, slot, pages);
        return false;
    }
    /* It died between two stores: what was evicted is named by `first` already or not yet, and what is not kept is not there. */
    page = atomic_load_explicit(&its->page, memory_order_relaxed);
    const uint64_t oldest = page == 0 ? last + 1 : page_at(history, page)->first;
    first = first > oldest ? first : oldest;
    atomic_store_explicit(&its->first, first < last + 1 ? first : last + 1, memory_order_relaxed);
    if (history->doubt != RC_HISTORY_SURE) {
        /* Sequences are those of a broker. */
        atomic_store_explicit(&its->promised_offset, 0, memory_order_relaxed);
        atomic_store_explicit(&its->promised_sequence, 0, memory_order_relaxed);
    }
    return true;
}

struct page_age {
    uint64_t time_ms;
    uint32_t unit_plus;
};

static int age_compare(const void *a, const void *b)
{
    const struct page_age *first = a;
    const struct page_age *second = b;
    return first->time_ms != second->time_ms
               ? (first->time_ms < second->time_ms ? -1 : 1)
               : (first->unit_plus < second->unit_plus ? -1 : first->unit_plus > second->unit_plus);
}

int rc_history_order_pages(struct rc_history *history)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < history->slots_high; slot++) {
        for (uint32_t page = history->channels[slot].tail == 0
                                 ? 0
                                 : atomic_load_explicit(&pages_slot(history, slot)->page, memory_order_relaxed);
             page != 0; page = page == history->channels[slot].tail ? 0 : page_next(history, page)) {
            count++;
        }
    }
    struct page_age *ages = count == 0 ? NULL : malloc(count * sizeof(*ages));
    if (count > 0 && ages == NULL) {
        return -ENOMEM;
    }
    uint32_t at = 0;
    for (uint32_t slot = 0; slot < history->slots_high; slot++) {
        uint64_t time_ms = 0;
        for (uint32_t page = history->channels[slot].tail == 0
                                 ? 0
                                 : atomic_load_explicit(&pages_slot(history, slot)->page, memory_order_relaxed);
             page != 0; page = page == history->channels[slot].tail ? 0 : page_next(history, page)) {
            /* Within a channel the chain is the order, whatever an entry says. */
            const uint64_t its_ms =
                entry_time((const uint8_t *)page_at(history, page) + sizeof(struct rc_history_page));
            time_ms = its_ms > time_ms ? its_ms : time_ms + 1;
            ages[at++] = (struct page_age){.time_ms = time_ms, .unit_plus = page};
        }
    }
    if (count > 0) {
        qsort(ages, count, sizeof(*ages), age_compare);
    }
    for (uint32_t i = 0; i < count; i++) {
        age_add(history, ages[i].unit_plus);
    }
    free(ages);
    return 0;
}
