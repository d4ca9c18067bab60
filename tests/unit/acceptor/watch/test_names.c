/* Names of backends: each is there as soon as it is known. The C library's resolver is played here, so that one of them does not answer. */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "acceptor/watch/names.h"
#include "common/base/span.h"
#include "tests/support/supervisor_rig.h"

static struct supervisor_rig rig;
static struct rc_supervisor *const supervisor = &rig.supervisor;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool answers; /* the server of dead.test does */

/* In place of the C library's. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in address;
    } *one = calloc(1, sizeof(*one));
    (void)service;
    (void)hints;
    cr_assert_not_null(one);
    (void)pthread_mutex_lock(&lock);
    while (strcmp(host, "dead.test") == 0 && !answers) {
        (void)pthread_cond_wait(&changed, &lock);
    }
    (void)pthread_mutex_unlock(&lock);
    one->address.sin_family = AF_INET;
    (void)inet_pton(AF_INET, "192.0.2.7", &one->address.sin_addr);
    one->info = (struct addrinfo){
        .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&one->address, .ai_addrlen = sizeof(one->address)};
    *out = &one->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    free(list);
}

static void open_all(void)
{
    supervisor_rig_open(&rig, "[[backend]]\nname = \"dead\"\nurl = [\"http://dead.test:1/\"]\n"
                              "[[backend]]\nname = \"well\"\nurl = [\"http://well.test:1/\"]\n");
}

static void close_all(void)
{
    rc_names_close(supervisor);
    supervisor_rig_close(&rig);
}

TestSuite(names, .init = open_all, .fini = close_all, .timeout = 20);

static int found(const char *name)
{
    struct rc_address addresses[RC_HOST_ADDRESSES_MAX];
    return rc_hosts_find(&supervisor->broker.segments.core->hosts, rc_span_text(name), addresses);
}

/* Serves the names as the loop does until `name` has an address. */
static void serve_until(const char *name)
{
    while (found(name) != 1) {
        const uint64_t due_ms = rc_names_due_ms(supervisor);
        cr_assert_leq(due_ms, supervisor->now_ms + RC_NAMES_POLL_MS, "%s has no address, and the round is over", name);
        supervisor->now_ms = due_ms > supervisor->now_ms ? due_ms : supervisor->now_ms;
        rc_names_progress(supervisor);
        (void)sched_yield();
    }
}

Test(names, one_that_is_not_answered_holds_no_other_one_up)
{
    rc_names_progress(supervisor);
    serve_until("well.test");
    cr_assert_eq(found("dead.test"), 0);
    const uint32_t revision = rc_hosts_revision(&supervisor->broker.segments.core->hosts);
    supervisor->now_ms = rc_names_due_ms(supervisor);
    rc_names_progress(supervisor);
    cr_assert_eq(rc_hosts_revision(&supervisor->broker.segments.core->hosts), revision,
                 "nothing new is nothing to write");
    (void)pthread_mutex_lock(&lock);
    answers = true;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    serve_until("dead.test");
    cr_assert_eq(found("well.test"), 1);
    cr_assert_gt(rc_names_due_ms(supervisor), supervisor->now_ms + RC_NAMES_POLL_MS, "none is being looked up");
}

Test(names, one_that_is_not_answered_delays_no_other_ones_refresh)
{
    enum { DEAD, WELL };
    rc_names_progress(supervisor);
    serve_until("well.test");
    const uint64_t answered_ms = supervisor->now_ms;
    while (supervisor->names.lookups[WELL] == NULL) {
        supervisor->now_ms = rc_names_due_ms(supervisor);
        cr_assert_leq(supervisor->now_ms, answered_ms + RC_NAMES_AGAIN_MS + 1000, "it waits for the dead one");
        rc_names_progress(supervisor);
    }
    cr_assert_geq(supervisor->now_ms, answered_ms + RC_NAMES_AGAIN_MS);
    cr_assert_not_null(supervisor->names.lookups[DEAD]);
    (void)pthread_mutex_lock(&lock);
    answers = true; /* and ends */
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    serve_until("dead.test");
}
