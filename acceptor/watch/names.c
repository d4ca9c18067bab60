/* names: see names.h. */
#include "acceptor/watch/names.h"

#include <stdio.h>
#include <string.h>

#include "acceptor/watch/supervisor.h"
#include "common/base/log.h"
#include "common/config/backend.h"

static uint32_t generation_of(const struct rc_supervisor *supervisor)
{
    return atomic_load_explicit(&supervisor->broker.segments.configs->generation, memory_order_relaxed);
}

static bool host_same(const struct rc_host *host, struct rc_span name)
{
    return rc_span_equal(rc_span_text(host->name), name);
}

/* The names of a configuration, with the addresses that they had before. */
static void names_collect(struct rc_names *names, const struct rc_config *config)
{
    static struct rc_host before[RC_HOSTS_MAX]; /* too large for the stack; used within this call only */
    const uint32_t before_count = names->count;
    memcpy(before, names->hosts, before_count * sizeof(before[0]));
    memset(names->hosts, 0, sizeof(names->hosts));
    names->count = 0;
    for (uint32_t i = 0; i < config->backend_count; i++) {
        for (uint32_t n = 0; n < config->backends[i].url_count; n++) {
            struct rc_backend_url url;
            struct rc_address address;
            struct rc_err err;
            if (rc_backend_url_parse(&url, config->backends[i].urls[n].text, &err) < 0 ||
                url.scheme == RC_BACKEND_UNIX ||
                rc_address_parse(&address, (const char *)url.host.bytes, url.host.count)) {
                continue;
            }
            bool known = false;
            for (uint32_t k = 0; k < names->count; k++) {
                known |= host_same(&names->hosts[k], url.host);
            }
            if (known) {
                continue;
            }
            struct rc_host *host = &names->hosts[names->count++];
            for (uint32_t k = 0; k < before_count; k++) {
                if (host_same(&before[k], url.host)) {
                    *host = before[k];
                }
            }
            memcpy(host->name, url.host.bytes, url.host.count);
        }
    }
}

static void host_failed(const struct rc_host *host, const char *why)
{
    rc_log_warn("name_not_resolved", "name=\"%s\" reason=\"%s\" effect=\"%s\"", host->name, why,
                host->count > 0 ? "the former addresses stay" : "backends there cannot be reached");
}

static void host_take(struct rc_host *host, const struct rc_resolved *found)
{
    host->count = 0;
    for (uint32_t i = 0; i < found->count && host->count < RC_HOST_ADDRESSES_MAX; i++) {
        if (rc_address_from_socket(&host->addresses[host->count], (const struct sockaddr *)&found->items[i].address)) {
            host->count++;
        }
    }
}

/* Takes what has ended. True: something has. */
static bool names_take(struct rc_names *names, uint64_t now_ms)
{
    bool ended = false;
    for (uint32_t i = 0; i < names->count; i++) {
        struct rc_resolved found;
        const char *why;
        if (names->lookups[i] == NULL || !rc_resolve_take(names->lookups[i], &found, &why)) {
            continue;
        }
        rc_resolve_drop(names->lookups[i]);
        names->lookups[i] = NULL;
        names->again_ms[i] = now_ms + RC_NAMES_AGAIN_MS;
        ended = true;
        if (found.count > 0) {
            host_take(&names->hosts[i], &found);
        } else {
            host_failed(&names->hosts[i], why);
        }
    }
    return ended;
}

/* Begins those that are due, and says when there is something to do next. */
static void names_begin(struct rc_names *names, uint64_t now_ms)
{
    names->due_ms = UINT64_MAX;
    for (uint32_t i = 0; i < names->count; i++) {
        if (names->lookups[i] == NULL && names->again_ms[i] <= now_ms) {
            names->lookups[i] = rc_resolve_start(names->hosts[i].name, 0);
            if (names->lookups[i] == NULL) {
                names->again_ms[i] = now_ms + RC_NAMES_AGAIN_MS;
                host_failed(&names->hosts[i], "no memory, or no thread");
            }
        }
        const uint64_t due_ms = names->lookups[i] != NULL ? now_ms + RC_NAMES_POLL_MS : names->again_ms[i];
        names->due_ms = due_ms < names->due_ms ? due_ms : names->due_ms;
    }
}

static void names_drop(struct rc_names *names)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (names->lookups[i] != NULL) {
            rc_resolve_drop(names->lookups[i]);
            names->lookups[i] = NULL;
        }
    }
}

void rc_names_progress(struct rc_supervisor *supervisor)
{
    struct rc_names *names = &supervisor->names;
    const uint32_t generation = generation_of(supervisor);
    if (!names->begun || names->generation != generation) {
        names_drop(names);
        names_collect(names, rc_segments_config(&supervisor->broker.segments));
        memset(names->again_ms, 0, sizeof(names->again_ms));
        names->begun = true;
        names->generation = generation;
        names->due_ms = 0;
    }
    if (names->due_ms > supervisor->now_ms) {
        return;
    }
    if (names_take(names, supervisor->now_ms)) {
        rc_hosts_write(&rc_broker_core(&supervisor->broker)->hosts, names->hosts, names->count);
        rc_broker_ring_all(&supervisor->broker);
    }
    names_begin(names, supervisor->now_ms);
}

uint64_t rc_names_due_ms(const struct rc_supervisor *supervisor)
{
    return supervisor->names.due_ms;
}

void rc_names_close(struct rc_supervisor *supervisor)
{
    names_drop(&supervisor->names);
}
