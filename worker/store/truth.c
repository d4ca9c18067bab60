/* truth: see truth.h. */
#include "worker/store/truth.h"

#include <errno.h>

#include "common/records/sid.h"
#include "common/shm/segment.h"

#define RC_TRUTH_PAGE 4096u

/* limits.max_channels may be raised by a reload: there is address space for so many subscriptions and pending ones whatever it was
 * at start. Pages that are never touched cost nothing. */
#define RC_TRUTH_CHANNELS_MAX 65535u /* the key's largest value */
#define RC_TRUTH_SUBSCRIPTIONS_ROOM (1u << 24)
#define RC_TRUTH_PENDING_ROOM (1u << 22)

/* Events that clients are to answer, and those of whom it is waited for: two each, and some more. */
#define RC_TRUTH_EMITS 16384u
#define RC_TRUTH_ACKS(clients) (2 * (uint64_t)(clients) + 65536u)

/* Sockets in namespaces, and those that the relay is still to be told of. */
#define RC_TRUTH_RECOVERABLES(clients) (4 * (uint64_t)(clients) + 1024u)

static uint64_t page_up(uint64_t bytes)
{
    return (bytes + RC_TRUTH_PAGE - 1) & ~(uint64_t)(RC_TRUTH_PAGE - 1);
}

static uint64_t power_of_two_up(uint64_t bytes)
{
    return bytes <= RC_TRUTH_PAGE ? RC_TRUTH_PAGE : (uint64_t)1 << (64 - __builtin_clzll(bytes - 1));
}

/* One row per pool: where it is in struct rc_truth, the size of an object, how many there may be. */
struct pool_plan {
    struct rc_pool *pool;
    uint32_t object_bytes;
    uint64_t count;
};

/* Every client may hold max_channels subscriptions and the cursor of "*" and `user:`; `room` is for a later max_channels. */
static uint64_t subscriptions_of(uint32_t client_count, const struct rc_config *config, uint64_t room)
{
    const uint64_t now = (uint64_t)client_count * (config->limits.max_channels + 2u);
    const uint64_t most = (uint64_t)client_count * (RC_TRUTH_CHANNELS_MAX + 2u);
    const uint64_t wanted = now > room ? now : room;
    return (wanted < most ? wanted : most) + 1;
}

static uint64_t recoverables_of(uint32_t client_count, const struct rc_config *config)
{
    return config->socketio.recovery_ms > 0 ? RC_TRUTH_RECOVERABLES(client_count) : 1;
}

/* Logs, replies, input and throttled messages have a budget of the same size each; names of channels stand beside them. */
static uint64_t heap_bytes_of(const struct rc_config *config, uint64_t channels)
{
    return power_of_two_up(config->limits.worker_log_bytes * 5 + channels * 64);
}

int rc_truth_create(struct rc_truth *truth, int fd, uint32_t socket_count, const struct rc_config *config,
                    uint64_t io_bytes, uint64_t boot_ms, struct rc_err *err)
{
    *truth = (struct rc_truth){.socket_count = socket_count, .io_bytes = page_up(io_bytes)};
    const uint64_t subscriptions = subscriptions_of(socket_count, config, RC_TRUTH_SUBSCRIPTIONS_ROOM);
    const uint64_t pending = subscriptions_of(socket_count, config, RC_TRUTH_PENDING_ROOM);
    const uint64_t channels = (uint64_t)config->limits.max_channels_per_worker + socket_count + 2;
    const struct pool_plan plan[] = {
        {&truth->clients, sizeof(struct rc_client), (uint64_t)socket_count + 1},
        {&truth->subscriptions, sizeof(struct rc_subscription), subscriptions},
        {&truth->channels, sizeof(struct rc_channel), channels},
        {&truth->places, sizeof(struct rc_place), channels},
        {&truth->groups, sizeof(struct rc_group), channels * 2 + RC_ENCODING_COUNT},
        {&truth->logs, sizeof(struct rc_channel_log), channels * 2 + socket_count + RC_ENCODING_COUNT},
        {&truth->throttles, sizeof(struct rc_throttle), channels},
        {&truth->pending, sizeof(struct rc_pending), pending},
        {&truth->replays, sizeof(struct rc_replay), pending},
        {&truth->outputs, sizeof(struct rc_output), 2 * (uint64_t)socket_count + 1},
        {&truth->inputs, sizeof(struct rc_input), (uint64_t)socket_count + 1},
        {&truth->users, sizeof(struct rc_user), (uint64_t)socket_count + 1},
        {&truth->emits, sizeof(struct rc_emit), RC_TRUTH_EMITS},
        {&truth->acks, sizeof(struct rc_ack), RC_TRUTH_ACKS(socket_count)},
        {&truth->recoverables, sizeof(struct rc_recoverable), recoverables_of(socket_count, config)},
    };
    const uint64_t heap_bytes = heap_bytes_of(config, channels);

    uint64_t bytes = page_up(sizeof(struct rc_truth_layout));
    const uint64_t sockets_offset = bytes;
    bytes += page_up((uint64_t)socket_count * sizeof(struct rc_socket));
    const uint64_t peers_offset = bytes;
    bytes += page_up((uint64_t)socket_count * sizeof(struct rc_address));
    const uint64_t engines_offset = bytes;
    bytes += page_up(((uint64_t)socket_count + 1) * sizeof(struct rc_engine));
    const uint64_t pools_offset = bytes;
    for (size_t i = 0; i < RC_ARRAY_COUNT(plan); i++) {
        bytes += page_up(plan[i].count * plan[i].object_bytes);
    }
    const uint64_t heap_offset = bytes;
    bytes += heap_bytes;
    const uint64_t io_offset = bytes;
    bytes += truth->io_bytes;

    int rc = rc_segment_size(fd, bytes, err);
    if (rc < 0) {
        return rc;
    }
    uint64_t mapped = 0;
    uint8_t *memory = rc_segment_map(fd, &mapped, err);
    if (memory == NULL) {
        return -ENOMEM;
    }
    truth->layout = (struct rc_truth_layout *)memory;
    truth->sockets = (struct rc_socket *)(memory + sockets_offset);
    truth->peers = (struct rc_address *)(memory + peers_offset);
    truth->engines = (struct rc_engine *)(memory + engines_offset);
    uint64_t offset = pools_offset;
    for (size_t i = 0; i < RC_ARRAY_COUNT(plan); i++) {
        RC_ASSERT(plan[i].count < UINT32_MAX);
        rc_pool_init(plan[i].pool, memory + offset, plan[i].object_bytes, (uint32_t)plan[i].count);
        rc_pool_dump_used(plan[i].pool);
        offset += page_up(plan[i].count * plan[i].object_bytes);
    }
    rc_segment_dump(memory + heap_offset, bytes - heap_offset, false); /* messages, and what sockets receive */
    rc = rc_heap_open(&truth->heap, memory + heap_offset, heap_bytes, err);
    if (rc < 0) {
        return rc;
    }
    truth->io = memory + io_offset;
    *truth->layout = (struct rc_truth_layout){
        .version = RC_BUILD_ID,
        .bytes = bytes,
        .boot_ms = boot_ms,
        .socket_count = socket_count,
        .sockets_offset = sockets_offset,
        .peers_offset = peers_offset,
        .engines_offset = engines_offset,
        .pools_offset = pools_offset,
        .heap_offset = heap_offset,
        .io_offset = io_offset,
    };
    /* W4 pairs with nothing yet: a successor that attaches will see no half laid out segment. */
    atomic_store_explicit(&truth->layout->ready, RC_TRUTH_READY, memory_order_release);
    return 0;
}

uint32_t rc_truth_find_nsp(const struct rc_truth *truth, const struct rc_engine *engine, struct rc_span nsp)
{
    const uint8_t *list = engine->namespaces == 0 ? NULL : rc_heap_at(&truth->heap, engine->namespaces);
    uint32_t at = 0;
    while (at < engine->namespaces_bytes &&
           !rc_span_equal(rc_span_of(list + at + RC_NSP_ENTRY_HEAD, list[at + 1]), nsp)) {
        at += RC_NSP_ENTRY_HEAD + list[at + 1];
    }
    return at;
}

struct rc_span rc_truth_recoverable_nsp(const struct rc_truth *truth, const struct rc_recoverable *recoverable)
{
    return recoverable->nsp == 0 ? RC_SPAN("/")
                                 : rc_span_of(rc_heap_at(&truth->heap, recoverable->nsp), recoverable->nsp_bytes);
}

uint32_t rc_truth_recoverable_of(const struct rc_truth *truth, uint32_t client, struct rc_span nsp)
{
    uint32_t index = truth->recoverable == NULL ? 0 : truth->recoverable[client];
    while (index != 0 && !rc_span_equal(rc_truth_recoverable_nsp(truth, rc_truth_recoverable(truth, index)), nsp)) {
        index = rc_truth_recoverable(truth, index)->next;
    }
    return index;
}

/* The token of a sid that is not of its place; 0: its place makes it. */
static uint64_t moved_token(const struct rc_truth *truth, uint32_t client, struct rc_span nsp)
{
    const uint32_t index = rc_truth_recoverable_of(truth, client, nsp);
    struct rc_sid sid;
    return index != 0 && (rc_truth_recoverable(truth, index)->flags & RC_RECOVERABLE_MOVED) != 0 &&
                   rc_sid_read(&sid, rc_span_of(rc_truth_recoverable(truth, index)->sid, RC_SID_BYTES))
               ? sid.client.random
               : 0;
}

uint64_t rc_truth_sid_token(const struct rc_truth *truth, uint32_t client, struct rc_span nsp)
{
    const struct rc_engine *engine = rc_truth_engine(truth, client);
    const uint64_t random = rc_truth_client(truth, client)->random;
    if (RC_UNLIKELY(engine->flags & RC_ENGINE_MOVED)) {
        const bool joined = nsp.count == 1 ? (engine->flags & RC_ENGINE_ROOT) != 0
                                           : rc_truth_find_nsp(truth, engine, nsp) < engine->namespaces_bytes;
        const uint64_t token = joined ? moved_token(truth, client, nsp) : 0;
        if (token != 0) {
            return token;
        }
    }
    if (nsp.count == 1) {
        return (engine->flags & RC_ENGINE_ROOT) ? rc_sid_token(random, nsp, engine->root_times) : 0;
    }
    const uint32_t at = rc_truth_find_nsp(truth, engine, nsp);
    if (at == engine->namespaces_bytes) {
        return 0;
    }
    const uint8_t *list = rc_heap_at(&truth->heap, engine->namespaces);
    return rc_sid_token(random, nsp, list[at]);
}
