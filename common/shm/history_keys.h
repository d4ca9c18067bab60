/*
 * history_keys: of a channel's history the newest message of each key: the state that the channel carries, for who arrives.
 *
 * A reader's, on its one thread: the messages are looked through once, oldest first, and of each key the place of the newest is remembered;
 * they are read afterwards, in the order in which they came. Keys are told apart by their 64-bit hash, as everywhere (docs/protocol.md);
 * messages without a key have one together. Bounded: so many keys, of which those that changed last count, and so many messages, the
 * newest. Memory is taken at the opening. What comes out of the segment is believed as little as in history.h.
 */
#ifndef RC_COMMON_SHM_HISTORY_KEYS_H
#define RC_COMMON_SHM_HISTORY_KEYS_H

#include <stdint.h>

#include "common/shm/history.h"

#define RC_HISTORY_KEYS_MAX 65536u /* of one opening */

struct rc_history_key;

struct rc_history_keys {
    struct rc_history_key *keys; /* owner: one a key, in the order of change by their links */
    uint32_t *table;             /* owner: key + 1 by hash; 0 = none */
    uint32_t keys_max;
    uint32_t table_mask;
    uint32_t count;
    uint32_t oldest; /* key + 1; 0 = none */
    uint32_t newest;
};

/* For up to `keys_max` keys (1 to RC_HISTORY_KEYS_MAX). 0 or -ENOMEM. */
int rc_history_keys_open(struct rc_history_keys *keys, uint32_t keys_max);
void rc_history_keys_close(struct rc_history_keys *keys);

/*
 * Looks through the channel's messages from `first` to `last`, at most the newest `messages_max` of them. Those that go meanwhile are passed over. How many keys there
 * are; -ENODATA: the epoch is another one; -EBADMSG: the segment is damaged there.
 */
int rc_history_keys_find(struct rc_history_keys *keys, const struct rc_history_view *view, uint32_t slot,
                         uint64_t epoch, uint64_t first, uint64_t last, uint32_t messages_max);

/* The keys' newest messages one by one, in the order of their offsets; `*next` is 0 to begin with. A cursor to be read with
 * rc_history_read, whose epoch is 0 when there is none any more. */
struct rc_history_cursor rc_history_keys_next(const struct rc_history_keys *keys, uint32_t *next);

#endif
