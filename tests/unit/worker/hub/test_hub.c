/*
 * The hub against a model: random clients on sockets that take little at a time subscribe, leave, are excluded, are closed and hang
 * up, between turns and in the middle of them. What each of them reads must be what the model says.
 *
 * Seeded: HUB_SEED=n repeats a run, HUB_STEPS=n makes it longer.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "tests/support/hub_rig.h"
#include "worker/proto/operation.h"
#include "worker/ws/frame.h"

#define CHANNELS 9 /* the last one is "*" */
#define EVERYBODY (CHANNELS - 1)
#define EPOCHS_MAX 64
#define EXCLUDES_MAX 3
#define NOBODY UINT32_MAX
#define KEYS 5 /* the first one is none */
#define INTERVAL_MS 20u
#define REST_MS 60000u
#define BODY_MAX 80000

struct message {
    uint32_t channel; /* NOBODY = direct */
    uint32_t target;  /* client of a direct */
    uint32_t key;
    uint32_t excludes[EXCLUDES_MAX];
};

/* A stretch of a channel's messages that a client may get: those in (from, to]. */
struct epoch {
    uint64_t from;
    uint64_t to;       /* UINT64_MAX = still subscribed */
    uint64_t optional; /* was on its way when the subscription was made: may come or not */
    uint32_t channel;
};

struct client {
    uint32_t slot;
    enum rc_codec_id codec;
    bool alive;   /* not hung up */
    bool closing; /* a close frame is queued */
    bool closed;  /* and was read */
    bool slow;    /* with the code of a slow consumer */
    uint64_t close_sequence;
    uint64_t last; /* sequence read last */
    uint64_t lasts[CHANNELS][KEYS];
    uint32_t replies_sent;
    uint32_t replies_read;
    uint32_t gaps[CHANNELS];
    struct epoch epochs[EPOCHS_MAX];
    uint32_t epoch_count;
    uint64_t *read; /* owned: sequences in the order of reading */
    size_t read_count;
    size_t read_capacity;
};

struct model {
    struct hub_rig rig;
    uint64_t seed;
    uint64_t state;
    bool may_lose;   /* the log budgets are small */
    bool may_starve; /* the worker's budget is, too */
    bool keys;       /* messages have keys, and are not too large to keep one of each */
    bool throttled;  /* one in INTERVAL_MS of each channel and key */
    bool critical;   /* the channels of namespace `news` are, and messages come in between rounds */
    enum rc_slow_policy policy;
    struct client *clients; /* owned, in the order of connecting */
    uint32_t client_count;
    uint32_t client_capacity;
    uint32_t *by_slot; /* owned: client */
    struct message *messages;
    size_t message_capacity;
    uint64_t in_flight; /* sequence of the message that is being tried again; 0 = none */
    uint32_t codecs;
    uint32_t living;
};

static uint64_t draw(struct model *m)
{
    m->state += 0x9e3779b97f4a7c15u;
    uint64_t z = m->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t below(struct model *m, uint32_t n)
{
    return (uint32_t)(draw(m) % n);
}

#define MUST(m, condition, ...)                                                \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "HUB_SEED=%llu: ", (unsigned long long)(m)->seed); \
            fprintf(stderr, __VA_ARGS__);                                      \
            fprintf(stderr, "\n");                                             \
            abort();                                                           \
        }                                                                      \
    } while (0)

static const char *channel_name(uint32_t channel)
{
    static const char *const names[CHANNELS] = {"a", "b", "c", "d", "news:1", "news:2", "rare", "solo", "*"};
    return names[channel];
}

/* --- bodies: "~sequence~fill~" --- */

static struct rc_span body_of(uint64_t sequence, uint32_t bytes)
{
    static char body[BODY_MAX + 64];
    const int head = snprintf(body, sizeof(body), "\"~%llu~", (unsigned long long)sequence);
    memset(body + head, 'a' + (int)(sequence % 26), bytes);
    memcpy(body + head + bytes, "~\"", 2);
    return rc_span_of(body, (size_t)head + bytes + 2);
}

/* The sequence in a payload; 0 when it holds none. */
static uint64_t sequence_of(struct model *m, struct rc_span payload)
{
    const uint8_t *at = memmem(payload.bytes, payload.count, "\"~", 2);
    if (at == NULL) {
        return 0;
    }
    char *end;
    const uint64_t sequence = strtoull((const char *)at + 2, &end, 10);
    const uint8_t *c = (const uint8_t *)end + 1;
    const uint8_t *last = payload.bytes + payload.count;
    while (c < last && *c == 'a' + (int)(sequence % 26)) {
        c++;
    }
    MUST(m, c + 2 <= last && c[0] == '~' && c[1] == '"', "message %llu is damaged", (unsigned long long)sequence);
    return sequence;
}

/* --- what clients are told --- */

static bool excluded_from(const struct message *message, uint32_t client)
{
    for (uint32_t i = 0; i < EXCLUDES_MAX; i++) {
        if (message->excludes[i] == client) {
            return true;
        }
    }
    return false;
}

static bool is_critical(uint32_t channel)
{
    return strncmp(channel_name(channel), "news:", 5) == 0;
}

/* May the message have waited to be released when only those up to `until` were published? */
static bool was_held(const struct model *m, uint64_t sequence, uint64_t until)
{
    const struct message *message = &m->messages[sequence];
    for (uint64_t s = sequence + 1; s <= until; s++) {
        if (m->messages[s].channel == message->channel && m->messages[s].key == message->key) {
            return false;
        }
    }
    return m->throttled;
}

static bool allowed(const struct model *m, uint32_t index, uint64_t sequence)
{
    const struct client *client = &m->clients[index];
    const struct message *message = &m->messages[sequence];
    if (message->channel == NOBODY) {
        return message->target == index;
    }
    for (uint32_t i = 0; i < client->epoch_count; i++) {
        const struct epoch *epoch = &client->epochs[i];
        if (epoch->channel == message->channel && sequence <= epoch->to &&
            (sequence > epoch->from || was_held(m, sequence, epoch->from))) {
            return !excluded_from(message, index);
        }
    }
    return false;
}

static void take_frame(struct model *m, uint32_t index, uint8_t opcode, struct rc_span payload)
{
    struct client *client = &m->clients[index];
    MUST(m, !client->closed, "client %u: a frame behind the close frame", index);
    if (opcode == RC_WS_CLOSE) {
        client->closed = true;
        client->slow = payload.count >= 2 && (payload.bytes[0] << 8 | payload.bytes[1]) == RC_CLOSE_SLOW_CONSUMER;
        MUST(m, client->closing || client->slow, "client %u: a close frame that nobody asked for", index);
        return;
    }
    if (payload.count > 1 && payload.bytes[0] == 'R') {
        const uint32_t number = (uint32_t)strtoul((const char *)payload.bytes + 1, NULL, 10);
        MUST(m, number == ++client->replies_read, "client %u: reply %u instead of %u", index, number,
             client->replies_read);
        return;
    }
    const uint64_t sequence = sequence_of(m, payload);
    if (sequence == 0) {
        MUST(m, m->may_lose, "client %u: an unknown frame of %zu bytes", index, payload.count);
        for (uint32_t c = 0; c < CHANNELS; c++) {
            client->gaps[c] += memmem(payload.bytes, payload.count, channel_name(c), strlen(channel_name(c))) != NULL;
        }
        return;
    }
    MUST(m, sequence <= m->rig.sequence || sequence == m->in_flight, "client %u: sequence %llu is not there yet", index,
         (unsigned long long)sequence);
    const struct message *message = &m->messages[sequence];
    const bool alone = message->channel != NOBODY && (m->throttled || (m->critical && is_critical(message->channel)));
    uint64_t *last = alone ? &client->lasts[message->channel][message->key] : &client->last;
    MUST(m, sequence > *last, "client %u: %llu after %llu", index, (unsigned long long)sequence,
         (unsigned long long)*last);
    MUST(m, allowed(m, index, sequence), "client %u: %llu on channel %u is not for it", index,
         (unsigned long long)sequence, m->messages[sequence].channel);
    *last = sequence;
    if (client->read_count == client->read_capacity) {
        client->read_capacity = client->read_capacity * 2 + 64;
        client->read = realloc(client->read, client->read_capacity * sizeof(*client->read));
    }
    client->read[client->read_count++] = sequence;
}

static void take(struct model *m, uint32_t index, size_t most)
{
    struct client *client = &m->clients[index];
    uint8_t opcode;
    struct rc_span payload;
    if (most != SIZE_MAX) {
        hub_rig_read(&m->rig, client->slot, most);
    }
    while (hub_rig_frame(&m->rig, client->slot, &opcode, &payload)) {
        take_frame(m, index, opcode, payload);
    }
    MUST(m, !client->closed || m->rig.peers[client->slot].count == 0, "client %u: bytes behind the close frame", index);
}

/* At the end of a client: is anything missing that it should have? */
static void judge(struct model *m, uint32_t index, bool drained)
{
    const struct client *client = &m->clients[index];
    const bool told = m->policy == RC_SLOW_SKIP && client->codec != RC_CODEC_RAW; /* raw clients know no notices */
    const bool unordered = m->throttled || m->critical;
    for (uint32_t i = 0; i < client->epoch_count; i++) {
        const struct epoch *epoch = &client->epochs[i];
        const bool open = epoch->to == UINT64_MAX && drained && !client->slow;
        const uint64_t to = epoch->to < m->rig.sequence ? epoch->to : m->rig.sequence;
        size_t at = 0;
        uint64_t missing = 0;
        uint64_t newest[KEYS] = {0};
        bool newest_read[KEYS] = {false};
        for (uint64_t s = epoch->from + 1; s <= to; s++) {
            if (m->messages[s].channel != epoch->channel) {
                continue;
            }
            if (excluded_from(&m->messages[s], index)) {
                newest[m->messages[s].key] = 0;
                continue;
            }
            while (!unordered && at < client->read_count && client->read[at] < s) {
                at++;
            }
            for (at = unordered ? 0 : at; unordered && at < client->read_count && client->read[at] != s;) {
                at++;
            }
            const bool read = at < client->read_count && client->read[at] == s;
            newest[m->messages[s].key] = s;
            newest_read[m->messages[s].key] = read;
            if (read) {
                MUST(m, missing == 0 || m->may_lose, "client %u: %llu on %u is missing, later ones came", index,
                     (unsigned long long)missing, epoch->channel);
                MUST(m, missing == 0 || !told || client->gaps[epoch->channel] > 0 || m->may_starve,
                     "client %u: %llu on %u was left out without a gap notice", index, (unsigned long long)missing,
                     epoch->channel);
            } else if (s != epoch->optional) {
                missing = missing == 0 ? s : missing;
            }
        }
        if (client->closing && client->closed && client->close_sequence > 0 && epoch->to == UINT64_MAX &&
            !m->may_lose) {
            MUST(m, missing == 0 || missing > client->close_sequence, "client %u: %llu was dropped by a polite close",
                 index, (unsigned long long)missing);
        }
        if (!open || client->closing || m->may_starve) {
            continue;
        }
        MUST(m, missing == 0 || (m->may_lose && m->policy != RC_SLOW_DISCONNECT), "client %u: %llu on %u never came",
             index, (unsigned long long)missing, epoch->channel);
        MUST(m, missing == 0 || !told || client->gaps[epoch->channel] > 0,
             "client %u: %llu on %u was left out without a gap notice", index, (unsigned long long)missing,
             epoch->channel);
        for (uint32_t key = 0; key < KEYS; key++) {
            MUST(m, newest[key] == 0 || newest_read[key] || m->policy != RC_SLOW_LATEST,
                 "client %u: the newest of %u and key %u, %llu, is missing", index, epoch->channel, key,
                 (unsigned long long)newest[key]);
        }
    }
    if (drained && !client->slow && !client->closing && !m->may_starve) {
        MUST(m, client->replies_read == client->replies_sent, "client %u: %u of %u replies", index,
             client->replies_read, client->replies_sent);
        for (uint64_t s = 1; s <= m->rig.sequence; s++) {
            if (m->messages[s].channel == NOBODY && m->messages[s].target == index) {
                const uint64_t *found = NULL;
                for (size_t i = 0; i < client->read_count && found == NULL; i++) {
                    found = client->read[i] == s ? &client->read[i] : NULL;
                }
                MUST(m, found != NULL, "client %u: direct %llu never came", index, (unsigned long long)s);
            }
        }
    }
}

/* --- what clients do --- */

static void epoch_begin(struct model *m, uint32_t index, uint32_t channel)
{
    struct client *client = &m->clients[index];
    RC_ASSERT(client->epoch_count < EPOCHS_MAX);
    client->epochs[client->epoch_count++] =
        (struct epoch){.from = m->rig.sequence, .to = UINT64_MAX, .optional = m->in_flight, .channel = channel};
}

static struct epoch *epoch_open(struct model *m, uint32_t index, uint32_t channel)
{
    struct client *client = &m->clients[index];
    for (uint32_t i = 0; i < client->epoch_count; i++) {
        if (client->epochs[i].channel == channel && client->epochs[i].to == UINT64_MAX) {
            return &client->epochs[i];
        }
    }
    return NULL;
}

static uint64_t now_of(const struct model *m)
{
    return m->in_flight != 0 ? m->in_flight : m->rig.sequence;
}

static bool open_state(const struct model *m, uint32_t index)
{
    const struct rc_client *client = rc_truth_client(&m->rig.truth, m->clients[index].slot);
    return m->clients[index].alive && client->state == RC_CLIENT_OPEN && !(client->flags & RC_CLIENT_CLOSE_QUEUED) &&
           m->by_slot[m->clients[index].slot] == index;
}

static void subscribe(struct model *m, uint32_t index)
{
    const uint32_t channel = below(m, EVERYBODY);
    if (!open_state(m, index) || epoch_open(m, index, channel) != NULL || m->clients[index].epoch_count == EPOCHS_MAX) {
        return;
    }
    epoch_begin(m, index, channel);
    MUST(m, hub_rig_subscribe(&m->rig, m->clients[index].slot, channel_name(channel)) != 0, "no subscription");
}

static void unsubscribe(struct model *m, uint32_t index)
{
    const uint32_t channel = below(m, EVERYBODY);
    struct epoch *epoch = epoch_open(m, index, channel);
    if (open_state(m, index) && epoch != NULL) {
        epoch->to = now_of(m);
        hub_rig_unsubscribe(&m->rig, m->clients[index].slot, channel_name(channel));
    }
}

static void end_epochs(struct model *m, uint32_t index)
{
    for (uint32_t i = 0; i < m->clients[index].epoch_count; i++) {
        struct epoch *epoch = &m->clients[index].epochs[i];
        epoch->to = epoch->to == UINT64_MAX ? now_of(m) : epoch->to;
    }
}

static void close_one(struct model *m, uint32_t index, bool now)
{
    struct client *client = &m->clients[index];
    if (!open_state(m, index)) {
        return;
    }
    client->closing = true;
    client->close_sequence = now ? 0 : m->rig.sequence;
    if (now) {
        end_epochs(m, index);
    } else {
        /* What comes before the close frame leaves is still delivered; asked for is what was there. */
        for (uint32_t i = 0; i < client->epoch_count; i++) {
            struct epoch *epoch = &client->epochs[i];
            if (epoch->to == UINT64_MAX) {
                epoch->optional = 0;
            }
        }
    }
    rc_hub_close_client(&m->rig.hub, client->slot, 4001, "bye", 3, now);
}

static void reply(struct model *m, uint32_t index)
{
    if (open_state(m, index)) {
        char text[400];
        const int head = snprintf(text, sizeof(text), "R%u ", ++m->clients[index].replies_sent);
        const uint32_t bytes = (uint32_t)head + below(m, 300);
        memset(text + head, '.', bytes - (uint32_t)head);
        if (rc_hub_reply_frame(&m->rig.hub, m->clients[index].slot, RC_WS_TEXT, (uint8_t *)text, bytes) < 0) {
            MUST(m, m->may_starve, "no room for a reply");
            close_one(m, index, true);
        }
    }
}

/* One byte of a client is one thing that it does, wherever the worker's loop is. */
static void on_received(void *context, uint32_t slot, const uint8_t *bytes, uint32_t count)
{
    struct model *m = context;
    const uint32_t index = m->by_slot[slot];
    for (uint32_t i = 0; i < count; i++) {
        switch (bytes[i] % 4) {
        case 0:
            subscribe(m, index);
            break;
        case 1:
        case 2:
            unsubscribe(m, index);
            break;
        default:
            reply(m, index);
        }
    }
}

static void connect_one(struct model *m)
{
    static const int buffers[] = {4608, 4608, 8192, 30000, 0};
    if (m->client_count == m->client_capacity) {
        m->client_capacity = m->client_capacity * 2 + 64;
        m->clients = realloc(m->clients, m->client_capacity * sizeof(*m->clients));
    }
    const uint32_t index = m->client_count++;
    const bool everybody = below(m, 3) > 0;
    const enum rc_codec_id codec = m->codecs == 1 ? RC_CODEC_JSON : (enum rc_codec_id)below(m, m->codecs);
    m->clients[index] = (struct client){.alive = true, .codec = codec};
    m->clients[index].slot = hub_rig_connect(&m->rig, below(m, 4) == 0 ? HUB_RIG_TCP : HUB_RIG_UNIX, codec, everybody,
                                             buffers[below(m, RC_ARRAY_COUNT(buffers))]);
    m->by_slot[m->clients[index].slot] = index;
    if (below(m, 2) == 0) {
        hub_rig_its_socket(&m->rig, m->clients[index].slot)->mode = RC_IO_TALKING;
    }
    if (everybody) {
        epoch_begin(m, index, EVERYBODY);
    }
    m->living++;
}

static void hang_up(struct model *m, uint32_t index)
{
    struct client *client = &m->clients[index];
    if (!client->alive) {
        return;
    }
    take(m, index, SIZE_MAX);
    end_epochs(m, index);
    judge(m, index, false);
    client->alive = false;
    hub_rig_hang_up(&m->rig, client->slot);
    m->rig.peers[client->slot].count = 0;
    m->living--;
}

static void publish(struct model *m)
{
    const uint64_t sequence = m->rig.sequence + 1;
    const uint32_t kind = below(m, 100);
    const uint32_t bytes = kind < 70   ? below(m, 200)
                           : m->keys   ? below(m, 700)
                           : kind < 96 ? below(m, 2500)
                                       : below(m, kind == 99 ? BODY_MAX : 20000);
    if (sequence + 1 >= m->message_capacity) {
        m->message_capacity = m->message_capacity * 2 + 1024;
        m->messages = realloc(m->messages, m->message_capacity * sizeof(*m->messages));
    }
    struct message *message = &m->messages[sequence];
    *message = (struct message){.channel = below(m, 12) == 0 ? EVERYBODY : below(m, 1 + below(m, EVERYBODY)),
                                .target = NOBODY,
                                .key = !m->keys            ? 0
                                       : below(m, 40) == 0 ? KEYS - 1
                                                           : below(m, KEYS - 1),
                                .excludes = {NOBODY, NOBODY, NOBODY}};
    static const char *const keys[KEYS] = {NULL, "k1", "k2", "k3", "k4"};
    struct rc_client_ref refs[EXCLUDES_MAX];
    uint32_t excludes = 0;
    if (below(m, 3) == 0) {
        for (uint32_t n = below(m, EXCLUDES_MAX + 1); excludes < n; excludes++) {
            const uint32_t index = below(m, m->client_count);
            message->excludes[excludes] = index;
            refs[excludes] = hub_rig_ref(&m->rig, m->clients[index].slot);
            if (m->by_slot[m->clients[index].slot] != index) {
                refs[excludes].random = 12345;
            }
        }
    }
    m->in_flight = sequence;
    for (uint32_t tries = 0;; tries++) {
        MUST(m, tries == 0 || !m->rig.hub.in_turn, "no room in a turn");
        const int rc = hub_rig_publish_key(&m->rig, channel_name(message->channel), keys[message->key],
                                           body_of(sequence, bytes), refs, excludes);
        if (rc == 0) {
            break;
        }
        MUST(m, rc == -ENOSPC && tries < 1000, "publishing: %d", rc);
        hub_rig_run(&m->rig);
    }
    m->in_flight = 0;
}

/* As when the down ring is drained between two rounds. */
static void on_round(void *context)
{
    struct model *m = context;
    while (below(m, 3) == 0 && m->in_flight == 0) {
        publish(m);
    }
}

static void direct(struct model *m)
{
    const uint32_t index = below(m, m->client_count);
    if (!open_state(m, index)) {
        return;
    }
    const struct rc_client_ref ref = hub_rig_ref(&m->rig, m->clients[index].slot);
    const uint64_t sequence = m->rig.sequence + 1;
    if (sequence + 1 >= m->message_capacity) {
        m->message_capacity = m->message_capacity * 2 + 1024;
        m->messages = realloc(m->messages, m->message_capacity * sizeof(*m->messages));
    }
    m->messages[sequence] = (struct message){.channel = NOBODY, .target = index, .excludes = {NOBODY, NOBODY, NOBODY}};
    MUST(m, hub_rig_direct(&m->rig, &ref, body_of(sequence, below(m, 4) == 0 ? below(m, 9000) : below(m, 300))) == 0,
         "direct");
}

static uint32_t somebody(struct model *m)
{
    for (;;) {
        const uint32_t index = below(m, m->client_count);
        if (m->clients[index].alive) {
            return index;
        }
    }
}

static void run_turn(struct model *m, uint32_t ms)
{
    m->rig.now_ns += ms * UINT64_C(1000000);
    (void)rc_hub_timers(&m->rig.hub);
    hub_rig_run(&m->rig);
}

static void step(struct model *m, uint32_t clients)
{
    const uint32_t kind = below(m, 1000);
    const uint32_t index = somebody(m);
    if (kind < 300) {
        publish(m);
    } else if (kind < 340) {
        direct(m);
    } else if (kind < 400) {
        subscribe(m, index);
    } else if (kind < 430) {
        unsubscribe(m, index);
    } else if (kind < 480) {
        reply(m, index);
    } else if (kind < 600) {
        const uint8_t byte = (uint8_t)draw(m);
        (void)send(m->rig.peers[m->clients[index].slot].fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else if (kind < 780) {
        take(m, index, 1 + below(m, below(m, 5) == 0 ? 60000 : 4000));
    } else if (kind < 800) {
        if (open_state(m, index) && (hub_rig_its_socket(&m->rig, m->clients[index].slot)->flags & RC_SOCKET_BLOCKED)) {
            rc_hub_writable(&m->rig.hub,
                            hub_rig_socket_of(&m->rig, m->clients[index].slot)); /* too early, as far as we know */
        }
    } else if (kind < 804) {
        close_one(m, index, below(m, 2) == 0);
    } else if (kind < 808) {
        if (m->living > clients / 2) {
            hang_up(m, index);
        }
    } else if (kind < 816) {
        if (m->living < clients && m->rig.io.open_count < m->rig.slots) {
            connect_one(m);
        }
    } else if (kind < 850) {
        rc_io_run(&m->rig.io, 0);
    } else {
        run_turn(m, below(m, 10));
        hub_rig_check(&m->rig);
    }
}

enum model_kind { PLAIN, KEYED, THROTTLED, CRITICAL };

/* Everybody reads, until nothing is left to be sent. The kernel takes its time: where a window was shut for long, it looks again after as long. */
static void come_to_rest(struct model *m)
{
    const uint64_t end_ms = rc_clock_ms() + REST_MS;
    for (uint32_t quiet = 0; quiet < 3;) {
        MUST(m, rc_clock_ms() < end_ms, "it does not come to rest");
        size_t got = 0;
        for (uint32_t i = 0; i < m->client_count; i++) {
            if (m->clients[i].alive) {
                got += hub_rig_read(&m->rig, m->clients[i].slot, 0);
                take(m, i, SIZE_MAX);
            }
        }
        run_turn(m, INTERVAL_MS);
        bool blocked = rc_hub_pending(&m->rig.hub) || m->rig.truth.throttles.used > 0;
        for (uint32_t i = 0; i < m->client_count; i++) {
            const uint32_t slot = m->clients[i].slot;
            blocked |= m->clients[i].alive && ((hub_rig_its_socket(&m->rig, slot)->flags & RC_SOCKET_BLOCKED) != 0 ||
                                               !hub_rig_arrived(&m->rig, slot));
        }
        quiet = got == 0 && !blocked ? quiet + 1 : 0;
    }
}

/* What every client read, all of it; the messages that were read. */
static uint64_t judge_all(struct model *m)
{
    uint64_t reads = 0;
    for (uint32_t i = 0; i < m->client_count; i++) {
        if (m->clients[i].alive) {
            MUST(m,
                 m->rig.peers[m->clients[i].slot].count == 0 ||
                     (m->may_starve && m->rig.peers[m->clients[i].slot].ended),
                 "client %u: the stream ends inside a frame", i);
            MUST(m,
                 !m->clients[i].closing || m->clients[i].closed ||
                     (m->may_starve && m->rig.peers[m->clients[i].slot].ended),
                 "client %u: no close frame", i);
            judge(m, i, true);
        }
        reads += m->clients[i].read_count;
        free(m->clients[i].read);
    }
    return reads;
}

static void run_model(const char *name, uint64_t seed, uint32_t clients, uint32_t steps, enum rc_slow_policy policy,
                      uint64_t log_bytes, uint64_t worker_bytes, enum model_kind kind)
{
    struct model m = {.seed = seed,
                      .state = seed,
                      .policy = policy,
                      .may_lose = log_bytes > 0,
                      .may_starve = worker_bytes > 0,
                      .keys = kind == KEYED || kind == THROTTLED,
                      .throttled = kind == THROTTLED,
                      .critical = kind == CRITICAL};
    m.codecs = seed % 4 == 0 ? 1 : 3;
    hub_rig_open(&m.rig, &(struct hub_rig_options){.slots = clients + 8,
                                                   .channel_log_bytes = 8 << 20,
                                                   .channel_log_messages = (uint32_t)(seed % 3) * 4,
                                                   .worker_log_bytes = 64 << 20,
                                                   .slow_consumer = policy,
                                                   .receive_buffers = 8});
    for (uint32_t i = 0; i < m.rig.config->namespace_count; i++) {
        m.rig.config->namespaces[i].slow_consumer = policy;
        m.rig.config->namespaces[i].min_interval_ms = m.throttled ? INTERVAL_MS : 0;
    }
    if (m.critical) {
        struct rc_config_namespace *news = &m.rig.config->namespaces[m.rig.config->namespace_count++];
        *news = m.rig.config->namespaces[0];
        (void)strcpy(news->name, "news");
        news->name_bytes = 4;
        news->priority = RC_PRIORITY_CRITICAL;
        rc_hub_reconfigure(&m.rig.hub, m.rig.config);
        m.rig.round = on_round;
    }
    if (log_bytes > 0) {
        m.rig.config->limits.channel_log_bytes = log_bytes;
    }
    m.by_slot = calloc(clients + 9, sizeof(*m.by_slot));
    m.rig.received = on_received;
    m.rig.context = &m;
    for (uint32_t i = 0; i < clients; i++) {
        connect_one(&m);
        for (uint32_t n = below(&m, 6); n > 0; n--) {
            subscribe(&m, i);
        }
    }
    const uint64_t budget = m.rig.config->limits.worker_log_bytes;
    for (uint32_t i = 0; i < steps; i++) {
        if (worker_bytes > 0 && i % 64 == 0) {
            /* Replies have the same budget, and are not what is tested. */
            m.rig.config->limits.worker_log_bytes =
                below(&m, 3) == 0 ? worker_bytes + m.rig.hub.output_bytes + 65536 : budget;
        }
        step(&m, clients);
    }
    m.rig.config->limits.worker_log_bytes = budget;
    come_to_rest(&m);
    hub_rig_check(&m.rig);
    MUST(&m, m.rig.hub.log_bytes == 0 && m.rig.hub.output_bytes == 0,
         "everything was read, and %llu + %llu bytes are kept", (unsigned long long)m.rig.hub.log_bytes,
         (unsigned long long)m.rig.hub.output_bytes);
    const uint64_t reads = judge_all(&m);
    fprintf(stderr, "%s: HUB_SEED=%llu, %u clients, %llu messages, %llu deliveries, %llu short sends, %llu cut off\n",
            name, (unsigned long long)seed, m.client_count, (unsigned long long)m.rig.sequence,
            (unsigned long long)reads, (unsigned long long)rc_metric_get(m.rig.metrics, RC_METRIC_SENDS_SHORT),
            (unsigned long long)(rc_metric_get(m.rig.metrics, RC_METRIC_SLOW_DISCONNECTED) +
                                 rc_metric_get(m.rig.metrics, RC_METRIC_SLOW_SKIPPED) +
                                 rc_metric_get(m.rig.metrics, RC_METRIC_SLOW_CONFLATED)));
    hub_rig_close(&m.rig);
    free(m.clients);
    free(m.by_slot);
    free(m.messages);
}

static void run_seeds(const char *name, uint64_t first, uint32_t seeds, uint32_t clients, uint32_t steps,
                      enum rc_slow_policy policy, uint64_t log_bytes, uint64_t worker_bytes, enum model_kind kind)
{
    const char *seed = getenv("HUB_SEED");
    const char *longer = getenv("HUB_STEPS");
    const char *more = getenv("HUB_SEEDS");
    seeds = more != NULL ? (uint32_t)strtoul(more, NULL, 10) : seeds;
    for (uint32_t i = 0; i < (seed != NULL ? 1 : seeds); i++) {
        run_model(name, seed != NULL ? strtoull(seed, NULL, 10) : first + i, clients,
                  longer != NULL ? (uint32_t)strtoul(longer, NULL, 10) : steps, policy, log_bytes, worker_bytes, kind);
    }
}

Test(hub, model_without_loss)
{
    run_seeds("without loss", 1000, 6, 16, 6000, RC_SLOW_DISCONNECT, 0, 0, PLAIN);
}

Test(hub, model_with_several_batches_in_a_turn)
{
    run_seeds("several batches", 2000, 2, 300, 4000, RC_SLOW_DISCONNECT, 0, 0, PLAIN);
}

Test(hub, model_of_slow_consumers_disconnected)
{
    run_seeds("disconnect", 3000, 6, 16, 6000, RC_SLOW_DISCONNECT, 8192, 0, PLAIN);
}

Test(hub, model_of_slow_consumers_skipping)
{
    run_seeds("skip", 4000, 6, 16, 6000, RC_SLOW_SKIP, 8192, 0, PLAIN);
}

Test(hub, model_of_slow_consumers_conflated)
{
    run_seeds("latest", 5000, 6, 16, 6000, RC_SLOW_LATEST, 8192, 0, PLAIN);
}

Test(hub, model_of_a_worker_out_of_log_memory)
{
    run_seeds("starving", 6000, 6, 16, 6000, RC_SLOW_SKIP, 8192, 1, PLAIN);
}

Test(hub, model_of_slow_consumers_conflated_by_key)
{
    run_seeds("latest of each key", 7000, 6, 16, 6000, RC_SLOW_LATEST, 8192, 0, KEYED);
}

Test(hub, model_of_throttled_channels)
{
    run_seeds("throttled", 8000, 6, 16, 6000, RC_SLOW_LATEST, 8 << 20, 0, THROTTLED);
}

Test(hub, model_of_throttled_channels_and_slow_consumers)
{
    run_seeds("throttled and slow", 9000, 6, 16, 6000, RC_SLOW_LATEST, 8192, 0, THROTTLED);
}

Test(hub, model_of_critical_channels)
{
    run_seeds("critical", 10000, 4, 16, 6000, RC_SLOW_DISCONNECT, 0, 0, CRITICAL);
}

Test(hub, model_of_critical_channels_with_several_batches_in_a_turn)
{
    run_seeds("critical, several batches", 11000, 2, 300, 4000, RC_SLOW_DISCONNECT, 0, 0, CRITICAL);
}
