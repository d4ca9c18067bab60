/* api_revoke: tokens that are no good any more: written to Redis, where all instances look for them. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What is written. */
struct revocation {
    uint32_t lives_s;
    uint32_t key_bytes;
    uint32_t value_bytes;
    uint8_t key[RC_QUERY_KEY_MAX];
    char value[24];
};

static int revoke_number(const struct rc_json_value *value, const char *name, uint64_t most, uint64_t *out,
                         struct rc_api_fault *fault)
{
    if (rc_json_uint64(value, out) < 0 || *out == 0 || *out > most) {
        return rc_api_fault(fault, 400, "%s must be a whole number of seconds from 1 to %llu", name,
                            (unsigned long long)most);
    }
    return 0;
}

/* A token by its `jti`, or a user's, all of them or those that were issued before a time. */
static int revoke_read(struct rc_api_call *call, struct revocation *revocation, struct rc_api_fault *fault)
{
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    const char *const prefix = call->api->clients->config->redis.prefix.text;
    struct rc_span name;
    uint64_t lives_s = 0;
    uint64_t before_s = 0;
    if (rc_api_body_members(call, members, fault) < 0) {
        return -EINVAL;
    }
    const bool of_user = members[RC_API_USER].type != RC_JSON_NONE;
    const bool of_time = members[RC_API_ISSUED_BEFORE].type != RC_JSON_NONE;
    if (of_user == (members[RC_API_JTI].type != RC_JSON_NONE)) {
        return rc_api_fault(fault, 400, "one of jti and user, not both");
    }
    if (of_time && !of_user) {
        return rc_api_fault(fault, 400, "issued_before is about a user's tokens: it needs user");
    }
    if (rc_api_string(call, &members[of_user ? RC_API_USER : RC_API_JTI], of_user ? "user" : "jti",
                      of_user ? RC_IDENTITY_USER_MAX : RC_TOKEN_ID_MAX, &name, fault) < 0 ||
        revoke_number(&members[RC_API_TTL], "ttl", RC_QUERY_LIVES_S_MAX, &lives_s, fault) < 0) {
        return -EINVAL;
    }
    if (of_time && (revoke_number(&members[RC_API_ISSUED_BEFORE], "issued_before", UINT32_MAX, &before_s, fault) < 0 ||
                    before_s < RC_REVOCATION_TIME_MIN_S)) {
        return rc_api_fault(fault, 400, "issued_before must be seconds since 1970, as `iat` of tokens, and after 2001");
    }
    revocation->lives_s = (uint32_t)lives_s;
    revocation->key_bytes = rc_revocation_key(prefix, of_user, name, revocation->key, sizeof(revocation->key));
    revocation->value_bytes = (uint32_t)snprintf(revocation->value, sizeof(revocation->value), "%llu",
                                                 (unsigned long long)(of_time ? before_s : 1));
    return 0;
}

int rc_api_revoke(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_clients *clients = call->api->clients;
    struct revocation revocation;
    uint8_t data[sizeof(struct rc_query_head) + sizeof(struct rc_query_set) + sizeof(revocation.key) +
                 sizeof(revocation.value)];
    const struct rc_query_head head = {.kind = RC_QUERY_SET};
    if (clients->config->redis.url.text[0] == '\0') {
        return rc_api_fault(fault, 501, "redis.url is not set: what is revoked would stand there");
    }
    if (revoke_read(call, &revocation, fault) < 0 || rc_api_ask(call, fault) < 0) {
        return -EINVAL;
    }
    const struct rc_query_set set = {.lives_s = revocation.lives_s,
                                     .key_bytes = (uint16_t)revocation.key_bytes,
                                     .value_bytes = (uint16_t)revocation.value_bytes};
    const struct rc_call_tag tag = rc_api_tag(call, 0);
    uint8_t *at = data;
    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    memcpy(at, &set, sizeof(set));
    at += sizeof(set);
    memcpy(at, revocation.key, revocation.key_bytes);
    at += revocation.key_bytes;
    memcpy(at, revocation.value, revocation.value_bytes);
    at += revocation.value_bytes;
    struct rc_envelope_view view = {.head = {.time_ns = clients->io->now_ns,
                                             .flags = RC_ENVELOPE_API,
                                             .data_bytes = (uint32_t)(at - data),
                                             .request_id_bytes = sizeof(tag)},
                                    .request_id = (const uint8_t *)&tag,
                                    .data = data};
    if (rc_api_pass_on(call, RC_UP_QUERY, &view, fault) < 0) {
        return -EINVAL;
    }
    call->question = RC_QUERY_SET;
    call->state = RC_API_WAITING;
    return 0;
}

void rc_api_revoked(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_api_fault fault;
    struct rc_text text = {0};
    if (type != RC_DOWN_QUERY) {
        return;
    }
    if (view->head.code != 0) {
        rc_api_fault(&fault, 503, "Redis is away or does not take it: nothing was revoked");
        rc_api_fail(call, &fault);
        return;
    }
    rc_text_put(&text, "{\"revoked\":true}\n");
    rc_api_finish(call, &text);
}
