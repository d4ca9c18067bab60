/* subscription_sets: see subscription_sets.h. */
#include "relay/cluster/sets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"

#define CLIENTS_HEAD "csubs:"
#define INSTANCES_HEAD "isubs-instances:"

static int sets_field_value(void *context, struct rc_span field, char *out, size_t room)
{
    struct rc_span text = *(const struct rc_span *)context;
    if (rc_span_equal(field, RC_SPAN("name"))) {
        const uint8_t *colon = memchr(text.bytes, ':', text.count);
        if (colon != NULL) {
            text = rc_span_of(colon + 1, text.count - (size_t)(colon + 1 - text.bytes));
        }
    }
    if (text.count > room) {
        return -EMSGSIZE;
    }
    memcpy(out, text.bytes, text.count);
    return (int)text.count;
}

uint32_t rc_subscription_sets_name(const struct rc_subscription_sets *sets, struct rc_span channel,
                                   char out[RC_ENTRY_NAME_MAX])
{
    const struct rc_config_namespace *policy =
        rc_config_namespace_of(sets->config, (const char *)channel.bytes, channel.count);
    const struct rc_template *template = &sets->templates[policy - sets->config->namespaces];
    const char *head = sets->mode == RC_SUBSCRIPTION_SETS_CLIENTS ? CLIENTS_HEAD : INSTANCES_HEAD;
    const size_t head_bytes = strlen(head);
    if (template->part_count == 0 || rc_span_equal(channel, RC_SPAN("*"))) {
        return 0;
    }
    memcpy(out, head, head_bytes);
    const int bytes =
        rc_template_fill(template, sets_field_value, &channel, out + head_bytes, RC_ENTRY_NAME_MAX - head_bytes);
    if (bytes < 0) {
        rc_log_limited(RC_LOG_WARN, 1, "subscription_set_refused",
                       "namespace=\"%s\" reason=\"the set's name is too long\"", policy->name);
        return 0;
    }
    return (uint32_t)head_bytes + (uint32_t)bytes;
}

static void sets_change(struct rc_subscription_sets *sets, struct rc_span channel, const struct rc_client_ref *ref,
                        bool add)
{
    char name[RC_ENTRY_NAME_MAX];
    const struct rc_span span = rc_span_of(name, rc_subscription_sets_name(sets, channel, name));
    const uint64_t source = rc_channel_hash((const char *)channel.bytes, channel.count);
    if (span.count == 0) {
        return;
    }
    if (add) {
        (void)rc_entries_add(sets->entries, span, source, ref, (struct rc_span){0}); /* counted when there is no room */
    } else {
        rc_entries_remove(sets->entries, span, source, ref);
    }
}

void rc_subscription_sets_interest(struct rc_subscription_sets *sets, struct rc_span channel, bool wanted)
{
    static const struct rc_client_ref nobody = {0};
    if (sets->mode == RC_SUBSCRIPTION_SETS_INSTANCES) {
        sets_change(sets, channel, &nobody, wanted);
    }
}

void rc_subscription_sets_member(struct rc_subscription_sets *sets, struct rc_span channel,
                                 const struct rc_client_ref *ref, bool subscribed)
{
    if (sets->mode == RC_SUBSCRIPTION_SETS_CLIENTS) {
        sets_change(sets, channel, ref, subscribed);
    }
}

int rc_subscription_sets_write(struct rc_subscription_sets *sets, const struct rc_entry *entry, bool add,
                               rc_redis_replied *replied, void *context)
{
    char key[RC_REDIS_NAME_MAX];
    char member[RC_INSTANCE_ID_MAX + 1 + RC_CLIENT_ID_MAX];
    size_t bytes = strlen(sets->instance_id);
    memcpy(member, sets->instance_id, bytes);
    if (entry->name.bytes[0] == 'c') {
        member[bytes++] = ':';
        bytes += rc_client_id_write(member + bytes, sets->instance_id, sets->boot_nonce, &entry->ref);
    }
    const struct rc_span argv[] = {
        add ? RC_SPAN("SADD") : RC_SPAN("SREM"),
        rc_redis_key(sets->entries->link, key, "%.*s", (int)entry->name.count - 1, (const char *)entry->name.bytes + 1),
        rc_span_of(member, bytes)};
    return rc_redis_command(sets->entries->link, replied, context, 1, RC_ARRAY_COUNT(argv), argv);
}

static void sets_take(struct rc_subscription_sets *sets, const struct rc_config *config)
{
    sets->config = config;
    for (uint32_t i = 0; i < config->namespace_count; i++) {
        struct rc_err err;
        if (rc_template_compile(&sets->templates[i], config->namespaces[i].subscription_set.text,
                                rc_template_known_channel, &err) < 0) {
            sets->templates[i].part_count = 0; /* cannot be: it was compiled when the file was read */
        }
    }
}

struct renaming {
    struct rc_subscription_sets *sets;         /* borrowed */
    const struct rc_subscription_sets *before; /* borrowed: as they were */
};

static void set_rename(void *context, struct rc_span channel)
{
    static const struct rc_client_ref instance = {0};
    const struct renaming *renaming = context;
    struct rc_entries *entries = renaming->sets->entries;
    char from[RC_ENTRY_NAME_MAX];
    char to[RC_ENTRY_NAME_MAX];
    const struct rc_span was = rc_span_of(from, rc_subscription_sets_name(renaming->before, channel, from));
    const struct rc_span is = rc_span_of(to, rc_subscription_sets_name(renaming->sets, channel, to));
    const uint64_t source = rc_channel_hash((const char *)channel.bytes, channel.count);
    if (rc_span_equal(was, is)) {
        return;
    }
    if (was.count > 0) {
        rc_entries_remove(entries, was, source, &instance);
    }
    if (is.count > 0) {
        (void)rc_entries_add(entries, is, source, &instance, (struct rc_span){0}); /* counted when there is no room */
    }
}

/* May any channel's set have another name now? */
static bool names_differ(const struct rc_config *a, const struct rc_config *b)
{
    bool same = a->namespace_count == b->namespace_count;
    for (uint32_t i = 0; same && i < a->namespace_count; i++) {
        same = strcmp(a->namespaces[i].name, b->namespaces[i].name) == 0 &&
               strcmp(a->namespaces[i].subscription_set.text, b->namespaces[i].subscription_set.text) == 0;
    }
    return !same;
}

void rc_subscription_sets_configure(struct rc_subscription_sets *sets, const struct rc_config *config,
                                    const struct rc_interest *wanted)
{
    const struct rc_subscription_sets before = *sets;
    const bool rename = sets->mode == RC_SUBSCRIPTION_SETS_INSTANCES && names_differ(sets->config, config);
    sets_take(sets, config);
    if (rename) {
        rc_interest_walk(wanted, set_rename, &(struct renaming){.sets = sets, .before = &before});
    }
}

void rc_subscription_sets_open(struct rc_subscription_sets *sets, struct rc_entries *entries,
                               const struct rc_config *config, const char *instance_id, uint32_t boot_nonce)
{
    *sets = (struct rc_subscription_sets){.entries = entries,
                                          .instance_id = instance_id,
                                          .boot_nonce = boot_nonce,
                                          .mode = (enum rc_subscription_sets_mode)config->cluster.subscription_sets};
    sets_take(sets, config);
}
