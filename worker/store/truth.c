/* truth: see truth.h. */
#include "worker/store/truth.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/check.h"
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
/* Calls of backends under way; beyond it clients are told that nobody can be asked. */
#define RC_TRUTH_HOOKS(sockets) ((uint64_t)(sockets) + 65536u + 1u)
/* What servers of applications are told; beyond it that is dropped. */
#define RC_TRUTH_TELLINGS 262145u
#define RC_TRUTH_ACKS(clients) (2 * (uint64_t)(clients) + 65536u)

/* Sockets in namespaces, and those that the relay is still to be told of. */
#define RC_TRUTH_RECOVERABLES(clients) (4 * (uint64_t)(clients) + 1024u)

/* Sockets of an application in its namespaces. */
#define RC_TRUTH_LINK_MEMBERS(clients) (4 * (uint64_t)(clients) + 1024u)

static uint64_t page_up(uint64_t bytes)
{
    return (bytes + RC_TRUTH_PAGE - 1) & ~(uint64_t)(RC_TRUTH_PAGE - 1);
}

static uint64_t power_of_two_up(uint64_t bytes)
{
    return bytes <= RC_TRUTH_PAGE ? RC_TRUTH_PAGE : (uint64_t)1 << (64 - __builtin_clzll(bytes - 1));
}

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

/* How many objects a pool has room for. */
static void truth_counts(uint32_t sockets, const struct rc_config *config, uint64_t counts[RC_TRUTH_POOL_COUNT])
{
    const uint64_t channels = (uint64_t)config->limits.max_channels_per_worker + sockets + 2;
    const uint64_t rows[RC_TRUTH_POOL_COUNT] = {
        [RC_TRUTH_POOL_clients] = (uint64_t)sockets + 1,
        [RC_TRUTH_POOL_subscriptions] = subscriptions_of(sockets, config, RC_TRUTH_SUBSCRIPTIONS_ROOM),
        [RC_TRUTH_POOL_channels] = channels,
        [RC_TRUTH_POOL_places] = channels,
        [RC_TRUTH_POOL_groups] = channels * 2 + RC_ENCODING_COUNT,
        [RC_TRUTH_POOL_logs] = channels * 2 + sockets + RC_ENCODING_COUNT,
        [RC_TRUTH_POOL_throttles] = channels,
        [RC_TRUTH_POOL_pending] = subscriptions_of(sockets, config, RC_TRUTH_PENDING_ROOM),
        [RC_TRUTH_POOL_replays] = subscriptions_of(sockets, config, RC_TRUTH_PENDING_ROOM),
        [RC_TRUTH_POOL_outputs] = 2 * (uint64_t)sockets + 1,
        [RC_TRUTH_POOL_inputs] = (uint64_t)sockets + 1,
        [RC_TRUTH_POOL_users] = (uint64_t)sockets + 1,
        [RC_TRUTH_POOL_emits] = RC_TRUTH_EMITS,
        [RC_TRUTH_POOL_acks] = RC_TRUTH_ACKS(sockets),
        [RC_TRUTH_POOL_recoverables] = recoverables_of(sockets, config),
        [RC_TRUTH_POOL_hooks] = RC_TRUTH_HOOKS(sockets),
        [RC_TRUTH_POOL_tellings] = RC_TRUTH_TELLINGS,
        [RC_TRUTH_POOL_link_lines] = RC_LINK_LINES,
        [RC_TRUTH_POOL_link_bonds] = (uint64_t)sockets + 1,
        [RC_TRUTH_POOL_link_members] = RC_TRUTH_LINK_MEMBERS(sockets),
    };
    memcpy(counts, rows, sizeof(rows));
}

static const uint32_t truth_object_bytes[RC_TRUTH_POOL_COUNT] = {
#define POOL(name, type) [RC_TRUTH_POOL_##name] = sizeof(type),
    RC_TRUTH_POOLS(POOL)
#undef POOL
};

struct rc_pool *rc_truth_pool(struct rc_truth *truth, enum rc_truth_pool_id id)
{
    struct rc_pool *const pools[RC_TRUTH_POOL_COUNT] = {
#define POOL(name, type) [RC_TRUTH_POOL_##name] = &truth->name,
        RC_TRUTH_POOLS(POOL)
#undef POOL
    };
    return pools[id];
}

/* Where everything is, one behind the other, each at a page. */
static void truth_plan(struct rc_truth_layout *layout, uint32_t sockets, const struct rc_config *config,
                       uint64_t io_bytes)
{
    uint64_t counts[RC_TRUTH_POOL_COUNT];
    truth_counts(sockets, config, counts);
    uint64_t bytes = page_up(sizeof(*layout));
    layout->sockets_offset = bytes;
    bytes += page_up((uint64_t)sockets * sizeof(struct rc_socket));
    layout->peers_offset = bytes;
    bytes += page_up((uint64_t)sockets * sizeof(struct rc_address));
    layout->engines_offset = bytes;
    bytes += page_up(((uint64_t)sockets + 1) * sizeof(struct rc_engine));
    layout->opened_offset = bytes;
    bytes += page_up(((uint64_t)sockets + 1) * sizeof(uint32_t));
    layout->homes_offset = bytes;
    bytes += page_up(((uint64_t)sockets + 1) * sizeof(struct rc_home));
    layout->tls_offset = bytes;
    bytes += page_up((uint64_t)sockets * sizeof(uint32_t));
    layout->rates_offset = bytes;
    bytes += page_up(((uint64_t)sockets + 1) * sizeof(struct rc_truth_rate));
    for (uint32_t i = 0; i < RC_TRUTH_POOL_COUNT; i++) {
        RC_ASSERT(counts[i] < UINT32_MAX);
        layout->pools[i] = (struct rc_truth_pool){
            .offset = bytes, .object_bytes = truth_object_bytes[i], .count_max = (uint32_t)counts[i], .high = 1};
        bytes += page_up(counts[i] * truth_object_bytes[i]);
    }
    /* Logs, replies, input, throttled messages and what is kept for an application have a budget of the same size each; names of channels stand beside
     * them. */
    layout->heap_bytes = power_of_two_up(config->limits.worker_log_bytes * 6 + counts[RC_TRUTH_POOL_channels] * 64);
    layout->sizes_offset = bytes;
    bytes += page_up(rc_heap_sizes_bytes(layout->heap_bytes));
    layout->heap_offset = bytes;
    bytes += layout->heap_bytes;
    layout->io_offset = bytes;
    layout->io_bytes = io_bytes;
    layout->bytes = bytes + io_bytes;
}

/* The view of a segment whose places are right. */
static int truth_view(struct rc_truth *truth, struct rc_truth_layout *layout, struct rc_err *err)
{
    uint8_t *memory = (uint8_t *)layout;
    truth->layout = layout;
    truth->socket_count = layout->socket_count;
    truth->sockets = (struct rc_socket *)(memory + layout->sockets_offset);
    truth->peers = (struct rc_address *)(memory + layout->peers_offset);
    truth->engines = (struct rc_engine *)(memory + layout->engines_offset);
    truth->opened_ds = (uint32_t *)(void *)(memory + layout->opened_offset);
    truth->homes = (struct rc_home *)(void *)(memory + layout->homes_offset);
    truth->tls = (uint32_t *)(void *)(memory + layout->tls_offset);
    truth->rates = (struct rc_truth_rate *)(void *)(memory + layout->rates_offset);
    for (uint32_t i = 0; i < RC_TRUTH_POOL_COUNT; i++) {
        struct rc_truth_pool *its = &layout->pools[i];
        struct rc_pool *pool = rc_truth_pool(truth, (enum rc_truth_pool_id)i);
        rc_pool_init(pool, memory + its->offset, its->object_bytes, its->count_max);
        pool->high = its->high;
        pool->kept = &its->high;
        rc_pool_dump_used(pool);
    }
    /* messages, and what sockets receive */
    rc_segment_dump(memory + layout->heap_offset, layout->bytes - layout->heap_offset, false);
    truth->io = memory + layout->io_offset;
    truth->io_bytes = layout->io_bytes;
    return rc_heap_open(&truth->heap, memory + layout->heap_offset, layout->heap_bytes, memory + layout->sizes_offset,
                        err);
}

int rc_truth_create(struct rc_truth *truth, int fd, uint32_t socket_count, const struct rc_config *config,
                    uint64_t io_bytes, uint64_t boot_ms, struct rc_err *err)
{
    *truth = (struct rc_truth){.layout = NULL};
    struct rc_truth_layout plan = {.abi = RC_TRUTH_ABI, .boot_ms = boot_ms, .socket_count = socket_count};
    truth_plan(&plan, socket_count, config, page_up(io_bytes));
    int rc = rc_segment_size(fd, plan.bytes, err);
    if (rc < 0) {
        return rc;
    }
    uint64_t mapped = 0;
    struct rc_truth_layout *layout = rc_segment_map(fd, &mapped, err);
    if (layout == NULL) {
        return -errno;
    }
    *layout = plan;
    rc = truth_view(truth, layout, err);
    if (rc == 0) {
        /* W4 pairs with A4 in rc_truth_attach: a successor sees no half laid out segment. */
        atomic_store_explicit(&layout->ready, RC_TRUTH_READY, memory_order_release);
    }
    return rc;
}

/* Does [offset, offset + bytes) lie behind the header and within the segment, at a page? */
static bool truth_within(const struct rc_truth_layout *layout, uint64_t offset, uint64_t bytes)
{
    return offset % RC_TRUTH_PAGE == 0 && offset >= page_up(sizeof(*layout)) && offset <= layout->bytes &&
           bytes <= layout->bytes - offset;
}

/* Places that a worker of this ABI may have written. That no two overlap follows from who writes them: one function, above. */
static bool truth_places_right(const struct rc_truth_layout *layout)
{
    const uint64_t sockets = layout->socket_count;
    bool right = sockets > 0 && sockets < UINT32_MAX / 2 &&
                 truth_within(layout, layout->sockets_offset, sockets * sizeof(struct rc_socket)) &&
                 truth_within(layout, layout->peers_offset, sockets * sizeof(struct rc_address)) &&
                 truth_within(layout, layout->engines_offset, (sockets + 1) * sizeof(struct rc_engine)) &&
                 truth_within(layout, layout->opened_offset, (sockets + 1) * sizeof(uint32_t)) &&
                 truth_within(layout, layout->homes_offset, (sockets + 1) * sizeof(struct rc_home)) &&
                 truth_within(layout, layout->tls_offset, sockets * sizeof(uint32_t)) &&
                 truth_within(layout, layout->rates_offset, (sockets + 1) * sizeof(struct rc_truth_rate)) &&
                 truth_within(layout, layout->heap_offset, layout->heap_bytes) && layout->heap_bytes >= RC_TRUTH_PAGE &&
                 (layout->heap_bytes & (layout->heap_bytes - 1)) == 0 &&
                 truth_within(layout, layout->sizes_offset, rc_heap_sizes_bytes(layout->heap_bytes)) &&
                 truth_within(layout, layout->io_offset, layout->io_bytes);
    for (uint32_t i = 0; right && i < RC_TRUTH_POOL_COUNT; i++) {
        const struct rc_truth_pool *pool = &layout->pools[i];
        right = pool->object_bytes == truth_object_bytes[i] && pool->high > 0 && pool->high <= pool->count_max &&
                truth_within(layout, pool->offset, (uint64_t)pool->count_max * pool->object_bytes);
    }
    return right && layout->pools[RC_TRUTH_POOL_clients].count_max == sockets + 1;
}

int rc_truth_attach(struct rc_truth *truth, int fd, struct rc_err *err)
{
    *truth = (struct rc_truth){.adopted = true};
    uint64_t bytes = 0;
    struct rc_truth_layout *layout = rc_segment_map(fd, &bytes, err);
    if (layout == NULL) {
        return -errno;
    }
    /* A4 pairs with W4 in rc_truth_create: everything before it is there. */
    if (bytes < sizeof(*layout) || atomic_load_explicit(&layout->ready, memory_order_acquire) != RC_TRUTH_READY ||
        layout->abi != RC_TRUTH_ABI || layout->bytes != bytes || !truth_places_right(layout)) {
        (void)munmap(layout, bytes);
        return rc_err_set(err, -EBADMSG, "the segment of a worker's connections is not one of this release (ABI %u)",
                          RC_TRUTH_ABI);
    }
    return truth_view(truth, layout, err);
}

void rc_truth_detach(struct rc_truth *truth)
{
    rc_heap_close(&truth->heap);
    if (truth->layout != NULL) {
        (void)munmap(truth->layout, truth->layout->bytes);
        truth->layout = NULL;
    }
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

/* Of a namespace; 0: it is the client's own random, or of a socket that came back, or there is none. */
static uint64_t own_token(const struct rc_truth *truth, uint32_t client, struct rc_span nsp)
{
    const uint64_t token = rc_truth_sid_token(truth, client, nsp);
    const bool moved =
        (rc_truth_engine(truth, client)->flags & RC_ENGINE_MOVED) != 0 && moved_token(truth, client, nsp) != 0;
    return moved || token == rc_truth_client(truth, client)->random ? 0 : token;
}

/* *at: 1 + the entry in the list; 0: that of "/" comes first. */
bool rc_truth_token_next(const struct rc_truth *truth, uint32_t client, uint32_t *at, uint64_t *token)
{
    const struct rc_engine *engine = rc_truth_engine(truth, client);
    if (!rc_encoding_is_engine(rc_truth_client(truth, client)->encoding) || !(engine->flags & RC_ENGINE_SESSION)) {
        return false;
    }
    *token = *at == 0 ? own_token(truth, client, RC_SPAN("/")) : 0;
    *at += *at == 0;
    while (*token == 0 && *at - 1 < engine->namespaces_bytes) {
        const uint8_t *entry = (const uint8_t *)rc_heap_at(&truth->heap, engine->namespaces) + *at - 1;
        *at += RC_NSP_ENTRY_HEAD + entry[1];
        *token = own_token(truth, client, rc_span_of(entry + RC_NSP_ENTRY_HEAD, entry[1]));
    }
    return *token != 0;
}
