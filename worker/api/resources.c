/* resources: what anybody may ask without a key: health, metrics, the page and its script. See api.h. */
#include "worker/api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/metrics/backend_health.h"
#include "common/metrics/bridges.h"
#include "common/metrics/exposition.h"
#include "common/metrics/instance.h"
#include "common/metrics/render.h"
#include "common/metrics/redis_health.h"
#include "common/text/json_scan.h"
#include "common/shm/worker_use.h"
#include "worker/backend/backend_io.h"
#include "worker/http/accept.h"
#include "worker/http/assets.h"
#include "worker/io/tls.h"

#define JSON_QUOTED_MAX (RC_JSON_STRING_BYTES_MAX(RC_REDIS_ERROR_MAX) + 1)

static const struct rc_control *control_of(void *context)
{
    const struct rc_api *api = context;
    return api->clients->control;
}

static void resource_answer(struct rc_exchange *exchange, uint16_t status, const char *type, const char *body,
                            size_t body_bytes)
{
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){
                                     .status = status, .content_type = type, .body = body, .body_bytes = body_bytes});
}

static void no_memory(struct rc_exchange *exchange)
{
    rc_exchange_error(exchange, (struct rc_exchange_answer){.status = 503, .retry_after_s = 1, .message = "no memory"});
}

/* --- health ---------------------------------------------------------------------------------------------------------- */

static unsigned long long total_of(const struct rc_control *control, enum rc_metric_id id)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < control->worker_count; i++) {
        total += rc_report_value(control->workers[i], id);
    }
    return total;
}

/* Of the worker that has most of it: a load balancer may look, though the broker serves on. */
static const char *overload_of(const struct rc_control *control)
{
    uint64_t worst = 0;
    for (uint32_t i = 0; i < control->worker_count; i++) {
        const uint64_t level = rc_report_value(control->workers[i], RC_METRIC_OVERLOAD);
        worst = level > worst ? level : worst;
    }
    return worst == RC_PRESSURE_NONE ? "none" : worst == RC_PRESSURE_PAUSED ? "paused" : "shedding";
}

static void resource_health(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    const struct rc_control *control = control_of(context);
    const bool draining = exchange->exchanges->draining || rc_control_state(control) >= RC_BROKER_DRAINING;
    char body[512];
    (void)route;
    const int bytes = snprintf(
        body, sizeof(body),
        "{\"healthy\":%s,\"status\":\"%s\",\"overload\":\"%s\",\"instance\":\"%s\",\"workers\":%u,\"connections\":%llu,"
        "\"uptime_s\":%llu,\"timestamp\":%llu}\n",
        draining ? "false" : "true", draining ? "draining" : "ok", overload_of(control), control->instance_id,
        rc_workers_used(control->core, control->worker_count), total_of(control, RC_METRIC_CONNECTIONS),
        (unsigned long long)((rc_clock_ms() - control->boot_ms) / 1000), (unsigned long long)rc_clock_wall_ms());
    resource_answer(exchange, draining ? 503 : 200, "application/json", body, (size_t)bytes);
}

static void health_websocket(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    const struct rc_control *control = control_of(context);
    char body[256];
    (void)route;
    const int bytes = snprintf(
        body, sizeof(body), "{\"healthy\":true,\"connections\":{\"total\":%llu,\"users\":%llu},\"timestamp\":%llu}\n",
        total_of(control, RC_METRIC_CONNECTIONS), total_of(control, RC_METRIC_USERS),
        (unsigned long long)rc_clock_wall_ms());
    resource_answer(exchange, 200, "application/json", body, (size_t)bytes);
}

/* The relay's word, as long as it moves: one that is dead or stuck talks to no Redis either. */
static enum rc_redis_state redis_state(const struct rc_control *control, struct rc_redis_errors *errors)
{
    const enum rc_redis_state state = rc_redis_health_of(control->relay, errors);
    const uint64_t moved_ms = atomic_load_explicit(&control->relay->report.process.heartbeat_ms, memory_order_relaxed);
    if (atomic_load_explicit(&control->relay->report.process.state, memory_order_relaxed) != RC_PROCESS_READY ||
        moved_ms + RC_RELAY_SILENT_MS < rc_clock_ms()) {
        *errors = (struct rc_redis_errors){.lost = "the relay does not run"};
        return RC_REDIS_AWAY;
    }
    return state;
}

static const char *resource_quoted(char out[JSON_QUOTED_MAX], const char *text)
{
    out[rc_json_string_encode((uint8_t *)out, JSON_QUOTED_MAX - 1, rc_span_text(text))] = '\0';
    return out;
}

static void health_redis(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    struct rc_redis_errors errors = {.lost = ""};
    char lost[JSON_QUOTED_MAX];
    char latest[JSON_QUOTED_MAX];
    char body[2 * JSON_QUOTED_MAX + 128];
    const unsigned long long now_ms = (unsigned long long)rc_clock_wall_ms();
    const bool wanted = exchange->exchanges->config->redis.url.text[0] != '\0';
    const enum rc_redis_state state = wanted ? redis_state(control_of(context), &errors) : RC_REDIS_DISABLED;
    const bool good = !wanted || state == RC_REDIS_CONNECTED;
    int bytes;
    (void)route;
    if (good) {
        bytes = snprintf(body, sizeof(body), "{\"healthy\":true,\"redis\":\"%s\",\"timestamp\":%llu}\n",
                         wanted ? "connected" : "disabled", now_ms);
    } else {
        const bool more = errors.latest[0] != '\0';
        bytes =
            snprintf(body, sizeof(body), "{\"healthy\":false,\"redis\":\"%s\",\"error\":%s%s%s,\"timestamp\":%llu}\n",
                     state == RC_REDIS_REFUSED ? "refused" : "disconnected",
                     resource_quoted(lost, errors.lost[0] != '\0' ? errors.lost : "not connected yet"),
                     more ? ",\"latest_error\":" : "", more ? resource_quoted(latest, errors.latest) : "", now_ms);
    }
    resource_answer(exchange, good ? 200 : 503, "application/json", body, (size_t)bytes);
}

static void put_ago(struct rc_text *text, const char *name, uint64_t time_ms, uint64_t now_ms)
{
    if (time_ms == 0) {
        rc_text_put(text, ",\"%s\":null", name);
    } else {
        rc_text_put(text, ",\"%s\":%llu", name, (unsigned long long)(now_ms > time_ms ? now_ms - time_ms : 0));
    }
}

/* The backends, and Redis about sessions, as the processes that ask them found them at the last call. */
static void health_database(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    const uint64_t now_ms = rc_clock_ms();
    struct rc_text list = {0};
    struct rc_text text = {0};
    struct rc_backend_summary one;
    uint32_t count = 0;
    bool good = true;
    (void)route;
    for (uint32_t i = 0; i < RC_BACKENDS_MAX; i++) {
        if (!rc_backend_health_get(control_of(context), i, &one)) {
            continue;
        }
        rc_text_put(&list, "%s{\"backend\":", count++ == 0 ? "" : ",");
        rc_text_put_json(&list, rc_span_text(one.name));
        rc_text_put(&list, ",\"status\":\"%s\",\"failures\":%llu", one.failing ? "unhealthy" : "healthy",
                    (unsigned long long)one.failures);
        put_ago(&list, "last_success_ms", one.success_ms, now_ms);
        put_ago(&list, "last_failure_ms", one.failure_ms, now_ms);
        rc_text_put(&list, "}");
        good = good && !one.failing;
    }
    rc_text_put(
        &text, "{\"healthy\":%s,\"status\":\"%s\",\"backends\":[%.*s],\"timestamp\":%llu}\n", good ? "true" : "false",
        count == 0 ? "not_configured"
        : good     ? "healthy"
                   : "unhealthy",
        (int)list.count, list.bytes == NULL ? "" : (const char *)list.bytes, (unsigned long long)rc_clock_wall_ms());
    if (list.failed || text.failed) {
        no_memory(exchange);
    } else {
        resource_answer(exchange, good ? 200 : 503, "application/json", text.bytes, text.count);
    }
    rc_text_free(&list);
    rc_text_free(&text);
}

/* --- metrics --------------------------------------------------------------------------------------------------------- */

/* Whatever form it has: another Accept may get the other one (RFC 9110 12.5.5). */
static void metrics_answer(struct rc_exchange *exchange, const char *type, const char *body, size_t body_bytes)
{
    rc_exchange_answer(exchange, &(struct rc_exchange_answer){.status = 200,
                                                              .content_type = type,
                                                              .body = body,
                                                              .body_bytes = body_bytes,
                                                              .headers = "Vary: Accept\r\n"});
}

static void metrics_as_json(struct rc_api *api, struct rc_exchange *exchange)
{
    struct rc_text json = {0};
    if (rc_api_metrics_json(api, &json) < 0) {
        no_memory(exchange);
    } else {
        metrics_answer(exchange, "application/json", json.bytes, json.count);
    }
    rc_text_free(&json);
}

/* Files of certificates and of authorities, each once: a series has one value, also where several keys name the same file. */
struct expiries {
    uint32_t count;
    struct {
        const char *file; /* borrowed: of the configuration */
        int64_t not_after_s;
    } items[RC_CONFIG_LIST_MAX + RC_CONFIG_BACKENDS_MAX + 3];
};

/* 0: it has none. Without a file it is the system's affair. */
static void expiry_add(struct expiries *all, const char *file, int64_t not_after_s)
{
    uint32_t i = 0;
    if (file[0] == '\0' || not_after_s == 0) {
        return;
    }
    while (i < all->count && strcmp(all->items[i].file, file) != 0) {
        i++;
    }
    if (i == all->count) {
        RC_ASSERT(all->count < RC_ARRAY_COUNT(all->items));
        all->items[all->count].file = file;
        all->items[all->count++].not_after_s = not_after_s;
    } else if (not_after_s < all->items[i].not_after_s) {
        all->items[i].not_after_s = not_after_s;
    }
}

/* Of what this worker has loaded (all have loaded the same), and of the relay's. */
static void expiries_find(const struct rc_api *api, const struct rc_config *config, struct expiries *all)
{
    const struct rc_tls *tls = api->clients->io->tls;
    const struct rc_redis_health *redis = &api->clients->control->relay->redis_health;
    for (uint32_t i = 0; tls != NULL && i < config->tls.certificates.count; i++) {
        expiry_add(all, config->tls.certificates.items[i].text, rc_tls_not_after_s(tls, i));
    }
    if (tls != NULL) {
        expiry_add(all, config->tls.client_ca.text, rc_tls_authorities_not_after_s(tls));
    }
    expiry_add(all, config->redis.tls_certificate.text,
               (int64_t)atomic_load_explicit(&redis->certificate_not_after_s, memory_order_relaxed));
    expiry_add(all, config->redis.tls_ca.text,
               (int64_t)atomic_load_explicit(&redis->authorities_not_after_s, memory_order_relaxed));
    for (uint32_t i = 0; i < config->backend_count; i++) {
        expiry_add(all, config->backends[i].tls_ca.text,
                   rc_backends_authorities_not_after_s(api->clients->backends, i));
    }
}

static void certificates_render(const struct rc_api *api, const struct rc_config *config, struct rc_exposition *to)
{
    static const char name[] = "ringcast_certificate_not_after_seconds";
    struct expiries all = {0};
    expiries_find(api, config, &all);
    if (all.count > 0) {
        rc_exposition_family(
            to, name, "When a certificate, or the first authority of a file of them, expires, in seconds since 1970",
            "gauge");
    }
    for (uint32_t i = 0; i < all.count; i++) {
        char label[2 * RC_CONFIG_TEXT_MAX];
        rc_exposition_series(to, name, "certificate=\"%s\"",
                             rc_exposition_label(label, sizeof(label), all.items[i].file));
        rc_exposition_put(to, "%lld\n", (long long)all.items[i].not_after_s);
    }
}

static void metrics_render(const struct rc_api *api, const struct rc_config *config, struct rc_exposition *to)
{
    const struct rc_control *control = api->clients->control;
    struct rc_metrics_source sources[RC_WORKERS_MAX + 2];
    size_t count = 0;
    for (uint32_t i = 0; i < control->worker_count; i++) {
        if (rc_worker_was_used(control->core, i)) {
            sources[count++] =
                (struct rc_metrics_source){.bank = rc_banks_current(&control->workers[i]->banks), .worker = (int)i};
        }
    }
    sources[count++] =
        (struct rc_metrics_source){.bank = rc_banks_current(&control->relay->report.banks), .worker = RC_METRICS_RELAY};
    sources[count++] =
        (struct rc_metrics_source){.bank = rc_banks_current(&control->acceptor->banks), .worker = RC_METRICS_ACCEPTOR};
    rc_metrics_render(to, sources, count);
    rc_bridge_metrics_render(to, config, control->relay->bridges);
    rc_instance_metrics_render(to, control, config);
    certificates_render(api, config, to);
}

static void resource_metrics(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    const struct rc_control *control = control_of(context);
    const struct rc_config *config = exchange->exchanges->config;
    (void)route;
    static const char *const types[] = {"text/plain", "application/json"};
    if (rc_accept_choose(exchange->request, types, RC_ARRAY_COUNT(types)) == 1) {
        metrics_as_json(context, exchange);
        return;
    }
    /* Asked for a few times a minute: the buffer is not worth keeping. Counters grow meanwhile, hence the slack. */
    struct rc_exposition to = {.instance = control->instance_id, .labelled = config->http.metrics_instance_label};
    metrics_render(context, config, &to);
    to.capacity = to.bytes + 4096;
    to.bytes = 0;
    to.out = malloc(to.capacity);
    if (to.out == NULL) {
        no_memory(exchange);
        return;
    }
    metrics_render(context, config, &to);
    metrics_answer(exchange, "text/plain; version=0.0.4; charset=utf-8", to.out,
                   to.bytes < to.capacity ? to.bytes : to.capacity);
    free(to.out);
}

/* --- files ------------------------------------------------------------------------------------------------------------ */

/* A page of the broker itself goes with its script: it is asked for again each time, and most often answered 304. */
#define PAGE_CACHE "public, max-age=0"
/* The client speaks to every version of the broker, so that pages may have one of before. */
#define CLIENT_CACHE "public, max-age=300"

#define FILE_ROW(name, type, cache, lines)                                                                    \
    {                                                                                                         \
        .first = rc_asset_##name, .end = rc_asset_##name##_end, .gzip = rc_asset_##name##_gz,                 \
        .gzip_end = rc_asset_##name##_gz_end, .content_type = type, .cache_control = cache, .headers = lines, \
    }

/* The dashboard gets its own files and asks this host, and nobody else, whatever a channel or a user is called; nobody may frame it. */
#define ADMIN_LINES                                                                                                 \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src " \
    "'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n"

enum file_number { PAGE_FILE, CLIENT_FILE, ADMIN_PAGE_FILE, ADMIN_SCRIPT_FILE, ADMIN_STYLE_FILE, FILE_COUNT };

static const struct file_row {
    const char *first;
    const char *end;
    const char *gzip;
    const char *gzip_end;
    const char *content_type;
    const char *cache_control;
    const char *headers;
} files[FILE_COUNT] = {
    [PAGE_FILE] = FILE_ROW(page_html, "text/html; charset=utf-8", PAGE_CACHE, NULL),
    [CLIENT_FILE] = FILE_ROW(ringcast_js, "text/javascript; charset=utf-8", CLIENT_CACHE, NULL),
    [ADMIN_PAGE_FILE] = FILE_ROW(admin_html, "text/html; charset=utf-8", PAGE_CACHE, ADMIN_LINES),
    [ADMIN_SCRIPT_FILE] = FILE_ROW(admin_js, "text/javascript; charset=utf-8", PAGE_CACHE, ADMIN_LINES),
    [ADMIN_STYLE_FILE] = FILE_ROW(admin_css, "text/css; charset=utf-8", PAGE_CACHE, ADMIN_LINES),
};
static_assert(FILE_COUNT <= RC_API_FILES_MAX, "each has its place in struct rc_api");

static void files_open(struct rc_cached out[FILE_COUNT])
{
    for (size_t i = 0; i < FILE_COUNT; i++) {
        const struct file_row *row = &files[i];
        out[i] = (struct rc_cached){.bytes = rc_span_of(row->first, (size_t)(row->end - row->first)),
                                    .gzip = rc_span_of(row->gzip, (size_t)(row->gzip_end - row->gzip)),
                                    .content_type = row->content_type,
                                    .cache_control = row->cache_control,
                                    .headers = row->headers};
        rc_cached_open(&out[i]);
    }
}

static void resource_file(void *context, struct rc_exchange *exchange, const struct rc_route *route)
{
    const struct rc_api *api = context;
    const struct file_row *row = route->detail;
    rc_cached_answer(exchange, &api->files[row - files]);
}

/* --- routes ---------------------------------------------------------------------------------------------------------- */

static bool public_metrics(const struct rc_config_http *config)
{
    return config->public_metrics;
}

static bool public_page(const struct rc_config_http *config)
{
    return config->public_page;
}

/* The dashboard is for who comes through http.admin_listen, or from this machine, whatever the configuration says. */
static bool never_public(const struct rc_config_http *config)
{
    (void)config;
    return false;
}

#define ADMIN_FILE(at, number)                                                                                       \
    {                                                                                                                \
        .path = at, READ_ONLY, .run = resource_file, .detail = &files[number], .shown = never_public, .hidden = 404, \
        .why_hidden = "the dashboard is served at http.admin_listen, and to this machine"                            \
    }
#define READ_ONLY .methods = "GET, HEAD", .allow = "GET, HEAD, OPTIONS", .wrong = "this resource can only be read"

static const struct rc_route resource_routes[] = {
    {.path = "/",
     READ_ONLY,
     .run = resource_file,
     .detail = &files[PAGE_FILE],
     .shown = public_page,
     .hidden = 404,
     .why_hidden = "not found"},
    {.path = "/ringcast.js", READ_ONLY, .run = resource_file, .detail = &files[CLIENT_FILE]},
    ADMIN_FILE("/admin", ADMIN_PAGE_FILE),
    ADMIN_FILE("/admin.js", ADMIN_SCRIPT_FILE),
    ADMIN_FILE("/admin.css", ADMIN_STYLE_FILE),
    {.path = "/health", READ_ONLY, .run = resource_health},
    {.path = "/health/websocket", READ_ONLY, .run = health_websocket},
    {.path = "/health/redis", READ_ONLY, .run = health_redis},
    {.path = "/health/database", READ_ONLY, .run = health_database},
    {.path = "/metrics",
     READ_ONLY,
     .run = resource_metrics,
     .shown = public_metrics,
     .hidden = 403,
     .why_hidden = "metrics are not served on public listeners: set http.admin_listen or http.public_metrics"},
};

void rc_resources_add_routes(struct rc_api *api, struct rc_routes *routes)
{
    files_open(api->files);
    const struct rc_route_set set = {
        .below = "", .routes = resource_routes, .count = RC_ARRAY_COUNT(resource_routes), .context = api};
    rc_routes_add(routes, &set);
}
