/* history_file: see history_file.h. */
#include "acceptor/start/history_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shm/history.h"
#include "common/shm/segment.h"

#define FILE_LOCK_MS 5000u /* a relay whose acceptor was killed ends within it */
#define FILE_LOCK_STEP_MS 20u

static int file_lock(int fd, const char *path, struct rc_err *err)
{
    const struct timespec step = {.tv_nsec = FILE_LOCK_STEP_MS * 1000000L};
    const uint64_t until_ms = rc_clock_ms() + FILE_LOCK_MS;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return rc_err_set(err, -errno, "limits.history_file %s: flock: %s", path, strerror(errno));
        }
        if (rc_clock_ms() >= until_ms) {
            return rc_err_set(err, -EBUSY, "limits.history_file %s: another broker has it: give each a file of its own",
                              path);
        }
        (void)nanosleep(&step, NULL);
    }
    return 0;
}

/* Zeros of that size, with their place on the disk. */
static int file_renew(int fd, const char *path, uint64_t bytes, struct rc_err *err)
{
    int code = ftruncate(fd, 0) != 0 ? errno : 0;
    if (code == 0) {
        code = posix_fallocate(fd, 0, (off_t)bytes);
    }
    if (code != 0) {
        const bool taken = ftruncate(fd, 0) != 0; /* what was reserved before there was no more */
        return rc_err_set(err, -code, "limits.history_file %s: %llu bytes (limits.history_memory): %s%s", path,
                          (unsigned long long)bytes, strerror(code), taken ? "; a part of it stays taken" : "");
    }
    return 0;
}

static void file_boot(uint8_t boot[16])
{
    char text[37] = "";
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, sizeof(text) - 1) < 0) {
            text[0] = '\0';
        }
        close(fd);
    }
    memset(boot, 0, 16); /* which is no boot: the file is then one that was not closed */
    for (size_t i = 0, digits = 0; digits < 32 && text[i] != '\0'; i++) {
        const char digit = text[i];
        const int value = digit >= '0' && digit <= '9'   ? digit - '0'
                          : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                                                         : -1;
        if (value >= 0) {
            boot[digits / 2] = (uint8_t)(boot[digits / 2] << 4 | value);
            digits++;
        }
    }
}

/* Is it one of this version, of `bytes`? */
static bool file_known(const struct rc_history_segment *segment, uint64_t bytes)
{
    struct rc_history_view view;
    struct rc_err unused;
    struct rc_history_segment expected;
    memset(&expected, 0, sizeof(expected));
    rc_history_format(&expected, bytes);
    return rc_history_view_open(&view, (void *)(uintptr_t)segment, bytes, &unused) == 0 && view.file &&
           view.slot_count == expected.slot_count && view.reference_count == expected.reference_count &&
           view.unit_count == expected.unit_count;
}

/* What is thought of what is there, and from now on of what will be. */
static int file_begin(struct rc_history_segment *segment, const char *path, bool known, struct rc_err *err)
{
    uint8_t boot[16];
    static const uint8_t none[16];
    file_boot(boot);
    const bool same = memcmp(boot, none, sizeof(boot)) != 0 && memcmp(boot, segment->boot, sizeof(boot)) == 0;
    const uint32_t before = atomic_load_explicit(&segment->doubt, memory_order_relaxed);
    uint32_t doubt = !known ? RC_HISTORY_SURE : same || segment->closed == 1 ? RC_HISTORY_OTHER : RC_HISTORY_UNCLOSED;
    doubt = known && before > doubt ? before : doubt; /* nobody has looked since */
    atomic_store_explicit(&segment->doubt, doubt, memory_order_relaxed);
    segment->file = 1;
    segment->closed = 0;
    segment->clock_ahead = rc_clock_wall_ms() - rc_clock_ms();
    memcpy(segment->boot, boot, sizeof(boot));
    /* Before anything else is written: should the machine go down, the file is known not to have been closed. */
    if (msync(segment, sizeof(*segment), MS_SYNC) != 0) {
        return rc_err_set(err, -errno, "limits.history_file %s: msync: %s", path, strerror(errno));
    }
    rc_log_info("history_file", "path=\"%s\" found=%s", path,
                !known                      ? "nothing"
                : doubt == RC_HISTORY_OTHER ? "whole"
                                            : "unclosed");
    return 0;
}

int rc_history_file_open(const char *path, uint64_t bytes, struct rc_segment *segment, struct rc_err *err)
{
    struct stat status;
    segment->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (segment->fd < 0) {
        return rc_err_set(err, -errno, "limits.history_file %s: %s", path, strerror(errno));
    }
    int rc = file_lock(segment->fd, path, err);
    if (rc != 0) {
        return rc;
    }
    if (fstat(segment->fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return rc_err_set(err, -EINVAL, "limits.history_file %s is no regular file", path);
    }
    bool known = status.st_size > 0 && (uint64_t)status.st_size == bytes;
    if (!known && status.st_size > 0) {
        rc_log_warn("history_file_anew",
                    "path=\"%s\" bytes=%lld wanted=%llu reason=\"limits.history_memory is another\"", path,
                    (long long)status.st_size, (unsigned long long)bytes);
    }
    rc = known ? 0 : file_renew(segment->fd, path, bytes, err);
    if (rc != 0) {
        return rc;
    }
    segment->memory = rc_segment_map_file(segment->fd, true, &segment->bytes, err);
    if (segment->memory == NULL) {
        return -ENOMEM;
    }
    if (known && !file_known(segment->memory, bytes)) {
        rc_log_warn("history_file_anew", "path=\"%s\" reason=\"it is of another version of ringcast, or damaged\"",
                    path);
        known = false;
        rc = file_renew(segment->fd, path, bytes, err);
        if (rc != 0) {
            return rc;
        }
    }
    char reader[48];
    (void)snprintf(reader, sizeof(reader), "/proc/self/fd/%d", segment->fd);
    segment->reader_fd = open(reader, O_RDONLY | O_CLOEXEC);
    if (segment->reader_fd < 0) {
        return rc_err_set(err, -errno, "limits.history_file %s: opening it for reading: %s", path, strerror(errno));
    }
    return file_begin(segment->memory, path, known, err);
}

void rc_history_file_closing(const struct rc_segment *segment)
{
    struct rc_history_segment *memory = segment->memory;
    if (memory == NULL || segment->reader_fd < 0 || memory->file != 1) {
        return;
    }
    if (msync(memory, segment->bytes, MS_SYNC) != 0) {
        rc_log_warn("history_file_unwritten", "reason=\"msync: %s\"", strerror(errno));
        return;
    }
    memory->closed = 1;
    if (msync(memory, sizeof(*memory), MS_SYNC) != 0) {
        rc_log_warn("history_file_unwritten", "reason=\"msync: %s\"", strerror(errno));
    }
}
