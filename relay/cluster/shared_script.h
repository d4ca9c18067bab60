/*
 * shared_script: what is said to Redis for a history that all instances share, and what it answers.
 *
 *   {prefix}ws:offsets:{…}   a hash: epoch, offset (of the newest message), i:{instance} → boot:sequence (of its newest message),
 *                            s:{stream} → id (of the newest entry of an application's stream)
 *   {prefix}ws:history:{…}   a stream: id {offset}-0; p = instance:boot:sequence, t = milliseconds since 1970, m = the message (wire.h)
 *
 * {…} is the channel's name in Redis, braces included, so that in a Cluster both are in the slot of the channel. A name with braces of its
 * own has the tag that Redis finds in it; one in which Redis finds none cannot be shared (rc_shared_names).
 *
 *   place   one message: is it a second copy? else the next offset, XADD, PUBLISH with the place. Of an epoch that does not go as far as the sender
 *           has seen it, or that is before the one that it knows (Redis lost writes), another one begins
 *   fetch   epoch (a channel that has none gets one where it is followed, for RC_SHARED_QUIET_MS), newest offset, entries from an offset on; and
 *           who sent the one that the asker has last
 *   refetch entries before an offset, the newest first
 *   keep    the epoch of a channel without a message is remembered for another RC_SHARED_QUIET_MS
 *   renew   a new epoch, if it still is the one that is known
 *
 * Pure but for rc_redis_command. Bytes from Redis are checked, never asserted.
 */
#ifndef RC_RELAY_CLUSTER_SHARED_SCRIPT_H
#define RC_RELAY_CLUSTER_SHARED_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/base/span.h"
#include "common/config/config.h"
#include "relay/redis/handlers.h"
#include "relay/redis/script.h"

struct rc_redis_link;

#define RC_SHARED_IDLE_MS \
    UINT64_C(604800000)            /* a channel without history_ttl goes from Redis when it was silent for a week */
#define RC_SHARED_QUIET_MS 60000u  /* nor what nobody published to: names that strangers made up do not fill Redis */
#define RC_SHARED_FETCH_COUNT 512u /* entries of one fetch */
#define RC_SHARED_FETCH_BYTES (1u << 20) /* and their bytes, but for the last few */

extern const char rc_shared_place_text[];

/* A channel's names in Redis. */
struct rc_shared_names {
    char channel[RC_REDIS_NAME_MAX];
    char offsets[RC_REDIS_NAME_MAX];
    char stream[RC_REDIS_NAME_MAX];
    uint32_t channel_bytes;
    uint32_t offsets_bytes;
    uint32_t stream_bytes;
};

/* False: the channel cannot be shared: its name has braces that make no tag. */
bool rc_shared_names(struct rc_shared_names *names, const char *prefix, struct rc_span channel);
/* The same answer alone, for who asks it of a hundred thousand channels: names are built only where there is a brace, or little room. */
bool rc_shared_nameable(const char *prefix, struct rc_span channel);

/* Numbers of a run as text. */
struct rc_shared_texts {
    char boot[12];
    char sequence[24];
    char most[12];
    char stream_ms[24];
    char offsets_ms[24];
    char fresh[24];
    char known[24];
    char seen[24];
};

/* Who sends a message of which namespace. */
struct rc_shared_sender {
    const char *instance;
    uint32_t boot;
    bool sharded;
};

struct rc_shared_epochs {
    uint64_t known;   /* whose answer is a number alone; 0 = none */
    uint64_t wall_ms; /* about now, since 1970: of an epoch that begins with the message */
    uint64_t seen;    /* offset of its newest message that is known; 0 = it has none, as its subscribers were told */
};

/* Which entry of an application's stream a message is: it is published once, whoever reads the stream, and not before the one before it. */
struct rc_shared_source {
    struct rc_span field; /* "s:{stream}" */
    struct rc_span id;    /* of the entry */
    struct rc_span
        before; /* id of the entry before it that is for this channel, as far as it is known; empty: it is not */
};

/* A run of `place` but for the message's parts, token and flags. The spans are of all these. */
void rc_shared_place(struct rc_redis_run *run, struct rc_shared_texts *texts, const struct rc_shared_names *names,
                     const struct rc_shared_sender *sender, const struct rc_config_namespace *policy, uint64_t sequence,
                     struct rc_shared_epochs epochs, const struct rc_shared_source *source);

/* What `place` answers. */
struct rc_shared_answer {
    uint64_t epoch;
    uint64_t offset; /* of the message, if it is `placed`; else the newest one's */
    bool fresh;      /* no second copy */
    bool placed;     /* not so of a second copy whose first one is not among the newest any more */
    bool early;      /* not taken: the entry before it was not */
};

/* False: it is none. */
bool rc_shared_answer_read(const redisReply *reply, uint64_t known, struct rc_shared_answer *answer);

/* What is asked. */
struct rc_shared_question {
    uint64_t epoch; /* 0 = none is known */
    uint64_t last;
    uint64_t most; /* entries that are wanted when they are not those behind `last` */
    bool all;      /* these, though the epoch is known */
    bool unproved; /* it is not known who sent the last message: what Redis has in its place is wanted, too */
    bool begins;   /* a channel that has no epoch gets one: somebody follows it */
};

/* As rc_redis_command. */
int rc_shared_fetch(struct rc_redis_link *link, const struct rc_shared_names *names,
                    const struct rc_shared_question *question, rc_redis_replied *replied, void *context);
/* The channel still has no message, and subscribers who were told its epoch. As rc_redis_command. */
int rc_shared_keep(struct rc_redis_link *link, const struct rc_shared_names *names, uint64_t epoch,
                   rc_redis_replied *replied, void *context);
/* `epoch` ends, 0 = whichever it is; the new one is behind it, and `known`. `drop`: its messages go, too. As rc_redis_command. */
int rc_shared_renew(struct rc_redis_link *link, const struct rc_shared_names *names, uint64_t epoch, uint64_t known,
                    bool drop, bool sharded, rc_redis_replied *replied, void *context);

/* Messages of the copy's epoch that are asked for back from one: `from` down to `to`. */
struct rc_shared_range {
    uint64_t last; /* offset of the asker's last message: who sent that is told, too */
    uint64_t from;
    uint64_t to;
    uint64_t bytes; /* of an answer, but for the last few of its messages */
};

/* The entries of the answer go back; no epoch begins. As rc_redis_command. */
int rc_shared_refetch(struct rc_redis_link *link, const struct rc_shared_names *names,
                      const struct rc_shared_range *range, rc_redis_replied *replied, void *context);

struct rc_shared_fetched {
    uint64_t epoch;       /* 0: Redis has nothing of the channel */
    uint64_t last;        /* offset of the newest message */
    uint64_t now_ms;      /* clock of Redis */
    struct rc_span proof; /* who sent the asker's last message, as Redis has it; empty: it is not there any more */
    struct rc_span held;  /* that message itself, for rc_wire_read_kept, where it was wanted */
    const redisReply *entries;
};

struct rc_shared_entry {
    uint64_t offset;
    uint64_t time_ms; /* clock of Redis */
    struct rc_span proof;
    struct rc_span message; /* for rc_wire_read_kept */
};

/* False: it is no answer. The spans are of the reply. */
bool rc_shared_fetched_read(const redisReply *reply, struct rc_shared_fetched *fetched);
/* False: it has no place. With one, its message may be empty: it is none. */
bool rc_shared_entry_read(const redisReply *reply, struct rc_shared_entry *entry);

/* "instance:boot:sequence"; bytes written, without NUL. */
#define RC_SHARED_PROOF_MAX (RC_INSTANCE_ID_MAX + 36u)
size_t rc_shared_proof(char out[RC_SHARED_PROOF_MAX], struct rc_span instance, uint64_t boot, uint64_t sequence);

/* A new epoch: greater than `known` (0: none is), and than all that began before it by clocks that agree: milliseconds since 1970, and 11 random bits. Where
 * Redis has lost that an epoch ended, who knows the later one sees by it that the one that is there is over. Clocks that differ cost one epoch more. */
uint64_t rc_shared_epoch_after(uint64_t known);

#endif
