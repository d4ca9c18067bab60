/* image: see image.h. */
#include "acceptor/upgrade/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/start/carry.h"
#include "common/base/check.h"
#include "common/shm/numbers.h"
#include "version.h"

/* Tags, for ever (state.h). */
#define TAG_VERSION 1u
#define TAG_NUMBERS 2u
#define TAG_KEYS 3u /* of one row: RC_MATERIAL_ABI, row, material */
#define TAG_BROKER (10u | RC_STATE_MUST)
#define TAG_FD (11u | RC_STATE_MUST)
#define TAG_LISTEN (12u | RC_STATE_MUST)
#define TAG_CHILD (13u | RC_STATE_MUST)
#define TAG_NOTIFY (14u | RC_STATE_MUST)
#define TAG_CONSOLE (15u | RC_STATE_MUST)
#define TAG_SESSION (16u | RC_STATE_MUST)
#define TAG_QUICKSTART (17u | RC_STATE_MUST)
#define TAG_UPGRADE (18u | RC_STATE_MUST)
#define TAG_SOURCE (19u | RC_STATE_MUST) /* text of the configuration in force */
#define TAG_BASE (20u | RC_STATE_MUST)   /* of the one that has what only a restart changes */
#define TAG_ROWS 21u                     /* of tables in force: rc_settings_rows */
#define TAG_CONFIG_SINCE 22u             /* struct rc_broker.config_since_ms */

#define ROWS_BYTES_MAX (64u * 1024u)

/* What a descriptor is, for ever. `index`: which of its kind. */
enum role {
    ROLE_SEGMENT = 1,        /* rc_segments_at */
    ROLE_SEGMENT_READER = 2, /* the same */
    ROLE_LIFE_READ = 3,
    ROLE_LIFE_WRITE = 4,
    ROLE_BELL = 5,
    ROLE_INBOX = 6,
    ROLE_OUTBOX = 7,
    ROLE_VAULT = 8,
    ROLE_TRUTH = 9,
    ROLE_STEER_MAP = 10,
    ROLE_STEER_REASONS = 11,
    ROLE_STEER_SOCKETS = 12, /* a listener's */
    ROLE_LISTEN = 13,        /* listener x RC_WORKERS_MAX + worker */
    ROLE_CHILD_BELL = 14,    /* worker, or behind them the relay */
    ROLE_CHILD_PIDFD = 15,
    ROLE_CHILD_ORDER = 16,
    ROLE_NOTIFY = 17,
    ROLE_CONSOLE = 18,
    ROLE_SESSION = 19,
    ROLE_PROGRAM = 20, /* of this build: worker, relay */
    ROLE_PASS = 21,    /* from a relay to its successor */
    ROLE_IO = 22,
    ROLE_ADOPTER_IO = 23,
    ROLE_END,
};

struct fd_record {
    uint32_t role;
    uint32_t index;
    int32_t fd;
    uint32_t pad;
};

struct broker_record {
    uint32_t worker_count;
    uint32_t listen_count;
    uint32_t keeps;
    uint32_t slots_per_worker;
    uint32_t direct_descriptors;
    uint32_t adopts;
    uint64_t connections_max;
    uint64_t ring_bytes;
    uint64_t overflow_bytes;
    uint64_t history_bytes;
    uint64_t recovery_bytes;
    uint64_t started_ms;
};

/* Behind it its address as it is configured ("127.0.0.1:80"), which both parse. */
struct listen_record {
    uint32_t index;
    uint32_t kind;
    uint32_t count;
    uint32_t dual_stack;
    uint32_t ipv4; /* of "*": there was no IPv6 at the start */
    uint32_t unix_bound;
    uint32_t backlog;
    uint32_t pad;
    uint64_t notsent_lowat_bytes;
    uint64_t send_buffer_bytes;
};

/* Behind it what it died of last; nothing in records of older builds. */
struct child_record {
    uint32_t index; /* worker, or behind them the relay */
    int32_t pid;
    uint64_t started_ms;
    uint64_t restart_due_ms;
    uint64_t rung;
    uint32_t restarts;
    uint32_t ready;
    uint32_t stuck;
    uint32_t behind;
    uint32_t killed;
    uint32_t crashes;
    uint32_t streak;
    uint32_t adoptions_failed;
    uint64_t killed_ms;
    uint64_t crashes_ms[RC_RESTART_CRASHES_MAX];
};

/* Behind it the address. */
struct notify_record {
    uint64_t watchdog_ms;
    uint64_t watchdog_due_ms;
};

/* Behind it the path. */
struct console_record {
    uint32_t bound;
    uint32_t serial;
};

/* Behind it what was asked, then what is still to be sent. */
struct session_record {
    uint32_t number;
    uint32_t handle;
    uint32_t state;
    uint32_t request_bytes;
    uint64_t deadline_ms;
};

struct keys_record {
    uint32_t abi;
    uint32_t row;
    uint32_t failures;
    uint32_t missed;
    uint64_t tried_ms;
    uint64_t due_ms;
};

/* Behind it what has been said so far. */
struct upgrade_record {
    uint32_t handle;
    uint32_t pad;
    uint64_t began_ms;
};

/* --- descriptors ----------------------------------------------------------------------------------------------------- */

static struct rc_child *child_at(struct rc_supervisor *supervisor, uint32_t index)
{
    return index <= supervisor->broker.worker_count ? rc_broker_child(&supervisor->broker, index) : NULL;
}

static int *fd_of_child(struct rc_supervisor *supervisor, enum role role, uint32_t index)
{
    struct rc_child *child = child_at(supervisor, index);
    return child == NULL              ? NULL
           : role == ROLE_CHILD_BELL  ? &child->bell_fd
           : role == ROLE_CHILD_PIDFD ? &child->pidfd
                                      : &child->order_fd;
}

static int *fd_of_listener(struct rc_broker *broker, uint32_t index)
{
    const uint32_t listener = index / RC_WORKERS_MAX;
    return listener < broker->listen_count ? &broker->listens[listener].fds[index % RC_WORKERS_MAX] : NULL;
}

static int *fd_of_segment(struct rc_broker *broker, enum role role, uint32_t index)
{
    if (index >= RC_SEGMENTS_SHARED + 2 * broker->segments.worker_count) {
        return NULL;
    }
    struct rc_segment *segment = rc_segments_at(&broker->segments, index);
    return role == ROLE_SEGMENT ? &segment->fd : &segment->reader_fd;
}

/* Where the descriptor of a role is kept. NULL: there is no such. */
static int *fd_at(struct rc_supervisor *supervisor, enum role role, uint32_t index)
{
    struct rc_broker *broker = &supervisor->broker;
    const bool worker = index < broker->worker_count;
    switch (role) {
    case ROLE_SEGMENT:
    case ROLE_SEGMENT_READER:
        return fd_of_segment(broker, role, index);
    case ROLE_LIFE_READ:
        return index == 0 ? &broker->life_read_fd : NULL;
    case ROLE_LIFE_WRITE:
        return index == 0 ? &broker->life_write_fd : NULL;
    case ROLE_BELL:
        return index == 0 ? &broker->bell_fd : NULL;
    case ROLE_INBOX:
        return worker ? &broker->inbox_fds[index] : NULL;
    case ROLE_OUTBOX:
        return worker ? &broker->outbox_fds[index] : NULL;
    case ROLE_VAULT:
        return worker ? &broker->vault_fds[index] : NULL;
    case ROLE_TRUTH:
        return worker ? &broker->truth_fds[index] : NULL;
    case ROLE_STEER_MAP:
        return index == 0 ? &broker->steer.map_fd : NULL;
    case ROLE_STEER_REASONS:
        return index == 0 ? &broker->steer.reasons_fd : NULL;
    case ROLE_STEER_SOCKETS:
        return index < RC_LISTENERS_MAX ? &broker->steer.sockets_fds[index] : NULL;
    case ROLE_LISTEN:
        return fd_of_listener(broker, index);
    case ROLE_CHILD_BELL:
    case ROLE_CHILD_PIDFD:
    case ROLE_CHILD_ORDER:
        return fd_of_child(supervisor, role, index);
    case ROLE_NOTIFY:
        return index == 0 ? &supervisor->notify.fd : NULL;
    case ROLE_CONSOLE:
        return index == 0 ? &supervisor->console.listen_fd : NULL;
    case ROLE_SESSION:
        return index < RC_CONSOLE_SESSIONS_MAX ? &supervisor->console.sessions[index].fd : NULL;
    case ROLE_PROGRAM:
        return index == 0 ? &broker->worker_program.fd : index == 1 ? &broker->relay_program.fd : NULL;
    case ROLE_PASS:
        return index == 0 ? &broker->pass_fd : NULL;
    case ROLE_IO:
        return worker ? &broker->io_fds[index] : NULL;
    case ROLE_ADOPTER_IO:
        return worker ? &broker->adopter_io_fds[index] : NULL;
    case ROLE_END:
        break;
    }
    return NULL;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static void write_fds(struct rc_supervisor *supervisor, struct rc_state *state)
{
    for (uint32_t role = ROLE_SEGMENT; role < ROLE_END; role++) {
        const int *fd;
        for (uint32_t index = 0; (fd = fd_at(supervisor, (enum role)role, index)) != NULL; index++) {
            const bool free_session =
                role == ROLE_SESSION && supervisor->console.sessions[index].state == RC_CONSOLE_FREE;
            if (*fd >= 0 && !free_session) {
                const struct fd_record record = {.role = role, .index = index, .fd = *fd};
                rc_state_put(state, TAG_FD, &record, sizeof(record));
            }
        }
    }
}

static void write_broker(const struct rc_supervisor *supervisor, struct rc_state *state)
{
    const struct rc_broker *broker = &supervisor->broker;
    const struct broker_record record = {.worker_count = broker->worker_count,
                                         .listen_count = broker->listen_count,
                                         .keeps = broker->keeps,
                                         .adopts = broker->adopts,
                                         .slots_per_worker = broker->plan.slots_per_worker,
                                         .direct_descriptors = broker->plan.direct_descriptors,
                                         .connections_max = broker->plan.connections_max,
                                         .ring_bytes = broker->segments.ring_bytes,
                                         .overflow_bytes = broker->segments.overflow_bytes,
                                         .history_bytes = broker->segments.history_bytes,
                                         .recovery_bytes = broker->segments.recovery_bytes,
                                         .started_ms = supervisor->started_ms};
    rc_state_put(state, TAG_BROKER, &record, sizeof(record));
    rc_state_put(state, TAG_CONFIG_SINCE, &broker->config_since_ms, sizeof(broker->config_since_ms));
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        const struct rc_listen *group = &broker->listens[i];
        const struct listen_record one = {.index = i,
                                          .kind = (uint32_t)group->kind,
                                          .count = group->count,
                                          .dual_stack = group->dual_stack,
                                          .ipv4 = group->dual_stack && group->address.socket.any.sa_family == AF_INET,
                                          .unix_bound = group->unix_bound,
                                          .backlog = group->options.backlog,
                                          .notsent_lowat_bytes = group->options.notsent_lowat_bytes,
                                          .send_buffer_bytes = group->options.send_buffer_bytes};
        rc_state_put_with(state, TAG_LISTEN, &one, sizeof(one), group->text, strlen(group->text));
    }
}

static void write_children(struct rc_supervisor *supervisor, struct rc_state *state)
{
    for (uint32_t i = 0; i < rc_broker_child_count(&supervisor->broker); i++) {
        const struct rc_child *child = rc_broker_child(&supervisor->broker, i);
        struct child_record record = {.index = i,
                                      .pid = child->pid,
                                      .started_ms = child->started_ms,
                                      .restart_due_ms = child->restart_due_ms,
                                      .rung = child->rung,
                                      .restarts = child->restarts,
                                      .ready = child->ready,
                                      .stuck = child->stuck,
                                      .behind = child->behind,
                                      .killed = child->killed,
                                      .crashes = child->restart.crashes,
                                      .streak = child->restart.streak,
                                      .adoptions_failed = child->adoptions_failed,
                                      .killed_ms = child->restart.killed_ms};
        memcpy(record.crashes_ms, child->restart.crashes_ms, sizeof(record.crashes_ms));
        rc_state_put_with(state, TAG_CHILD, &record, sizeof(record), child->ended, strlen(child->ended));
    }
}

static void write_console(const struct rc_supervisor *supervisor, struct rc_state *state)
{
    const struct rc_console *console = &supervisor->console;
    const struct console_record record = {.bound = console->bound, .serial = console->serial};
    rc_state_put_with(state, TAG_CONSOLE, &record, sizeof(record), console->path, strlen(console->path));
    for (uint32_t i = 0; i < RC_CONSOLE_SESSIONS_MAX; i++) {
        const struct rc_console_session *session = &console->sessions[i];
        if (session->state == RC_CONSOLE_FREE) {
            continue;
        }
        const struct session_record one = {.number = i,
                                           .handle = session->handle,
                                           .state = (uint32_t)session->state,
                                           .request_bytes = (uint32_t)session->request_bytes,
                                           .deadline_ms = session->deadline_ms};
        const size_t rest = session->output_bytes - session->output_sent;
        char *text = malloc(session->request_bytes + rest + 1);
        if (text == NULL) {
            state->rc = -ENOMEM;
            return;
        }
        memcpy(text, session->request, session->request_bytes);
        if (rest > 0) {
            memcpy(text + session->request_bytes, session->output + session->output_sent, rest);
        }
        rc_state_put_with(state, TAG_SESSION, &one, sizeof(one), text, session->request_bytes + rest);
        free(text);
    }
}

/* What was fetched from URLs: until it has come again workers would know no keys. */
static void write_keys(const struct rc_supervisor *supervisor, struct rc_state *state)
{
    for (uint32_t i = 0; supervisor->keyring.rows != NULL && i < RC_CONFIG_IDENTITIES_MAX; i++) {
        const struct rc_keyring_row *row = &supervisor->keyring.rows[i];
        if (row->used && row->fetched_once) {
            const struct keys_record record = {.abi = RC_MATERIAL_ABI,
                                               .row = i,
                                               .failures = row->failures,
                                               .missed = row->missed,
                                               .tried_ms = row->tried_ms,
                                               .due_ms = row->due_ms};
            rc_state_put_with(state, TAG_KEYS, &record, sizeof(record), &row->fetched, sizeof(row->fetched));
        }
    }
}

/* What another build makes its configuration of. */
static void write_config(const struct rc_settings *settings, struct rc_state *state)
{
    struct rc_source rows = {0};
    if (rc_settings_rows(&rows, &settings->config) < 0) {
        state->rc = -ENOMEM;
    } else {
        rc_state_put(state, TAG_SOURCE, settings->source.text, settings->source.bytes);
        if (settings->base.text != NULL) {
            rc_state_put(state, TAG_BASE, settings->base.text, settings->base.bytes);
        }
        rc_state_put(state, TAG_ROWS, rows.text, rows.bytes);
    }
    rc_source_free(&rows);
}

void rc_image_write(struct rc_supervisor *supervisor, struct rc_state *state)
{
    char *numbers = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&numbers, &bytes);
    if (out != NULL) {
        rc_numbers_write(out, NULL, 0);
    }
    if (out == NULL || fclose(out) != 0) {
        state->rc = -ENOMEM;
        free(numbers);
        return;
    }
    rc_state_put(state, TAG_VERSION, RC_VERSION, strlen(RC_VERSION));
    rc_state_put(state, TAG_NUMBERS, numbers, bytes);
    free(numbers);
    write_broker(supervisor, state);
    write_children(supervisor, state);
    write_console(supervisor, state);
    write_keys(supervisor, state);
    write_config(supervisor->settings, state);
    const struct rc_sdnotify *notify = &supervisor->notify;
    const struct notify_record notified = {.watchdog_ms = notify->watchdog_ms,
                                           .watchdog_due_ms = notify->watchdog_due_ms};
    rc_state_put_with(state, TAG_NOTIFY, &notified, sizeof(notified), &notify->address,
                      notify->fd >= 0 ? notify->address_bytes : 0);
    if (supervisor->settings->quickstart) {
        rc_state_put(state, TAG_QUICKSTART, supervisor->settings->quickstart_key,
                     sizeof(supervisor->settings->quickstart_key));
    }
    const struct upgrade_record upgrade = {.handle = supervisor->upgrade.handle,
                                           .began_ms = supervisor->upgrade.began_ms};
    rc_state_put_with(state, TAG_UPGRADE, &upgrade, sizeof(upgrade), supervisor->upgrade.text,
                      supervisor->upgrade.text_bytes);
    write_fds(supervisor, state);
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* The fixed part of a payload: `head` is filled, and *rest is what follows. */
static bool take_head(struct rc_span payload, void *head, size_t bytes, struct rc_span *rest)
{
    if (payload.count < bytes) {
        return false;
    }
    memcpy(head, payload.bytes, bytes);
    *rest = rc_span_of(payload.bytes + bytes, payload.count - bytes);
    return true;
}

/* Into a text of `capacity` bytes, NUL included. */
static bool take_text(char *text, size_t capacity, struct rc_span from)
{
    if (from.count >= capacity || memchr(from.bytes, '\0', from.count) != NULL) {
        return false;
    }
    memcpy(text, from.bytes, from.count);
    text[from.count] = '\0';
    return true;
}

static bool read_broker(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct rc_broker *broker = &supervisor->broker;
    struct broker_record record;
    struct rc_span rest;
    if (!take_head(payload, &record, sizeof(record), &rest) || record.worker_count == 0 ||
        record.worker_count > RC_WORKERS_MAX || record.listen_count > RC_LISTENERS_MAX || broker->worker_count != 0) {
        return false;
    }
    broker->worker_count = broker->segments.worker_count = record.worker_count;
    broker->listen_count = record.listen_count;
    broker->keeps = record.keeps != 0;
    broker->adopts = record.adopts != 0;
    broker->plan = (struct rc_limits_plan){.slots_per_worker = record.slots_per_worker,
                                           .direct_descriptors = record.direct_descriptors,
                                           .connections_max = record.connections_max};
    broker->segments.ring_bytes = record.ring_bytes;
    broker->segments.overflow_bytes = record.overflow_bytes;
    broker->segments.history_bytes = record.history_bytes;
    broker->segments.recovery_bytes = record.recovery_bytes;
    supervisor->started_ms = record.started_ms;
    for (uint32_t i = 0; i < RC_LISTENERS_MAX; i++) {
        for (uint32_t worker = 0; worker < RC_WORKERS_MAX; worker++) {
            broker->listens[i].fds[worker] = -1;
        }
    }
    for (uint32_t i = 0; i < rc_broker_child_count(broker); i++) {
        struct rc_child *child = rc_broker_child(broker, i);
        rc_child_init(child, i < broker->worker_count ? (int)i : RC_CHILD_RELAY, NULL, NULL);
    }
    return true;
}

static bool read_listen(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct listen_record record;
    struct rc_span rest;
    struct rc_err unused;
    if (!take_head(payload, &record, sizeof(record), &rest) || record.index >= supervisor->broker.listen_count ||
        record.kind >= RC_LISTENER_KIND_COUNT || record.count > supervisor->broker.worker_count) {
        return false;
    }
    struct rc_listen *group = &supervisor->broker.listens[record.index];
    group->kind = (enum rc_listener_kind)record.kind;
    group->count = record.count;
    group->dual_stack = record.dual_stack != 0;
    group->unix_bound = record.unix_bound != 0;
    group->options = (struct rc_listen_options){.backlog = record.backlog,
                                                .notsent_lowat_bytes = record.notsent_lowat_bytes,
                                                .send_buffer_bytes = record.send_buffer_bytes};
    if (!take_text(group->text, sizeof(group->text), rest) ||
        rc_listen_address_parse(&group->address, group->text, rest.count, &unused) != 0) {
        return false;
    }
    if (record.ipv4 != 0) {
        rc_listen_use_ipv4(group);
    }
    return true;
}

static bool read_child(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct child_record record;
    struct rc_span rest;
    struct rc_child *child;
    if (!take_head(payload, &record, sizeof(record), &rest) || (child = child_at(supervisor, record.index)) == NULL) {
        return false;
    }
    child->pid = record.pid;
    child->started_ms = record.started_ms;
    child->restart_due_ms = record.restart_due_ms;
    child->rung = record.rung;
    child->restarts = record.restarts;
    child->ready = record.ready != 0;
    child->stuck = record.stuck != 0;
    child->behind = record.behind != 0;
    child->killed = record.killed != 0;
    child->restart.crashes = record.crashes;
    child->restart.streak = record.streak;
    child->adoptions_failed = record.adoptions_failed;
    child->restart.killed_ms = record.killed_ms;
    memcpy(child->restart.crashes_ms, record.crashes_ms, sizeof(record.crashes_ms));
    /* Of a build that says more: as much as there is room for. */
    const size_t most = sizeof(child->ended) - 1;
    return take_text(child->ended, sizeof(child->ended), rc_span_of(rest.bytes, rest.count < most ? rest.count : most));
}

static bool read_notify(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct rc_sdnotify *notify = &supervisor->notify;
    struct notify_record record;
    struct rc_span rest;
    if (!take_head(payload, &record, sizeof(record), &rest) || rest.count > sizeof(notify->address)) {
        return false;
    }
    notify->watchdog_ms = record.watchdog_ms;
    notify->watchdog_due_ms = record.watchdog_due_ms;
    memcpy(&notify->address, rest.bytes, rest.count);
    notify->address_bytes = (socklen_t)rest.count;
    return true;
}

static bool read_console(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct console_record record;
    struct rc_span rest;
    if (!take_head(payload, &record, sizeof(record), &rest)) {
        return false;
    }
    supervisor->console.bound = record.bound != 0;
    supervisor->console.serial = record.serial;
    return take_text(supervisor->console.path, sizeof(supervisor->console.path), rest);
}

static bool read_session(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct session_record record;
    struct rc_span rest;
    if (!take_head(payload, &record, sizeof(record), &rest) || record.number >= RC_CONSOLE_SESSIONS_MAX ||
        record.handle % RC_CONSOLE_SESSIONS_MAX != record.number || record.state < RC_CONSOLE_READING ||
        record.state > RC_CONSOLE_FLUSHING || record.request_bytes > rest.count ||
        record.request_bytes >= RC_CONSOLE_REQUEST_MAX || rest.count - record.request_bytes > RC_CONSOLE_OUTPUT_MAX) {
        return false;
    }
    struct rc_console_session *session = &supervisor->console.sessions[record.number];
    if (session->state != RC_CONSOLE_FREE) {
        return false;
    }
    session->state = (enum rc_console_state)record.state;
    session->handle = record.handle;
    session->deadline_ms = record.deadline_ms;
    session->request_bytes = record.request_bytes;
    memcpy(session->request, rest.bytes, record.request_bytes);
    session->output_bytes = rest.count - record.request_bytes;
    session->output = session->output_bytes > 0 ? malloc(session->output_bytes) : NULL;
    if (session->output_bytes > 0 && session->output == NULL) {
        session->output_bytes = 0;
        return false;
    }
    if (session->output != NULL) {
        memcpy(session->output, rest.bytes + record.request_bytes, session->output_bytes);
    }
    supervisor->console.open_sessions++;
    return true;
}

static bool read_keys(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct keys_record record;
    struct rc_span rest;
    if (!take_head(payload, &record, sizeof(record), &rest)) {
        return false;
    }
    if (record.abi != RC_MATERIAL_ABI) {
        return true; /* of another form: they are fetched again */
    }
    if (record.row >= RC_CONFIG_IDENTITIES_MAX || rest.count != sizeof(struct rc_jwt_material)) {
        return false;
    }
    if (supervisor->keyring.rows == NULL) {
        supervisor->keyring.rows = calloc(RC_CONFIG_IDENTITIES_MAX, sizeof(*supervisor->keyring.rows));
    }
    if (supervisor->keyring.rows == NULL) {
        return false;
    }
    struct rc_keyring_row *row = &supervisor->keyring.rows[record.row];
    row->used = row->fetched_once = true;
    row->failures = record.failures;
    row->missed = record.missed;
    row->tried_ms = record.tried_ms;
    row->due_ms = record.due_ms;
    memcpy(&row->fetched, rest.bytes, sizeof(row->fetched));
    return true;
}

static bool read_upgrade(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct upgrade_record record;
    struct rc_span rest;
    struct rc_upgrade *upgrade = &supervisor->upgrade;
    if (!take_head(payload, &record, sizeof(record), &rest) || !take_text(upgrade->text, sizeof(upgrade->text), rest)) {
        return false;
    }
    upgrade->handle = record.handle;
    upgrade->began_ms = record.began_ms;
    upgrade->text_bytes = (uint32_t)rest.count;
    return true;
}

static bool read_quickstart(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct rc_settings *settings = supervisor->settings;
    if (payload.count != sizeof(settings->quickstart_key) || payload.bytes[payload.count - 1] != '\0') {
        return false;
    }
    memcpy(settings->quickstart_key, payload.bytes, payload.count);
    return true;
}

static bool read_text(struct rc_source *to, struct rc_span payload, size_t bytes_max)
{
    return payload.count <= bytes_max && memchr(payload.bytes, '\0', payload.count) == NULL &&
           rc_source_set(to, payload.bytes, payload.count) == 0;
}

static bool read_source(struct rc_supervisor *supervisor, struct rc_span payload)
{
    return read_text(&supervisor->settings->source, payload, RC_CONFIG_FILE_MAX);
}

static bool read_base(struct rc_supervisor *supervisor, struct rc_span payload)
{
    return read_text(&supervisor->settings->base, payload, RC_CONFIG_FILE_MAX);
}

static bool read_rows(struct rc_supervisor *supervisor, struct rc_span payload)
{
    return read_text(&supervisor->settings->former_rows, payload, ROWS_BYTES_MAX);
}

static bool read_config_since(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct rc_span rest;
    uint64_t *since_ms = &supervisor->broker.config_since_ms;
    return take_head(payload, since_ms, sizeof(*since_ms), &rest);
}

static bool read_fd(struct rc_supervisor *supervisor, struct rc_span payload)
{
    struct fd_record record;
    struct rc_span rest;
    if (!take_head(payload, &record, sizeof(record), &rest)) {
        return false;
    }
    int *fd = fd_at(supervisor, (enum role)record.role, record.index);
    if (fd == NULL || fcntl(record.fd, F_GETFD) < 0) {
        return false;
    }
    *fd = record.fd;
    return true;
}

/* Is there everything without which nothing goes? */
static bool image_whole(struct rc_supervisor *supervisor)
{
    struct rc_broker *broker = &supervisor->broker;
    bool whole = broker->worker_count != 0 && broker->life_read_fd >= 0 && broker->life_write_fd >= 0 &&
                 broker->bell_fd >= 0 && supervisor->console.listen_fd >= 0;
    for (uint32_t i = 0; whole && i < RC_SEGMENTS_SHARED + 2 * broker->worker_count; i++) {
        whole = rc_segments_at(&broker->segments, i)->fd >= 0;
    }
    for (uint32_t i = 0; whole && i < rc_broker_child_count(broker); i++) {
        const struct rc_child *child = rc_broker_child(broker, i);
        whole = child->bell_fd >= 0 && (child->pid == 0) == (child->pidfd < 0);
    }
    for (uint32_t i = 0; whole && i < RC_CONSOLE_SESSIONS_MAX; i++) {
        const struct rc_console_session *session = &supervisor->console.sessions[i];
        whole = (session->state == RC_CONSOLE_FREE) == (session->fd < 0);
    }
    return whole;
}

static const struct {
    uint32_t tag;
    bool (*read)(struct rc_supervisor *supervisor, struct rc_span payload);
} readers[] = {
    {TAG_BROKER, read_broker},   {TAG_LISTEN, read_listen},
    {TAG_CHILD, read_child},     {TAG_NOTIFY, read_notify},
    {TAG_CONSOLE, read_console}, {TAG_SESSION, read_session},
    {TAG_KEYS, read_keys},       {TAG_QUICKSTART, read_quickstart},
    {TAG_UPGRADE, read_upgrade}, {TAG_SOURCE, read_source},
    {TAG_BASE, read_base},       {TAG_ROWS, read_rows},
    {TAG_FD, read_fd},           {TAG_CONFIG_SINCE, read_config_since},
};

int rc_image_read(struct rc_supervisor *supervisor, const struct rc_state *state, struct rc_err *err)
{
    uint32_t tag;
    struct rc_span payload;
    size_t at = 0;
    rc_broker_clear(&supervisor->broker);
    supervisor->notify.fd = supervisor->console.listen_fd = supervisor->console.epoll_fd = -1;
    for (uint32_t i = 0; i < RC_CONSOLE_SESSIONS_MAX; i++) {
        supervisor->console.sessions[i].fd = -1;
    }
    while (rc_state_next(state, &at, &tag, &payload) == 1) {
        size_t i = 0;
        while (i < RC_ARRAY_COUNT(readers) && readers[i].tag != tag) {
            i++;
        }
        if (i == RC_ARRAY_COUNT(readers)) {
            if ((tag & RC_STATE_MUST) != 0) {
                return rc_err_set(err, -ENOTSUP, "the running program has state that this one does not know (tag %u)",
                                  tag & ~RC_STATE_MUST);
            }
            continue;
        }
        if (!readers[i].read(supervisor, payload)) {
            return rc_err_set(err, -EBADMSG, "the state of the broker is damaged at tag %u", tag & ~RC_STATE_MUST);
        }
    }
    return image_whole(supervisor) ? 0 : rc_err_set(err, -EBADMSG, "the state of the broker lacks descriptors");
}

void rc_image_forget(struct rc_supervisor *supervisor)
{
    for (uint32_t i = 0; i < RC_CONSOLE_SESSIONS_MAX; i++) {
        free(supervisor->console.sessions[i].output);
        supervisor->console.sessions[i].output = NULL;
    }
    free(supervisor->keyring.rows);
    supervisor->keyring.rows = NULL;
}

int rc_image_hold(const struct rc_state *state, bool held)
{
    uint32_t tag;
    struct rc_span payload;
    size_t at = 0;
    int rc = 0;
    while (rc_state_next(state, &at, &tag, &payload) == 1) {
        struct fd_record record;
        struct rc_span rest;
        if (tag == TAG_FD && take_head(payload, &record, sizeof(record), &rest) &&
            fcntl(record.fd, F_SETFD, held ? 0 : FD_CLOEXEC) != 0) {
            rc = -errno;
        }
    }
    return rc;
}

void rc_image_origin(const struct rc_state *state, char version[64], char numbers[1024])
{
    uint32_t tag;
    struct rc_span payload;
    size_t at = 0;
    version[0] = numbers[0] = '\0';
    while (rc_state_next(state, &at, &tag, &payload) == 1) {
        if ((tag == TAG_VERSION && !take_text(version, 64, payload)) ||
            (tag == TAG_NUMBERS && !take_text(numbers, 1024, payload))) {
            continue; /* too long to be one: then it is not said */
        }
    }
}
