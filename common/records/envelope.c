/* envelope: see envelope.h. */
#include "common/records/envelope.h"

#include <errno.h>

#include "common/records/args.h"
#include "common/base/bytes.h"
#include "common/text/base64.h"

#define ID_BYTES 18u /* nonce 4, worker 2, slot 4, random 8 */
#define ID_TEXT_BYTES 24u

int rc_envelope_read(struct rc_envelope_view *view, const void *record, uint32_t bytes)
{
    struct rc_envelope *head = &view->head;
    if (bytes < sizeof(*head)) {
        return -EBADMSG;
    }
    /* Copied once, then only the copy is believed: the sender's process could change the record meanwhile. */
    memcpy(head, record, sizeof(*head));
    if (rc_envelope_bytes(head) != bytes || head->request_id_bytes > RC_REQUEST_ID_MAX ||
        head->key_bytes > RC_MESSAGE_KEY_MAX || head->exclude_count > RC_EXCLUDES_MAX ||
        head->exclude_text_bytes > RC_EXCLUDE_TEXT_MAX) {
        return -EBADMSG;
    }
    const uint8_t *part = (const uint8_t *)record + sizeof(*head);
    view->channel = (const char *)part;
    part += head->channel_bytes;
    view->request_id = part;
    part += head->request_id_bytes;
    view->key = part;
    part += head->key_bytes;
    view->event = (const char *)part;
    part += head->event_bytes;
    view->excludes = part;
    part += (size_t)head->exclude_count * sizeof(struct rc_client_ref);
    view->exclude_text = (const char *)part;
    part += head->exclude_text_bytes;
    view->data = part;
    if ((head->flags & RC_ENVELOPE_ARGS) != 0) {
        struct rc_args_view args;
        if ((head->flags & RC_ENVELOPE_BINARY) != 0 || rc_args_read(rc_span_of(part, head->data_bytes), &args) < 0) {
            return -EBADMSG;
        }
    }
    /* The text is walked id by id: its last NUL is what ends the walk inside the record. */
    if (head->exclude_text_bytes != 0 && view->exclude_text[head->exclude_text_bytes - 1] != '\0') {
        return -EBADMSG;
    }
    return 0;
}

static uint8_t *envelope_put(uint8_t *out, const void *bytes, size_t count)
{
    if (count != 0) { /* the part of a zero count may be NULL */
        memcpy(out, bytes, count);
    }
    return out + count;
}

void rc_envelope_write(void *record, const struct rc_envelope_view *view)
{
    const struct rc_envelope *head = &view->head;
    uint8_t *out = envelope_put(record, head, sizeof(*head));
    out = envelope_put(out, view->channel, head->channel_bytes);
    out = envelope_put(out, view->request_id, head->request_id_bytes);
    out = envelope_put(out, view->key, head->key_bytes);
    out = envelope_put(out, view->event, head->event_bytes);
    out = envelope_put(out, view->excludes, (size_t)head->exclude_count * sizeof(struct rc_client_ref));
    out = envelope_put(out, view->exclude_text, head->exclude_text_bytes);
    envelope_put(out, view->data, head->data_bytes);
}

size_t rc_client_id_write(char *out, const char *instance_id, uint32_t boot_nonce, const struct rc_client_ref *ref)
{
    uint8_t raw[ID_BYTES];
    rc_be_put(raw, boot_nonce, 4);
    rc_be_put(raw + 4, ref->worker, 2);
    rc_be_put(raw + 6, ref->slot, 4);
    rc_be_put(raw + 10, ref->random, 8);

    size_t count = strnlen(instance_id, RC_INSTANCE_ID_MAX);
    memcpy(out, instance_id, count);
    out[count++] = '~';
    return count + rc_base64url_encode(out + count, raw, sizeof(raw)); /* 18 bytes are 6 whole groups */
}

/* 0..63, or -1. */
static bool instance_id_valid(const char *id, size_t bytes)
{
    if (bytes == 0 || bytes > RC_INSTANCE_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (rc_base64url_value((uint8_t)id[i]) < 0 && id[i] != '.') { /* [A-Za-z0-9_.-] */
            return false;
        }
    }
    return true;
}

enum rc_client_id_kind rc_client_id_read(const char *id, size_t bytes, const char *instance_id, uint32_t boot_nonce,
                                         struct rc_client_ref *ref)
{
    if (bytes <= ID_TEXT_BYTES + 1 || bytes > RC_CLIENT_ID_MAX) {
        return RC_CLIENT_ID_INVALID;
    }
    const size_t instance_bytes = bytes - ID_TEXT_BYTES - 1;
    if (id[instance_bytes] != '~' || !instance_id_valid(id, instance_bytes)) {
        return RC_CLIENT_ID_INVALID;
    }
    uint8_t raw[ID_BYTES];
    if (rc_base64url_decode(raw, (const uint8_t *)id + instance_bytes + 1, ID_TEXT_BYTES) != ID_BYTES) {
        return RC_CLIENT_ID_INVALID;
    }
    const struct rc_client_ref found = {
        .worker = (uint16_t)rc_be_get(raw + 4, 2),
        .slot = (uint32_t)rc_be_get(raw + 6, 4),
        .random = rc_be_get(raw + 10, 8),
    };
    /* No ringcast ever made such an id; refused here so that no table is indexed with what a client invented. */
    if (found.random == 0 || found.worker >= RC_WORKERS_MAX) {
        return RC_CLIENT_ID_INVALID;
    }
    if (strnlen(instance_id, RC_INSTANCE_ID_MAX + 1) != instance_bytes ||
        memcmp(instance_id, id, instance_bytes) != 0) {
        return RC_CLIENT_ID_FOREIGN;
    }
    if (rc_be_get(raw, 4) != boot_nonce) {
        return RC_CLIENT_ID_STALE;
    }
    *ref = found;
    return RC_CLIENT_ID_LOCAL;
}
