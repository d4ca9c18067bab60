/* overlap: see overlap.h. */
#include "relay/redis/overlap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shm/doorbell.h"

#define HEAD_BYTES 4096u
#define HEAD_MAGIC 0x5243504fu /* "RCPO" */

enum state { STATE_NONE, STATE_FORWARDS, STATE_DONE, STATE_LOST };

struct rc_redis_overlap_head {
    uint32_t magic;
    _Atomic uint32_t state; /* W: old, and STATE_NONE by the new one when it is over, or given up */
    _Atomic uint64_t end;   /* bytes of records that are there. W: old */
    char nonce[RC_REDIS_OVERLAP_NONCE_BYTES + 1];
};

struct record {
    uint32_t pattern;
    uint32_t by_bytes;
    uint32_t channel_bytes;
    uint32_t body_bytes;
};

static size_t record_bytes(const struct record *record)
{
    return sizeof(*record) + record->by_bytes + record->channel_bytes + (size_t)record->body_bytes;
}

static struct record record_of(const struct rc_redis_heard *heard)
{
    return (struct record){.pattern = heard->pattern,
                           .by_bytes = (uint32_t)heard->by.count,
                           .channel_bytes = (uint32_t)heard->channel.count,
                           .body_bytes = (uint32_t)heard->body.count};
}

static void record_fill(uint8_t *to, const struct rc_redis_heard *heard)
{
    const struct record record = record_of(heard);
    const struct rc_span parts[] = {heard->by, heard->channel, heard->body};
    memcpy(to, &record, sizeof(record));
    to += sizeof(record);
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        if (parts[i].count > 0) {
            memcpy(to, parts[i].bytes, parts[i].count);
        }
        to += parts[i].count;
    }
}

static struct rc_redis_heard record_heard(const struct record *record, const uint8_t *from)
{
    from += sizeof(*record);
    return (struct rc_redis_heard){.pattern = record->pattern != 0,
                                   .by = rc_span_of(from, record->by_bytes),
                                   .channel = rc_span_of(from + record->by_bytes, record->channel_bytes),
                                   .body =
                                       rc_span_of(from + record->by_bytes + record->channel_bytes, record->body_bytes)};
}

/* Room for one record; it stays for the next. */
static bool scratch_reserve(struct rc_redis_overlap *overlap, size_t bytes)
{
    if (bytes <= overlap->scratch_bytes) {
        return true;
    }
    uint8_t *grown = realloc(overlap->scratch, bytes);
    if (grown != NULL) {
        overlap->scratch = grown;
        overlap->scratch_bytes = bytes;
    }
    return grown != NULL;
}

static void head_say(struct rc_redis_overlap *overlap, enum state state)
{
    /* OV1 pairs with OV2: who sees it sees all that was written before. */
    atomic_store_explicit(&overlap->head->state, (uint32_t)state, memory_order_release);
    (void)rc_doorbell_wake(overlap->bell_fd);
}

/* False: errno says why. */
static bool head_map(struct rc_redis_overlap *overlap)
{
    void *head = mmap(NULL, HEAD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, overlap->fd, 0);
    if (head == MAP_FAILED) {
        return false;
    }
    overlap->head = head;
    return true;
}

int rc_redis_overlap_forward(struct rc_redis_overlap *overlap, int fd, int bell_fd, struct rc_err *err)
{
    uint8_t random[RC_REDIS_OVERLAP_NONCE_BYTES / 2];
    static const char digits[] = "0123456789abcdef";
    rc_redis_overlap_close(overlap); /* with the one before this one */
    *overlap = (struct rc_redis_overlap){.fd = fd, .bell_fd = bell_fd, .since_ms = rc_clock_ms()};
    int rc = ftruncate(fd, 0) == 0 && ftruncate(fd, HEAD_BYTES) == 0 && head_map(overlap) ? 0 : -errno;
    if (rc == 0 && getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        rc = -EIO;
    }
    if (rc != 0) {
        rc_redis_overlap_close(overlap);
        return rc_err_set(err, rc, "what Redis says cannot be forwarded: %s", strerror(-rc));
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        overlap->head->nonce[2 * i] = digits[random[i] >> 4];
        overlap->head->nonce[2 * i + 1] = digits[random[i] & 15];
    }
    overlap->head->magic = HEAD_MAGIC;
    overlap->role = RC_REDIS_OVERLAP_FORWARDS;
    head_say(overlap, STATE_FORWARDS);
    return 0;
}

void rc_redis_overlap_forget(int fd)
{
    struct rc_redis_overlap overlap = {.fd = fd, .bell_fd = -1};
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size < (off_t)HEAD_BYTES || !head_map(&overlap)) {
        return;
    }
    /* OV2: of a process that is gone. One that follows it, still, gives up. */
    if (atomic_load_explicit(&overlap.head->state, memory_order_acquire) == STATE_FORWARDS) {
        atomic_store_explicit(&overlap.head->state, STATE_LOST, memory_order_release); /* OV1 */
    }
    rc_redis_overlap_close(&overlap);
}

/* Nobody reads any more what was forwarded. Whoever forwards, still, sees it and ends. */
static void head_drop(struct rc_redis_overlap *overlap)
{
    atomic_store_explicit(&overlap->head->state, STATE_NONE, memory_order_release); /* OV1 */
    const int rc = ftruncate(overlap->fd, HEAD_BYTES);
    (void)rc; /* it stays until the next one forwards */
}

void rc_redis_overlap_drop(int fd)
{
    struct rc_redis_overlap overlap = {.fd = fd, .bell_fd = -1};
    struct stat status;
    if (fstat(fd, &status) == 0 && status.st_size >= (off_t)HEAD_BYTES && head_map(&overlap)) {
        head_drop(&overlap);
        rc_redis_overlap_close(&overlap);
    }
}

bool rc_redis_overlap_follow(struct rc_redis_overlap *overlap, int fd)
{
    struct stat status;
    *overlap = (struct rc_redis_overlap){.fd = fd, .bell_fd = -1, .since_ms = rc_clock_ms()};
    if (fstat(fd, &status) != 0 || status.st_size < (off_t)HEAD_BYTES || !head_map(overlap)) {
        return false;
    }
    /* OV2 pairs with OV1. */
    const uint32_t state = atomic_load_explicit(&overlap->head->state, memory_order_acquire);
    if (overlap->head->magic != HEAD_MAGIC || state != STATE_FORWARDS ||
        overlap->head->nonce[RC_REDIS_OVERLAP_NONCE_BYTES] != '\0') {
        head_drop(overlap); /* it has given up before it was followed */
        rc_redis_overlap_close(overlap);
        return false;
    }
    overlap->role = RC_REDIS_OVERLAP_FOLLOWS;
    return true;
}

void rc_redis_overlap_close(struct rc_redis_overlap *overlap)
{
    if (overlap->head != NULL) {
        munmap(overlap->head, HEAD_BYTES);
    }
    free(overlap->kept);
    free(overlap->scratch);
    *overlap = (struct rc_redis_overlap){.fd = -1, .bell_fd = -1};
}

static bool is_mark(const struct rc_redis_overlap *overlap, const struct rc_redis_heard *heard)
{
    return rc_span_equal(heard->body, rc_span_of(overlap->head->nonce, RC_REDIS_OVERLAP_NONCE_BYTES));
}

static void overlap_lose(struct rc_redis_overlap *overlap, const char *why)
{
    rc_log_warn("redis_overlap_lost", "reason=\"%s\"", why);
    if (overlap->role == RC_REDIS_OVERLAP_FORWARDS) {
        head_say(overlap, STATE_LOST);
    }
    overlap->role = RC_REDIS_OVERLAP_LOST;
}

/* New: what was forwarded and kept is of no use any more. */
static void overlap_give_back(struct rc_redis_overlap *overlap)
{
    head_drop(overlap);
    free(overlap->kept);
    free(overlap->scratch);
    overlap->kept = overlap->scratch = NULL;
    overlap->kept_bytes = overlap->kept_capacity = overlap->scratch_bytes = 0;
}

/* Old: has whoever follows ended it? */
static bool is_abandoned(const struct rc_redis_overlap *overlap)
{
    /* OV2 */
    return overlap->role == RC_REDIS_OVERLAP_FORWARDS &&
           atomic_load_explicit(&overlap->head->state, memory_order_acquire) == STATE_NONE;
}

static void forward_one(struct rc_redis_overlap *overlap, const struct rc_redis_heard *heard)
{
    const struct record record = record_of(heard);
    const size_t bytes = record_bytes(&record);
    if (is_abandoned(overlap)) {
        return; /* seen by rc_redis_overlap_ended */
    }
    if (is_mark(overlap, heard)) {
        head_say(overlap, STATE_DONE);
        overlap->role = RC_REDIS_OVERLAP_OVER;
        return;
    }
    if (bytes > RC_REDIS_OVERLAP_BYTES_MAX - overlap->position || !scratch_reserve(overlap, bytes)) {
        overlap_lose(overlap, "too much came, or there is no memory");
        return;
    }
    record_fill(overlap->scratch, heard);
    if (pwrite(overlap->fd, overlap->scratch, bytes, (off_t)(HEAD_BYTES + overlap->position)) != (ssize_t)bytes) {
        overlap_lose(overlap, "what came cannot be written");
        return;
    }
    overlap->position += bytes;
    /* OV3 pairs with OV4: the record is there. */
    atomic_store_explicit(&overlap->head->end, overlap->position, memory_order_release);
    (void)rc_doorbell_wake(overlap->bell_fd);
}

static void keep_one(struct rc_redis_overlap *overlap, const struct rc_redis_heard *heard)
{
    const struct record record = record_of(heard);
    const size_t bytes = record_bytes(&record);
    if (bytes > RC_REDIS_OVERLAP_KEPT_MAX - overlap->kept_bytes) {
        overlap_lose(overlap, "too much came behind the mark");
        overlap_give_back(overlap); /* out of order by the time that it could be handled */
        return;
    }
    if (overlap->kept_capacity - overlap->kept_bytes < bytes) {
        const size_t wanted = 2 * (overlap->kept_bytes + bytes);
        uint8_t *grown = realloc(overlap->kept, wanted);
        if (grown == NULL) {
            overlap_lose(overlap, "no memory");
            overlap_give_back(overlap);
            return;
        }
        overlap->kept = grown;
        overlap->kept_capacity = wanted;
    }
    record_fill(overlap->kept + overlap->kept_bytes, heard);
    overlap->kept_bytes += bytes;
}

bool rc_redis_overlap_take(struct rc_redis_overlap *overlap, const struct rc_redis_heard *heard)
{
    switch (overlap->role) {
    case RC_REDIS_OVERLAP_FORWARDS:
        forward_one(overlap, heard);
        return true;
    case RC_REDIS_OVERLAP_FOLLOWS:
        if (is_mark(overlap, heard)) {
            overlap->role = RC_REDIS_OVERLAP_KEEPS;
        }
        return true;
    case RC_REDIS_OVERLAP_KEEPS:
        keep_one(overlap, heard);
        return true;
    case RC_REDIS_OVERLAP_OVER:
    case RC_REDIS_OVERLAP_LOST:
        break;
    }
    /* Whoever has forwarded handles nothing any more. */
    return overlap->bell_fd >= 0;
}

static void kept_handle(struct rc_redis_overlap *overlap, rc_redis_hear *hear, void *context)
{
    size_t at = 0;
    while (at < overlap->kept_bytes) {
        struct record record;
        memcpy(&record, overlap->kept + at, sizeof(record));
        const struct rc_redis_heard heard = record_heard(&record, overlap->kept + at);
        hear(context, &heard);
        at += record_bytes(&record);
    }
    overlap->kept_bytes = 0;
}

/* False: it is not whole. */
static bool forwarded_read(struct rc_redis_overlap *overlap, uint64_t end, struct record *record)
{
    const uint64_t left = end - overlap->position;
    const off_t at = (off_t)(HEAD_BYTES + overlap->position);
    if (left < sizeof(*record) || pread(overlap->fd, record, sizeof(*record), at) != (ssize_t)sizeof(*record)) {
        return false;
    }
    const size_t bytes = record_bytes(record);
    return bytes <= left && scratch_reserve(overlap, bytes) &&
           pread(overlap->fd, overlap->scratch, bytes, at) == (ssize_t)bytes;
}

static bool is_lost(uint32_t state)
{
    return state == STATE_LOST || state == STATE_NONE;
}

bool rc_redis_overlap_hopeless(const struct rc_redis_overlap *overlap)
{
    /* OV2 */
    return overlap->head != NULL && (is_lost(atomic_load_explicit(&overlap->head->state, memory_order_acquire)) ||
                                     rc_clock_ms() - overlap->since_ms >= RC_REDIS_OVERLAP_MS);
}

void rc_redis_overlap_handle(struct rc_redis_overlap *overlap, rc_redis_hear *hear, void *context)
{
    if (overlap->role != RC_REDIS_OVERLAP_FOLLOWS && overlap->role != RC_REDIS_OVERLAP_KEEPS) {
        return;
    }
    /* OV2; before the end: what is done has all its records. */
    const uint32_t state = atomic_load_explicit(&overlap->head->state, memory_order_acquire);
    /* OV4 pairs with OV3. */
    const uint64_t end = atomic_load_explicit(&overlap->head->end, memory_order_acquire);
    while (overlap->position < end) {
        struct record record;
        if (end > RC_REDIS_OVERLAP_BYTES_MAX || !forwarded_read(overlap, end, &record)) {
            overlap_lose(overlap, "what was forwarded cannot be read");
            break;
        }
        const struct rc_redis_heard heard = record_heard(&record, overlap->scratch);
        overlap->position += record_bytes(&record);
        hear(context, &heard);
    }
    if (overlap->role == RC_REDIS_OVERLAP_LOST || is_lost(state)) {
        rc_redis_overlap_give_up(overlap, hear, context);
    } else if (state == STATE_DONE && overlap->role == RC_REDIS_OVERLAP_KEEPS) {
        kept_handle(overlap, hear, context);
        overlap_give_back(overlap);
        rc_log_info("redis_overlapped", "forwarded_bytes=%llu took_ms=%llu", (unsigned long long)overlap->position,
                    (unsigned long long)(rc_clock_ms() - overlap->since_ms));
        overlap->role = RC_REDIS_OVERLAP_OVER;
    } else if (rc_clock_ms() - overlap->since_ms >= RC_REDIS_OVERLAP_MS) {
        rc_redis_overlap_give_up(overlap, hear, context);
    }
}

const char *rc_redis_overlap_mark(const struct rc_redis_overlap *overlap)
{
    return overlap->role == RC_REDIS_OVERLAP_FOLLOWS && !overlap->marked ? overlap->head->nonce : NULL;
}

void rc_redis_overlap_marked(struct rc_redis_overlap *overlap)
{
    overlap->marked = true;
}

void rc_redis_overlap_give_up(struct rc_redis_overlap *overlap, rc_redis_hear *hear, void *context)
{
    if (overlap->role != RC_REDIS_OVERLAP_LOST) {
        overlap_lose(overlap, "the former relay did not forward all, or it takes too long");
    }
    kept_handle(overlap, hear, context);
    if (overlap->bell_fd < 0) {
        overlap_give_back(overlap); /* this one follows */
    }
}

bool rc_redis_overlap_ended(struct rc_redis_overlap *overlap)
{
    if (is_abandoned(overlap)) {
        overlap_lose(overlap, "nobody follows any more");
    } else if (overlap->role == RC_REDIS_OVERLAP_FORWARDS && rc_clock_ms() - overlap->since_ms >= RC_REDIS_OVERLAP_MS) {
        overlap_lose(overlap,
                     "nobody has published the mark"); /* the file outlives this process: it forwards no more */
    }
    return overlap->role != RC_REDIS_OVERLAP_FORWARDS;
}
