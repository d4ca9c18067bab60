/* floor_chain: see floor_chain.h. */
#include "bench/floor_chain.h"

#include "bench/net.h"

#include "common/base/check.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_BYTES (1u << 20) /* more than a load generator of a low rate has under way */
#define BUFFER_BYTES 65536u

/* One writer, one reader, a byte stream. */
struct ring {
    _Alignas(64) _Atomic uint64_t head; /* written up to */
    _Alignas(64) _Atomic uint64_t tail; /* read up to */
    uint8_t bytes[RING_BYTES];
};

/* Where bytes come from or go to. */
struct end {
    int fd;            /* a socket, or the ring's eventfd */
    struct ring *ring; /* NULL: a socket */
};

struct route {
    struct end in;
    struct end out; /* fd -1: nowhere */
    bool answered;  /* `in` gets a short answer to each read */
};

static uint8_t buffer[BUFFER_BYTES];

static struct end chain_ring_make(void)
{
    struct ring *ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    RC_ASSERT(ring != MAP_FAILED);
    const struct end end = {.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .ring = ring};
    RC_ASSERT(end.fd >= 0);
    return end;
}

static void make_connection(struct end *left, struct end *right)
{
    uint16_t port = 0;
    const int on = 1;
    const int listener = rc_bench_net_listen(&port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    RC_ASSERT(listener >= 0 && fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    RC_ASSERT(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    *left = (struct end){.fd = fd};
    *right = (struct end){.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)};
    RC_ASSERT(right->fd >= 0);
    (void)close(listener);
}

/* Bytes read into `buffer`, 0 when there are none, -1 when there will be no more. */
static int64_t end_take(const struct end *end)
{
    if (end->ring == NULL) {
        const ssize_t got = recv(end->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        return got > 0 ? got : got == 0 ? -1 : 0;
    }
    uint64_t rings;
    (void)!read(end->fd, &rings, sizeof(rings));
    /* Y2 pairs with Y1 in end_put(): the bytes below it. */
    const uint64_t head = atomic_load_explicit(&end->ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&end->ring->tail, memory_order_relaxed);
    int64_t count = 0;
    while (tail < head && count < (int64_t)sizeof(buffer)) {
        buffer[count++] = end->ring->bytes[tail++ % RING_BYTES];
    }
    /* Y3 pairs with Y4 in end_put(): we have read them. */
    atomic_store_explicit(&end->ring->tail, tail, memory_order_release);
    return count;
}

static void end_put(const struct end *end, size_t count)
{
    if (end->ring == NULL) {
        RC_ASSERT(send(end->fd, buffer, count, MSG_NOSIGNAL) == (ssize_t)count);
        return;
    }
    const uint64_t one = 1;
    uint64_t head = atomic_load_explicit(&end->ring->head, memory_order_relaxed);
    /* Y4 pairs with Y3 in end_take(): what lies below has been read. */
    RC_ASSERT(head + count - atomic_load_explicit(&end->ring->tail, memory_order_acquire) <= RING_BYTES);
    for (size_t i = 0; i < count; i++) {
        end->ring->bytes[head++ % RING_BYTES] = buffer[i];
    }
    /* Y1 pairs with Y2 in end_take(). */
    atomic_store_explicit(&end->ring->head, head, memory_order_release);
    RC_ASSERT(write(end->fd, &one, sizeof(one)) == sizeof(one));
}

__attribute__((noreturn)) static void chain_run(const struct route *routes, uint32_t count)
{
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    RC_ASSERT(epoll >= 0);
    for (uint32_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        RC_ASSERT(epoll_ctl(epoll, EPOLL_CTL_ADD, routes[i].in.fd, &event) == 0);
    }
    for (;;) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) != 1) {
            continue;
        }
        const struct route *route = &routes[event.data.u32];
        const int64_t got = end_take(&route->in);
        if (got < 0) {
            (void)epoll_ctl(epoll, EPOLL_CTL_DEL, route->in.fd, NULL); /* whoever started it ends it */
        } else if (got > 0) {
            if (route->answered) {
                RC_ASSERT(send(route->in.fd, ":1\r\n", 4, MSG_NOSIGNAL) == 4);
            }
            if (route->out.fd >= 0) {
                end_put(&route->out, (size_t)got);
            }
        }
    }
}

/* A descriptor to another process, over a Unix socket. */
static void bytes_give(int socket, int fd)
{
    char byte = 0;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    const struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    RC_ASSERT(sendmsg(socket, &message, 0) == 1);
}

static int bytes_get(int socket)
{
    char byte;
    int fd = -1;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    RC_ASSERT(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1);
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    RC_ASSERT(head != NULL && head->cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    return fd;
}

/* `handed`, if not -1: the first route goes out to a descriptor that comes over this socket. */
static void chain_spawn(struct route *routes, uint32_t count, int handed)
{
    const pid_t parent = getpid();
    const pid_t pid = fork();
    RC_ASSERT(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        if (handed >= 0) {
            routes[0].out.fd = bytes_get(handed);
        }
        chain_run(routes, count);
    }
}

/* All of the chain is made before `ready` is told and the client is accepted: who measures finds every process. */
static struct end accept_client(int listener, int ready)
{
    RC_ASSERT(write(ready, "", 1) == 1);
    const struct end client = {.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)};
    RC_ASSERT(client.fd >= 0);
    return client;
}

__attribute__((noreturn)) static void chain_of_hosts(int listener, int ready, struct end there, struct end back)
{
    const struct end nowhere = {.fd = -1};
    struct end publisher, publisher_server, subscriber, subscriber_server;
    int handed[2];
    make_connection(&publisher, &publisher_server);
    make_connection(&subscriber, &subscriber_server);
    RC_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, handed) == 0);
    chain_spawn((struct route[]){{there, publisher, false}, {publisher, nowhere, false}}, 2, -1);
    chain_spawn((struct route[]){{publisher_server, subscriber_server, true}}, 1, -1);
    chain_spawn((struct route[]){{subscriber, back, false}}, 1, -1);
    chain_spawn((struct route[]){{back, nowhere, false}}, 1, handed[1]);
    const struct end client = accept_client(listener, ready);
    bytes_give(handed[0], client.fd);
    chain_run((struct route[]){{client, there, false}}, 1);
}

void rc_bench_floor_chain(int listener, int ready, bool between_hosts)
{
    const struct end there = chain_ring_make();
    const struct end back = chain_ring_make();
    if (between_hosts) {
        chain_of_hosts(listener, ready, there, back);
    }
    chain_spawn((struct route[]){{there, back, false}}, 1, -1);
    const struct end client = accept_client(listener, ready);
    chain_run((struct route[]){{client, there, false}, {back, client, false}}, 2);
}
