/* state: see state.h. */
#include "acceptor/upgrade/state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct head {
    uint64_t magic;
    uint64_t bytes;
};

struct record {
    uint32_t tag;
    uint32_t bytes;
};

static size_t bytes_padded(size_t bytes)
{
    return (bytes + 7u) & ~(size_t)7u;
}

void rc_state_open(struct rc_state *state)
{
    *state = (struct rc_state){0};
    const struct head head = {.magic = RC_STATE_MAGIC};
    state->capacity = 4096;
    state->bytes = malloc(state->capacity);
    if (state->bytes == NULL) {
        state->rc = -ENOMEM;
        return;
    }
    memcpy(state->bytes, &head, sizeof(head));
    state->count = sizeof(head);
}

void rc_state_close(struct rc_state *state)
{
    if (state->bytes != NULL) {
        explicit_bzero(state->bytes, state->count); /* an API key may be in it */
    }
    free(state->bytes);
    *state = (struct rc_state){0};
}

static bool state_reserve(struct rc_state *state, size_t more)
{
    if (state->rc != 0 || more > RC_STATE_BYTES_MAX - state->count) {
        state->rc = state->rc != 0 ? state->rc : -E2BIG;
        return false;
    }
    size_t capacity = state->capacity;
    while (capacity - state->count < more) {
        capacity *= 2;
    }
    uint8_t *grown = capacity == state->capacity ? state->bytes : realloc(state->bytes, capacity);
    if (grown == NULL) {
        state->rc = -ENOMEM;
        return false;
    }
    state->bytes = grown;
    state->capacity = capacity;
    return true;
}

void rc_state_put_with(struct rc_state *state, uint32_t tag, const void *head, size_t head_count, const void *rest,
                       size_t rest_count)
{
    if (head_count > RC_STATE_BYTES_MAX || rest_count > RC_STATE_BYTES_MAX) {
        state->rc = state->rc != 0 ? state->rc : -E2BIG;
        return;
    }
    const size_t bytes = head_count + rest_count;
    const struct record record = {.tag = tag, .bytes = (uint32_t)bytes};
    if (!state_reserve(state, sizeof(record) + bytes_padded(bytes))) {
        return;
    }
    uint8_t *to = state->bytes + state->count;
    memset(to, 0, sizeof(record) + bytes_padded(bytes));
    memcpy(to, &record, sizeof(record));
    if (head_count > 0) {
        memcpy(to + sizeof(record), head, head_count);
    }
    if (rest_count > 0) {
        memcpy(to + sizeof(record) + head_count, rest, rest_count);
    }
    state->count += sizeof(record) + bytes_padded(bytes);
    const struct head all = {.magic = RC_STATE_MAGIC, .bytes = state->count - sizeof(all)};
    memcpy(state->bytes, &all, sizeof(all));
}

void rc_state_put(struct rc_state *state, uint32_t tag, const void *bytes, size_t count)
{
    rc_state_put_with(state, tag, bytes, count, NULL, 0);
}

int rc_state_save(const struct rc_state *state, struct rc_err *err)
{
    if (state->rc != 0) {
        return rc_err_set(err, state->rc, "the state of the broker cannot be written: %s", strerror(-state->rc));
    }
    const int fd = memfd_create("ringcast-state", MFD_CLOEXEC);
    size_t at = 0;
    while (fd >= 0 && at < state->count) {
        const ssize_t wrote = pwrite(fd, state->bytes + at, state->count - at, (off_t)at);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            break;
        }
        at += (size_t)wrote;
    }
    if (fd >= 0 && at == state->count) {
        return fd;
    }
    const int code = errno;
    if (fd >= 0) {
        close(fd);
    }
    return rc_err_set(err, -code, "the state of the broker cannot be written: %s", strerror(code));
}

int rc_state_load(struct rc_state *state, int fd, struct rc_err *err)
{
    struct stat status;
    *state = (struct rc_state){0};
    if (fstat(fd, &status) != 0) {
        return rc_err_set(err, -errno, "descriptor %d is no state of a broker: %s", fd, strerror(errno));
    }
    if (!S_ISREG(status.st_mode) || status.st_size < (off_t)sizeof(struct head) ||
        status.st_size > RC_STATE_BYTES_MAX) {
        return rc_err_set(err, -EBADMSG, "descriptor %d is no state of a broker", fd);
    }
    state->capacity = state->count = (size_t)status.st_size;
    state->bytes = malloc(state->count);
    size_t at = 0;
    while (state->bytes != NULL && at < state->count) {
        const ssize_t got = pread(fd, state->bytes + at, state->count - at, (off_t)at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        at += (size_t)got;
    }
    if (state->bytes == NULL || at < state->count) {
        rc_state_close(state);
        return rc_err_set(err, -EIO, "the state of the broker cannot be read");
    }
    const int rc = rc_state_check(state, err);
    if (rc != 0) {
        rc_state_close(state);
    }
    return rc;
}

int rc_state_next(const struct rc_state *state, size_t *at, uint32_t *tag, struct rc_span *payload)
{
    const size_t from = *at == 0 ? sizeof(struct head) : *at;
    struct record record;
    if (from > state->count || state->count - from < sizeof(record)) {
        return 0;
    }
    memcpy(&record, state->bytes + from, sizeof(record));
    if (record.bytes > state->count - from - sizeof(record)) {
        return 0;
    }
    *tag = record.tag;
    *payload = rc_span_of((const char *)state->bytes + from + sizeof(record), record.bytes);
    *at = from + sizeof(record) + bytes_padded(record.bytes);
    return 1;
}

int rc_state_check(const struct rc_state *state, struct rc_err *err)
{
    struct head head;
    uint32_t tag;
    struct rc_span payload;
    size_t at = 0;
    if (state->count < sizeof(head)) {
        return rc_err_set(err, -EBADMSG, "the state of the broker is cut");
    }
    memcpy(&head, state->bytes, sizeof(head));
    if (head.magic != RC_STATE_MAGIC || head.bytes != state->count - sizeof(head)) {
        return rc_err_set(err, -EBADMSG, "the state of the broker is of another form, or cut");
    }
    while (rc_state_next(state, &at, &tag, &payload) != 0) {}
    return at == state->count || (at == 0 && head.bytes == 0)
               ? 0
               : rc_err_set(err, -EBADMSG, "the state of the broker is damaged");
}
