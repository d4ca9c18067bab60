/* hub_rig: see hub_rig.h. */
#include "tests/support/hub_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/vault.h"
#include "common/shm/segment.h"
#include "worker/adopt/rebuild.h"
#include "worker/backend/backend_io.h"
#include "worker/ws/frame.h"

#define READ_BYTES 65536u /* at once */

static void rig_must(int rc, const struct rc_err *err)
{
    if (rc != 0) {
        fprintf(stderr, "rig: %s\n", err->text);
    }
    RC_ASSERT(rc == 0);
}

/* --- handlers --- */

static bool rig_accepted(void *context, uint32_t socket, uint32_t listener)
{
    (void)context;
    (void)socket;
    (void)listener;
    return true;
}

static bool rig_made_here(const struct hub_rig *rig, uint32_t socket)
{
    return rig->backends != NULL && rig->truth.sockets[socket].listener == RC_SOCKET_MADE_HERE;
}

static void rig_received(void *context, uint32_t socket, uint8_t *bytes, uint32_t count)
{
    struct hub_rig *rig = context;
    if (rig_made_here(rig, socket)) {
        rc_backend_received(rig->backends, socket, bytes, count);
        return;
    }
    if (rig->received != NULL) {
        const uint32_t client = rig->truth.sockets[socket].client;
        rig->received(rig->context, client != 0 ? client : socket, bytes, count);
    }
}

static void rig_ended(void *context, uint32_t socket, int error)
{
    struct hub_rig *rig = context;
    if (rig_made_here(rig, socket)) {
        rc_backend_ended(rig->backends, socket, error);
        return;
    }
    rc_io_terminate(&rig->io, socket);
}

static void rig_writable(void *context, uint32_t socket)
{
    struct hub_rig *rig = context;
    rc_hub_writable(&rig->hub, socket);
}

static void rig_short_send(void *context, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                           int error)
{
    struct hub_rig *rig = context;
    rc_hub_short_send(&rig->hub, packet, pieces, sent, error);
}

static void rig_index(void *context, uint32_t index)
{
    (void)context;
    (void)index;
}

static void rig_free_client(struct hub_rig *rig, uint32_t index)
{
    struct rc_client *client = rc_truth_client(&rig->truth, index);
    RC_ASSERT(client->socket == RC_SOCKET_NONE);
    client->random = 0;
    client->state = RC_CLIENT_FREE;
    rc_hub_ended(&rig->hub, index);
    if (client->user != 0) { /* a test's own, without blocks */
        rc_pool_give(&rig->truth.users, &client->user);
    }
    client->flags = 0;
    rc_pool_free(&rig->truth.clients, index);
}

static void rig_terminated(void *context, uint32_t socket)
{
    struct hub_rig *rig = context;
    const uint32_t client = rig->truth.sockets[socket].client;
    if (rig_made_here(rig, socket)) {
        rc_backend_terminated(rig->backends, socket);
        return;
    }
    if (client != 0) {
        rc_hub_detach(&rig->hub, client);
        if (rig->peers[client].stays) {
            rig->peers[client].stays = false;
        } else {
            rig_free_client(rig, client);
        }
    }
    rc_hub_answers_release(&rig->hub, socket);
}

static void rig_given(void *context, uint32_t socket, int fd)
{
    struct hub_rig *rig = context;
    if (rig->given != NULL) {
        rig->given(rig->context, socket, fd);
    } else {
        rc_io_terminate(&rig->io, socket);
    }
}

static void rig_connected(void *context, const struct rc_io_connect *connect, int fd, int error)
{
    struct hub_rig *rig = context;
    if (rig->backends != NULL && (connect->token & RC_BACKEND_TOKEN) != 0) {
        rc_backend_connected(rig->backends, connect, fd, error);
        return;
    }
    RC_ASSERT(rig->connected != NULL);
    rig->connected(rig->context, connect, fd, error);
}

static void rig_taken(void *context, const struct rc_io_place *place, uint32_t socket)
{
    (void)context;
    (void)place;
    (void)socket;
}

static void rig_placed(void *context, const struct rc_io_place *place, uint32_t socket)
{
    struct hub_rig *rig = context;
    if (rig->backends != NULL && place->from.listener == RC_SOCKET_MADE_HERE) {
        rc_backend_placed(rig->backends, place, socket);
    } else if (rig->placed != NULL) {
        rig->placed(rig->context, place, socket);
    }
}

static void rig_timer(void *context, uint32_t socket)
{
    struct hub_rig *rig = context;
    if (rig_made_here(rig, socket)) {
        rc_backend_timer(rig->backends, socket);
    }
}

static void rig_end(void *context, uint32_t client)
{
    struct hub_rig *rig = context;
    const uint32_t socket = rc_truth_client(&rig->truth, client)->socket;
    if (socket != RC_SOCKET_NONE) {
        rc_io_terminate(&rig->io, socket);
    } else {
        rig_free_client(rig, client);
    }
}

static void rig_nothing(void *context)
{
    (void)context;
}

static void rig_ready(void *context, uint32_t client)
{
    struct hub_rig *rig = context;
    (void)client;
    rig->ready++;
}

static void rig_flushed(void *context, uint32_t index)
{
    struct hub_rig *rig = context;
    struct rc_client *client = rc_truth_client(&rig->truth, index);
    rig->flushed++;
    if (client->state == RC_CLIENT_OPEN && (client->flags & RC_CLIENT_CLOSE_QUEUED)) {
        client->state = RC_CLIENT_CLOSING;
    }
}

static void rig_drained(void *context, uint32_t index)
{
    struct hub_rig *rig = context;
    rig->truth.sockets[index].flags &= (uint16_t)~RC_SOCKET_WAITS_REPLIES;
}

static void rig_joined(void *context, uint32_t index)
{
    struct hub_rig *rig = context;
    (void)index;
    rig->joined++;
}

static void rig_round(void *context)
{
    struct hub_rig *rig = context;
    rig->rounds++;
    if (rig->round != NULL) {
        rig->round(rig->context);
    }
}

/* --- life --- */

/* What other processes would have made: the control's segments, and a configuration. */
static void rig_share(struct hub_rig *rig, const struct hub_rig_options *options)
{
    rig->shared = calloc(1, sizeof(*rig->shared));
    RC_ASSERT(rig->shared != NULL);
    rig->control = &rig->shared->control;
    rig->control->core = &rig->shared->core;
    rig->control->configs = &rig->shared->configs;
    rig->control->relay = &rig->shared->relay;
    rig->control->acceptor = &rig->shared->acceptor;
    rig->control->own = &rig->shared->worker;
    rig->control->workers[0] = &rig->shared->worker;
    rig->config = &rig->shared->configs.copies[0];
    rig->metrics = rc_banks_own(&rig->shared->worker.banks);
    rc_config_defaults(rig->config);
    rig->config->limits.max_channels_per_worker = 4096;
    if (options->channel_log_bytes > 0) {
        rig->config->limits.channel_log_bytes = options->channel_log_bytes;
    }
    rig->config->limits.channel_log_messages = options->channel_log_messages;
    if (options->worker_log_bytes > 0) {
        rig->config->limits.worker_log_bytes = options->worker_log_bytes;
    }
    rig->config->namespaces[0].slow_consumer = options->slow_consumer;
    struct rc_err err = {0};
    rig_must(rc_config_finish(rig->config, &err), &err);
    rig->control->boot_ms = rc_clock_ms();
    rig->control->boot_nonce = 77;
    rig->control->worker_count = 1;
    strcpy(rig->control->instance_id, "rig");
}

static uint64_t rig_buffers(const struct hub_rig_options *options)
{
    return (options->receive_buffers == 0 ? 64u : options->receive_buffers) * (uint64_t)RC_IO_BUFFER_BYTES;
}

/* The whole of a memfd, without its holes. */
static void rig_copy(int to, int from)
{
    struct stat its;
    struct rc_err err = {0};
    RC_ASSERT(fstat(from, &its) == 0);
    rig_must(rc_segment_size(to, (uint64_t)its.st_size, &err), &err);
    off_t at = 0;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        const off_t end = lseek(from, at, SEEK_HOLE);
        while (at < end) {
            uint8_t bytes[65536];
            const ssize_t got =
                pread(from, bytes, (size_t)(end - at) < sizeof(bytes) ? (size_t)(end - at) : sizeof(bytes), at);
            RC_ASSERT(got > 0 && pwrite(to, bytes, (size_t)got, at) == got);
            at += got;
        }
    }
}

static void rig_open_truth(struct hub_rig *rig, const struct hub_rig_options *options, const struct hub_rig *from)
{
    struct rc_err err = {0};
    rig->truth_fd = memfd_create("truth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (from == NULL) {
        rig_must(
            rc_truth_create(&rig->truth, rig->truth_fd, options->slots, rig->config, 0, rig->control->boot_ms, &err),
            &err);
    } else {
        rig_copy(rig->truth_fd, from->truth_fd);
        rig_must(rc_truth_attach(&rig->truth, rig->truth_fd, &err), &err);
    }
}

static void rig_open_hub(struct hub_rig *rig)
{
    struct rc_err err = {0};
    const struct rc_hub_handlers handlers = {.context = rig,
                                             .interest_changed = rig_index,
                                             .joined = rig_joined,
                                             .replies_drained = rig_drained,
                                             .flushed = rig_flushed,
                                             .answered = rig_index,
                                             .ready = rig_ready,
                                             .end = rig_end,
                                             .cut_off = rig_end,
                                             .round = rig_round};
    rig_must(rc_hub_open(&rig->hub, &rig->truth, &rig->io, rig->metrics, &handlers, rig->control, rig->config, 0, &err),
             &err);
    rig->hub.now_ns = &rig->now_ns;
}

static void rig_open_io(struct hub_rig *rig, const struct hub_rig_options *options)
{
    struct rc_err err = {0};
    const struct rc_io_handlers io_handlers = {.context = rig,
                                               .accepted = rig_accepted,
                                               .received = rig_received,
                                               .ended = rig_ended,
                                               .writable = rig_writable,
                                               .short_send = rig_short_send,
                                               .timer = rig_timer,
                                               .given = rig_given,
                                               .placed = rig_placed,
                                               .taken = rig_taken,
                                               .connected = rig_connected,
                                               .terminated = rig_terminated,
                                               .doorbell = rig_nothing,
                                               .parent_gone = rig_nothing};
    struct io_uring_params vault;
    rig->io_fd = memfd_create("io", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    rig->bell_fd = eventfd(0, EFD_CLOEXEC);
    rig->life_fd = eventfd(0, EFD_CLOEXEC);
    rig->vault_fd = rc_vault_make(options->slots, &vault, &err);
    RC_ASSERT(rig->vault_fd >= 0);
    memcpy(rig->control->vault_params, &vault, sizeof(vault));
    struct rc_spawn_args args = {.bell_fd = rig->bell_fd,
                                 .life_fd = rig->life_fd,
                                 .inbox_fd = options->inbox_fd > 0 ? options->inbox_fd : -1,
                                 .vault_fd = fcntl(rig->vault_fd, F_DUPFD_CLOEXEC, 0),
                                 .io_fd = rig->io_fd};
    if (options->listen_fd > 0) {
        args.listen_fds[0] = options->listen_fd;
        args.listen_count = 1;
        rig->control->listener_count = 1;
        strcpy(rig->control->listeners[0].address, "127.0.0.1:0");
    }
    const struct rc_io_options io_options = {.args = &args,
                                             .control = rig->control,
                                             .config = rig->config,
                                             .slots_max = options->slots,
                                             .direct_descriptors = options->slots,
                                             .receive_buffers_bytes = rig_buffers(options)};
    rig_must(rc_io_open(&rig->io, &rig->truth, rig->metrics, &io_handlers, &io_options, &err), &err);
}

static void rig_begin(struct hub_rig *rig, const struct hub_rig_options *options)
{
    *rig = (struct hub_rig){.slots = options->slots, .now_ns = 1000000000u};
    rig_share(rig, options);
    rig->peers = calloc(options->slots + 1, sizeof(*rig->peers));
    RC_ASSERT(rig->peers != NULL);
    for (uint32_t i = 0; i <= options->slots; i++) {
        rig->peers[i].fd = -1;
    }
}

void hub_rig_open(struct hub_rig *rig, const struct hub_rig_options *options)
{
    rig_begin(rig, options);
    rig_open_truth(rig, options, NULL);
    rig_open_hub(rig);
    rig_open_io(rig, options);
}

void hub_rig_close(struct hub_rig *rig)
{
    rig->received = NULL;
    rig->round = NULL;
    for (uint32_t i = 1; i <= rig->slots; i++) {
        hub_rig_hang_up(rig, i);
    }
    for (uint32_t tries = 0; rig->io.open_count > 0; tries++) {
        RC_ASSERT(tries < 1000);
        for (uint32_t i = 0; i < rig->slots; i++) {
            const uint8_t state = rig->truth.sockets[i].state;
            if (state != RC_SOCKET_FREE && state != RC_SOCKET_TERMINATING && state != RC_SOCKET_CLOSED) {
                rc_io_terminate(&rig->io, i);
            }
        }
        hub_rig_run(rig);
    }
    hub_rig_run(rig);
    for (uint32_t i = 1; i < rig->truth.clients.high; i++) {
        if (rc_truth_client(&rig->truth, i)->state != RC_CLIENT_FREE) {
            rig_free_client(rig, i); /* one without a socket */
        }
    }
    hub_rig_check(rig);
    const struct rc_truth *truth = &rig->truth;
    RC_ASSERT(truth->subscriptions.used == 0 && truth->logs.used == 0 && truth->pending.used == 0 &&
              truth->outputs.used == 0 && truth->clients.used == 0);
    RC_ASSERT(truth->channels.used == 1 && truth->groups.used == RC_ENCODING_COUNT);
    RC_ASSERT(rig->hub.log_bytes == 0 && rig->hub.output_bytes == 0 && rig->hub.clients_high == 0);
    RC_ASSERT(truth->throttles.used == 0 && rig->hub.held_bytes == 0);
    RC_ASSERT(truth->replays.used == 0 && truth->places.used == 0);
    RC_ASSERT(rc_metric_get(rig->metrics, RC_METRIC_BEHIND) == 0);
    rc_io_close(&rig->io);
    rc_hub_close(&rig->hub);
    rc_truth_detach(&rig->truth);
    (void)close(rig->truth_fd);
    (void)close(rig->bell_fd);
    (void)close(rig->life_fd);
    (void)close(rig->vault_fd);
    (void)close(rig->io_fd);
    for (uint32_t i = 0; i <= rig->slots; i++) {
        free(rig->peers[i].block);
    }
    free(rig->peers);
    free(rig->shared);
}

static void rig_tcp_pair(int ends[2])
{
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    RC_ASSERT(bind(listener, (struct sockaddr *)&address, bytes) == 0 && listen(listener, 1) == 0 &&
              getsockname(listener, (struct sockaddr *)&address, &bytes) == 0);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int small = 4096;
    RC_ASSERT(setsockopt(ends[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
    RC_ASSERT(connect(ends[1], (struct sockaddr *)&address, sizeof(address)) == 0);
    ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    RC_ASSERT(ends[0] >= 0);
    const int on = 1;
    RC_ASSERT(setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    (void)close(listener);
}

static void rig_pair(enum hub_rig_socket kind, int send_bytes, int ends[2])
{
    if (kind == HUB_RIG_TCP) {
        rig_tcp_pair(ends);
    } else {
        RC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    }
    if (send_bytes > 0) {
        RC_ASSERT(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes)) == 0);
    }
}

int hub_rig_take_socket(struct hub_rig *rig, uint32_t index, int send_bytes)
{
    struct rc_socket *socket = &rig->truth.sockets[index];
    int ends[2];
    RC_ASSERT(socket->state != RC_SOCKET_FREE && socket->state < RC_SOCKET_TERMINATING);
    rig_pair(HUB_RIG_UNIX, send_bytes, ends);
    RC_ASSERT(io_uring_register_files_update(&rig->io.ring, index, &ends[0], 1) == 1);
    (void)close(ends[0]);
    socket->inflight = socket->cancelled = 0;
    rig->io.open_count++;
    if (socket->flags & RC_SOCKET_BLOCKED) {
        rc_io_want_writable(&rig->io, index);
    }
    rc_io_read(&rig->io, index);
    return ends[1];
}

void hub_rig_succeed(struct hub_rig *rig, const struct hub_rig *from, const struct hub_rig_options *options)
{
    rig_begin(rig, options);
    *rig->config = *from->config;
    rig->now_ns = from->now_ns;
    rig->sequence = from->sequence;
    rig->control->boot_ms = from->control->boot_ms;
    rig_open_truth(rig, options, from);
    rig_open_hub(rig);
    rig_open_io(rig, options);
}

void hub_rig_adopt(struct hub_rig *rig, const struct hub_rig *from, const struct hub_rig_options *options,
                   int send_bytes)
{
    struct rc_err err = {0};
    hub_rig_succeed(rig, from, options);
    const struct rc_adopt adopt = {.truth = &rig->truth, .hub = &rig->hub};
    rig_must(rc_adopt_rebuild(&adopt, &err), &err);
    for (uint32_t i = 0; i < rig->slots; i++) {
        const struct rc_socket *socket = &rig->truth.sockets[i];
        if (socket->state != RC_SOCKET_FREE) {
            struct hub_rig_peer *peer = &rig->peers[socket->client];
            peer->fd = hub_rig_take_socket(rig, i, send_bytes);
            peer->total = socket->sent_bytes; /* what left before came to the other rig's far end */
        }
    }
}

/* The slot is one that io gives nobody else. */
static void rig_claim_slot(struct hub_rig *rig, uint32_t index)
{
    struct rc_io *io = &rig->io;
    for (uint32_t i = 0; io->slots_free != NULL && i < io->slots_free_count; i++) {
        if (io->slots_free[i] == index) {
            io->slots_free[i] = io->slots_free[--io->slots_free_count];
            return;
        }
    }
}

/* A new socket, its far end in *fd. From the end of the table, so that no client has its socket's number by chance. */
static uint32_t rig_socket(struct hub_rig *rig, enum hub_rig_socket kind, int send_bytes, int *fd)
{
    uint32_t index = rig->slots - 1;
    while (rig->truth.sockets[index].state != RC_SOCKET_FREE) {
        RC_ASSERT(index > 0);
        index--;
    }
    int ends[2];
    rig_pair(kind, send_bytes, ends);
    RC_ASSERT(io_uring_register_files_update(&rig->io.ring, index, &ends[0], 1) == 1);
    (void)close(ends[0]);
    struct rc_socket *socket = &rig->truth.sockets[index];
    *socket = (struct rc_socket){.generation = socket->generation + 1, .state = RC_SOCKET_HTTP};
    rig_claim_slot(rig, index);
    rig->io.open_count++;
    *fd = ends[1];
    return index;
}

void hub_rig_attach_to(struct hub_rig *rig, uint32_t client, uint32_t socket, int fd)
{
    struct hub_rig_peer *peer = &rig->peers[client];
    hub_rig_hang_up(rig, client);
    *peer = (struct hub_rig_peer){.fd = fd, .bytes = peer->block, .block = peer->block, .capacity = peer->capacity};
    const int rc = rc_hub_attach(&rig->hub, client, socket);
    RC_ASSERT(rc == 0);
    rig->truth.sockets[socket].state = RC_SOCKET_CARRYING;
    rc_io_opened(&rig->io, socket);
    rc_io_read(&rig->io, socket);
}

uint32_t hub_rig_socket(struct hub_rig *rig, enum hub_rig_socket kind, int send_bytes, int *fd)
{
    return rig_socket(rig, kind, send_bytes, fd);
}

/* A client of a number that no far end stands for any more. */
static uint32_t rig_client(struct hub_rig *rig)
{
    uint32_t skipped[64];
    uint32_t count = 0;
    uint32_t index;
    while ((index = rc_pool_alloc(&rig->truth.clients)) != 0 && rig->peers[index].fd >= 0) {
        RC_ASSERT(count < RC_ARRAY_COUNT(skipped));
        skipped[count++] = index;
    }
    RC_ASSERT(index != 0);
    while (count > 0) {
        rc_pool_free(&rig->truth.clients, skipped[--count]);
    }
    return index;
}

uint32_t hub_rig_connect(struct hub_rig *rig, enum hub_rig_socket kind, enum rc_codec_id codec, bool everybody,
                         int send_bytes)
{
    int fd;
    const uint32_t socket = rig_socket(rig, kind, send_bytes, &fd);
    const uint32_t index = rig_client(rig);
    *rc_truth_client(&rig->truth, index) =
        (struct rc_client){.socket = RC_SOCKET_NONE,
                           .state = RC_CLIENT_OPEN,
                           .encoding = rc_encoding_of(codec, RC_FRAMING_WEBSOCKET, 0),
                           .random = rc_hub_random(&rig->hub) | 1};
    hub_rig_attach_to(rig, index, socket, fd);
    rc_hub_opened(&rig->hub, index);
    if (everybody) {
        rc_hub_everybody_join(&rig->hub, index);
    }
    return index;
}

uint32_t hub_rig_socket_of(const struct hub_rig *rig, uint32_t client)
{
    return rc_truth_client(&rig->truth, client)->socket;
}

struct rc_socket *hub_rig_its_socket(const struct hub_rig *rig, uint32_t client)
{
    static struct rc_socket none;
    const struct rc_client *its = rc_truth_client(&rig->truth, client);
    none = (struct rc_socket){.state = RC_SOCKET_FREE};
    return its->state == RC_CLIENT_FREE || its->socket == RC_SOCKET_NONE ? &none : &rig->truth.sockets[its->socket];
}

void hub_rig_detach(struct hub_rig *rig, uint32_t client)
{
    rig->peers[client].stays = true;
    rc_io_terminate(&rig->io, hub_rig_socket_of(rig, client));
}

void hub_rig_hang_up(struct hub_rig *rig, uint32_t client)
{
    if (rig->peers[client].fd >= 0) {
        (void)close(rig->peers[client].fd);
        rig->peers[client].fd = -1;
    }
}

struct rc_client_ref hub_rig_ref(const struct hub_rig *rig, uint32_t client)
{
    return (struct rc_client_ref){.random = rc_truth_client(&rig->truth, client)->random, .slot = client};
}

/* --- what the uplink would do --- */

int hub_rig_publish_key(struct hub_rig *rig, const char *channel, const char *key, struct rc_span data,
                        const struct rc_client_ref *excludes, uint32_t exclude_count)
{
    const struct rc_envelope_view view = {.head = {.sequence = rig->sequence + 1,
                                                   .channel_hash = rc_channel_hash(channel, strlen(channel)),
                                                   .channel_bytes = (uint8_t)strlen(channel),
                                                   .key_bytes = (uint8_t)(key == NULL ? 0 : strlen(key)),
                                                   .exclude_count = (uint16_t)exclude_count,
                                                   .data_bytes = (uint32_t)data.count,
                                                   .flags = rig->message_flags,
                                                   .epoch = rig->offset == 0 ? 0 : 1,
                                                   .position = rig->offset == 0 ? 0 : rig->offset + 1,
                                                   .time_ns = rig->time_ns},
                                          .channel = channel,
                                          .key = (const uint8_t *)key,
                                          .excludes = (const uint8_t *)excludes,
                                          .data = data.bytes};
    const int rc = rc_hub_message(&rig->hub, &view);
    rig->sequence += rc == 0;
    rig->offset += rc == 0 && rig->offset > 0;
    return rc;
}

int hub_rig_publish(struct hub_rig *rig, const char *channel, struct rc_span data, const struct rc_client_ref *excludes,
                    uint32_t exclude_count)
{
    return hub_rig_publish_key(rig, channel, NULL, data, excludes, exclude_count);
}

int hub_rig_direct(struct hub_rig *rig, const struct rc_client_ref *target, struct rc_span data)
{
    const struct rc_envelope_view view = {.head = {.sequence = rig->sequence + 1,
                                                   .target = *target,
                                                   .data_bytes = (uint32_t)data.count,
                                                   .flags = rig->message_flags,
                                                   .time_ns = rig->time_ns},
                                          .data = data.bytes};
    const int rc = rc_hub_direct(&rig->hub, &view);
    rig->sequence += rc == 0;
    return rc;
}

uint32_t hub_rig_subscribe(struct hub_rig *rig, uint32_t client, const char *name)
{
    const uint32_t channel = rc_hub_channel(&rig->hub, rc_span_text(name));
    RC_ASSERT(channel != 0);
    const uint32_t existing = rc_hub_subscription(&rig->hub, client, channel);
    return existing != 0 ? existing : rc_hub_subscribe(&rig->hub, client, channel);
}

void hub_rig_unsubscribe(struct hub_rig *rig, uint32_t client, const char *name)
{
    const uint32_t channel = rc_hub_find(&rig->hub, rc_channel_hash(name, strlen(name)), rc_span_text(name));
    const uint32_t subscription = channel == 0 ? 0 : rc_hub_subscription(&rig->hub, client, channel);
    if (subscription != 0) {
        rc_hub_unsubscribe(&rig->hub, client, subscription);
    }
}

/* --- the loop --- */

void hub_rig_run(struct hub_rig *rig)
{
    rc_io_run(&rig->io, 0);
    if (rc_hub_pending(&rig->hub)) {
        rc_hub_turn(&rig->hub);
    }
    rc_io_run(&rig->io, 0);
}

void hub_rig_drain(struct hub_rig *rig)
{
    for (uint32_t quiet = 0, tries = 0; quiet < 3; tries++) {
        RC_ASSERT(tries < 2000000);
        size_t got = 0;
        for (uint32_t i = 1; i <= rig->slots; i++) {
            got += hub_rig_read(rig, i, 0);
        }
        bool busy = rc_hub_pending(&rig->hub);
        for (uint32_t i = 1; !busy && i < rig->truth.clients.high; i++) {
            busy = rig->peers[i].fd >= 0 && !rig->peers[i].ended &&
                   (hub_rig_its_socket(rig, i)->flags & RC_SOCKET_BLOCKED);
            busy = busy || !hub_rig_arrived(rig, i);
        }
        quiet = got == 0 && !busy ? quiet + 1 : 0;
        hub_rig_run(rig);
    }
}

/* --- far ends --- */

/* For what is read at once, behind what is not taken yet. */
static void peer_make_room(struct hub_rig_peer *peer)
{
    const size_t taken = peer->block == NULL ? 0 : (size_t)(peer->bytes - peer->block);
    if (peer->block != NULL && peer->capacity - taken - peer->count >= READ_BYTES) {
        return;
    }
    if (peer->count > 0) {
        memmove(peer->block, peer->bytes, peer->count);
    }
    if (peer->capacity - peer->count < READ_BYTES) {
        peer->capacity = (peer->capacity + READ_BYTES) * 2;
        peer->block = realloc(peer->block, peer->capacity);
        RC_ASSERT(peer->block != NULL);
    }
    peer->bytes = peer->block;
}

size_t hub_rig_read(struct hub_rig *rig, uint32_t client, size_t most)
{
    struct hub_rig_peer *peer = &rig->peers[client];
    size_t total = 0;
    while (peer->fd >= 0 && !peer->ended && (most == 0 || total < most)) {
        peer_make_room(peer);
        const size_t want = most == 0 || most - total > READ_BYTES ? READ_BYTES : most - total;
        const ssize_t got = recv(peer->fd, peer->bytes + peer->count, want, MSG_DONTWAIT);
        if (got <= 0) {
            peer->ended = got == 0 || (errno != EAGAIN && errno != EINTR);
            break;
        }
        peer->count += (size_t)got;
        peer->total += (size_t)got;
        total += (size_t)got;
    }
    return total;
}

bool hub_rig_arrived(const struct hub_rig *rig, uint32_t client)
{
    const struct hub_rig_peer *peer = &rig->peers[client];
    const struct rc_socket *socket = hub_rig_its_socket(rig, client);
    if (socket->state == RC_SOCKET_FREE) {
        return true;
    }
    RC_ASSERT(peer->fd < 0 || peer->total <= socket->sent_bytes);
    return peer->fd < 0 || peer->ended || peer->total == socket->sent_bytes;
}

bool hub_rig_frame(struct hub_rig *rig, uint32_t client, uint8_t *opcode, struct rc_span *payload)
{
    struct hub_rig_peer *peer = &rig->peers[client];
    struct rc_ws_header header;
    const char *why = "";
    const int bytes = rc_ws_header_read(peer->bytes, peer->count, &header, &why);
    RC_ASSERT(bytes >= 0 && (bytes == 0 || (header.fin && !header.masked && header.rsv == 0)));
    if (bytes == 0 || peer->count - (size_t)bytes < header.payload_bytes) {
        return false;
    }
    *opcode = header.opcode;
    *payload = rc_span_of(peer->bytes + bytes, (size_t)header.payload_bytes);
    /* It stays where it is until the next read. */
    const size_t whole = (size_t)bytes + (size_t)header.payload_bytes;
    peer->bytes += whole;
    peer->count -= whole;
    return true;
}
