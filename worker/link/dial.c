/* dial: links: made, proved, kept alive, ended, made anew. See links.h and link_io.h. */
#include "worker/link/links.h"
#include "worker/link/opening.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/metrics/backend_health.h"
#include "common/shm/worker_use.h"
#include "common/tls/context.h"
#include "worker/backend/addresses.h"
#include "worker/link/link_io.h"

#define DIAL_CONNECT_MS 2000u
#define DIAL_GREET_MS 10000u /* from the connection to READY */
#define DIAL_WAIT_MAX_MS 5000u
#define DIAL_LINGER_MS 1000u /* for its last frame to leave */
#define DIAL_LINGER_LOOK_MS 10u
#define DIAL_PING_MS 10000u /* nothing came for so long: is it there? */
#define DIAL_DEAD_MS 60000u /* nothing came for so long: it is not */
#define DIAL_LOOK_MS 1000u  /* how often that is looked at */

/* --- ending ---------------------------------------------------------------------------------------------------------- */

/* Nothing of it is in flight any more. */
static void link_free(struct rc_links *links, struct rc_link *link)
{
    struct rc_link_table *table = link->table;
    struct rc_link_target *target = rc_link_target_of(link);
    RC_ASSERT(link->conns == 0 && table->links > 0);
    if (target != NULL) {
        target->link = 0;
        target->next_ms = rc_links_now_ms(links) + target->wait_ms;
        target->wait_ms = target->wait_ms * 2 < DIAL_WAIT_MAX_MS ? target->wait_ms * 2 : DIAL_WAIT_MAX_MS;
    }
    table->links--;
    free(link->input);
    free(link->waiting.items);
    *link = (struct rc_link){.generation = link->generation + 1, .socket = RC_SOCKET_NONE};
    links->due = true;
}

/* It is over, or could not be begun. */
static void link_log(struct rc_links *links, struct rc_link *link)
{
    struct rc_link_target *target = rc_link_target_of(link);
    if (link->logged) {
        return;
    }
    if (link->state == RC_LINK_IS_READY) {
        rc_log_warn("link_lost", "backend=\"%s\" url=\"%s\" process=\"%s\" connections=%u reason=\"%s\"",
                    link->table->config.name.text, rc_link_url(link), link->ready.process, link->conns, link->why);
    } else if (target == NULL) {
        rc_log_limited(RC_LOG_WARN, 1, "link_not_taken", "backend=\"%s\" url=\"%s\" reason=\"%s\"",
                       link->table->config.name.text, rc_link_url(link), link->why);
    } else if (!target->failing) {
        target->failing = true;
        rc_log_warn("link_not_made", "backend=\"%s\" url=\"%s\" reason=\"%s\" effect=\"it is dialled again\"",
                    link->table->config.name.text, rc_link_url(link), link->why);
    }
    if (target != NULL ||
        link->state == RC_LINK_IS_READY) { /* a stranger says nothing of how it stands with the backend */
        rc_link_note(links, link->table, false);
    }
    link->logged = true;
}

/* What was noted is done: its connections end, then it. */
static void link_settle(struct rc_links *links, struct rc_link *link)
{
    link_log(links, link);
    if (link->state == RC_LINK_IS_READY) {
        link->state = RC_LINK_GREETING; /* nothing goes there any more */
        link->deadline_ms = rc_links_now_ms(links) + DIAL_LINGER_MS;
        links->ready--;
        rc_link_count(links, link, RC_LINK_NUMBER_LINKS_LOST, 1);
        rc_links_gauge(links);
        rc_link_bus_left(links, link);
        rc_link_conns_lost(links, link);
        rc_link_conns_go_on(links, link); /* as those of whoever has them now */
    }
    if (link->socket == RC_SOCKET_NONE) {
        if (link->state != RC_LINK_CONNECTING) {
            link_free(links, link);
        }
    } else if (link->told && rc_hub_unsent_on(links->clients->hub, link->socket) > 0 &&
               rc_links_now_ms(links) < link->deadline_ms) {
        links->ending = true;
    } else {
        rc_io_terminate(links->clients->io, link->socket); /* rc_link_terminated */
    }
}

/* --- making ---------------------------------------------------------------------------------------------------------- */

static struct rc_link *link_alloc(struct rc_links *links, struct rc_link_table *table, uint32_t target)
{
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link *link = &links->links[i];
        if (link->state == RC_LINK_FREE) {
            *link = (struct rc_link){.state = RC_LINK_CONNECTING,
                                     .generation = link->generation,
                                     .table = table,
                                     .target = target,
                                     .socket = RC_SOCKET_NONE};
            if (target != RC_LINK_NO_TARGET) {
                table->targets[target].link = i + 1;
            }
            table->links++;
            return link;
        }
    }
    return NULL;
}

/* In a token of io's. */
static uint64_t link_token(const struct rc_links *links, const struct rc_link *link)
{
    return (uint64_t)link->generation << 32 | RC_LINK_TOKEN | (uint64_t)(link - links->links);
}

static void link_dial(struct rc_links *links, struct rc_link_table *table, uint32_t at)
{
    struct rc_link_target *target = &table->targets[at];
    struct rc_link *link = link_alloc(links, table, at);
    if (link == NULL) {
        return; /* those of a former configuration end first */
    }
    const int rc = rc_io_connect(links->clients->io, (const struct sockaddr *)&target->name, target->name_bytes,
                                 DIAL_CONNECT_MS, link_token(links, link), (const uint8_t *)"", 0);
    if (rc < 0) {
        link->state = RC_LINK_ASKING;
        rc_link_end(links, link, strerror(-rc));
    }
}

static void link_ask(struct rc_links *links, struct rc_link *link)
{
    const struct rc_link_target *target = rc_link_target_of(link);
    const struct rc_backend_url *url = &link->table->urls[target->url];
    const struct rc_span host = url->scheme == RC_BACKEND_UNIX ? RC_SPAN("localhost") : url->host;
    struct rc_text text = {0};
    link->state = RC_LINK_ASKING;
    link->deadline_ms = rc_links_now_ms(links) + DIAL_GREET_MS;
    rc_link_nonce(link->nonces.broker);
    rc_link_request_write(&text, url->target, host, links->control->instance_id, links->clients->worker,
                          link->nonces.broker);
    if (text.failed || rc_hub_answer(links->clients->hub, link->socket, text.bytes, (uint32_t)text.count) < 0) {
        rc_link_end(links, link, "no memory for the request");
    }
    rc_text_free(&text);
}

/* --- taking ---------------------------------------------------------------------------------------------------------- */

int rc_links_may_take(struct rc_links *links, struct rc_span backend)
{
    struct rc_link *oldest = NULL;
    uint32_t dialled = 0;
    uint32_t strange = 0;
    if (links->table == NULL ||
        (backend.count > 0 && !rc_span_equal(backend, rc_span_text(links->table->config.name.text)))) {
        return -ENOENT;
    }
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link *link = &links->links[i];
        if (link->state == RC_LINK_FREE || link->target != RC_LINK_NO_TARGET || link->why != NULL) {
            continue;
        }
        dialled++;
        strange += link->state != RC_LINK_IS_READY;
        if ((link->state == RC_LINK_ASKING || link->state == RC_LINK_GREETING) &&
            (oldest == NULL || link->deadline_ms < oldest->deadline_ms)) {
            oldest = link;
        }
    }
    if (dialled < RC_LINKS_DIALLED_MAX && strange < RC_LINKS_STRANGE_MAX) {
        return 0;
    }
    if (oldest == NULL) {
        return -ENOSPC;
    }
    rc_link_end(links, oldest, "others come to prove who they are"); /* who can has done so by now */
    return 0;
}

int rc_links_take(struct rc_links *links, int fd, struct rc_span bytes, const struct rc_address *peer)
{
    const struct rc_handover from = {.listener = RC_SOCKET_MADE_HERE};
    int rc = rc_links_may_take(links, (struct rc_span){0});
    struct rc_link *link = rc < 0 ? NULL : link_alloc(links, links->table, RC_LINK_NO_TARGET);
    if (link == NULL) {
        return rc < 0 ? rc : -ENOSPC;
    }
    const size_t at = (size_t)snprintf(link->from, sizeof(link->from), "from ");
    (void)rc_address_format(link->from + at, peer);
    link->input = malloc(bytes.count + 1);
    link->input_capacity = bytes.count + 1;
    const int own = link->input == NULL ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    rc = link->input == NULL ? -ENOMEM : own < 0 ? -errno : 0;
    if (rc == 0) {
        memcpy(link->input, bytes.bytes, bytes.count);
        link->input_count = bytes.count;
        rc = rc_io_place(links->clients->io, own, &from, link_token(links, link));
    }
    if (rc < 0) {
        if (own >= 0) {
            (void)close(own);
        }
        link_free(links, link);
    }
    return rc;
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

static void target_add(void *context, uint32_t url, const void *name, socklen_t bytes)
{
    struct rc_link_table *table = context;
    uint32_t place = table->target_count;
    for (uint32_t i = 0; i < table->target_count; i++) {
        struct rc_link_target *target = &table->targets[i];
        if (target->url == url && target->name_bytes == bytes && memcmp(&target->name, name, bytes) == 0) {
            target->gone = false;
            return;
        }
        if (target->gone && target->link == 0) {
            place = i;
        }
    }
    if (place == RC_LINK_TARGETS_MAX) {
        rc_log_limited(RC_LOG_WARN, 1, "link_targets_max", "backend=\"%s\" reason=\"it has more than %u addresses\"",
                       table->config.name.text, RC_LINK_TARGETS_MAX);
        return;
    }
    struct rc_link_target *target = &table->targets[place];
    *target = (struct rc_link_target){.name_bytes = bytes, .url = url, .wait_ms = RC_LINK_WAIT_MIN_MS};
    memcpy(&target->name, name, bytes);
    table->target_count += place == table->target_count;
}

static void table_find_targets(struct rc_links *links, struct rc_link_table *table)
{
    for (uint32_t i = 0; i < table->target_count; i++) {
        table->targets[i].gone = true;
    }
    rc_backend_addresses_each(&links->control->core->hosts, table->urls, table->config.url_count, target_add, table);
}

static void table_free(struct rc_link_table *table)
{
    SSL_CTX_free(table->tls);
    free(table);
}

/* NULL: no memory, or its authorities cannot be read (logged): it is as one that cannot be reached. */
static struct rc_link_table *table_new(struct rc_links *links, const struct rc_config_backend *config, uint32_t index)
{
    struct rc_link_table *table = calloc(1, sizeof(*table));
    struct rc_err err = {.text = "no memory"};
    bool good = table != NULL;
    bool tls = false;
    if (good) {
        table->config = *config;
        table->index = index;
    }
    for (uint32_t i = 0; good && i < config->url_count; i++) {
        good = rc_backend_url_parse(&table->urls[i], table->config.urls[i].text, &err) == 0;
        tls |= table->urls[i].scheme == RC_BACKEND_HTTPS;
    }
    if (good && tls) {
        good = rc_tls_client_context_open(&table->tls, "tls_ca", config->tls_ca.text, &err) == 0;
    }
    if (!good) {
        rc_log_error("backend_not_opened", "backend=\"%s\" reason=\"%s\" effect=\"it is not dialled\"",
                     config->name.text, err.text);
        if (table != NULL) {
            table_free(table);
        }
        return NULL;
    }
    table->next = links->all;
    links->all = table;
    table_find_targets(links, table);
    return table;
}

static void table_renew_tls(struct rc_link_table *table)
{
    struct rc_err err;
    if (rc_tls_client_context_renew(&table->tls, "tls_ca", table->config.tls_ca.text, &err) < 0) {
        rc_log_error("backend_tls_refused",
                     "backend=\"%s\" reason=\"%s\" remedy=\"correct the file and reload: the former one is in use\"",
                     table->config.name.text, err.text);
    }
}

static void tables_adopt(struct rc_links *links, const struct rc_config *config)
{
    const char *name = config->socketio.link.text;
    const int index = name[0] == '\0' ? -1 : rc_backend_find(config, rc_span_text(name));
    links->config = config;
    if (index >= 0 && links->table != NULL &&
        memcmp(&links->table->config, &config->backends[index], sizeof(links->table->config)) == 0) {
        links->table->index = (uint32_t)index;
        rc_links_rows_adopt(links);
        table_renew_tls(links->table);
        return;
    }
    if (links->table != NULL) {
        links->table->retired = true;
        for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
            if (links->links[i].table == links->table) {
                rc_link_end(links, &links->links[i], "the configuration of its backend has changed");
            }
        }
    }
    links->table = index < 0 ? NULL : table_new(links, &config->backends[index], (uint32_t)index);
    links->unopened = index >= 0 && links->table == NULL ? (uint32_t)index + 1 : 0;
    rc_links_rows_adopt(links);
    links->due = true;
}

/* It is never dialled: nobody else finds out. Not where it is found: the report is a predecessor's until this process has taken over, which goes on
 * with it if this one is refused. */
static void table_tell_unopened(struct rc_links *links)
{
    if (links->unopened != 0) {
        rc_backend_health_note(links->control->own, links->unopened - 1, false);
        links->unopened = 0;
    }
}

static void tables_free_retired(struct rc_links *links)
{
    for (struct rc_link_table **at = &links->all; *at != NULL;) {
        struct rc_link_table *table = *at;
        if (table->retired && table->links == 0) {
            *at = table->next;
            table_free(table);
        } else {
            at = &table->next;
        }
    }
}

/* --- the room -------------------------------------------------------------------------------------------------------- */

struct rc_links *rc_links_open(struct rc_clients *clients, struct rc_engines *engines, const struct rc_config *config)
{
    struct rc_links *links = calloc(1, sizeof(*links));
    if (links == NULL || rc_hashmap_init(&links->sids, 0, RC_HASHMAP_COUNT_MAX) < 0 ||
        rc_hashmap_init(&links->nsps, 0, RC_LINKS_MAX * RC_LINK_ADAPTERS_MAX) < 0) {
        if (links != NULL) {
            rc_hashmap_free(&links->sids);
        }
        free(links);
        return NULL;
    }
    links->clients = clients;
    links->engines = engines;
    links->control = clients->control;
    TAILQ_INIT(&links->questions);
    links->conn_count = clients->truth->clients.count_max + 1;
    links->conns = calloc(links->conn_count, sizeof(*links->conns));
    links->marks = calloc(links->conn_count, 1);
    links->hosts_revision = rc_hosts_revision(&links->control->core->hosts);
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        links->links[i].socket = RC_SOCKET_NONE;
    }
    if (links->conns == NULL || links->marks == NULL) {
        rc_links_close(links);
        return NULL;
    }
    engines->link = (struct rc_engine_link){.context = links,
                                            .message = rc_link_conn_message,
                                            .gone = rc_link_opening_gone,
                                            .upgraded = rc_link_conn_upgraded};
    tables_adopt(links, config);
    return links;
}

void rc_links_close(struct rc_links *links)
{
    if (links == NULL) {
        return;
    }
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        free(links->links[i].input);
        free(links->links[i].waiting.items);
    }
    while (links->all != NULL) {
        struct rc_link_table *table = links->all;
        links->all = table->next;
        table_free(table);
    }
    for (uint32_t i = 0; links->conns != NULL && i < links->conn_count; i++) {
        free(links->conns[i].unit);
    }
    rc_link_recovery_close(links);
    rc_hashmap_free(&links->sids);
    rc_hashmap_free(&links->nsps);
    free(links->conns);
    free(links->marks);
    free(links->adapters);
    free(links->leaving);
    free(links->full.items);
    free(links->away.items);
    free(links->holding.items);
    free(links->unheld.items);
    free(links->chosen.items);
    free(links);
}

void rc_links_reconfigure(struct rc_links *links, const struct rc_config *config)
{
    tables_adopt(links, config);
    table_tell_unopened(links);
}

void rc_links_rebuild(struct rc_links *links)
{
    const struct rc_truth *truth = links->clients->truth;
    rc_lines_rebuild(links);
    rc_link_members_rebuild(links);
    rc_links_shares_rebuild(links);
    rc_resume_rebuild(links);
    for (uint32_t i = 1; i <= links->clients->hub->clients_high; i++) {
        const struct rc_client *client = rc_truth_client(truth, i);
        if (client->random != 0 && client->state == RC_CLIENT_OPEN && rc_link_conn_of(links, i)->id == 0 &&
            rc_codec_is_link(rc_encoding_codec(client->encoding))) {
            rc_hub_cut_off(links->clients->hub, i);
        }
    }
    links->due = true;
}

static void targets_dial(struct rc_links *links, struct rc_link_table *table)
{
    const uint64_t now = rc_links_now_ms(links);
    for (uint32_t i = 0; i < table->target_count; i++) {
        const struct rc_link_target *target = &table->targets[i];
        if (target->link == 0 && !target->gone && target->next_ms <= now) {
            link_dial(links, table, i);
        } else if (target->link != 0 && target->gone) {
            rc_link_end(links, &links->links[target->link - 1], "its name has other addresses now");
        }
    }
}

/* There are more workers than it was told, or fewer: who dials wants a link to each. */
static void link_tell_workers(struct rc_links *links, struct rc_link *link)
{
    const uint32_t workers = rc_workers_used(links->control->core, links->control->worker_count);
    char text[RC_LINK_PING_MAX];
    if (workers == link->workers_told) {
        return;
    }
    link->workers_told = workers;
    (void)snprintf(text, sizeof(text), "{\"workers\":%u}", workers);
    (void)rc_link_send(links, link, RC_LINK_PING, 0, 0, rc_span_text(text), (struct rc_span){0});
}

/* Is it there still? */
static void link_watch(struct rc_links *links, struct rc_link *link)
{
    const uint64_t now = rc_links_now_ms(links);
    if (link->state == RC_LINK_IS_READY && !link->stalled) {
        link_tell_workers(links, link);
        if (now - link->heard_ms >= DIAL_DEAD_MS) {
            rc_link_end(links, link, "nothing came from it for a minute");
        } else if (now - link->heard_ms >= DIAL_PING_MS && !link->pinged) {
            link->pinged = true;
            (void)rc_link_send(links, link, RC_LINK_PING, 0, 0, (struct rc_span){0}, (struct rc_span){0});
        }
    } else if (link->deadline_ms != 0 && now >= link->deadline_ms) {
        rc_link_end(links, link, "no READY within ten seconds");
    }
}

void rc_links_work(struct rc_links *links)
{
    table_tell_unopened(links);
    if (links->all == NULL && links->apart == 0) {
        links->due = false; /* or who has no links would never sleep */
        return;
    }
    const uint32_t revision = rc_hosts_revision(&links->control->core->hosts);
    if (revision != links->hosts_revision && links->table != NULL) {
        links->hosts_revision = revision;
        table_find_targets(links, links->table);
    }
    links->due = links->ending = links->telling = false;
    rc_link_rooms_settle(links);
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        struct rc_link *link = &links->links[i];
        if (link->state == RC_LINK_FREE) {
            continue;
        }
        link_watch(links, link);
        if (link->why == NULL && link->state != RC_LINK_CONNECTING && link->input_at < link->input_count) {
            rc_link_receive(links, link);
        }
        if (link->eof_why != NULL && !link->stalled) {
            rc_link_end(links, link, link->eof_why);
        }
        rc_line_tell(links, link);
        if (link->why == NULL && link->waiting.count > 0 && rc_link_has_room(links, link)) {
            rc_link_conns_go_on(links, link);
        }
        if (link->why != NULL) {
            link_settle(links, link);
        }
    }
    rc_link_bus_work(links);
    rc_resume_work(links);
    rc_link_recovery_work(links);
    rc_link_conns_writable(links);
    tables_free_retired(links);
    if (links->table != NULL && !links->clients->io->parking && !links->clients->draining) {
        targets_dial(links, links->table);
    }
}

uint32_t rc_links_sleep_ms(const struct rc_links *links, uint32_t wait_ms)
{
    if (links->due || rc_link_conns_ready(links) || rc_link_bus_ready(links)) {
        return 0;
    }
    wait_ms = rc_resume_sleep_ms(links, wait_ms);
    wait_ms = links->telling && wait_ms > RC_LINE_TELL_MS ? RC_LINE_TELL_MS : wait_ms;
    wait_ms = links->ending && wait_ms > DIAL_LINGER_LOOK_MS ? DIAL_LINGER_LOOK_MS : wait_ms;
    const uint64_t now = rc_links_now_ms(links);
    for (uint32_t i = 0; links->table != NULL && i < links->table->target_count; i++) {
        const struct rc_link_target *target = &links->table->targets[i];
        if (target->link == 0 && !target->gone) {
            const uint64_t left = target->next_ms > now ? target->next_ms - now : 1;
            wait_ms = left < wait_ms ? (uint32_t)left : wait_ms;
        }
    }
    for (const struct rc_link_table *table = links->all; table != NULL; table = table->next) {
        wait_ms = table->links > 0 && wait_ms > DIAL_LOOK_MS ? DIAL_LOOK_MS : wait_ms;
    }
    return wait_ms;
}

/* --- what io tells --------------------------------------------------------------------------------------------------- */

void rc_link_connected(struct rc_links *links, const struct rc_io_connect *connect, int fd, int error)
{
    struct rc_link *link = &links->links[(uint32_t)connect->token & ~RC_LINK_TOKEN];
    RC_ASSERT(link->state == RC_LINK_CONNECTING && link->generation == (uint32_t)(connect->token >> 32));
    if (fd >= 0 && link->why != NULL) { /* it is not wanted any more */
        (void)close(fd);
        error = -ECANCELED;
    } else if (fd >= 0) {
        const struct rc_handover from = {.listener = RC_SOCKET_MADE_HERE};
        error = rc_io_place(links->clients->io, fd, &from, connect->token);
        if (error < 0) {
            (void)close(fd);
        }
    }
    if (error < 0) {
        link->state = RC_LINK_ASKING;
        links->due = true;
        rc_link_end(links, link, error == -ECANCELED ? "no connection in time" : strerror(-error));
    }
}

void rc_link_placed(struct rc_links *links, const struct rc_io_place *place, uint32_t socket)
{
    struct rc_link *link = &links->links[(uint32_t)place->token & ~RC_LINK_TOKEN];
    RC_ASSERT(link->state == RC_LINK_CONNECTING && link->generation == (uint32_t)(place->token >> 32));
    if (socket == RC_SOCKET_NONE) {
        link->state = RC_LINK_ASKING;
        rc_link_end(links, link, "no room for its socket");
        return;
    }
    const struct rc_link_target *target = rc_link_target_of(link);
    const struct rc_backend_url *url = target == NULL ? NULL : &link->table->urls[target->url];
    link->socket = socket;
    links->clients->truth->sockets[socket].exchange = RC_LINK_SOCKET | (uint32_t)(link - links->links);
    if (link->why != NULL || url == NULL) { /* what it asks for is there, or comes */
        link->state = RC_LINK_ASKING;
        link->deadline_ms = rc_links_now_ms(links) + DIAL_GREET_MS;
        links->due = true;
        return;
    }
    if (url->scheme == RC_BACKEND_HTTPS) {
        char host[RC_CONFIG_TEXT_MAX];
        (void)snprintf(host, sizeof(host), "%.*s", (int)url->host.count, (const char *)url->host.bytes);
        if (rc_io_tls_connect(links->clients->io, socket, link->table->tls, host) < 0) {
            link->state = RC_LINK_ASKING;
            rc_link_end(links, link, "no memory for TLS");
            return;
        }
        if (link->socket != socket) {
            return; /* it has ended already */
        }
    }
    link_ask(links, link);
}

static struct rc_link *link_of_socket(struct rc_links *links, uint32_t socket)
{
    const uint32_t index = links->clients->truth->sockets[socket].exchange & ~RC_LINK_SOCKET;
    RC_ASSERT(index < RC_LINKS_MAX && links->links[index].socket == socket);
    return &links->links[index];
}

void rc_link_received(struct rc_links *links, uint32_t socket, const uint8_t *bytes, uint32_t count)
{
    struct rc_link *link = link_of_socket(links, socket);
    if (link->why != NULL) {
        return;
    }
    link->heard_ms = rc_links_now_ms(links);
    link->pinged = false;
    if (link->input_at > 0) {
        link->input_count -= link->input_at;
        memmove(link->input, link->input + link->input_at, link->input_count);
        link->input_at = 0;
    }
    if (link->input_count + count > link->input_capacity) {
        size_t capacity = link->input_capacity == 0 ? 65536 : link->input_capacity * 2;
        while (capacity < link->input_count + count) {
            capacity *= 2;
        }
        uint8_t *larger = realloc(link->input, capacity);
        if (larger == NULL) {
            rc_metric_add(links->clients->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
            rc_link_end(links, link, "no memory for what it sends");
            return;
        }
        link->input = larger;
        link->input_capacity = capacity;
    }
    memcpy(link->input + link->input_count, bytes, count);
    link->input_count += count;
    links->due = true;
    if (link->stalled && !link->paused) {
        link->paused = true;
        rc_io_pause(links->clients->io, socket);
    }
}

void rc_link_ended(struct rc_links *links, uint32_t socket, int error)
{
    struct rc_link *link = link_of_socket(links, socket);
    const bool handshake = links->clients->truth->sockets[socket].mode == RC_IO_TLS_HANDSHAKE;
    link->eof_why = handshake    ? "the TLS handshake failed: is its certificate for this name, and by tls_ca?"
                    : error == 0 ? "it has closed the connection"
                                 : "the connection is broken";
    links->due = true;
}

void rc_link_terminated(struct rc_links *links, uint32_t socket)
{
    struct rc_link *link = link_of_socket(links, socket);
    rc_link_end(links, link, "the connection has ended");
    links->clients->truth->sockets[socket].exchange = 0;
    rc_hub_answers_release(links->clients->hub, socket);
    link->socket = RC_SOCKET_NONE;
    links->due = true;
}
