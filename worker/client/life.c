/* life: the life of a connection above its bytes. See client.h. */
#include "worker/client/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/store/named.h"
#include "worker/ws/frame.h"

#define SESSION_BURST 600u        /* pings of a worker that may fall due together: some 3 ms of sends */
#define SESSION_STEP_DS 10u       /* they are bundled for at most this long */
#define SESSION_FEW 1000u         /* or, with fewer connections than this, */
#define SESSION_FEW_STEP_DS 50u   /* for as long as this, where it is a small part of the interval */
#define SESSION_BUNDLED_MS 10000u /* intervals from which on a second more does not matter */

static uint32_t session_now_ms(const struct rc_sessions *sessions)
{
    return (uint32_t)(sessions->io->now_ns / 1000000u);
}

/* Takes the limits over from the configuration. */
static void session_limits(struct rc_sessions *sessions)
{
    const struct rc_config_limits *limits = &sessions->config->limits;
    const struct rc_address_limits addresses = {
        .per_address = limits->max_connections_per_address,
        .per_network = limits->max_connections_per_network,
        .accept = {.count_per_s = limits->accept_rate, .count_burst = limits->accept_rate}};
    rc_address_limit_reconfigure(&sessions->addresses, &addresses);
    sessions->rate_limits = (struct rc_rate_limits){.count_per_s = limits->message_rate,
                                                    .count_burst = limits->message_rate,
                                                    .bytes_per_s = limits->byte_rate_bytes,
                                                    .bytes_burst = limits->byte_rate_bytes};
    if (sessions->rates == NULL && (limits->message_rate > 0 || limits->byte_rate_bytes > 0)) {
        sessions->rates = calloc(sessions->truth->slot_count, sizeof(*sessions->rates));
        if (sessions->rates == NULL) {
            rc_log_error("rates_off", "reason=\"no memory for the rates of %u connections\"",
                         sessions->truth->slot_count);
        }
    }
}

bool rc_session_admit(struct rc_sessions *sessions, uint32_t index)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    struct rc_address address;
    memcpy(address.bytes, slot->address, sizeof(address.bytes));
    switch (rc_address_limit_add(&sessions->addresses, &address)) {
    case RC_ADDRESS_COUNTED:
        slot->flags |= RC_SLOT_COUNTED;
        return true;
    case RC_ADDRESS_ADMITTED:
        return true;
    case RC_ADDRESS_REFUSED_ADDRESS:
    case RC_ADDRESS_REFUSED_NETWORK:
    case RC_ADDRESS_REFUSED_MEMORY:
        break;
    }
    char text[RC_ADDRESS_TEXT_MAX];
    rc_address_format(text, &address);
    rc_metric_add(sessions->metrics, RC_METRIC_REFUSED_ADDRESS, 1);
    rc_log_limited(RC_LOG_INFO, 1, "address_refused", "address=%s connections=%u", text,
                   rc_address_limit_of_address(&sessions->addresses, &address));
    return false;
}

bool rc_session_within_rate(struct rc_sessions *sessions, uint32_t index, uint64_t bytes)
{
    const struct rc_rate_limits *limits = &sessions->rate_limits;
    struct rc_slot *slot = &sessions->truth->slots[index];
    if (sessions->rates == NULL || (limits->count_per_s == 0 && limits->bytes_per_s == 0)) {
        return true;
    }
    const uint32_t wait_ms = rc_rate_take(&sessions->rates[index], limits, session_now_ms(sessions), 1, bytes);
    if (wait_ms == 0) {
        return true;
    }
    if (sessions->config->limits.rate_policy == RC_RATE_CLOSE) {
        rc_metric_add(sessions->metrics, RC_METRIC_RATE_CLOSES, 1);
        rc_named_log_ended("rate_closed", sessions->truth, index, "too many messages", " bytes=%llu",
                           (unsigned long long)bytes);
        rc_session_close(sessions, index, RC_CLOSE_POLICY_VIOLATION, "too many messages", true);
        return false;
    }
    /* The message itself is still carried out; what follows waits. */
    rc_metric_add(sessions->metrics, RC_METRIC_RATE_DELAYS, 1);
    slot->flags |= RC_SLOT_WAITS_RATE;
    slot->resume_ds = rc_io_deadline(sessions->io, wait_ms);
    rc_session_schedule(sessions, index);
    rc_io_pause(sessions->io, index);
    return true;
}

int rc_sessions_open(struct rc_sessions *sessions, const struct rc_control *control, const struct rc_config *config,
                     struct rc_truth *truth, struct rc_io *io, struct rc_hub *hub, struct rc_uplink *uplink,
                     struct rc_interests *interests, struct rc_asks *asks, struct rc_metrics *metrics, uint32_t worker)
{
    *sessions = (struct rc_sessions){.control = control,
                                     .config = config,
                                     .truth = truth,
                                     .io = io,
                                     .hub = hub,
                                     .uplink = uplink,
                                     .interests = interests,
                                     .asks = asks,
                                     .metrics = metrics,
                                     .worker = worker,
                                     .deflate_serves_256 = rc_deflate_serves_256()};
    rc_session_trust(sessions);
    const struct rc_address_limits none = {0};
    int rc = rc_address_limit_open(&sessions->addresses, &none, truth->slot_count);
    if (rc == 0) {
        session_limits(sessions);
        rc = rc_inflater_open(&sessions->inflater);
    }
    return rc < 0 ? rc : rc_session_http_open(sessions);
}

void rc_sessions_close(struct rc_sessions *sessions)
{
    rc_exchanges_close(&sessions->exchanges);
    rc_inflater_close(&sessions->inflater);
    rc_address_limit_close(&sessions->addresses);
    free(sessions->rates);
    free(sessions->inflated);
}

bool rc_sessions_answering(const struct rc_sessions *sessions)
{
    return sessions->exchanges.waiting > 0;
}

/* A connection that was there before the limits of its address were. */
static void session_count_address(struct rc_sessions *sessions, struct rc_slot *slot)
{
    struct rc_address address;
    memcpy(address.bytes, slot->address, sizeof(address.bytes));
    if (!(slot->flags & RC_SLOT_COUNTED) && rc_address_limit_count(&sessions->addresses, &address) == 0) {
        slot->flags |= RC_SLOT_COUNTED; /* else it is one that does not count: no memory is no reason to end it */
    }
}

/* Times that run by other limits than those in force are set anew: `old` ones may lie a day ahead, or never come. Handshakes and
 * closing handshakes end within what they began with. */
static void session_retime(struct rc_sessions *sessions, uint32_t index, const struct rc_config_limits *old)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    const struct rc_config_limits *limits = &sessions->config->limits;
    if (limits->idle_timeout_ms != old->idle_timeout_ms) {
        slot->deadline_ds = limits->idle_timeout_ms == 0
                                ? 0
                                : slot->active_ds + (uint32_t)(limits->idle_timeout_ms / RC_WHEEL_TICK_MS) + 1;
    }
    if (slot->flags & RC_SLOT_PING_DUE) {
        /* The ping's time is known as the difference (session_ping_timer): both change together. */
        slot->ping_ds += (uint32_t)(limits->pong_timeout_ms / RC_WHEEL_TICK_MS) -
                         (uint32_t)(old->pong_timeout_ms / RC_WHEEL_TICK_MS);
    } else if (limits->ping_interval_ms != old->ping_interval_ms) {
        slot->ping_ds =
            limits->ping_interval_ms == 0
                ? 0
                : rc_session_next_ping(sessions, 1 + rc_hub_random(sessions->hub) % limits->ping_interval_ms);
    }
    rc_session_schedule(sessions, index);
}

void rc_sessions_reconfigure(struct rc_sessions *sessions, const struct rc_config *config)
{
    const struct rc_config_limits *old = &sessions->config->limits;
    const struct rc_config_limits *limits = &config->limits;
    const bool counted = old->max_connections_per_address != 0 || old->max_connections_per_network != 0;
    const bool count =
        !counted && (limits->max_connections_per_address != 0 || limits->max_connections_per_network != 0);
    const bool retime = limits->idle_timeout_ms != old->idle_timeout_ms ||
                        limits->ping_interval_ms != old->ping_interval_ms ||
                        limits->pong_timeout_ms != old->pong_timeout_ms;
    sessions->config = config;
    sessions->exchanges.config = config;
    rc_session_trust(sessions);
    session_limits(sessions);
    for (uint32_t i = 0; (count || retime) && i < sessions->truth->slot_count; i++) {
        struct rc_slot *slot = &sessions->truth->slots[i];
        if (count && slot->random != 0) {
            session_count_address(sessions, slot);
        }
        if (retime && slot->state == RC_SLOT_OPEN) {
            session_retime(sessions, i, old);
        }
    }
}

/* Never 0, which means "no client". Ids must not be guessable: they are the address for directs. */
static uint64_t session_random(struct rc_sessions *sessions)
{
    for (;;) {
        if (sessions->random_count == 0) {
            const ssize_t got = getrandom(sessions->randoms, sizeof(sessions->randoms), 0);
            RC_ASSERT(got == (ssize_t)sizeof(sessions->randoms)); /* up to 256 bytes are never short or interrupted */
            sessions->random_count = RC_ARRAY_COUNT(sessions->randoms);
        }
        const uint64_t random = sessions->randoms[--sessions->random_count];
        if (random != 0) {
            return random;
        }
    }
}

struct rc_span rc_session_user(const struct rc_sessions *sessions, uint32_t slot)
{
    const uint32_t user = sessions->truth->slots[slot].user;
    if (user == 0) {
        return (struct rc_span){0};
    }
    const struct rc_user *object = rc_truth_user(sessions->truth, user);
    return rc_span_of(object->id, object->id_bytes);
}

struct rc_client_ref rc_session_ref(const struct rc_sessions *sessions, uint32_t slot)
{
    return (struct rc_client_ref){
        .random = sessions->truth->slots[slot].random, .slot = slot, .worker = (uint16_t)sessions->worker};
}

bool rc_session_is_here(const struct rc_sessions *sessions, const struct rc_client_ref *client)
{
    return client->random != 0 && client->worker == (uint16_t)sessions->worker &&
           client->slot < sessions->truth->slot_count && sessions->truth->slots[client->slot].random == client->random;
}

void rc_session_failed_memory(struct rc_sessions *sessions, uint32_t slot)
{
    rc_metric_add(sessions->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    rc_named_log_ended("memory_disconnected", sessions->truth, slot, "no memory for what it sends or is answered", "");
    if (sessions->truth->slots[slot].state == RC_SLOT_OPEN) {
        rc_session_close(sessions, slot, RC_CLOSE_TRY_AGAIN_LATER, rc_close_reason(RC_CLOSE_TRY_AGAIN_LATER), true);
    } else {
        rc_io_terminate(sessions->io, slot);
    }
}

/* --- deadlines --- */

void rc_session_schedule(struct rc_sessions *sessions, uint32_t index)
{
    const struct rc_slot *slot = &sessions->truth->slots[index];
    uint32_t next = slot->deadline_ds;
    if (slot->ping_ds != 0 && (next == 0 || slot->ping_ds < next)) {
        next = slot->ping_ds;
    }
    if ((slot->flags & (RC_SLOT_WAITS_RATE | RC_SLOT_WAITS_JOIN)) && (next == 0 || slot->resume_ds < next)) {
        next = slot->resume_ds;
    }
    rc_io_set_timer(sessions->io, index, next);
}

static void session_set_deadline(struct rc_sessions *sessions, uint32_t slot, uint64_t in_ms)
{
    sessions->truth->slots[slot].deadline_ds = in_ms == 0 ? 0 : rc_io_deadline(sessions->io, in_ms);
    rc_session_schedule(sessions, slot);
}

uint32_t rc_session_next_ping(const struct rc_sessions *sessions, uint64_t in_ms)
{
    if (in_ms == 0) {
        return 0;
    }
    const uint32_t due_ds = rc_io_deadline(sessions->io, in_ms);
    const uint64_t interval_ms = sessions->config->limits.ping_interval_ms;
    /* An idle worker shall wake seldom: pings go out on whole seconds together (measured: 4.3 % of a core for 100,000
     * connections, 5.1 % on every tick), unless that makes too many at once. To the nearest step, or each would be late.
     * The first ping, too, goes to the step of the interval: from other steps twice as many could meet on one. Each worker has
     * its own phase, or all of a host would send theirs in the same moment. */
    uint32_t step_ds = 1;
    if (interval_ms >= SESSION_BUNDLED_MS) {
        const uint32_t count = sessions->io->open_count > 0 ? sessions->io->open_count : 1;
        const uint64_t fit_ds = SESSION_BURST * (interval_ms / RC_WHEEL_TICK_MS) / count;
        step_ds = count < SESSION_FEW && interval_ms >= 2 * SESSION_BUNDLED_MS ? SESSION_FEW_STEP_DS
                  : fit_ds < SESSION_STEP_DS                                   ? (uint32_t)fit_ds
                                                                               : SESSION_STEP_DS;
        step_ds = step_ds > 0 ? step_ds : 1;
    }
    const uint32_t phase_ds = sessions->worker % step_ds;
    const uint32_t at_ds = (due_ds + step_ds / 2 - phase_ds) / step_ds * step_ds + phase_ds;
    return at_ds > sessions->io->now_ds ? at_ds : sessions->io->now_ds + 1;
}

void rc_session_deadline(struct rc_sessions *sessions, uint32_t slot, uint64_t in_ms)
{
    session_set_deadline(sessions, slot, in_ms);
}

static void session_ping_timer(struct rc_sessions *sessions, uint32_t index)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    const struct rc_config_limits *limits = &sessions->config->limits;
    if (slot->flags & RC_SLOT_PING_DUE) {
        const uint32_t asked_ds = slot->ping_ds - (uint32_t)(limits->pong_timeout_ms / RC_WHEEL_TICK_MS);
        if (slot->received_ds < asked_ds && !(slot->flags & RC_SLOT_WAITS)) {
            rc_metric_add(sessions->metrics, RC_METRIC_PONG_TIMEOUTS, 1);
            rc_named_log_ended("pong_timeout", sessions->truth, index, "no pong, and nothing else", "");
            rc_session_close(sessions, index, RC_CLOSE_PONG_TIMEOUT, rc_close_reason(RC_CLOSE_PONG_TIMEOUT), true);
            return;
        }
        /* Something else arrived since, or we did not read: it is alive. */
        slot->flags &= ~(uint32_t)RC_SLOT_PING_DUE;
        slot->ping_ds = rc_session_next_ping(sessions, limits->ping_interval_ms);
        return;
    }
    if (limits->ping_interval_ms == 0) {
        slot->ping_ds = 0;
        return;
    }
    if (rc_hub_heartbeat(sessions->hub, index) < 0) {
        rc_session_failed_memory(sessions, index);
        return;
    }
    rc_metric_add(sessions->metrics, RC_METRIC_PINGS, 1);
    if (limits->pong_timeout_ms > 0) {
        slot->flags |= RC_SLOT_PING_DUE;
        slot->ping_ds = rc_io_deadline(sessions->io, limits->pong_timeout_ms);
    } else {
        slot->ping_ds = rc_session_next_ping(sessions, limits->ping_interval_ms);
    }
}

static void session_open_timer(struct rc_sessions *sessions, uint32_t index)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    const uint32_t now = sessions->io->now_ds;
    rc_io_quiet_check(sessions->io, index);
    if ((slot->flags & RC_SLOT_WAITS_RATE) && slot->resume_ds <= now) {
        slot->flags &= ~(uint32_t)RC_SLOT_WAITS_RATE;
        if (!(slot->flags & RC_SLOT_WAITS)) {
            rc_session_resume(sessions, index);
            if (slot->state != RC_SLOT_OPEN) {
                return;
            }
        }
    }
    if ((slot->flags & RC_SLOT_WAITS_JOIN) && slot->resume_ds <= now) {
        rc_metric_add(sessions->metrics, RC_METRIC_HANDSHAKE_TIMEOUTS, 1);
        rc_named_log_ended("handshake_timeout", sessions->truth, index, "the relay did not register its channels", "");
        rc_io_terminate(sessions->io, index); /* its handshake has not been answered */
        return;
    }
    const uint32_t write_ds = (uint32_t)(sessions->config->limits.write_timeout_ms / RC_WHEEL_TICK_MS);
    if (write_ds > 0 && (slot->flags & RC_SLOT_BLOCKED) && slot->blocked_ds + write_ds <= now) {
        rc_metric_add(sessions->metrics, RC_METRIC_WRITE_TIMEOUTS, 1);
        rc_named_log_ended("write_timeout", sessions->truth, index, "its socket takes nothing", " blocked_ms=%u",
                           (now - slot->blocked_ds) * RC_WHEEL_TICK_MS);
        rc_session_close(sessions, index, RC_CLOSE_WRITE_STALLED, rc_close_reason(RC_CLOSE_WRITE_STALLED), true);
        return;
    }
    if (slot->deadline_ds != 0 && slot->deadline_ds <= now) {
        const uint32_t idle_ds = (uint32_t)(sessions->config->limits.idle_timeout_ms / RC_WHEEL_TICK_MS);
        if (idle_ds == 0) {
            slot->deadline_ds = 0;
        } else if (slot->active_ds + idle_ds <= now) {
            rc_metric_add(sessions->metrics, RC_METRIC_IDLE_TIMEOUTS, 1);
            rc_named_log_ended("idle_timeout", sessions->truth, index, "it sent no message", " idle_ms=%u",
                               (now - slot->active_ds) * RC_WHEEL_TICK_MS);
            rc_session_close(sessions, index, RC_CLOSE_IDLE_TIMEOUT, rc_close_reason(RC_CLOSE_IDLE_TIMEOUT), true);
            return;
        } else {
            slot->deadline_ds = slot->active_ds + idle_ds;
        }
    }
    if (slot->ping_ds != 0 && slot->ping_ds <= now) {
        session_ping_timer(sessions, index);
    }
    if (slot->state == RC_SLOT_OPEN) {
        rc_session_schedule(sessions, index);
    }
}

void rc_session_timer(void *context, uint32_t index)
{
    struct rc_sessions *sessions = context;
    struct rc_slot *slot = &sessions->truth->slots[index];
    if (slot->state == RC_SLOT_OPEN) {
        session_open_timer(sessions, index);
        return;
    }
    if (slot->deadline_ds == 0 || slot->deadline_ds > sessions->io->now_ds) {
        rc_session_schedule(sessions, index);
        return;
    }
    if (slot->state == RC_SLOT_HTTP && rc_exchanges_expired(&sessions->exchanges, index)) {
        return;
    }
    if (slot->state == RC_SLOT_HTTP) {
        rc_metric_add(sessions->metrics, RC_METRIC_HANDSHAKE_TIMEOUTS, 1);
        rc_named_log_ended("handshake_timeout", sessions->truth, index, "no complete request", "");
    } else if (slot->state == RC_SLOT_CLOSING) {
        rc_metric_add(sessions->metrics, RC_METRIC_CLOSE_TIMEOUTS, 1);
        rc_named_log_ended("close_timeout", sessions->truth, index, "its answer to the close frame did not come", "");
    }
    rc_io_terminate(sessions->io, index);
}

/* --- beginning --- */

/* 503 before anything was read; false when not even that is possible. */
static bool session_refuse(struct rc_sessions *sessions, uint32_t index, const char *why)
{
    char text[1024];
    const struct rc_http_response response = {.status = 503, .retry_after_s = 1};
    const size_t bytes = rc_http_respond_error(text, sizeof(text), &response, why);
    if (rc_hub_reply(sessions->hub, index, text, (uint32_t)bytes) < 0) {
        return false;
    }
    rc_session_linger(sessions, index);
    return true;
}

void rc_session_handshake_over(struct rc_sessions *sessions, uint32_t index)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    if (slot->flags & RC_SLOT_HANDSHAKE) {
        slot->flags &= ~(uint32_t)RC_SLOT_HANDSHAKE;
        RC_ASSERT(sessions->handshakes > 0);
        sessions->handshakes--;
        rc_metric_set(sessions->metrics, RC_METRIC_HANDSHAKES, sessions->handshakes);
    }
}

bool rc_session_sheds(struct rc_sessions *sessions, uint32_t index)
{
    const struct rc_pressure *overload = &sessions->overload;
    if (overload->level != RC_PRESSURE_SHEDDING || (sessions->truth->slots[index].flags & RC_SLOT_ADMIN)) {
        return false;
    }
    rc_metric_add(sessions->metrics,
                  (overload->why & RC_PRESSURE_MEMORY)  ? RC_METRIC_REFUSED_MEMORY
                  : (overload->why & RC_PRESSURE_QUEUE) ? RC_METRIC_REFUSED_QUEUE
                                                        : RC_METRIC_REFUSED_TURN,
                  1);
    return true;
}

bool rc_session_accepted(void *context, uint32_t index, uint32_t listener)
{
    struct rc_sessions *sessions = context;
    struct rc_slot *slot = &sessions->truth->slots[index];
    const struct rc_listener *from = &sessions->control->listeners[listener];
    slot->flags |= (from->loopback ? RC_SLOT_LOOPBACK : 0u) | (from->unix_socket ? RC_SLOT_UNIX : 0u) |
                   (from->kind == RC_LISTENER_ADMIN ? RC_SLOT_ADMIN : 0u);
    slot->received_ds = sessions->io->now_ds;
    if (sessions->io->open_count > sessions->io->slots_max && from->kind != RC_LISTENER_ADMIN) {
        rc_metric_add(sessions->metrics, RC_METRIC_REFUSED_FULL, 1);
        rc_log_limited(RC_LOG_WARN, 1, "worker_full",
                       "connections=%u remedy=\"raise server.max_connections or the descriptor limit, or add workers\"",
                       sessions->io->open_count);
        return session_refuse(sessions, index, "this server is full: try again");
    }
    if (from->kind != RC_LISTENER_ADMIN && !rc_address_limit_accept(&sessions->addresses, session_now_ms(sessions))) {
        rc_metric_add(sessions->metrics, RC_METRIC_REFUSED_RATE, 1);
        rc_log_limited(RC_LOG_WARN, 1, "accept_rate_reached", "limit=%u", sessions->config->limits.accept_rate);
        return session_refuse(sessions, index, "too many connections at once: try again");
    }
    /* Where the answer would need a TLS handshake the connection is closed: that is what is to be saved. */
    const bool tls = from->kind == RC_LISTENER_TLS;
    const uint32_t handshakes_max = sessions->config->overload.max_handshakes;
    if (handshakes_max > 0 && sessions->handshakes >= handshakes_max && from->kind != RC_LISTENER_ADMIN) {
        rc_metric_add(sessions->metrics, RC_METRIC_REFUSED_HANDSHAKES, 1);
        rc_log_limited(RC_LOG_WARN, 1, "too_many_handshakes", "limit=%u", handshakes_max);
        return !tls && session_refuse(sessions, index, "too many connections at once: try again");
    }
    if (tls && rc_session_sheds(sessions, index)) {
        return false;
    }
    slot->flags |= RC_SLOT_HANDSHAKE;
    sessions->handshakes++;
    rc_metric_set(sessions->metrics, RC_METRIC_HANDSHAKES, sessions->handshakes);
    session_set_deadline(sessions, index, sessions->config->limits.handshake_timeout_ms);
    return true;
}

void rc_session_plain_on_tls(void *context, uint32_t index)
{
    struct rc_sessions *sessions = context;
    char text[1024];
    const struct rc_http_response response = {.status = 400};
    const size_t bytes = rc_http_respond_error(text, sizeof(text), &response, "this port speaks TLS: use https or wss");
    rc_metric_add(sessions->metrics, RC_METRIC_HTTP_ERRORS, 1);
    if (rc_hub_reply(sessions->hub, index, text, (uint32_t)bytes) < 0) {
        rc_io_terminate(sessions->io, index);
        return;
    }
    rc_session_linger(sessions, index);
}

int rc_session_open(struct rc_sessions *sessions, uint32_t index, uint8_t endpoint, uint8_t encoding,
                    struct rc_span user)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    const struct rc_config_limits *limits = &sessions->config->limits;
    if (user.count > 0) {
        slot->user = rc_pool_alloc(&sessions->truth->users);
        if (slot->user == 0) {
            return -ENOMEM;
        }
        struct rc_user *object = rc_truth_user(sessions->truth, slot->user);
        object->id_bytes = (uint8_t)user.count;
        memcpy(object->id, user.bytes, user.count);
        sessions->users++;
        rc_metric_set(sessions->metrics, RC_METRIC_USERS, sessions->users);
    }
    slot->state = RC_SLOT_OPEN;
    slot->endpoint = endpoint;
    slot->encoding = encoding;
    slot->random = session_random(sessions);
    slot->active_ds = sessions->io->now_ds;
    slot->deadline_ds = limits->idle_timeout_ms == 0 ? 0 : rc_io_deadline(sessions->io, limits->idle_timeout_ms);
    if (limits->ping_interval_ms > 0) {
        /* The first ping anywhere in an interval: connections that came together are not pinged together. Not at once: who has
         * just come needs no ping. */
        slot->ping_ds = rc_session_next_ping(sessions, 1 + limits->ping_interval_ms / 4 +
                                                           rc_hub_random(sessions->hub) % limits->ping_interval_ms);
    }
    rc_session_schedule(sessions, index);
    rc_io_opened(sessions->io, index);
    sessions->connections++;
    rc_metric_add(sessions->metrics, RC_METRIC_UPGRADED, 1);
    rc_metric_set(sessions->metrics, RC_METRIC_CONNECTIONS, sessions->connections);
    return 0;
}

void rc_session_set_inflate(struct rc_sessions *sessions, uint32_t index, uint8_t window_bits, bool takeover)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    slot->inflate_bits = window_bits;
    slot->inflate_takeover = takeover;
}

void rc_session_await_join(struct rc_sessions *sessions, uint32_t index)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    if (slot->flags & RC_SLOT_WAITS_JOIN) {
        slot->resume_ds = rc_io_deadline(sessions->io, sessions->config->limits.handshake_timeout_ms);
        rc_session_schedule(sessions, index);
        rc_io_pause(sessions->io, index);
    }
}

/* --- ending --- */

void rc_session_close(struct rc_sessions *sessions, uint32_t index, uint16_t code, const char *reason, bool now)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    if (slot->state != RC_SLOT_OPEN) {
        return;
    }
    rc_hub_close_connection(sessions->hub, index, code, reason, reason == NULL ? 0 : strlen(reason), now);
    if (slot->state != RC_SLOT_OPEN) {
        return; /* ended at once for want of memory */
    }
    if (now) {
        slot->state = RC_SLOT_CLOSING;
        slot->ping_ds = 0;
        session_set_deadline(sessions, index, sessions->config->limits.close_timeout_ms);
    }
}

void rc_session_linger(struct rc_sessions *sessions, uint32_t index)
{
    struct rc_slot *slot = &sessions->truth->slots[index];
    slot->state = RC_SLOT_LINGER;
    slot->ping_ds = 0;
    session_set_deadline(sessions, index, sessions->config->limits.close_timeout_ms);
}

/* All private output has left. */
void rc_session_flushed(void *context, uint32_t index)
{
    struct rc_sessions *sessions = context;
    struct rc_slot *slot = &sessions->truth->slots[index];
    switch ((enum rc_slot_state)slot->state) {
    case RC_SLOT_OPEN:
        if (slot->flags & RC_SLOT_CLOSE_QUEUED) {
            /* By draining or by the hub (slow consumer): from here on the connection only ends. */
            slot->state = RC_SLOT_CLOSING;
            slot->ping_ds = 0;
            session_set_deadline(sessions, index, sessions->config->limits.close_timeout_ms);
        }
        return;
    case RC_SLOT_CLOSING:
        if ((slot->flags & RC_SLOT_CLOSE_SENT) && (slot->flags & (RC_SLOT_CLOSE_RECEIVED | RC_SLOT_PEER_ENDED))) {
            rc_io_terminate(sessions->io, index); /* RFC 6455 7.1.1: the server ends the TCP connection first */
        }
        return;
    case RC_SLOT_LINGER:
        if (slot->flags & RC_SLOT_PEER_ENDED) {
            rc_io_terminate(sessions->io, index);
        } else {
            session_set_deadline(sessions, index, RC_SESSION_LINGER_MS);
        }
        return;
    case RC_SLOT_HTTP:
        if ((slot->flags & RC_SLOT_PEER_ENDED) && slot->exchange == 0) {
            rc_io_terminate(sessions->io, index);
        }
        return;
    case RC_SLOT_FREE:
    case RC_SLOT_TERMINATING:
    case RC_SLOT_CLOSED:
        return;
    }
}

void rc_session_ended(void *context, uint32_t index, int error)
{
    struct rc_sessions *sessions = context;
    const struct rc_slot *slot = &sessions->truth->slots[index];
    if (error < 0) {
        rc_metric_add(sessions->metrics, RC_METRIC_RESETS, 1);
    } else if ((slot->state == RC_SLOT_HTTP || slot->state == RC_SLOT_LINGER) &&
               (slot->private != 0 || rc_exchanges_waits(&sessions->exchanges, index))) {
        return; /* half closed by a client that still wants its answer: rc_session_flushed ends it */
    }
    rc_io_terminate(sessions->io, index);
}

void rc_session_terminated(void *context, uint32_t index)
{
    struct rc_sessions *sessions = context;
    struct rc_slot *slot = &sessions->truth->slots[index];
    rc_session_handshake_over(sessions, index);
    rc_uplink_leave(sessions->uplink, index);
    if (slot->random != 0) {
        RC_ASSERT(sessions->connections > 0);
        sessions->connections--;
        rc_metric_set(sessions->metrics, RC_METRIC_CONNECTIONS, sessions->connections);
        rc_hub_unsubscribe_all(sessions->hub, index); /* told with the client's id */
        slot->random = 0;
    }
    rc_exchanges_gone(&sessions->exchanges, index);
    if (slot->flags & RC_SLOT_COUNTED) {
        struct rc_address address;
        memcpy(address.bytes, slot->address, sizeof(address.bytes));
        rc_address_limit_remove(&sessions->addresses, &address);
        slot->flags &= ~(uint32_t)RC_SLOT_COUNTED;
    }
    if (sessions->rates != NULL) {
        sessions->rates[index] = (struct rc_rate){0};
    }
    rc_hub_ended(sessions->hub, index);
    rc_session_input_release(sessions, index);
    if (slot->user != 0) {
        rc_pool_free(&sessions->truth->users, slot->user);
        slot->user = 0;
        sessions->users--;
        rc_metric_set(sessions->metrics, RC_METRIC_USERS, sessions->users);
    }
}

void rc_sessions_drain(struct rc_sessions *sessions)
{
    if (sessions->draining) {
        return;
    }
    sessions->draining = true; /* accepting goes on: whoever comes is answered 503 */
    sessions->exchanges.draining = true;
    const uint64_t spread_ms = sessions->config->server.drain_timeout_ms;
    for (uint32_t index = 0; index < sessions->truth->slot_count; index++) {
        const struct rc_slot *slot = &sessions->truth->slots[index];
        if (slot->state == RC_SLOT_OPEN) {
            uint8_t reason[RC_GOODBYE_BYTES_MAX + 1] = {0};
            const uint64_t delay_ms = spread_ms == 0 ? 0 : rc_hub_random(sessions->hub) % spread_ms;
            reason[rc_encoding_codec_of(slot->encoding)->goodbye(reason, (uint32_t)delay_ms)] = 0;
            rc_session_close(sessions, index, RC_CLOSE_SERVICE_RESTART, (const char *)reason, false);
        }
    }
}
