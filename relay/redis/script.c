/* script: see script.h. */
#include "relay/redis/script.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "relay/redis/link_state.h"
#include "relay/redis/publish.h"
#include "relay/redis/topology/slot.h"
#include "relay/redis/topology/topology.h"

int rc_redis_scripts_open(struct rc_redis_link *link, struct rc_redis_script *script,
                          const struct rc_redis_script_ops *ops)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int bytes = 0;
    if (EVP_Digest(script->text, strlen(script->text), digest, &bytes, EVP_sha1(), NULL) != 1 ||
        bytes * 2 + 1 != RC_REDIS_SHA1_TEXT) {
        return -EINVAL;
    }
    for (unsigned int i = 0; i < bytes; i++) {
        (void)snprintf(script->sha1 + (size_t)i * 2, 3, "%02x", digest[i]);
    }
    link->by_shard |= link->topology->outbox != NULL;
    link->script_ops = *ops;
    script->next = link->scripts;
    link->scripts = script;
    return 0;
}

void rc_redis_scripts_load(const struct rc_redis_link *link, struct rc_redis_conn *conn)
{
    for (const struct rc_redis_script *script = link->scripts; script != NULL; script = script->next) {
        const struct rc_span argv[] = {RC_SPAN("SCRIPT"), RC_SPAN("LOAD"), rc_span_text(script->text)};
        (void)rc_redis_conn_command(conn, NULL, NULL, RC_ARRAY_COUNT(argv), argv); /* else NOSCRIPT asks for it */
    }
}

static size_t run_digits(size_t value)
{
    size_t digits = 1;
    for (; value >= 10; value /= 10) {
        digits++;
    }
    return digits;
}

static size_t bulk_bytes(size_t count)
{
    return 1 + run_digits(count) + 2 + count + 2;
}

static char *run_put(char *out, const void *bytes, size_t count)
{
    if (count > 0) {
        memcpy(out, bytes, count);
    }
    return out + count;
}

static char *put_bulk(char *out, struct rc_span text)
{
    out = run_put(rc_redis_format_head(out, '$', text.count), text.bytes, text.count);
    return run_put(out, "\r\n", 2);
}

/* EVALSHA as an entry that is in no outbox yet. 0, -EMSGSIZE or -ENOMEM. */
static int make_run(struct rc_redis_link *link, const struct rc_redis_run *run, struct rc_redis_entry **made)
{
    char keys[12];
    const size_t prefix = strlen(link->config.prefix.text);
    const size_t argc = 4u + run->arg_count;
    size_t last = 0;
    RC_ASSERT(run->arg_count <= RC_REDIS_RUN_ARGS_MAX && run->part_count <= RC_REDIS_RUN_PARTS_MAX &&
              run->key_count > 0 && run->channel < run->arg_count && run->token != 0);
    for (uint32_t i = 0; i < run->part_count; i++) {
        last += run->parts[i].count;
    }
    (void)snprintf(keys, sizeof(keys), "%u", run->key_count);
    size_t bytes = 1 + run_digits(argc) + 2 + bulk_bytes(7) + bulk_bytes(RC_REDIS_SHA1_TEXT - 1) +
                   bulk_bytes(strlen(keys)) + bulk_bytes(last);
    for (uint32_t i = 0; i < run->arg_count; i++) {
        bytes += bulk_bytes(run->args[i].count);
    }
    if (bytes > UINT32_MAX / 2) {
        return -EMSGSIZE;
    }
    struct rc_redis_entry *entry = rc_redis_entry_new(bytes, rc_redis_slot(run->args[0]), rc_clock_ms());
    if (entry == NULL) {
        return -ENOMEM;
    }
    char *out = put_bulk(rc_redis_format_head(entry->command, '*', argc), RC_SPAN("EVALSHA"));
    out = put_bulk(put_bulk(out, rc_span_text(run->script->sha1)), rc_span_text(keys));
    for (uint32_t i = 0; i < run->arg_count; i++) {
        char *next = put_bulk(out, run->args[i]);
        if (i == run->channel) {
            entry->name_at = (uint16_t)((size_t)(next - entry->command) - 2 - run->args[i].count + prefix);
            entry->name_bytes = (uint16_t)(run->args[i].count - prefix);
        }
        out = next;
    }
    out = rc_redis_format_head(out, '$', last);
    for (uint32_t i = 0; i < run->part_count; i++) {
        out = run_put(out, run->parts[i].bytes, run->parts[i].count);
    }
    out = run_put(out, "\r\n", 2);
    RC_ASSERT((size_t)(out - entry->command) == bytes);
    entry->order = ++link->order;
    entry->token = run->token;
    entry->told = (run->flags & RC_REDIS_PUBLISH_TOLD) != 0;
    *made = entry;
    return 0;
}

void rc_redis_run_lost(struct rc_redis_link *link, struct rc_span channel)
{
    const size_t prefix = strlen(link->config.prefix.text);
    RC_ASSERT(channel.count >= prefix);
    rc_redis_losses_add(&link->losses, rc_span_of(channel.bytes + prefix, channel.count - prefix), true);
}

int rc_redis_run(struct rc_redis_link *link, const struct rc_redis_run *run)
{
    struct rc_redis_entry *entry;
    int rc = -ENOTCONN;
    if ((run->flags & RC_REDIS_PUBLISH_FLEETING) == 0 || rc_redis_link_up(link)) {
        rc = make_run(link, run, &entry);
    }
    if (rc != 0) {
        rc_metric_add(link->wire.metrics, RC_METRIC_REDIS_OUTBOX_DROPPED, 1);
        if ((run->flags & RC_REDIS_PUBLISH_TOLD) != 0) {
            rc_redis_run_lost(link, run->args[run->channel]);
        }
        return rc;
    }
    struct rc_redis_outbox *outbox = link->by_shard ? link->topology->outbox(link, entry->slot) : &link->outbox;
    if ((run->flags & RC_REDIS_PUBLISH_YIELDING) != 0 && !rc_redis_outbox_has_room(outbox, entry)) {
        const bool never = rc_redis_outbox_never(outbox, entry->bytes);
        free(entry);
        return never ? -EFBIG : -EAGAIN;
    }
    return rc_redis_outbox_put(outbox, entry) ? 0 : -ENOBUFS;
}
