/*
 * status: see status.h.
 */
#include "acceptor/console/status.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "acceptor/console/print_json.h"
#include "common/base/check.h"
#include "common/base/procfs.h"
#include "common/metrics/link_rows.h"
#include "common/metrics/redis_health.h"
#include "version.h"

#define RC_STATUS_HEARTBEAT_NONE UINT64_MAX

static const char *const broker_states[] = {"starting", "running", "draining", "stopping"};
static const char *const process_states[] = {"down", "starting", "ready", "drained", "parked"};

/* One process as both forms show it. */
struct row {
    char name[24];
    uint32_t pid;
    const char *state;
    uint32_t cpu;
    double cpu_seconds;
    uint64_t memory_bytes; /* resident */
    uint64_t connections;
    uint32_t generation;
    uint32_t restarts;
    uint64_t age_ms;       /* since its start, 0 = not running */
    uint64_t heartbeat_ms; /* since the last one */
    bool live;             /* gets new connections */
    const char *overload;  /* "none", "paused", "shedding" */
    const char *ended;     /* what its last process died of, "" = none did */
    bool restarts_next;    /* it does not run, and is started again */
    uint64_t restart_ms;   /* until then, 0 = now */
};

void rc_status_format_age(char *text, size_t capacity, uint64_t age_ms)
{
    const uint64_t seconds = age_ms / 1000u;
    if (seconds >= 86400u) {
        snprintf(text, capacity, "%" PRIu64 "d %" PRIu64 "h", seconds / 86400u, seconds / 3600u % 24u);
    } else if (seconds >= 3600u) {
        snprintf(text, capacity, "%" PRIu64 "h %" PRIu64 "m", seconds / 3600u, seconds / 60u % 60u);
    } else if (seconds >= 60u) {
        snprintf(text, capacity, "%" PRIu64 "m %" PRIu64 "s", seconds / 60u, seconds % 60u);
    } else {
        snprintf(text, capacity, "%" PRIu64 "s", seconds);
    }
}

static void read_usage(uint32_t pid, double *cpu_seconds, uint64_t *memory_bytes)
{
    *cpu_seconds = (double)rc_procfs_cpu_ms(pid) / 1000.0;
    *memory_bytes = rc_procfs_sizes(pid).resident_bytes;
}

/* How a worker takes newcomers, as its overload.* has it; "none" for who takes none. */
static const char *overload_of(const struct rc_supervisor *supervisor, const struct rc_child *child)
{
    static const char *const names[] = {"none", "paused", "shedding"}; /* enum rc_pressure_level of worker/gate */
    const uint64_t level = child->index != RC_CHILD_RELAY && child->pid != 0
                               ? rc_report_value(supervisor->broker.segments.workers[child->index], RC_METRIC_OVERLOAD)
                               : 0;
    return level < RC_ARRAY_COUNT(names) ? names[level] : "?";
}

static void fill_row(struct row *row, const struct rc_supervisor *supervisor, const struct rc_child *child)
{
    const struct rc_process *process = child->process;
    memset(row, 0, sizeof(*row));
    snprintf(row->name, sizeof(row->name), "%s", rc_child_name(child));
    if (child->index == RC_CHILD_RELAY) {
        row->live = child->pid != 0 && child->ready;
    } else {
        row->connections = atomic_load_explicit(&process->connections, memory_order_relaxed);
        row->live = supervisor->broker.steer.active
                        ? rc_steer_is_live(&supervisor->broker.steer, (uint32_t)child->index)
                        : child->pid != 0 && child->ready;
    }
    const uint32_t state = rc_child_state(child);
    const bool leaving = rc_broker_use(&supervisor->broker, child) >= RC_WORKER_LEAVING && state == RC_PROCESS_READY;
    row->pid = (uint32_t)child->pid;
    row->state = child->pid == 0                    ? child->orphan != RC_ADOPT_NOBODY ? "orphaned" : "down"
                 : child->orphan != RC_ADOPT_NOBODY ? "adopting"
                 : child->stuck                     ? "stuck"
                 : child->behind                    ? "behind"
                 : leaving                          ? "leaving"
                 : state > RC_PROCESS_PARKED        ? "?"
                                                    : process_states[state];
    row->cpu = atomic_load_explicit(&child->life->cpu, memory_order_relaxed);
    row->generation = atomic_load_explicit(&child->life->generation, memory_order_relaxed);
    row->restarts = child->restarts;
    row->ended = child->ended;
    row->restarts_next = child->restart_due_ms != 0;
    row->restart_ms = child->restart_due_ms > supervisor->now_ms ? child->restart_due_ms - supervisor->now_ms : 0;
    row->overload = overload_of(supervisor, child);
    row->heartbeat_ms = RC_STATUS_HEARTBEAT_NONE;
    if (child->pid != 0) {
        const uint64_t beat_ms = atomic_load_explicit(&process->heartbeat_ms, memory_order_relaxed);
        row->age_ms = supervisor->now_ms - child->started_ms;
        row->heartbeat_ms = supervisor->now_ms > beat_ms ? supervisor->now_ms - beat_ms : 0;
        read_usage(row->pid, &row->cpu_seconds, &row->memory_bytes);
    }
}

static void fill_acceptor(struct row *row, const struct rc_supervisor *supervisor)
{
    memset(row, 0, sizeof(*row));
    snprintf(row->name, sizeof(row->name), "acceptor");
    row->pid = (uint32_t)getpid();
    row->state = "ready";
    row->overload = "none";
    row->ended = "";
    row->cpu = UINT32_MAX;
    row->generation = 1;
    row->age_ms = supervisor->now_ms - supervisor->started_ms;
    row->heartbeat_ms = RC_STATUS_HEARTBEAT_NONE;
    read_usage(row->pid, &row->cpu_seconds, &row->memory_bytes);
}

static void print_row(FILE *out, const struct row *row)
{
    char pid[16] = "-";
    char cpu[16] = "-";
    char age[32] = "-";
    if (row->pid != 0) {
        snprintf(pid, sizeof(pid), "%u", row->pid);
        rc_status_format_age(age, sizeof(age), row->age_ms);
    }
    if (row->cpu != UINT32_MAX) {
        snprintf(cpu, sizeof(cpu), "%u", row->cpu);
    }
    fprintf(out, "%-11s %8s %-9s %4s %9.1fs %8.1f %12" PRIu64 " %11u %9u %9s\n", row->name, pid, row->state, cpu,
            row->cpu_seconds, (double)row->memory_bytes / 1048576.0, row->connections, row->generation, row->restarts,
            age);
}

/* What is behind a state that is not well, and behind restarts: a line for each process that has one. */
static void print_trouble(FILE *out, const struct row *row)
{
    char age[32];
    if (row->ended[0] != '\0' && row->pid == 0) {
        rc_status_format_age(age, sizeof(age), row->restart_ms + 999u);
        fprintf(out, "%s: its process ended by %s; %s%s (ringcast postmortem)\n", row->name, row->ended,
                !row->restarts_next   ? "no other one is started"
                : row->restart_ms > 0 ? "the next one starts in "
                                      : "the next one starts now",
                row->restart_ms > 0 ? age : "");
    } else if (row->ended[0] != '\0' && row->restarts > 0) {
        fprintf(out, "%s: restarts: %u, the last after %s (ringcast postmortem)\n", row->name, row->restarts,
                row->ended);
    }
    if (strcmp(row->overload, "none") != 0) {
        fprintf(out, "%s: overloaded, newcomers %s (docs/operations.md, Overload)\n", row->name,
                strcmp(row->overload, "paused") == 0 ? "wait" : "are answered 503");
    }
}

/* How it stands with Redis: the state's name, since when (ms; 0 = there is none), and in `errors` why. A relay that does not move says
 * nothing: so it is in /health/redis. */
static const char *redis_state(const struct rc_supervisor *supervisor, const struct rc_config *config,
                               uint64_t *since_ms, struct rc_redis_errors *errors)
{
    static const char *const names[] = {[RC_REDIS_DISABLED] = "not started",
                                        [RC_REDIS_CONNECTING] = "connecting",
                                        [RC_REDIS_CONNECTED] = "connected",
                                        [RC_REDIS_AWAY] = "disconnected",
                                        [RC_REDIS_REFUSED] = "refused"};
    const struct rc_relay_report *relay = supervisor->broker.segments.relay;
    const uint64_t beat_ms = atomic_load_explicit(&relay->report.process.heartbeat_ms, memory_order_relaxed);
    const uint64_t changed_ms = atomic_load_explicit(&relay->redis_health.since_ms, memory_order_relaxed);
    const enum rc_redis_state state = rc_redis_health_of(relay, errors);
    *since_ms = 0;
    if (config->redis.url.text[0] == '\0') {
        *errors = (struct rc_redis_errors){.lost = ""};
        return "none";
    }
    if (supervisor->now_ms > beat_ms + RC_RELAY_SILENT_MS) {
        *errors = (struct rc_redis_errors){.lost = "the relay does not answer"};
        return "disconnected";
    }
    if (state == RC_REDIS_CONNECTED) {
        *errors = (struct rc_redis_errors){.lost = ""}; /* of an earlier loss */
    }
    *since_ms = supervisor->now_ms > changed_ms ? supervisor->now_ms - changed_ms : 0;
    return names[state];
}

static void print_redis(FILE *out, const struct rc_supervisor *supervisor, const struct rc_config *config)
{
    struct rc_redis_errors errors;
    char age[32];
    uint64_t since_ms;
    const char *state = redis_state(supervisor, config, &since_ms, &errors);
    rc_status_format_age(age, sizeof(age), since_ms);
    fprintf(out, "redis       %s%s%s%s%s%s%s%s\n", state, since_ms != 0 ? " for " : "", since_ms != 0 ? age : "",
            errors.lost[0] != '\0' ? ": " : "", errors.lost, errors.latest[0] != '\0' ? "; latest: " : "",
            errors.latest,
            strcmp(state, "disconnected") == 0 || strcmp(state, "refused") == 0 ? " (local-only mode)" : "");
}

static json_t *redis_json(const struct rc_supervisor *supervisor, const struct rc_config *config)
{
    struct rc_redis_errors errors;
    uint64_t since_ms;
    const char *state = redis_state(supervisor, config, &since_ms, &errors);
    return json_pack("{s:s, s:o, s:o, s:o}", "state", state, "since_ms",
                     since_ms != 0 ? json_integer((json_int_t)since_ms) : json_null(), "error",
                     errors.lost[0] != '\0' ? json_string(errors.lost) : json_null(), "latest_error",
                     errors.latest[0] != '\0' ? json_string(errors.latest) : json_null());
}

/* Those in force: as they were read last. */
static void print_certificates(FILE *out, const struct rc_files *files)
{
    for (uint32_t i = 0; i < files->count; i++) {
        char when[64];
        if (files->items[i].not_after_s != 0) {
            (void)rc_settings_expiry_format(when, sizeof(when), files->items[i].not_after_s,
                                            (int64_t)(rc_clock_wall_ms() / 1000u));
            fprintf(out, "certificate %s %s\n", files->items[i].path, when);
        }
    }
}

static json_t *certificates_json(const struct rc_files *files)
{
    json_t *certificates = json_array();
    for (uint32_t i = 0; i < files->count; i++) {
        if (files->items[i].not_after_s != 0) {
            (void)json_array_append_new(certificates,
                                        json_pack("{s:s, s:I}", "file", files->items[i].path, "not_after_s",
                                                  (json_int_t)files->items[i].not_after_s));
        }
    }
    return certificates;
}

/* The next row whose keys come from a URL, from *at on; NULL: there is none. */
static const struct rc_keyring_row *keys_next(const struct rc_keyring *keyring, uint32_t *at)
{
    while (keyring->rows != NULL && *at < RC_CONFIG_IDENTITIES_MAX) {
        const struct rc_keyring_row *row = &keyring->rows[(*at)++];
        if (row->used && row->jwt.jwks_url.text[0] != '\0') {
            return row;
        }
    }
    return NULL;
}

/* NULL: nothing failed since they were fetched. Reasons are not handed over in an upgrade. */
static const char *keys_error(const struct rc_keyring_row *row)
{
    return row->failures == 0 ? NULL : row->why[0] != '\0' ? row->why : "the log says why (jwks_failed)";
}

/* Without keys every token is refused. */
static void print_keys(FILE *out, const struct rc_keyring *keyring)
{
    const struct rc_keyring_row *row;
    uint32_t at = 0;
    while ((row = keys_next(keyring, &at)) != NULL) {
        fprintf(out, "keys        %s, %u known", row->jwt.jwks_url.text, row->fetched.count);
        if (row->failures > 0) {
            fprintf(out, "; not fetched %u times: %s", row->failures, keys_error(row));
        }
        fprintf(out, "\n");
    }
}

static json_t *keys_json(const struct rc_keyring *keyring)
{
    const struct rc_keyring_row *row;
    json_t *all = json_array();
    uint32_t at = 0;
    while ((row = keys_next(keyring, &at)) != NULL) {
        (void)json_array_append_new(all,
                                    json_pack("{s:s, s:i, s:i, s:o}", "url", row->jwt.jwks_url.text, "known",
                                              (int)row->fetched.count, "failures", (int)row->failures, "error",
                                              keys_error(row) != NULL ? json_string(keys_error(row)) : json_null()));
    }
    return all;
}

/* The application whose clients this broker holds (docs/link.md). */
static const struct link_figure {
    const char *name; /* in JSON */
    enum rc_metric_id id;
} link_figures[] = {{"ready", RC_METRIC_LINKS},
                    {"connections", RC_METRIC_LINK_CONNECTIONS},
                    {"waiting", RC_METRIC_LINK_WAITING},
                    {"frames_in", RC_METRIC_LINK_FRAMES_IN},
                    {"frames_out", RC_METRIC_LINK_FRAMES_OUT},
                    {"broadcasts", RC_METRIC_LINK_BROADCASTS},
                    {"broken", RC_METRIC_LINK_BROKEN},
                    {"lost_connections", RC_METRIC_LINK_LOST_CONNECTIONS},
                    {"refused", RC_METRIC_LINK_REFUSED},
                    {"unhanded", RC_METRIC_LINK_UNHANDED},
                    {"unhanded_bytes", RC_METRIC_LINK_UNHANDED_BYTES},
                    {"receipt_lag_ms", RC_METRIC_LINK_RECEIPT_LAG_MS},
                    {"apart", RC_METRIC_LINK_APART},
                    {"held_bytes", RC_METRIC_LINK_HELD_BYTES},
                    {"resumed", RC_METRIC_LINK_RESUMED},
                    {"continued", RC_METRIC_LINK_CONTINUED},
                    {"unread", RC_METRIC_LINK_UNREAD}};

static uint64_t link_figure(const struct rc_broker *broker, enum rc_metric_id id)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        const uint64_t value = rc_report_value(broker->segments.workers[i], id);
        sum = id != RC_METRIC_LINK_RECEIPT_LAG_MS ? sum + value : value > sum ? value : sum; /* of that the worst */
    }
    return sum;
}

/* Reports of all workers. */
struct reports {
    const struct rc_report *of[RC_WORKERS_MAX];
    uint32_t count;
};

static struct reports reports_of(const struct rc_broker *broker)
{
    struct reports reports = {.count = broker->worker_count};
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        reports.of[i] = broker->segments.workers[i];
    }
    return reports;
}

/* A line for each of its addresses. */
static void print_link_rows(FILE *out, const struct rc_broker *broker, const struct rc_config *config)
{
    const struct rc_config_backend *backend = rc_link_rows_backend(config);
    const struct reports reports = reports_of(broker);
    for (uint32_t row = 0; backend != NULL && row < RC_LINK_ROWS; row++) {
        if (!rc_link_row_shown(backend, reports.of, reports.count, row)) {
            continue;
        }
        fprintf(out, "            %s:", rc_link_row_url(backend, row));
        for (uint32_t number = 0; number < RC_LINK_NUMBERS; number++) {
            const uint64_t value =
                rc_link_rows_number(backend, reports.of, reports.count, row, (enum rc_link_number)number);
            if (value > 0 || number <= RC_LINK_NUMBER_CONNECTIONS) {
                fprintf(out, " %s %" PRIu64, rc_link_number_names[number], value);
            }
        }
        fprintf(out, "\n");
    }
}

static json_t *link_rows_json(const struct rc_broker *broker, const struct rc_config *config)
{
    const struct rc_config_backend *backend = rc_link_rows_backend(config);
    const struct reports reports = reports_of(broker);
    json_t *rows = json_array();
    for (uint32_t row = 0; backend != NULL && row < RC_LINK_ROWS; row++) {
        if (!rc_link_row_shown(backend, reports.of, reports.count, row)) {
            continue;
        }
        json_t *one = json_pack("{s:s}", "url", rc_link_row_url(backend, row));
        for (uint32_t number = 0; number < RC_LINK_NUMBERS; number++) {
            const uint64_t value =
                rc_link_rows_number(backend, reports.of, reports.count, row, (enum rc_link_number)number);
            (void)json_object_set_new(one, rc_link_number_names[number], json_integer((json_int_t)value));
        }
        (void)json_array_append_new(rows, one);
    }
    return rows;
}

static void print_links(FILE *out, const struct rc_broker *broker, const struct rc_config *config)
{
    if (config->socketio.link.text[0] == '\0') {
        return;
    }
    fprintf(out,
            "backend     %s: %" PRIu64 " links, %" PRIu64 " connections, %" PRIu64 " clients wait, %" PRIu64
            " links were broken, %" PRIu64 " connections lost, %" PRIu64 " handshakes refused\n",
            config->socketio.link.text, link_figure(broker, RC_METRIC_LINKS),
            link_figure(broker, RC_METRIC_LINK_CONNECTIONS), link_figure(broker, RC_METRIC_LINK_WAITING),
            link_figure(broker, RC_METRIC_LINK_BROKEN), link_figure(broker, RC_METRIC_LINK_LOST_CONNECTIONS),
            link_figure(broker, RC_METRIC_LINK_REFUSED));
    fprintf(out,
            "            %" PRIu64 " frames not handed on, for %" PRIu64 " ms; %" PRIu64
            " connections have no process now, %" PRIu64 " resumed, %" PRIu64 " continued\n",
            link_figure(broker, RC_METRIC_LINK_UNHANDED), link_figure(broker, RC_METRIC_LINK_RECEIPT_LAG_MS),
            link_figure(broker, RC_METRIC_LINK_APART), link_figure(broker, RC_METRIC_LINK_RESUMED),
            link_figure(broker, RC_METRIC_LINK_CONTINUED));
    print_link_rows(out, broker, config);
}

static json_t *links_json(const struct rc_broker *broker, const struct rc_config *config)
{
    if (config->socketio.link.text[0] == '\0') {
        return json_null();
    }
    json_t *links = json_pack("{s:s}", "backend", config->socketio.link.text);
    for (size_t i = 0; i < RC_ARRAY_COUNT(link_figures); i++) {
        (void)json_object_set_new(links, link_figures[i].name,
                                  json_integer((json_int_t)link_figure(broker, link_figures[i].id)));
    }
    (void)json_object_set_new(links, "urls", link_rows_json(broker, config));
    return links;
}

/* By which the console's callers know whose broker it is. */
static const char *config_path(const struct rc_supervisor *supervisor)
{
    const struct rc_settings *settings = supervisor->settings;
    return settings->real_path != NULL ? settings->real_path : settings->path;
}

static void print_steering(FILE *out, const struct rc_steer *steer)
{
    if (!steer->active) {
        fprintf(out, "steering    kernel\n");
        return;
    }
    fprintf(out, "steering    bpf:");
    for (int reason = 0; reason < RC_STEER_REASONS; reason++) {
        fprintf(out, " %s %" PRIu64, rc_steer_reason_name((enum rc_steer_reason)reason),
                rc_steer_count(steer, (enum rc_steer_reason)reason));
    }
    fprintf(out, "\n");
}

/* What ringcast_connections_max says. */
static uint64_t connections_max(const struct rc_broker *broker)
{
    return rc_workers_connections_max(broker->segments.core, broker->worker_count,
                                      rc_segments_config(&broker->segments)->server.max_connections);
}

void rc_status_print_table(FILE *out, struct rc_supervisor *supervisor)
{
    struct rc_broker *broker = &supervisor->broker;
    const struct rc_segments *segments = &broker->segments;
    const struct rc_config *config = rc_segments_config(&broker->segments);
    struct row row;
    char age[32];
    rc_status_format_age(age, sizeof(age), supervisor->now_ms - supervisor->started_ms);
    fprintf(out, "ringcast %s, instance %s, %s, up %s\n", RC_VERSION, segments->core->instance_id,
            broker_states[rc_supervisor_state(supervisor)], age);
    fprintf(out, "config      %s, generation %u\n",
            config_path(supervisor) != NULL ? config_path(supervisor) : "none (defaults)",
            atomic_load_explicit(&segments->configs->generation, memory_order_relaxed));
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        const enum rc_listener_kind kind = broker->listens[i].kind;
        fprintf(out, "listen      %s%s\n", broker->listens[i].text,
                kind == RC_LISTENER_ADMIN      ? " (admin)"
                : kind == RC_LISTENER_TLS      ? " (TLS)"
                : kind == RC_LISTENER_LINK     ? " (links)"
                : kind == RC_LISTENER_LINK_TLS ? " (links, TLS)"
                                               : "");
    }
    print_steering(out, &broker->steer);
    print_redis(out, supervisor, config);
    print_certificates(out, &supervisor->settings->files);
    print_keys(out, &supervisor->keyring);
    print_links(out, broker, config);
    fprintf(out, "limits      %" PRIu64 " connections, %u a worker, backlog %u\n\n", connections_max(broker),
            broker->plan.slots_per_worker, broker->limits.backlog);
    fprintf(out, "%-11s %8s %-9s %4s %10s %8s %12s %11s %9s %9s\n", "PROCESS", "PID", "STATE", "CORE", "CPU TIME",
            "MEM MiB", "CONNECTIONS", "GENERATION", "RESTARTS", "UP");
    fill_acceptor(&row, supervisor);
    print_row(out, &row);
    fill_row(&row, supervisor, &broker->relay);
    print_row(out, &row);
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        if (rc_broker_use(broker, &broker->workers[i]) != RC_WORKER_UNUSED) {
            fill_row(&row, supervisor, &broker->workers[i]);
            print_row(out, &row);
        }
    }
    fill_row(&row, supervisor, &broker->relay);
    print_trouble(out, &row);
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        if (rc_broker_use(broker, &broker->workers[i]) != RC_WORKER_UNUSED) {
            fill_row(&row, supervisor, &broker->workers[i]);
            print_trouble(out, &row);
        }
    }
}

static json_t *row_json(const struct row *row)
{
    return json_pack(
        "{s:s, s:o, s:s, s:o, s:f, s:I, s:I, s:i, s:i, s:I, s:o, s:b, s:s, s:o, s:o}", "process", row->name, "pid",
        row->pid != 0 ? json_integer(row->pid) : json_null(), "state", row->state, "cpu",
        row->cpu != UINT32_MAX ? json_integer(row->cpu) : json_null(), "cpu_seconds", row->cpu_seconds, "memory_bytes",
        (json_int_t)row->memory_bytes, "connections", (json_int_t)row->connections, "generation", (int)row->generation,
        "restarts", (int)row->restarts, "uptime_ms", (json_int_t)row->age_ms, "heartbeat_age_ms",
        row->heartbeat_ms != RC_STATUS_HEARTBEAT_NONE ? json_integer((json_int_t)row->heartbeat_ms) : json_null(),
        "live", row->live, "overload", row->overload, "last_end",
        row->ended[0] != '\0' ? json_string(row->ended) : json_null(), "restart_in_ms",
        row->restart_ms != 0 ? json_integer((json_int_t)row->restart_ms) : json_null());
}

static json_t *steering_json(const struct rc_steer *steer)
{
    json_t *object = json_pack("{s:s}", "mode", steer->active ? "bpf" : "kernel");
    for (int reason = 0; steer->active && reason < RC_STEER_REASONS; reason++) {
        json_object_set_new(object, rc_steer_reason_name((enum rc_steer_reason)reason),
                            json_integer((json_int_t)rc_steer_count(steer, (enum rc_steer_reason)reason)));
    }
    return object;
}

void rc_status_print_json(FILE *out, struct rc_supervisor *supervisor)
{
    struct rc_broker *broker = &supervisor->broker;
    const struct rc_segments *segments = &broker->segments;
    struct row row;
    json_t *processes = json_array();
    json_t *listeners = json_array();
    fill_acceptor(&row, supervisor);
    json_array_append_new(processes, row_json(&row));
    fill_row(&row, supervisor, &broker->relay);
    json_array_append_new(processes, row_json(&row));
    for (uint32_t i = 0; i < broker->worker_count; i++) {
        if (rc_broker_use(broker, &broker->workers[i]) != RC_WORKER_UNUSED) {
            fill_row(&row, supervisor, &broker->workers[i]);
            json_array_append_new(processes, row_json(&row));
        }
    }
    for (uint32_t i = 0; i < broker->listen_count; i++) {
        json_array_append_new(listeners, json_pack("{s:s, s:s}", "address", broker->listens[i].text, "kind",
                                                   rc_listen_kind_name(broker->listens[i].kind)));
    }
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:I, s:o, s:i, s:o, s:o, s:o, s:o, s:I, s:i, s:o, s:o, s:o}", "version", RC_VERSION,
                  "instance", segments->core->instance_id, "state", broker_states[rc_supervisor_state(supervisor)],
                  "uptime_ms", (json_int_t)(supervisor->now_ms - supervisor->started_ms), "config",
                  config_path(supervisor) != NULL ? json_string(config_path(supervisor)) : json_null(),
                  "config_generation", (int)atomic_load_explicit(&segments->configs->generation, memory_order_relaxed),
                  "redis", redis_json(supervisor, rc_segments_config(&broker->segments)), "certificates",
                  certificates_json(&supervisor->settings->files), "keys", keys_json(&supervisor->keyring), "links",
                  links_json(broker, rc_segments_config(&broker->segments)), "connections_max",
                  (json_int_t)connections_max(broker), "slots_per_worker", (int)broker->plan.slots_per_worker,
                  "steering", steering_json(&broker->steer), "listeners", listeners, "processes", processes);
    if (!rc_json_print(out, object)) {
        fprintf(out, "{}\n");
    }
    json_decref(object);
}
