/*
 * truth_check finds what is wrong: a worker with clients of all kinds is damaged in one word after the other, and each damage is
 * found and named; put right again, nothing is.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"
#include "worker/store/truth_check.h"

#define SLOTS 16u

static struct hub_rig rig;

/* What the damages below are done to. */
static struct {
    uint32_t slow;         /* client with a log, a cut frame and replies */
    uint32_t session;      /* of Socket.IO */
    uint32_t subscription; /* of the slow one, behind */
    uint32_t other;        /* subscription of another client, in the same group */
    uint32_t group, log, direct, channel, held, pending[2], output, everybody;
    uint32_t user, input, emit, ack[2];
    uint32_t socket;
} is;

static struct rc_span big(uint8_t byte)
{
    static uint8_t bytes[6000];
    memset(bytes, byte, sizeof(bytes));
    return rc_span_of(bytes, sizeof(bytes));
}

static uint32_t block(uint64_t bytes)
{
    const uint32_t made = rc_heap_alloc(&rig.truth.heap, bytes);
    cr_assert_neq(made, 0);
    return made;
}

static void add_user_and_input(void)
{
    struct rc_truth *truth = &rig.truth;
    is.user = rc_pool_alloc(&truth->users);
    *rc_truth_user(truth, is.user) = (struct rc_user){.attributes = block(100), .attributes_bytes = 100};
    rc_truth_client(truth, is.slow)->user = is.user;
    is.input = rc_pool_alloc(&truth->inputs);
    *rc_truth_input(truth, is.input) = (struct rc_input){.message = block(512),
                                                         .message_capacity = 512,
                                                         .parked = block(512),
                                                         .parked_capacity = 512,
                                                         .parked_bytes = 7};
    truth->sockets[is.socket].input = is.input;
}

static void add_session(void)
{
    struct rc_truth *truth = &rig.truth;
    is.session = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_SOCKETIO, true, 0);
    struct rc_engine *engine = &truth->engines[is.session];
    *engine = (struct rc_engine){.flags = RC_ENGINE_SESSION, .namespaces = block(64), .namespaces_bytes = 8};
    memcpy(rc_heap_at(&truth->heap, engine->namespaces), "\0\6/admin", 8);
    is.emit = rc_pool_alloc(&truth->emits);
    for (uint32_t i = 0; i < 2; i++) {
        is.ack[i] = rc_pool_alloc(&truth->acks);
    }
    *rc_truth_emit(truth, is.emit) = (struct rc_emit){.id = 5, .first = is.ack[0], .waiting = 2};
    *rc_truth_ack(truth, is.ack[0]) =
        (struct rc_ack){.emit = is.emit, .client = is.session, .next_of_emit = is.ack[1], .next_of_client = is.ack[1]};
    *rc_truth_ack(truth, is.ack[1]) = (struct rc_ack){
        .emit = is.emit, .client = is.session, .previous_of_emit = is.ack[0], .previous_of_client = is.ack[0]};
}

static void set_up(void)
{
    const struct hub_rig_options options = {.slots = SLOTS, .channel_log_bytes = 1u << 20};
    hub_rig_open(&rig, &options);
    struct rc_truth *truth = &rig.truth;
    rig.config->namespaces[1] = rig.config->namespaces[0];
    (void)strcpy(rig.config->namespaces[1].name, "held");
    rig.config->namespaces[1].name_bytes = 4;
    rig.config->namespaces[1].min_interval_ms = 1000;
    rig.config->namespace_count = 2;
    rc_hub_reconfigure(&rig.hub, rig.config);
    is.slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 4608);
    is.socket = hub_rig_socket_of(&rig, is.slow);
    const uint32_t quick = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, true, 0);
    is.subscription = hub_rig_subscribe(&rig, is.slow, "news");
    is.other = hub_rig_subscribe(&rig, quick, "news");
    (void)hub_rig_subscribe(&rig, is.slow, "held:a");
    const struct rc_client_ref out = hub_rig_ref(&rig, quick);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(hub_rig_publish(&rig, "news", big((uint8_t)('a' + i)), &out, 1), 0);
        hub_rig_run(&rig);
        cr_assert_eq(hub_rig_publish(&rig, "held:a", RC_SPAN("x"), NULL, 0), 0);
        cr_assert_eq(rc_hub_gap(&rig.hub, rc_span_of(NULL, 0)), 0);
    }
    const struct rc_client_ref to = hub_rig_ref(&rig, is.slow);
    cr_assert_eq(hub_rig_direct(&rig, &to, RC_SPAN("direct")), 0);
    cr_assert_eq(rc_hub_reply_frame(&rig.hub, is.slow, 1, (const uint8_t *)"reply", 5), 0);
    const uint32_t waits = rc_hub_channel(&rig.hub, RC_SPAN("waits"));
    cr_assert_eq(rc_hub_wait(&rig.hub, is.slow, waits, RC_SPAN("id")), 0);
    cr_assert_eq(rc_hub_wait(&rig.hub, is.slow, waits, RC_SPAN("id")), 0);
    is.pending[0] = rc_truth_channel(truth, waits)->pending;
    is.pending[1] = rc_truth_pending(truth, is.pending[0])->next;
    is.group = rc_truth_subscription(truth, is.subscription)->group;
    is.channel = rc_truth_group(truth, is.group)->channel;
    is.log = rc_truth_group(truth, is.group)->log;
    const struct rc_client *client = rc_truth_client(truth, is.slow);
    is.direct = client->direct_log;
    is.output = client->output;
    is.everybody = client->everybody;
    is.held = 1;
    add_session();
    add_user_and_input();
}

/* What the rig does not know is taken away before it ends. */
static void tear_down(void)
{
    struct rc_truth *truth = &rig.truth;
    struct rc_input *input = rc_truth_input(truth, is.input);
    rc_heap_give(&truth->heap, &input->message);
    rc_heap_give(&truth->heap, &input->parked);
    rc_heap_give(&truth->heap, &rc_truth_user(truth, is.user)->attributes);
    rc_heap_give(&truth->heap, &truth->engines[is.session].namespaces);
    rc_pool_give(&truth->inputs, &truth->sockets[is.socket].input);
    rc_pool_give(&truth->users, &rc_truth_client(truth, is.slow)->user);
    rc_truth_emit(truth, is.emit)->id = 0;
    rc_pool_free(&truth->emits, is.emit);
    rc_pool_free(&truth->acks, is.ack[0]);
    rc_pool_free(&truth->acks, is.ack[1]);
    hub_rig_close(&rig);
}

TestSuite(truth_check, .init = set_up, .fini = tear_down);

/* --- damages --------------------------------------------------------------------------------------------------------- */

/* A word in an object of the truth that becomes another. */
struct damage {
    const char *what;
    void *object;
    size_t offset;
    size_t bytes;
    uint64_t value;
};

#define OF(object_, type, member, value_)                                                                      \
    {                                                                                                          \
        .what = #type "." #member " = " #value_, .object = (object_), .offset = offsetof(struct type, member), \
        .bytes = sizeof(((struct type *)0)->member), .value = (uint64_t)(value_)                               \
    }

struct rc_damaged_byte {
    uint8_t byte;
};

static bool found(struct rc_err *err)
{
    struct rc_truth_found all;
    const int rc = rc_truth_check(&rig.truth, &all, err);
    rc_truth_found_close(&all);
    cr_assert(rc == 0 || rc == -EBADMSG);
    return rc != 0;
}

static void try_damage(const struct damage *damage)
{
    struct rc_err err = {0};
    uint64_t before = 0;
    uint8_t *at = (uint8_t *)damage->object + damage->offset;
    memcpy(&before, at, damage->bytes);
    cr_assert_neq(before, damage->value, "%s: it is that already", damage->what);
    memcpy(at, &damage->value, damage->bytes);
    cr_assert(found(&err), "%s: not found", damage->what);
    cr_assert(err.text[0] != '\0');
    memcpy(at, &before, damage->bytes);
    cr_assert(!found(&err), "%s: after it was put right: %s", damage->what, err.text);
}

static void try_all(const struct damage *damages, size_t count)
{
    struct rc_err err = {0};
    cr_assert(!found(&err), "%s", err.text);
    cr_assert_eq(rc_truth_check_own(&rig.truth, &err), 0, "%s", err.text);
    for (size_t i = 0; i < count; i++) {
        try_damage(&damages[i]);
    }
}

static uint32_t bytes_of(struct rc_heap *heap, uint32_t count)
{
    const uint32_t block = rc_heap_alloc(heap, sizeof(struct rc_truth_block) + count);
    cr_assert_neq(block, 0);
    ((struct rc_truth_block *)rc_heap_at(heap, block))->count = count;
    return block;
}

Test(truth_check, finds_damages_of_tls_connections)
{
    struct rc_truth *truth = &rig.truth;
    struct rc_heap *heap = &truth->heap;
    const uint32_t block = rc_heap_alloc(heap, sizeof(struct rc_truth_tls));
    cr_assert_neq(block, 0);
    truth->tls[is.socket] = block;
    struct rc_truth_tls *tls = rc_heap_at(heap, block);
    *tls = (struct rc_truth_tls){
        .identity = bytes_of(heap, 5), .part = bytes_of(heap, 100), .out = bytes_of(heap, 300), .out_sent = 20};
    struct rc_truth_block *part = rc_heap_at(heap, tls->part);
    struct rc_truth_block *out = rc_heap_at(heap, tls->out);
    struct tls_of {
        uint32_t block;
    } *link = (struct tls_of *)(void *)&truth->tls[is.socket];
    const struct damage damages[] = {
        OF(link, tls_of, block, UINT32_MAX),          OF(link, tls_of, block, rc_truth_channel(truth, 1)->name),
        OF(tls, rc_truth_tls, part, tls->out),        OF(tls, rc_truth_tls, unread, block),
        OF(tls, rc_truth_tls, identity, heap->units), OF(tls, rc_truth_tls, out_sent, 301),
        OF(part, rc_truth_block, count, 4096),        OF(out, rc_truth_block, count, UINT32_MAX),
    };
    try_all(damages, RC_ARRAY_COUNT(damages));
    truth->tls[is.socket] = 0;
    const uint32_t blocks[] = {tls->identity, tls->part, tls->out, block};
    for (size_t i = 0; i < RC_ARRAY_COUNT(blocks); i++) {
        rc_heap_free(heap, blocks[i]);
    }
}

Test(truth_check, finds_damages_of_clients_and_sockets)
{
    struct rc_truth *truth = &rig.truth;
    struct rc_client *client = rc_truth_client(truth, is.slow);
    struct rc_socket *socket = &truth->sockets[is.socket];
    struct rc_output *output = rc_truth_output(truth, is.output);
    struct rc_input *input = rc_truth_input(truth, is.input);
    input->waiting_opcode = 1; /* its message waits */
    const struct damage damages[] = {
        OF(client, rc_client, socket, SLOTS),
        OF(client, rc_client, socket, is.socket - 1),
        OF(client, rc_client, socket, RC_SOCKET_NONE),
        OF(client, rc_client, random, 0),
        OF(client, rc_client, subscriptions, 0),
        OF(client, rc_client, subscriptions, 0x7fffffff),
        OF(client, rc_client, subscriptions, is.other),
        OF(client, rc_client, everybody, 0),
        OF(client, rc_client, everybody, is.subscription),
        OF(client, rc_client, cut, is.other),
        OF(client, rc_client, output, 0xffffff),
        OF(client, rc_client, direct_log, is.log),
        OF(client, rc_client, direct_log, 1u << 30),
        OF(client, rc_client, user, 77777),
        OF(client, rc_client, cursor_count, 0),
        OF(client, rc_client, pending_count, 9),
        OF(client, rc_client, subscription_count, 1),
        OF(client, rc_client, state, 7),
        OF(client, rc_client, encoding, RC_ENCODING_COUNT),
        OF(client, rc_client, encoding, client->encoding + 1),
        OF(client, rc_client, endpoint, 200),
        OF(client, rc_client, flags, RC_CLIENT_CLOSE_QUEUED | RC_CLIENT_EVERYBODY),
        OF(client, rc_client, flags, 0),
        OF(socket, rc_socket, client, 0),
        OF(socket, rc_socket, client, is.session),
        OF(socket, rc_socket, client, 99),
        OF(socket, rc_socket, output, is.output),
        OF(socket, rc_socket, input, is.input + 1),
        OF(socket, rc_socket, state, RC_SOCKET_FREE),
        OF(socket, rc_socket, state, RC_SOCKET_HTTP),
        OF(socket, rc_socket, state, 100),
        OF(socket, rc_socket, history, 3),
        OF(socket, rc_socket, history_bytes, 1),
        OF(output, rc_output, replies, 0),
        OF(output, rc_output, replies_bytes, 1u << 20),
        OF(output, rc_output, replies_sent, output->replies_bytes + 1),
        OF(output, rc_output, replies_frames, output->replies_bytes + 1),
        OF(output, rc_output, replies_capacity, 1u << 20),
        OF(output, rc_output, cut_sent, output->cut_bytes + 1),
        OF(output, rc_output, close_bytes, 200),
        OF(output, rc_output, close_sent, 1),
        OF(input, rc_input, message, 0),
        OF(input, rc_input, message, input->parked),
        OF(input, rc_input, message_capacity, 513),
        OF(input, rc_input, parked_bytes, 513),
        OF(input, rc_input, waiting_bytes, 600),
        OF(input, rc_input, receiver.state, 9),
        OF(input, rc_input, receiver.header_bytes, 99),
        OF(rc_truth_user(truth, is.user), rc_user, attributes, 0),
        OF(rc_truth_user(truth, is.user), rc_user, attributes_bytes, 200),
        OF(rc_truth_user(truth, is.user), rc_user, set, input->message),
        OF(rc_truth_user(truth, is.user), rc_user, session_key, 5),
        OF(rc_truth_user(truth, is.user), rc_user, session_next, is.session + 1),
    };
    try_all(damages, RC_ARRAY_COUNT(damages));
}

Test(truth_check, finds_damages_of_channels_and_what_waits)
{
    struct rc_truth *truth = &rig.truth;
    struct rc_channel *channel = rc_truth_channel(truth, is.channel);
    struct rc_group *group = rc_truth_group(truth, is.group);
    struct rc_subscription *its = rc_truth_subscription(truth, is.subscription);
    struct rc_pending *pending = rc_truth_pending(truth, is.pending[0]);
    struct rc_throttle *held = rc_truth_throttle(truth, is.held);
    const struct damage damages[] = {
        OF(channel, rc_channel, hash, 1),
        OF(channel, rc_channel, name, 0),
        OF(channel, rc_channel, name, 999999),
        OF(channel, rc_channel, name_bytes, 3),
        OF(channel, rc_channel, json_bytes, 1000),
        OF(channel, rc_channel, groups, 0),
        OF(channel, rc_channel, groups, 1),
        OF(channel, rc_channel, groups, 0xffffffff),
        OF(channel, rc_channel, pending, is.pending[0]),
        OF(channel, rc_channel, subscriber_count, 7),
        OF(channel, rc_channel, flags, RC_CHANNEL_SETTLING),
        OF(channel, rc_channel, namespace, 200),
        OF(channel, rc_channel, throttles, is.held),
        OF(channel, rc_channel, throttle_count, 1),
        OF(group, rc_group, channel, is.channel + 1),
        OF(group, rc_group, next, is.group),
        OF(group, rc_group, log, 0),
        OF(group, rc_group, log, is.direct),
        OF(group, rc_group, behind, 0),
        OF(group, rc_group, encoding, RC_ENCODING_COUNT),
        OF(its, rc_subscription, cursor, 1u << 30),
        OF(its, rc_subscription, client, is.session),
        OF(its, rc_subscription, group, 0),
        OF(its, rc_subscription, group, 1),
        OF(its, rc_subscription, next, is.subscription),
        OF(its, rc_subscription, next, is.other),
        OF(its, rc_subscription, member, 2),
        OF(its, rc_subscription, member, rc_truth_subscription(truth, is.other)->member),
        OF(its, rc_subscription, flags, 0),
        OF(its, rc_subscription, flags, RC_SUBSCRIPTION_CURSOR | RC_SUBSCRIPTION_EVERYBODY),
        OF(rc_truth_subscription(truth, is.everybody), rc_subscription, flags, RC_SUBSCRIPTION_EVERYBODY),
        OF(pending, rc_pending, next, 0),
        OF(pending, rc_pending, next, is.pending[0]),
        OF(pending, rc_pending, previous, is.pending[1]),
        OF(pending, rc_pending, next_of_client, is.pending[1]),
        OF(pending, rc_pending, previous_of_client, 0),
        OF(pending, rc_pending, channel, is.channel),
        OF(pending, rc_pending, client, 0),
        OF(pending, rc_pending, id_bytes, 255),
        OF(held, rc_throttle, channel, is.channel),
        OF(held, rc_throttle, next, is.held),
        OF(held, rc_throttle, previous, 5),
        OF(held, rc_throttle, next_of_channel, 60000),
        OF(held, rc_throttle, held, 1u << 28),
        OF(held, rc_throttle, held_bytes, 8),
    };
    try_all(damages, RC_ARRAY_COUNT(damages));
}

Test(truth_check, finds_damages_of_logs_and_sessions)
{
    struct rc_truth *truth = &rig.truth;
    struct rc_channel_log *log = rc_truth_log(truth, is.log);
    struct rc_frame *frame =
        (struct rc_frame *)((uint8_t *)rc_heap_at(&truth->heap, log->block) + log->block_bytes) - 2;
    struct rc_exclusion *exclusion = rc_heap_at(&truth->heap, log->exclusions);
    struct rc_engine *engine = &truth->engines[is.session];
    struct rc_emit *emit = rc_truth_emit(truth, is.emit);
    struct rc_ack *ack = rc_truth_ack(truth, is.ack[1]);
    cr_assert(log->frames > 2 && log->exclusion_count > 1);
    const struct damage damages[] = {
        OF(log, rc_channel_log, origin, log->base + 1),
        OF(log, rc_channel_log, base, log->head + 1),
        OF(log, rc_channel_log, base, log->base + 1),
        OF(log, rc_channel_log, served, log->served - 1),
        OF(log, rc_channel_log, served, log->head + 1),
        OF(log, rc_channel_log, target, log->head + 1),
        OF(log, rc_channel_log, head, log->head + log->block_bytes),
        OF(log, rc_channel_log, head, log->origin),
        OF(log, rc_channel_log, marked, log->head + 1),
        OF(log, rc_channel_log, block, 0),
        OF(log, rc_channel_log, block, rc_truth_log(truth, is.direct)->block),
        OF(log, rc_channel_log, block_bytes, log->block_bytes / 2),
        OF(log, rc_channel_log, frames, 1u << 30),
        OF(log, rc_channel_log, exclusions, 0),
        OF(log, rc_channel_log, exclusion_count, log->exclusion_capacity + 1),
        OF(log, rc_channel_log, exclusion_capacity, 1u << 20),
        OF(frame, rc_frame, offset, 0),
        OF(frame, rc_frame, offset, 0xffffffff),
        OF(frame, rc_frame, order, 0),
        OF(frame, rc_frame, flags, RC_FRAME_VOLATILE),
        OF(exclusion, rc_exclusion, position, log->head),
        OF(engine, rc_engine, namespaces, 0),
        OF(engine, rc_engine, namespaces_bytes, 7),
        OF(engine, rc_engine, namespaces_bytes, 100),
        OF(engine, rc_engine, packet, 12345),
        OF(engine, rc_engine, auth, engine->namespaces),
        OF(engine, rc_engine, other, is.slow),
        OF(emit, rc_emit, first, 0),
        OF(emit, rc_emit, waiting, 1),
        OF(emit, rc_emit, asker_bytes, 60000),
        OF(ack, rc_ack, emit, 0),
        OF(ack, rc_ack, client, SLOTS),
        OF(ack, rc_ack, next_of_emit, is.ack[0]),
        OF(ack, rc_ack, previous_of_emit, 0),
        OF(ack, rc_ack, next_of_client, is.ack[0]),
        OF(ack, rc_ack, previous_of_client, 0),
        OF(&truth->heap.sizes[log->block], rc_damaged_byte, byte, 0),
        OF(&truth->heap.sizes[log->block], rc_damaged_byte, byte, 0xff),
    };
    try_all(damages, RC_ARRAY_COUNT(damages));
}

/* A protocol error in the middle of a message: its buffer is given back while the peer has not closed yet. */
Test(truth_check, a_closed_receiver_needs_no_room_for_its_message)
{
    struct rc_truth *truth = &rig.truth;
    struct rc_input *input = rc_truth_input(truth, is.input);
    const struct rc_ws_receiver open = {.buffer_bytes = 146, .message_bytes = 600, .frames = 1};
    struct rc_err err = {0};
    input->receiver = open;
    cr_assert(found(&err), "a message has no room");
    input->receiver.state = RC_WS_RECEIVER_CLOSED;
    cr_assert(!found(&err), "%s", err.text);
    input->receiver = (struct rc_ws_receiver){0};
}

/* What is made and named by nobody is no damage for a successor, but a leak of this worker's own. */
Test(truth_check, finds_what_was_forgotten)
{
    struct rc_err err = {0};
    const uint32_t made = block(100);
    cr_assert(!found(&err));
    cr_assert_eq(rc_truth_check_own(&rig.truth, &err), -EBADMSG);
    cr_assert(strstr(err.text, "heap") != NULL, "%s", err.text);
    rc_heap_free(&rig.truth.heap, made);
    cr_assert_eq(rc_truth_check_own(&rig.truth, &err), 0);
    const uint32_t forgotten = rc_pool_alloc(&rig.truth.groups);
    cr_assert_eq(rc_truth_check_own(&rig.truth, &err), -EBADMSG);
    cr_assert(strstr(err.text, "groups") != NULL, "%s", err.text);
    rc_pool_free(&rig.truth.groups, forgotten);
}

/* A successor counts what is linked: what its predecessor had made and not linked is free. */
Test(truth_check, successor_finds_what_nobody_names_free)
{
    struct rc_err err = {0};
    const uint32_t made = block(100);
    const uint32_t group = rc_pool_alloc(&rig.truth.groups);
    struct rc_truth truth;
    struct rc_truth_found all;
    cr_assert_eq(rc_truth_attach(&truth, rig.truth_fd, &err), 0, "%s", err.text);
    cr_assert_eq(rc_truth_check(&truth, &all, &err), 0, "%s", err.text);
    rc_truth_account(&truth, &all);
    rc_truth_found_close(&all);
    cr_assert_eq(rc_truth_check_own(&truth, &err), 0, "%s", err.text);
    cr_assert_eq(truth.groups.used + 1, rig.truth.groups.used);
    cr_assert_eq(truth.heap.used + 128, rig.truth.heap.used);
    cr_assert(truth.logs.used == rig.truth.logs.used && truth.subscriptions.used == rig.truth.subscriptions.used);
    rc_truth_detach(&truth);
    rc_heap_free(&rig.truth.heap, made);
    rc_pool_free(&rig.truth.groups, group);
}

Test(truth_check, finds_damages_of_what_backends_are_asked_and_told)
{
    struct rc_truth *truth = &rig.truth;
    const uint32_t hook_index = rc_pool_alloc(&truth->hooks);
    const uint32_t telling_index = rc_pool_alloc(&truth->tellings);
    struct rc_hook *hook = rc_truth_hook(truth, hook_index);
    struct rc_telling *telling = rc_truth_telling(truth, telling_index);
    *hook = (struct rc_hook){.attempt = 1,
                             .client = is.slow,
                             .request = block(200),
                             .request_bytes = 200,
                             .reply = block(64),
                             .reply_bytes = 9};
    *telling = (struct rc_telling){.number = 1, .text = block(64), .bytes = 20, .kind = RC_TELLING_WEBHOOK};
    const struct damage damages[] = {
        OF(hook, rc_hook, request, truth->heap.units),
        OF(hook, rc_hook, request, hook->reply),
        OF(hook, rc_hook, request_bytes, 1u << 20),
        OF(hook, rc_hook, reply, 0),
        OF(hook, rc_hook, nsp_bytes, RC_NSP_MAX + 1),
        OF(hook, rc_hook, id_bytes, 200),
        OF(telling, rc_telling, text, 0),
        OF(telling, rc_telling, text, hook->request),
        OF(telling, rc_telling, bytes, 65),
        OF(hook, rc_hook, kind, RC_BACKEND_CALL_KINDS),
        OF(telling, rc_telling, kind, 0),
    };
    try_all(damages, RC_ARRAY_COUNT(damages));
    rc_heap_give(&truth->heap, &hook->request);
    rc_heap_give(&truth->heap, &hook->reply);
    rc_heap_give(&truth->heap, &telling->text);
    hook->attempt = 0;
    telling->number = 0;
    rc_pool_free(&truth->hooks, hook_index);
    rc_pool_free(&truth->tellings, telling_index);
}

Test(truth_check, finds_damages_of_clients_that_move)
{
    struct rc_truth *truth = &rig.truth;
    struct rc_truth_move *move = &truth->layout->move;
    struct rc_home *native = &truth->homes[is.slow];
    struct rc_home *session = &truth->homes[is.session];
    *move = (struct rc_truth_move){.role = RC_MOVE_TAKES, .peer = 1, .count = 3};
    rc_truth_client(truth, is.slow)->guest = rc_truth_client(truth, is.session)->guest = true;
    *native = (struct rc_home){.slot = RC_SID_SLOT_MAX + 1, .worker = 1};
    *session = (struct rc_home){.slot = RC_SID_SLOT_MAX, .worker = 1};
    const struct damage damages[] = {
        OF(move, rc_truth_move, role, RC_MOVE_TAKES + 1),
        OF(move, rc_truth_move, peer, RC_WORKERS_MAX),
        OF(move, rc_truth_move, count, RC_MOVE_CLIENTS_MAX + 1),
        OF(native, rc_home, worker, RC_WORKERS_MAX),
        OF(session, rc_home, worker, UINT16_MAX),
        OF(session, rc_home, slot, RC_SID_SLOT_MAX + 1),
    };
    try_all(damages, RC_ARRAY_COUNT(damages));
    rc_truth_client(truth, is.slow)->guest = rc_truth_client(truth, is.session)->guest = false;
    *move = (struct rc_truth_move){0};
}
