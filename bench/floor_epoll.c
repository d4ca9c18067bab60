/* floor_epoll: the floor's epoll loop: level triggered, read() and write() on normal descriptors. */
#include "bench/floor_core.h"

#include "common/base/check.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_MAX 32768u
#define BUFFER_BYTES 8192u
#define EVENTS 512

static void send_now(void *loop, uint32_t conn, const uint8_t *bytes, uint32_t count)
{
    (void)loop;
    /* A cut write is the client's to notice. */
    const ssize_t done = send((int)conn, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)done;
}

static void epoll_flush(void *loop)
{
    (void)loop;
}

static void accept_all(struct rc_bench_floor_core *core, int epoll, int listener)
{
    for (;;) {
        const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if ((uint32_t)fd >= CONN_MAX || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
            close(fd);
            continue;
        }
        rc_bench_floor_core_opened(core, (uint32_t)fd);
    }
}

void rc_bench_floor_epoll(struct rc_bench_floor_core *core, int listener)
{
    static uint8_t buffer[BUFFER_BYTES];
    struct epoll_event events[EVENTS];
    core->send = send_now;
    core->flush = epoll_flush;
    rc_bench_floor_core_init(core, CONN_MAX);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    RC_ASSERT(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
    for (;;) {
        const int count = epoll_wait(epoll, events, EVENTS, core->pending > 0 ? 1 : 100);
        for (int i = 0; i < count; i++) {
            const int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(core, epoll, listener);
                continue;
            }
            const ssize_t bytes = read(fd, buffer, sizeof(buffer));
            if (bytes < 0 && errno == EAGAIN) {
                continue;
            }
            if (bytes <= 0 || !rc_bench_floor_core_take(core, (uint32_t)fd, buffer, (uint32_t)bytes)) {
                rc_bench_floor_core_closed(core, (uint32_t)fd);
                close(fd);
            }
            core->arena_used = 0;
        }
        if (count == 0 && core->pending > 0) {
            rc_bench_floor_core_send_pending(core);
        }
    }
}
