/* segment: see segment.h. */
#include "common/shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"

/* Linux 6.3; older C libraries do not name it. Without it such kernels complain about every memfd in their log. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SHM_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SHM_BYTES_MAX (UINT64_C(1) << 46)

int rc_segment_create(const char *name, uint64_t bytes, struct rc_err *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (fd < 0) {
        const int code = errno;
        return rc_err_set(
            err, -code, "shared memory segment %s: memfd_create: %s%s", name, strerror(code),
            code == EMFILE || code == ENFILE ? " (raise RLIMIT_NOFILE, `ulimit -n`, or sysctl fs.file-max)" : "");
    }
    if (bytes != 0) {
        const int rc = rc_segment_size(fd, bytes, err);
        if (rc != 0) {
            close(fd);
            return rc;
        }
    }
    return fd;
}

int rc_segment_size(int fd, uint64_t bytes, struct rc_err *err)
{
    struct stat status;
    if (bytes == 0 || bytes > SHM_BYTES_MAX) {
        return rc_err_set(err, -EINVAL, "shared memory segment: %" PRIu64 " bytes is not a size", bytes);
    }
    if (fstat(fd, &status) != 0) {
        return rc_err_set(err, -errno, "shared memory segment: fstat of descriptor %d: %s", fd, strerror(errno));
    }
    if (status.st_size != 0 && (uint64_t)status.st_size != bytes) {
        return rc_err_set(err, -EBADMSG, "shared memory segment: has %" PRIu64 " bytes where %" PRIu64 " are expected",
                          (uint64_t)status.st_size, bytes);
    }
    if (status.st_size == 0 && ftruncate(fd, (off_t)bytes) != 0) {
        return rc_err_set(err, -errno, "shared memory segment of %" PRIu64 " bytes: ftruncate: %s", bytes,
                          strerror(errno));
    }
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || ((seals & SHM_SEALS) != SHM_SEALS && fcntl(fd, F_ADD_SEALS, SHM_SEALS) != 0)) {
        return rc_err_set(err, -errno, "shared memory segment: sealing its size: %s", strerror(errno));
    }
    return 0;
}

int rc_segment_reader(int fd, struct rc_err *err)
{
    /* The kernel opens a memfd anew through /proc with the rights of its mode: nobody's to write from here on. */
    char path[48];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const int reader = fchmod(fd, S_IRUSR) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (reader < 0) {
        const int code = errno;
        return rc_err_set(err, -code, "shared memory segment: opening it for reading: %s%s", strerror(code),
                          code == EMFILE || code == ENFILE ? " (raise RLIMIT_NOFILE, `ulimit -n`)" : "");
    }
    return reader;
}

static void *segment_not_mapped(int code)
{
    errno = -code;
    return NULL;
}

static void *segment_map(int fd, int protection, bool file, uint64_t *bytes, struct rc_err *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return segment_not_mapped(
            rc_err_set(err, -errno, "shared memory segment: fstat of descriptor %d: %s", fd, strerror(errno)));
    }
    /* Unsealed, another process could shrink it under us, and a plain load would become SIGBUS. */
    const int seals = fcntl(fd, F_GET_SEALS);
    const bool sealed = seals >= 0 && (seals & SHM_SEALS) == SHM_SEALS;
    if ((!sealed && !file) || !S_ISREG(status.st_mode) || status.st_size <= 0) {
        return segment_not_mapped(
            rc_err_set(err, -EBADMSG, "shared memory segment: descriptor %d is not a memfd sealed in its size", fd));
    }
    void *memory = mmap(NULL, (size_t)status.st_size, protection, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return segment_not_mapped(rc_err_set(err, -errno, "shared memory segment of %" PRIu64 " bytes: mmap: %s",
                                             (uint64_t)status.st_size, strerror(errno)));
    }
    *bytes = (uint64_t)status.st_size;
    return memory;
}

void *rc_segment_map(int fd, uint64_t *bytes, struct rc_err *err)
{
    return segment_map(fd, PROT_READ | PROT_WRITE, false, bytes, err);
}

const void *rc_segment_map_read(int fd, uint64_t *bytes, struct rc_err *err)
{
    return segment_map(fd, PROT_READ, false, bytes, err);
}

void *rc_segment_map_file(int fd, bool writable, uint64_t *bytes, struct rc_err *err)
{
    return segment_map(fd, writable ? PROT_READ | PROT_WRITE : PROT_READ, true, bytes, err);
}

void rc_segment_dump(void *memory, uint64_t bytes, bool dump)
{
    if (madvise(memory, (size_t)bytes, dump ? MADV_DODUMP : MADV_DONTDUMP) != 0) {
        rc_log_limited(RC_LOG_WARN, 1, "core_dumps_not_bounded", "reason=\"madvise: %s\"", strerror(errno));
    }
}
