/* stream: bytes to frames, frames to bytes. See links.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/shm/worker_use.h"
#include "worker/link/links.h"

#define STREAM_KEPT_BYTES 262144u /* of a buffer that is empty */

/* --- greeting -------------------------------------------------------------------------------------------------------- */

static void stream_greet(struct rc_links *links, struct rc_link *link)
{
    const struct rc_config_socketio *settings = &links->config->socketio;
    const struct rc_config_backend *backend = &link->table->config;
    struct rc_text text = {0};
    char signature[RC_LINK_SIGNATURE_BYTES];
    link->workers_told = rc_workers_used(links->control->core, links->control->worker_count);
    rc_text_put(&text, "{\"version\":%u,\"broker\":\"ringcast\",\"instance\":", RC_LINK_VERSION);
    rc_text_put_json(&text, rc_span_text(links->control->instance_id));
    rc_text_put(&text, ",\"worker\":%u,\"workers\":%u,\"generation\":%u,\"name\":", links->clients->worker,
                link->workers_told, links->clients->uplink->generation);
    rc_text_put_json(&text, rc_span_text(backend->name.text));
    rc_text_put(
        &text,
        ",\"frame_max\":%llu,\"ping_interval\":%llu,\"ping_timeout\":%llu,\"max_payload\":%llu,\"namespaces_max\":%u,"
        "\"cluster_window\":%llu,\"features\":[%s],"
        "\"grace\":%llu,\"others\":%s}",
        (unsigned long long)backend->max_frame_bytes, (unsigned long long)settings->ping_interval_ms,
        (unsigned long long)settings->ping_timeout_ms, (unsigned long long)settings->max_payload_bytes,
        RC_LINK_ADAPTERS_MAX, (unsigned long long)rc_link_bus_window(backend),
        backend->grace_ms > 0 ? "\"resume\",\"recovery\"" : "\"recovery\"", (unsigned long long)backend->grace_ms,
        links->config->redis.url.text[0] == '\0' ? "false" : "true");
    link->state = RC_LINK_GREETING;
    if (text.failed || link->why != NULL) {
        rc_link_end(links, link, "no memory for HELLO");
    } else {
        const struct rc_span json = rc_span_of(text.bytes, text.count);
        rc_link_sign(signature, RC_LINK_SIGNED_HELLO, backend->secrets[0].text, &link->nonces, json);
        (void)rc_link_send(links, link, RC_LINK_HELLO, 0, 0, rc_span_of(signature, sizeof(signature)), json);
    }
    rc_text_free(&text);
}

/* The upgrade that the application asks for. */
static void stream_answer(struct rc_links *links, struct rc_link *link)
{
    struct rc_text text = {0};
    rc_link_nonce(link->nonces.broker);
    rc_link_answer_write(&text, link->nonces.broker);
    if (text.failed || rc_hub_answer(links->clients->hub, link->socket, text.bytes, (uint32_t)text.count) < 0) {
        rc_link_end(links, link, "no memory for the answer");
    }
    rc_text_free(&text);
}

/* What the link begins with, of who has dialled or who was: the answer to the upgrade, or the request for it, which is answered. False: it is not
 * whole, or not that. */
static bool stream_begins(struct rc_links *links, struct rc_link *link)
{
    uint32_t status;
    const char *why;
    const bool dialled = link->target == RC_LINK_NO_TARGET;
    const struct rc_span input = rc_span_of(link->input, link->input_count);
    const int used = dialled ? rc_link_request_read(input, link->nonces.application, &why)
                             : rc_link_answer_read(input, link->nonces.application, &status, &why);
    if (used < 0) {
        rc_link_end(links, link, why);
    } else if (used > 0) {
        link->input_at = (size_t)used;
        if (dialled) {
            stream_answer(links, link);
        }
        stream_greet(links, link);
    }
    return used > 0;
}

/* READY was right. */
static void stream_is_ready(struct rc_links *links, struct rc_link *link)
{
    struct rc_link_target *target = rc_link_target_of(link);
    for (uint32_t i = 0; i < RC_LINKS_MAX; i++) {
        const struct rc_link *other = &links->links[i];
        if (other != link && other->state == RC_LINK_IS_READY &&
            strcmp(other->ready.process, link->ready.process) == 0) {
            rc_link_broken(links, link, "already linked: this process has a link with this worker");
            return;
        }
    }
    link->state = RC_LINK_IS_READY;
    link->deadline_ms = 0;
    link->heard_ms = rc_links_now_ms(links);
    links->ready++;
    rc_links_gauge(links);
    if (target != NULL) {
        target->failing = false;
        target->wait_ms = RC_LINK_WAIT_MIN_MS;
    }
    rc_link_note(links, link->table, true);
    rc_log_info("link_ready", "backend=\"%s\" url=\"%s\" process=\"%s\" asks=%d resume=%d",
                link->table->config.name.text, rc_link_url(link), link->ready.process, link->ready.asks,
                link->ready.resume);
    rc_link_options_look(links, link);
    links->recovery_ms = link->ready.recovery_ms;
    rc_line_begin(links, link);
}

/* The other end says why it ends the link. */
static void stream_refused(struct rc_links *links, struct rc_link *link, struct rc_span payload)
{
    char text[201];
    size_t at = 0;
    for (; at < payload.count && at < sizeof(text) - 1; at++) { /* it stands in quotes in a line */
        const uint8_t byte = payload.bytes[at];
        text[at] = byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\' ? '?' : (char)byte;
    }
    text[at] = '\0';
    rc_log_limited(RC_LOG_WARN, 1, "link_refused", "backend=\"%s\" reason=\"%s\"", link->table->config.name.text, text);
    link->told = true; /* it knows why */
    rc_link_end(links, link, "it ends the link: see link_refused");
}

/* The first frame. */
static void stream_ready(struct rc_links *links, struct rc_link *link, const struct rc_link_head *head,
                         struct rc_span payload)
{
    const char *why;
    if (head->type == RC_LINK_ERROR) {
        stream_refused(links, link, payload);
        return;
    }
    if (head->type != RC_LINK_READY) {
        rc_link_broken(links, link, "another frame before READY");
        return;
    }
    const struct rc_span signature = rc_span_of(payload.bytes, RC_LINK_SIGNATURE_BYTES);
    const struct rc_span json =
        rc_span_of(payload.bytes + RC_LINK_SIGNATURE_BYTES, payload.count - RC_LINK_SIGNATURE_BYTES);
    if (!rc_link_signature_right(signature, RC_LINK_SIGNED_READY, &link->table->config, &link->nonces, json)) {
        rc_link_broken(links, link, "READY is not signed by a secret of this backend");
    } else if (rc_link_ready_read(json, &link->ready, &why) < 0) {
        rc_link_broken(links, link, why);
    } else {
        stream_is_ready(links, link);
    }
    link->ready.options = (struct rc_span){0};
}

/* --- receiving ------------------------------------------------------------------------------------------------------- */

static bool stream_carry_out(struct rc_links *links, struct rc_link *link, const struct rc_link_head *head,
                             struct rc_span payload)
{
    if (link->state != RC_LINK_IS_READY) {
        stream_ready(links, link, head, payload);
        return true;
    }
    switch ((enum rc_link_type)head->type) {
    case RC_LINK_READY:
        rc_link_broken(links, link, "READY a second time");
        return true;
    case RC_LINK_PONG:
        return true;
    case RC_LINK_ERROR:
        stream_refused(links, link, payload);
        return true;
    default:
        return rc_link_carry_out(links, link, head, payload);
    }
}

/* The next frame is carried out. False: it is not whole, a turn has to come first, or the link ends. */
static bool stream_next(struct rc_links *links, struct rc_link *link)
{
    struct rc_link_head head;
    const char *why;
    const uint8_t *at = link->input + link->input_at;
    const size_t left = link->input_count - link->input_at;
    const uint64_t most = link->state == RC_LINK_IS_READY ? link->table->config.max_frame_bytes : RC_LINK_JSON_MAX;
    if (left < RC_LINK_HEAD_BYTES) {
        return false;
    }
    if (rc_link_head_read(at, RC_LINK_APPLICATION, (uint32_t)most, &head, &why) < 0) {
        rc_link_broken(links, link, why);
        return false;
    }
    if (left - RC_LINK_HEAD_BYTES < head.length) {
        return false;
    }
    const struct rc_span payload = rc_span_of(at + RC_LINK_HEAD_BYTES, head.length);
    if (!link->stalled && rc_link_frame_check(&head, RC_LINK_APPLICATION, payload, &why) < 0) {
        rc_link_broken(links, link, why);
        return false;
    }
    if (link->line != 0 && !link->stalled && head.type == RC_LINK_BROADCAST) {
        rc_link_recovery_counts(links, head.flags);
    }
    rc_line_take(links, link, &head);
    link->carrying = true;
    link->stalled = !stream_carry_out(links, link, &head, payload);
    link->carrying = false;
    if (link->stalled) {
        rc_line_untake(links, link);
        return false;
    }
    link->input_at += RC_LINK_HEAD_BYTES + head.length;
    link->frames_in++;
    rc_metric_add(links->clients->metrics, RC_METRIC_LINK_FRAMES_IN, 1);
    rc_link_count(links, link, RC_LINK_NUMBER_FRAMES_IN, 1);
    return link->why == NULL;
}

void rc_link_receive(struct rc_links *links, struct rc_link *link)
{
    if (link->state == RC_LINK_ASKING && !stream_begins(links, link)) {
        return;
    }
    while (link->why == NULL && stream_next(links, link)) {
        /* the next one */
    }
    rc_line_tell(links, link);
    if (link->stalled) {
        links->due = true;
    } else if (link->paused && link->why == NULL) {
        link->paused = false;
        rc_io_resume(links->clients->io, link->socket);
    }
    if (link->input_at == link->input_count) {
        link->input_at = link->input_count = 0;
    }
    if (link->input_count == 0 && link->input_capacity > STREAM_KEPT_BYTES) { /* a large frame was */
        free(link->input);
        link->input = NULL;
        link->input_capacity = 0;
    }
}
