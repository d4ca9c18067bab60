/*
 * truth_repair: a worker may be killed at any instruction. While a hub works its memory is closed for writing, so that every store is known;
 * behind every few of them a copy of its truth is repaired, and found whole. And what is planted comes to what it should.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "common/records/channel_name.h"
#include "common/shm/segment.h"
#include "tests/support/hub_rig.h"
#include "worker/store/truth_check.h"
#include "worker/hub/channel_log.h"
#include "worker/store/truth_repair.h"

#define SLOTS 12u
#define LOG_BYTES (UINT64_C(1) << 20)

static struct hub_rig rig;
static const struct hub_rig_options options = {
    .slots = SLOTS, .worker_log_bytes = LOG_BYTES, .channel_log_bytes = 16384, .channel_log_messages = 8};

static void copy_sparse(int to, int from)
{
    static uint8_t bytes[65536];
    const off_t end = lseek(from, 0, SEEK_END);
    struct rc_err err = {0};
    cr_assert_eq(rc_segment_size(to, (uint64_t)end, &err), 0, "%s", err.text);
    for (off_t at = lseek(from, 0, SEEK_DATA); at >= 0 && at < end; at = lseek(from, at, SEEK_DATA)) {
        const off_t hole = lseek(from, at, SEEK_HOLE);
        while (at < hole) {
            const ssize_t got =
                pread(from, bytes, (size_t)(hole - at) < sizeof(bytes) ? (size_t)(hole - at) : sizeof(bytes), at);
            cr_assert(got > 0 && pwrite(to, bytes, (size_t)got, at) == got);
            at += got;
        }
    }
}

/* What a successor would find: repaired, and whole. */
static void look(int truth_fd, unsigned long places)
{
    struct rc_truth truth;
    struct rc_truth_found found;
    struct rc_truth_repaired repaired;
    struct rc_err err = {0};
    const int copy = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    copy_sparse(copy, truth_fd);
    cr_assert_eq(rc_truth_attach(&truth, copy, &err), 0, "%s", err.text);
    truth.cut = true;
    const int repaired_rc = rc_truth_repair(&truth, &repaired, &err);
    cr_assert_eq(repaired_rc, 0, "after %lu places: %s", places, err.text);
    const int rc = rc_truth_check(&truth, &found, &err);
    cr_assert_eq(rc, 0, "after %lu places: %s", places, err.text);
    cr_assert_leq(repaired.clients + repaired.sockets, 2, "after %lu places %u clients and %u sockets end", places,
                  repaired.clients, repaired.sockets);
    rc_truth_found_close(&found);
    rc_heap_close(&truth.heap);
    rc_truth_detach(&truth);
    (void)close(copy);
}

static void publish(const char *channel, size_t bytes)
{
    static uint8_t data[4096];
    memset(data, 'x', bytes);
    data[0] = data[bytes - 1] = '"';
    (void)hub_rig_publish(&rig, channel, rc_span_of(data, bytes), NULL, 0);
}

static void reply(uint32_t client)
{
    const struct rc_event event = {.type = RC_EVENT_PONG, .id = RC_SPAN("1")};
    (void)rc_hub_reply_event(&rig.hub, client, &event);
}

/* Everything that a hub does with its truth. */
static void work(void)
{
    uint32_t clients[6];
    for (uint32_t i = 0; i < 6; i++) {
        clients[i] =
            hub_rig_connect(&rig, HUB_RIG_UNIX, i % 2 == 0 ? RC_CODEC_JSON : RC_CODEC_RAW, i < 2, i == 0 ? 1 : 0);
        (void)hub_rig_subscribe(&rig, clients[i], "news");
        (void)hub_rig_subscribe(&rig, clients[i], i % 3 == 0 ? "a" : "b");
    }
    for (uint32_t round = 0; round < 4; round++) {
        publish("news", 100 + 900 * round);
        publish(round % 2 == 0 ? "a" : "b", 50);
        publish("*", 40);
        reply(clients[round % 6]);
        const struct rc_client_ref ref = hub_rig_ref(&rig, clients[(round + 1) % 6]);
        (void)hub_rig_direct(&rig, &ref, RC_SPAN("\"direct\""));
        hub_rig_run(&rig);
        for (uint32_t i = 1; i < 6; i++) {
            (void)hub_rig_read(&rig, clients[i], 0);
        }
    }
    for (uint32_t i = 0; i < 6; i++) { /* one does not read: its log fills up with what the others have had */
        publish(i == 3 ? "*" : "news", 3000);
        hub_rig_run(&rig);
        for (uint32_t j = 1; j < 6; j++) {
            (void)hub_rig_read(&rig, clients[j], 0);
        }
    }
    hub_rig_unsubscribe(&rig, clients[1], "news");
    hub_rig_unsubscribe(&rig, clients[3], "a");
    publish("news", 3000);
    hub_rig_run(&rig);
    (void)hub_rig_read(&rig, clients[0], 0);
    hub_rig_run(&rig);
    hub_rig_hang_up(&rig, clients[0]);
    hub_rig_hang_up(&rig, clients[4]);
    for (int i = 0; i < 4; i++) {
        hub_rig_run(&rig);
    }
}

/* --- at any moment ----------------------------------------------------------------------------------------------------- */

/* A worker that is killed leaves what its last store has left. So its memory is looked at between two of its stores, in its own process. */
static struct {
    uint8_t *former; /* the segment as it was at the last look */
    unsigned long places;
    unsigned long looks;
    bool looking; /* what is done for that is no work */
} moments;

static void begin_moments(const struct hub_rig_options *how)
{
    hub_rig_open(&rig, how);
    moments.former =
        mmap(NULL, rig.truth.layout->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(moments.former, MAP_FAILED);
}

/* False: it is as it was at the last look, which would find the same. */
static bool has_changed(void)
{
    const uint8_t *now = (const uint8_t *)rig.truth.layout;
    bool changed = false;
    off_t end;
    for (off_t at = lseek(rig.truth_fd, 0, SEEK_DATA); at >= 0; at = lseek(rig.truth_fd, end, SEEK_DATA)) {
        end = lseek(rig.truth_fd, at, SEEK_HOLE);
        if (memcmp(moments.former + at, now + at, (size_t)(end - at)) != 0) {
            memcpy(moments.former + at, now + at, (size_t)(end - at));
            changed = true;
        }
    }
    return changed;
}

/* At one place of many, of which every `every`th is looked at. */
static void at_moment(unsigned long every)
{
    const int kept = errno;
    moments.places++;
    if (moments.places % every == 0 && has_changed()) {
        moments.looking = true;
        look(rig.truth_fd, moments.places);
        moments.looking = false;
        moments.looks++;
    }
    errno = kept;
}

#ifdef __x86_64__       /* it knows how to stop behind one instruction */
#define STORES_EVERY 7u /* a prime, so that loops are met everywhere */
#define STEP_FLAG 0x100 /* of EFLAGS: a trap behind the next instruction */

/* What the kernel writes into (receive buffers, the ring) is behind the rest, and not looked at. */
static void protect(void *from, uint64_t bytes, int protection)
{
    cr_assert_eq(mprotect(from, bytes, protection), 0);
}

static void on_store(int number, siginfo_t *info, void *context)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = (uintptr_t)rig.truth.layout;
    const uintptr_t at = (uintptr_t)info->si_addr & ~(page - 1);
    ucontext_t *its = context;
    (void)number;
    if (at < from || at >= from + rig.truth.layout->io_offset) {
        (void)signal(SIGSEGV, SIG_DFL); /* a fault like any other: it comes again */
        return;
    }
    protect((void *)at, page, PROT_READ | PROT_WRITE); // NOLINT(performance-no-int-to-ptr)
    its->uc_mcontext.gregs[REG_EFL] |= STEP_FLAG;
}

static void on_stored(int number, siginfo_t *info, void *context)
{
    ucontext_t *its = context;
    (void)number;
    (void)info;
    its->uc_mcontext.gregs[REG_EFL] &= ~STEP_FLAG;
    protect(rig.truth.layout, rig.truth.layout->io_offset, PROT_READ);
    at_moment(STORES_EVERY);
}

Test(truth_repair, whole_behind_every_store, .timeout = 600)
{
    struct sigaction store = {.sa_sigaction = on_store, .sa_flags = SA_SIGINFO};
    struct sigaction stored = {.sa_sigaction = on_stored, .sa_flags = SA_SIGINFO};
    begin_moments(&options);
    cr_assert(sigaction(SIGSEGV, &store, NULL) == 0 && sigaction(SIGTRAP, &stored, NULL) == 0);
    protect(rig.truth.layout, rig.truth.layout->io_offset, PROT_READ);
    work();
    protect(rig.truth.layout, rig.truth.layout->io_offset, PROT_READ | PROT_WRITE);
    cr_assert_gt(moments.looks, 5000);
    hub_rig_close(&rig);
}
#else
Test(truth_repair, whole_behind_every_store)
{
    cr_skip("stopping behind one store is known of x86-64 alone");
}
#endif

#ifdef __SANITIZE_ADDRESS__
/* So that a log keeps one large message. */
static const struct hub_rig_options narrow = {.slots = SLOTS,
                                              .worker_log_bytes = LOG_BYTES,
                                              .channel_log_bytes = 4096,
                                              .channel_log_messages = 1,
                                              .slow_consumer = RC_SLOW_SKIP};

static void at_place(void)
{
    if (!moments.looking) {
        at_moment(1);
    }
}

/* Where it matters most (worker/store/order.h): too few of them are met by counting. */
Test(truth_repair, whole_at_every_ordered_store, .timeout = 600)
{
    begin_moments(&narrow);
    rc_store_order_calls(at_place);
    work();
    rc_store_order_calls(NULL);
    cr_assert_gt(moments.looks, 500); /* of 1,033 places, behind which 636 times something was not as before */
    hub_rig_close(&rig);
}
#endif

/* --- planted ---------------------------------------------------------------------------------------------------------- */

static uint32_t client;

static void open_rig(void)
{
    hub_rig_open(&rig, &options);
    for (uint32_t i = 0; i < 3; i++) {
        client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
        (void)hub_rig_subscribe(&rig, client, "news");
    }
    publish("news", 100);
    hub_rig_run(&rig);
}

static struct rc_truth_repaired repair(struct rc_truth *copy)
{
    struct rc_truth_repaired repaired;
    struct rc_truth_found found;
    struct rc_err err = {0};
    const int fd = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    copy_sparse(fd, rig.truth_fd);
    cr_assert_eq(rc_truth_attach(copy, fd, &err), 0);
    (void)close(fd);
    copy->cut = true;
    cr_assert_eq(rc_truth_repair(copy, &repaired, &err), 0);
    cr_assert_eq(rc_truth_check(copy, &found, &err), 0, "%s", err.text);
    rc_truth_found_close(&found);
    return repaired;
}

static uint32_t group_with_log(void)
{
    uint32_t group = 0;
    for (uint32_t g = 1; g < rig.truth.groups.high; g++) {
        group = rc_truth_group(&rig.truth, g)->log != 0 ? g : group;
    }
    cr_assert_neq(group, 0);
    return group;
}

static void end_repair(struct rc_truth *copy)
{
    rc_heap_close(&copy->heap);
    rc_truth_detach(copy);
}

static bool is_broken(const struct rc_truth *copy, uint32_t index)
{
    return (rc_truth_client(copy, index)->flags & RC_CLIENT_BROKEN) != 0;
}

Test(truth_repair, nothing_is_done_to_what_is_whole)
{
    struct rc_truth copy;
    open_rig();
    const struct rc_truth_repaired repaired = repair(&copy);
    cr_assert_eq(repaired.clients + repaired.sockets + repaired.logs, 0);
    end_repair(&copy);
    hub_rig_close(&rig);
}

/* It waits for its peer's close; its buffer is given back. */
Test(truth_repair, who_sent_half_a_message_and_then_nonsense_stays)
{
    struct rc_truth copy;
    open_rig();
    struct rc_socket *socket = &rig.truth.sockets[hub_rig_socket_of(&rig, client)];
    socket->input = rc_pool_alloc(&rig.truth.inputs);
    struct rc_input *input = rc_truth_input(&rig.truth, socket->input);
    *input = (struct rc_input){.receiver = {.state = RC_WS_RECEIVER_CLOSED, .buffer_bytes = 146, .message_bytes = 9}};
    struct rc_truth_repaired repaired = repair(&copy);
    cr_assert_eq(repaired.clients + repaired.sockets, 0);
    end_repair(&copy);
    input->receiver.state = RC_WS_RECEIVER_HEADER; /* what it has of a message is nowhere */
    repaired = repair(&copy);
    cr_assert_eq(repaired.clients, 1);
    end_repair(&copy);
    rc_pool_give(&rig.truth.inputs, &socket->input);
    hub_rig_close(&rig);
}

Test(truth_repair, who_was_worked_on_ends_and_nobody_else)
{
    struct rc_truth copy;
    open_rig();
    rig.truth.layout->working_client = client;
    struct rc_truth_repaired repaired = repair(&copy);
    cr_assert_eq(repaired.clients, 1);
    cr_assert(is_broken(&copy, client) && !is_broken(&copy, client - 1));
    cr_assert_eq(copy.layout->working_client, 0);
    end_repair(&copy);
    rig.truth.layout->working_client = 0;
    rig.truth.layout->working_socket = hub_rig_socket_of(&rig, client) + 1;
    repaired = repair(&copy);
    cr_assert_eq(repaired.clients, 1);
    cr_assert(is_broken(&copy, client));
    end_repair(&copy);
    rig.truth.layout->working_socket = 0;
    hub_rig_close(&rig);
}

Test(truth_repair, replies_of_a_record_in_the_middle_are_taken_back)
{
    struct rc_truth copy;
    open_rig();
    struct rc_truth_layout *layout = rig.truth.layout;
    reply(client);
    const uint32_t before = rc_truth_output(&rig.truth, rc_truth_client(&rig.truth, client)->output)->replies_bytes;
    layout->hub.unit++;
    layout->down.begun = layout->down.done + 1;
    reply(client);
    reply(client);
    cr_assert_eq(repair(&copy).clients, 0);
    cr_assert_eq(rc_truth_output(&copy, rc_truth_client(&copy, client)->output)->replies_bytes, before);
    end_repair(&copy);
    layout->down.begun = 0; /* it was handled to its end */
    (void)repair(&copy);
    cr_assert_gt(rc_truth_output(&copy, rc_truth_client(&copy, client)->output)->replies_bytes, before);
    end_repair(&copy);
    hub_rig_drain(&rig);
    hub_rig_close(&rig);
}

Test(truth_repair, a_log_that_was_being_moved_is_a_gap)
{
    struct rc_truth copy;
    open_rig();
    publish("news", 500);
    const uint32_t group = group_with_log();
    const uint32_t log = rc_truth_group(&rig.truth, group)->log;
    rig.truth.layout->hub.fragile_log = log;
    const struct rc_truth_repaired repaired = repair(&copy);
    cr_assert_eq(repaired.clients, 0);
    cr_assert_eq(repaired.logs, 1);
    cr_assert_eq(rc_truth_group(&copy, group)->log, 0);
    cr_assert_eq(rc_truth_group(&copy, group)->owes_gap, 1);
    end_repair(&copy);
    rig.truth.layout->hub.fragile_log = 0;
    hub_rig_drain(&rig);
    hub_rig_close(&rig);
}

/* Its words are changed one after the other, and whoever is killed in it leaves some of them. */
Test(truth_repair, a_log_that_was_being_moved_into_another_block_is_there)
{
    struct rc_truth copy;
    open_rig();
    publish("news", 500);
    publish("news", 500);
    const uint32_t group = group_with_log();
    const uint32_t index = rc_truth_group(&rig.truth, group)->log;
    struct rc_channel_log *log = rc_truth_log(&rig.truth, index);
    struct rc_log_moving *moving = &rig.truth.layout->hub.moving;
    uint32_t before[sizeof(*log) / 4];
    uint32_t after[sizeof(*log) / 4];
    uint32_t words[sizeof(*log) / 4];
    cr_assert_geq(log->frames, 2);
    const uint64_t position = rc_channel_log_frame_position(log, &rig.truth.heap, 1);
    const uint32_t bytes = log->block_bytes;
    log->served = position; /* as if the first one had left */
    memcpy(before, log, sizeof(before));
    cr_assert_eq(rc_channel_log_move(log, &rig.truth.heap, moving, index, position, log->block_bytes * 4), 0);
    cr_assert_eq(moving->log, 0);
    memcpy(after, log, sizeof(after));
    cr_assert_neq(memcmp(before, after, sizeof(after)), 0);
    for (size_t done = 0; done <= RC_ARRAY_COUNT(words); done++) {
        memcpy(words, before, sizeof(words));
        memcpy(words, after, done * sizeof(*words));
        memcpy(log, words, sizeof(words));
        moving->log = index;
        const struct rc_truth_repaired repaired = repair(&copy);
        cr_assert_eq(repaired.logs, 0, "after %zu words", done);
        cr_assert_eq(rc_truth_group(&copy, group)->log, index);
        cr_assert_eq(memcmp(rc_truth_log(&copy, index), after, sizeof(after)), 0, "after %zu words", done);
        cr_assert_eq(copy.layout->hub.moving.log, 0);
        end_repair(&copy);
    }
    moving->log = 0;
    rig.hub.log_bytes += log->block_bytes - bytes;
    hub_rig_drain(&rig);
    hub_rig_close(&rig);
}

/* All of it has left, and its block stays: until the truth says so it is as it was. And one that fills its block has no room for one more frame. */
Test(truth_repair, a_log_that_was_about_to_be_moved_is_as_it_was)
{
    struct rc_truth copy;
    open_rig();
    publish("news", 500);
    publish("news", 500);
    const uint32_t group = group_with_log();
    const uint32_t index = rc_truth_group(&rig.truth, group)->log;
    struct rc_channel_log *log = rc_truth_log(&rig.truth, index);
    struct rc_log_moving *moving = &rig.truth.layout->hub.moving;
    const uint64_t served = log->served;
    const struct rc_channel_log before = *log;
    log->base = log->served = log->head; /* as if it had left */
    const struct rc_channel_log left = *log;
    cr_assert_eq(rc_channel_log_move(log, &rig.truth.heap, moving, index, log->head, log->block_bytes), 0);
    cr_assert(log->block == before.block && log->frames == 0);
    *log = left;
    cr_assert_eq(repair(&copy).logs, 0);
    cr_assert_eq(rc_truth_log(&copy, index)->frames, before.frames);
    end_repair(&copy);
    *log = before;
    rc_channel_log_append(log, &rig.truth.heap, (uint32_t)(rc_channel_log_room(log) - sizeof(struct rc_frame)),
                          rig.hub.order + 1, 0, 0);
    cr_assert_eq(rc_channel_log_room(log), 0);
    *moving = (struct rc_log_moving){.origin = log->origin,
                                     .log = index,
                                     .block = log->block,
                                     .block_bytes = log->block_bytes,
                                     .frames = log->frames};
    cr_assert_eq(repair(&copy).logs, 0);
    cr_assert_eq(rc_truth_group(&copy, group)->log, index);
    end_repair(&copy);
    moving->log = 0;
    *log = before;
    log->served = served;
    hub_rig_drain(&rig);
    hub_rig_close(&rig);
}

Test(truth_repair, counts_and_places_are_made_anew)
{
    struct rc_truth copy;
    open_rig();
    struct rc_client *its = rc_truth_client(&rig.truth, client);
    const struct rc_client kept = *its;
    struct rc_subscription *subscription = rc_truth_subscription(&rig.truth, its->subscriptions);
    const uint32_t member = subscription->member;
    its->subscription_count = 7;
    its->cursor_count = 3;
    its->pending_count = 2;
    subscription->member = 0; /* as another one */
    cr_assert_eq(repair(&copy).clients, 0);
    cr_assert_eq(rc_truth_client(&copy, client)->subscription_count, kept.subscription_count);
    end_repair(&copy);
    *its = kept;
    subscription->member = member;
    hub_rig_close(&rig);
}

/* A TLS connection of the client's socket, as far as a repair looks at it. */
static struct rc_truth_tls *seal(uint32_t socket)
{
    const uint32_t block = rc_heap_alloc(&rig.truth.heap, sizeof(struct rc_truth_tls));
    cr_assert_neq(block, 0);
    struct rc_truth_tls *tls = rc_heap_at(&rig.truth.heap, block);
    *tls = (struct rc_truth_tls){.generation = rig.truth.sockets[socket].generation};
    rig.truth.tls[socket] = block;
    return tls;
}

Test(truth_repair, whose_keys_were_just_used_ends_and_who_has_whole_records_does_not)
{
    struct rc_truth copy;
    open_rig();
    const uint32_t socket = hub_rig_socket_of(&rig, client);
    struct rc_truth_tls *tls = seal(socket);
    cr_assert_eq(repair(&copy).clients, 0);
    cr_assert_neq(copy.tls[socket], 0);
    end_repair(&copy);
    tls->changing = 1;
    const struct rc_truth_repaired repaired = repair(&copy);
    cr_assert_eq(repaired.clients, 1);
    cr_assert(is_broken(&copy, client) && !is_broken(&copy, client - 1));
    end_repair(&copy);
    tls->changing = 0;
    tls->out_sent = 7; /* of records that were just given back */
    cr_assert_eq(repair(&copy).clients, 0);
    cr_assert_eq(((struct rc_truth_tls *)rc_heap_at(&copy.heap, copy.tls[socket]))->out_sent, 0);
    end_repair(&copy);
    tls->out_sent = tls->out_asked = 70; /* of records before those that are there since a moment */
    tls->out = rc_heap_alloc(&rig.truth.heap, 64);
    ((struct rc_truth_block *)rc_heap_at(&rig.truth.heap, tls->out))->count = 27;
    tls->changing = 1;
    cr_assert_eq(repair(&copy).clients, 1);
    end_repair(&copy);
    tls->changing = 0;
    rc_heap_give(&rig.truth.heap, &tls->out);
    tls->generation++; /* of the one before */
    cr_assert_eq(repair(&copy).clients, 0);
    cr_assert_eq(copy.tls[socket], 0);
    end_repair(&copy);
    rc_heap_give(&rig.truth.heap, &rig.truth.tls[socket]);
    hub_rig_close(&rig);
}

Test(truth_repair, what_backends_are_asked_is_there_with_its_request_or_without)
{
    struct rc_truth copy;
    open_rig();
    const uint32_t index = rc_pool_alloc(&rig.truth.hooks);
    struct rc_hook *hook = rc_truth_hook(&rig.truth, index);
    *hook = (struct rc_hook){.attempt = 1, .client = client, .request_bytes = 100, .reply_bytes = 50};
    cr_assert_eq(repair(&copy).clients, 0); /* it died before their blocks were linked */
    cr_assert_eq(rc_truth_hook(&copy, index)->request_bytes + rc_truth_hook(&copy, index)->reply_bytes, 0);
    end_repair(&copy);
    hook->attempt = 0;
    rc_pool_free(&rig.truth.hooks, index);
    hub_rig_close(&rig);
}

/* --- wrong indices ----------------------------------------------------------------------------------------------------- */

/* An index in each kind of object that has one. */
#define INDEX(pool_, type, member)                                                                    \
    {                                                                                                 \
        .what = #type "." #member, .pool = RC_TRUTH_POOL_##pool_, .at = offsetof(struct type, member) \
    }
static const struct {
    const char *what;
    enum rc_truth_pool_id pool;
    size_t at;
} indices[] = {
    INDEX(clients, rc_client, socket),
    INDEX(clients, rc_client, subscriptions),
    INDEX(clients, rc_client, everybody),
    INDEX(clients, rc_client, cut),
    INDEX(clients, rc_client, output),
    INDEX(clients, rc_client, direct_log),
    INDEX(clients, rc_client, user),
    INDEX(subscriptions, rc_subscription, client),
    INDEX(subscriptions, rc_subscription, group),
    INDEX(subscriptions, rc_subscription, next),
    INDEX(subscriptions, rc_subscription, member),
    INDEX(subscriptions, rc_subscription, replay),
    INDEX(channels, rc_channel, name),
    INDEX(channels, rc_channel, groups),
    INDEX(channels, rc_channel, pending),
    INDEX(channels, rc_channel, subscriber_count),
    INDEX(groups, rc_group, channel),
    INDEX(groups, rc_group, next),
    INDEX(groups, rc_group, log),
};

/* Does it hear there what it has not subscribed to? */
static bool hears_group(const struct rc_truth *truth, uint32_t c, uint32_t index)
{
    const struct rc_group *its = rc_truth_group(truth, index);
    const struct rc_group *was = rc_truth_group(&rig.truth, index);
    bool subscribed = false;
    for (uint32_t i = rc_truth_client(&rig.truth, c)->subscriptions; i != 0;
         i = rc_truth_subscription(&rig.truth, i)->next) {
        subscribed = subscribed || rc_truth_subscription(&rig.truth, i)->group == index;
    }
    return !subscribed || its->channel != was->channel || (its->log != 0 && its->log != was->log);
}

/* Does the client hear what it has not subscribed to, or get what is kept for another one? */
static bool hears_others(const struct rc_truth *truth, uint32_t c)
{
    const struct rc_client *its = rc_truth_client(truth, c);
    bool others = false;
    for (uint32_t i = 1; i < truth->clients.high; i++) {
        const struct rc_client *was = rc_truth_client(&rig.truth, i);
        others = others || (i != c && was->random != 0 &&
                            ((its->direct_log != 0 && its->direct_log == was->direct_log) ||
                             (its->output != 0 && its->output == was->output)));
    }
    for (uint32_t i = its->subscriptions; i != 0; i = rc_truth_subscription(truth, i)->next) {
        others = others || hears_group(truth, c, rc_truth_subscription(truth, i)->group);
    }
    return others;
}

/* What a successor makes of the truth in which these words are changed: it refuses it, or those it goes on with hear what is theirs. */
static void change(const char *what, uint32_t *const words[2], const uint32_t by[2])
{
    struct rc_truth copy;
    struct rc_truth_repaired repaired;
    struct rc_truth_found found = {0};
    struct rc_err err = {0};
    const int fd = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    copy_sparse(fd, rig.truth_fd);
    cr_assert_eq(rc_truth_attach(&copy, fd, &err), 0);
    (void)close(fd);
    for (size_t i = 0; i < 2 && words[i] != NULL; i++) {
        const size_t offset = (size_t)((uint8_t *)words[i] - (uint8_t *)rig.truth.layout);
        *(uint32_t *)(void *)((uint8_t *)copy.layout + offset) += by[i];
    }
    copy.cut = true;
    if (rc_truth_repair(&copy, &repaired, &err) == 0 && rc_truth_check(&copy, &found, &err) == 0) {
        for (uint32_t c = 1; c < copy.clients.high; c++) {
            cr_expect(rc_truth_client(&copy, c)->random == 0 || is_broken(&copy, c) || !hears_others(&copy, c),
                      "%s, %d up: client %u gets what is another one's", what, (int)by[0], c);
        }
    }
    rc_truth_found_close(&found);
    end_repair(&copy);
}

static void open_rig_of_own_channels(void)
{
    char name[8];
    hub_rig_open(&rig, &options);
    for (uint32_t i = 0; i < 4; i++) {
        client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 1);
        (void)snprintf(name, sizeof(name), "own%u", i);
        (void)hub_rig_subscribe(&rig, client, name);
        (void)hub_rig_subscribe(&rig, client, "all");
        publish(name, 100);
        reply(client);
        const struct rc_client_ref ref = hub_rig_ref(&rig, client);
        (void)hub_rig_direct(&rig, &ref, RC_SPAN("\"direct\""));
    }
    publish("all", 100);
}

Test(truth_repair, nobody_hears_what_is_for_another_one_by_a_wrong_index, .timeout = 120)
{
    open_rig_of_own_channels();
    for (size_t i = 0; i < RC_ARRAY_COUNT(indices); i++) {
        const struct rc_pool *pool = rc_truth_pool(&rig.truth, indices[i].pool);
        for (uint32_t object = 1; object < pool->high; object++) {
            uint32_t *const words[2] = {(uint32_t *)(void *)((uint8_t *)rc_pool_at(pool, object) + indices[i].at)};
            change(indices[i].what, words, (const uint32_t[2]){1});
            change(indices[i].what, words, (const uint32_t[2]){UINT32_MAX});
        }
    }
    hub_rig_drain(&rig);
    hub_rig_close(&rig);
}

/* One goes to where another one has gone from, which is somebody too many elsewhere. Only where all come to a circle counts say nothing. */
Test(truth_repair, nobody_hears_what_is_for_another_one_by_two_wrong_groups, .timeout = 120)
{
    open_rig_of_own_channels();
    const uint32_t high = rig.truth.subscriptions.high;
    for (uint32_t first = 1; first < high; first++) {
        for (uint32_t second = first + 1; second < high; second++) {
            uint32_t *const words[2] = {&rc_truth_subscription(&rig.truth, first)->group,
                                        &rc_truth_subscription(&rig.truth, second)->group};
            change("two groups", words, (const uint32_t[2]){1, 1});
            change("two groups", words, (const uint32_t[2]){UINT32_MAX, UINT32_MAX});
        }
    }
    hub_rig_drain(&rig);
    hub_rig_close(&rig);
}
