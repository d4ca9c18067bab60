/* vaults: see vaults.h. */
#include "acceptor/start/vaults.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/base/fail.h"
#include "common/base/log.h"
#include "common/base/vault.h"

#define VAULTS_NONE_MS 5000u /* a worker is not started without for so long, where the last one had one */

int rc_vaults_open(int *vault_fd, uint32_t slots, struct rc_child *child, struct rc_err *err)
{
    struct io_uring_params params;
    const int fd =
        rc_fail_here("vault") ? rc_err_set(err, -ENOMEM, "a test wants it") : rc_vault_make(slots, &params, err);
    if (fd >= 0) {
        *vault_fd = fd;
        child->no_vault_ms = 0;
        return 0;
    }
    if (child->had_vault && rc_err_is_short(fd)) {
        child->no_vault_ms = child->no_vault_ms == 0 ? child->started_ms : child->no_vault_ms;
        if (child->started_ms - child->no_vault_ms < VAULTS_NONE_MS) {
            return fd;
        }
    }
    child->had_vault = false;
    child->no_vault_ms = 0;
    rc_log_warn("connections_not_kept", "worker=%d reason=\"%s\"", child->index, err->text);
    return 0;
}

bool rc_vaults_whole(int vault_fd, const struct rc_child *child)
{
    /* VT5 pairs with VT4 in worker/io/kept.c: what was to be put is. */
    const uint64_t offer = atomic_load_explicit(&child->process->vault_offer, memory_order_acquire);
    return vault_fd >= 0 && rc_vault_offer_pid(offer) != (uint32_t)child->pid;
}

/* A worker may be anything that got into its process: what it names is taken for what it says only if it is a ring. */
static bool is_ring(int fd)
{
    char path[32];
    char name[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const ssize_t bytes = readlink(path, name, sizeof(name) - 1);
    name[bytes > 0 ? bytes : 0] = '\0';
    return strcmp(name, "anon_inode:[io_uring]") == 0;
}

void rc_vaults_take(int *vault_fd, struct rc_child *child)
{
    if (*vault_fd >= 0 || !child->ready) {
        return;
    }
    /* VT1 pairs with VT2 in worker/io/kept.c: the ring is whole. */
    const uint64_t offer = atomic_load_explicit(&child->process->vault_offer, memory_order_acquire);
    if (child->pid == 0 || rc_vault_offer_pid(offer) != (uint32_t)child->pid || offer == child->vault_refused) {
        return; /* none, or a former process's */
    }
    const int fd = pidfd_getfd(child->pidfd, rc_vault_offer_fd(offer), 0);
    const int code = fd < 0 ? errno : is_ring(fd) ? 0 : EBADF;
    if (code == 0) {
        *vault_fd = fd;
        /* VT3 pairs with VT6 in worker/io/kept.c: what is put from then on outlives the process. */
        atomic_store_explicit(&child->life->vault_pid, (uint32_t)child->pid, memory_order_release);
        rc_log_info("connections_kept_again", "worker=%d", child->index);
        return;
    }
    if (fd >= 0) {
        close(fd);
    }
    if (!rc_err_is_short(-code) && code != ESRCH) { /* it has just ended */
        child->vault_refused = offer;
        rc_log_warn("connections_not_kept",
                    "worker=%d reason=\"the ring that it has made since cannot be taken: %s\" lost=\"its connections "
                    "cannot outlive its process\"",
                    child->index, strerror(code));
    }
}
