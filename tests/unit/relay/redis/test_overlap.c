/* relay/redis/overlap: what two relays hear beside each other is handled once, in order, wherever the mark comes. */
#include "relay/redis/overlap.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

struct pair {
    int fd;
    int bell_fd;
    struct rc_redis_overlap old;
    struct rc_redis_overlap new;
    char handled[4096];
    char mark[RC_REDIS_OVERLAP_NONCE_BYTES + 1];
};

static void pair_open(struct pair *pair)
{
    struct rc_err err = {{0}};
    memset(pair, 0, sizeof(*pair));
    pair->fd = memfd_create("pass", MFD_CLOEXEC);
    pair->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    cr_assert_eq(rc_redis_overlap_forward(&pair->old, pair->fd, pair->bell_fd, &err), 0, "%s", err.text);
    cr_assert(rc_redis_overlap_follow(&pair->new, pair->fd));
    cr_assert_not_null(rc_redis_overlap_mark(&pair->new));
    snprintf(pair->mark, sizeof(pair->mark), "%s", rc_redis_overlap_mark(&pair->new));
}

static void pair_close(struct pair *pair)
{
    rc_redis_overlap_close(&pair->old);
    rc_redis_overlap_close(&pair->new);
    close(pair->fd);
    close(pair->bell_fd);
}

static void hear(void *context, const struct rc_redis_heard *heard)
{
    struct pair *pair = context;
    const size_t at = strlen(pair->handled);
    snprintf(pair->handled + at, sizeof(pair->handled) - at, "%s%.*s=%.*s ", heard->pattern ? "p:" : "",
             (int)heard->channel.count, (const char *)heard->channel.bytes, (int)heard->body.count,
             (const char *)heard->body.bytes);
}

static struct rc_redis_heard message(const char *channel, const char *body)
{
    return (struct rc_redis_heard){.channel = rc_span_text(channel), .body = rc_span_text(body)};
}

static void old_hears(struct pair *pair, const char *channel, const char *body)
{
    const struct rc_redis_heard heard = message(channel, body);
    cr_assert(rc_redis_overlap_take(&pair->old, &heard), "the old one handles nothing any more");
}

/* As the link does: what is not taken is handled at once. */
static void new_hears(struct pair *pair, const char *channel, const char *body)
{
    const struct rc_redis_heard heard = message(channel, body);
    if (!rc_redis_overlap_take(&pair->new, &heard)) {
        hear(pair, &heard);
    }
}

/* An upgrade before, whose new relay has died. */
Test(overlap, who_forwards_in_vain_says_at_its_end_that_it_does_not)
{
    struct pair pair;
    pair_open(&pair);
    old_hears(&pair, "a", "1");
    cr_assert_not(rc_redis_overlap_ended(&pair.old));
    pair.old.since_ms -= RC_REDIS_OVERLAP_MS; /* as if it had begun so long ago */
    cr_assert(rc_redis_overlap_ended(&pair.old));
    struct rc_redis_overlap later;
    cr_assert_not(rc_redis_overlap_follow(&later, pair.fd), "nobody is to wait for it");
    pair_close(&pair);
}

Test(overlap, what_a_dead_one_has_begun_is_forgotten)
{
    struct pair pair;
    struct rc_redis_overlap later;
    pair_open(&pair);
    rc_redis_overlap_forget(pair.fd); /* it was killed before its time was up */
    cr_assert_not(rc_redis_overlap_follow(&later, pair.fd));
    new_hears(&pair, "a", "2");
    rc_redis_overlap_handle(&pair.new, hear, &pair);
    cr_assert_eq(pair.new.role, RC_REDIS_OVERLAP_LOST, "who follows it, still, gives up");
    rc_redis_overlap_forget(pair.fd);
    pair_close(&pair);
    const int empty = memfd_create("pass", MFD_CLOEXEC);
    rc_redis_overlap_forget(empty);
    cr_assert_not(rc_redis_overlap_follow(&later, empty));
    close(empty);
}

Test(overlap, each_is_handled_once_in_order_wherever_the_mark_is_seen_first)
{
    for (int old_first = 0; old_first < 2; old_first++) {
        struct pair pair;
        pair_open(&pair);
        old_hears(&pair, "a", "1");
        rc_redis_overlap_handle(&pair.new, hear, &pair);
        new_hears(&pair, "a", "2"); /* both hear it: the old one forwards */
        old_hears(&pair, "a", "2");
        rc_redis_overlap_marked(&pair.new);
        cr_assert_null(rc_redis_overlap_mark(&pair.new), "once");
        if (old_first) {
            old_hears(&pair, "m", pair.mark);
            cr_assert(rc_redis_overlap_ended(&pair.old));
            old_hears(&pair, "a", "3");
            rc_redis_overlap_handle(&pair.new, hear, &pair);
            cr_assert_str_eq(pair.handled, "a=1 a=2 ");
            new_hears(&pair, "m", pair.mark);
            new_hears(&pair, "a", "3");
        } else {
            new_hears(&pair, "m", pair.mark);
            new_hears(&pair, "a", "3");
            rc_redis_overlap_handle(&pair.new, hear, &pair);
            cr_assert_str_eq(pair.handled, "a=1 a=2 ", "what is behind the mark waits for what is before it");
            cr_assert_not(rc_redis_overlap_ended(&pair.old));
            old_hears(&pair, "m", pair.mark);
            old_hears(&pair, "a", "3");
        }
        rc_redis_overlap_handle(&pair.new, hear, &pair);
        new_hears(&pair, "a", "4");
        cr_assert_eq(pair.new.role, RC_REDIS_OVERLAP_OVER);
        cr_assert_str_eq(pair.handled, "a=1 a=2 a=3 a=4 ");
        struct rc_redis_overlap third;
        cr_assert_not(rc_redis_overlap_follow(&third, pair.fd), "that one is over");
        pair_close(&pair);
    }
}

Test(overlap, patterns_and_large_messages_come_through)
{
    static char large[300000];
    struct pair pair;
    pair_open(&pair);
    memset(large, 'x', sizeof(large) - 1);
    const struct rc_redis_heard heard = {
        .pattern = true, .by = RC_SPAN("ws:*"), .channel = RC_SPAN("ws:1"), .body = RC_SPAN("body")};
    cr_assert(rc_redis_overlap_take(&pair.old, &heard));
    old_hears(&pair, "large", large);
    old_hears(&pair, "", "");
    rc_redis_overlap_handle(&pair.new, hear, &pair);
    cr_assert_eq(strncmp(pair.handled, "p:ws:1=body large=xxx", 21), 0);
    cr_assert_eq(pair.new.role, RC_REDIS_OVERLAP_FOLLOWS);
    pair_close(&pair);
}

Test(overlap, what_the_old_one_cannot_forward_is_known_to_be_missed)
{
    struct pair pair;
    pair_open(&pair);
    old_hears(&pair, "a", "1");
    rc_redis_overlap_give_up(&pair.old, hear, &pair); /* its connection was lost */
    cr_assert(rc_redis_overlap_ended(&pair.old));
    new_hears(&pair, "m", pair.mark);
    new_hears(&pair, "a", "9");
    rc_redis_overlap_handle(&pair.new, hear, &pair);
    cr_assert_eq(pair.new.role, RC_REDIS_OVERLAP_LOST);
    cr_assert_str_eq(pair.handled, "a=1 a=9 ", "what there is is handled");
    new_hears(&pair, "a", "10");
    cr_assert_str_eq(pair.handled, "a=1 a=9 a=10 ");
    pair_close(&pair);
}

static off_t file_bytes(const struct pair *pair)
{
    struct stat status;
    cr_assert_eq(fstat(pair->fd, &status), 0);
    return status.st_size;
}

static char bulk[100000];

static void old_hears_much(struct pair *pair)
{
    memset(bulk, 'x', sizeof(bulk) - 1);
    for (int i = 0; i < 10; i++) {
        old_hears(pair, "a", bulk);
    }
    cr_assert_gt(file_bytes(pair), 1000000);
}

static void expect_given_back(const struct pair *pair)
{
    cr_assert_leq(file_bytes(pair), 4096);
    cr_assert_null(pair->new.kept);
    cr_assert_null(pair->new.scratch);
}

Test(overlap, what_was_forwarded_and_kept_is_given_back_when_it_is_over)
{
    struct pair pair;
    pair_open(&pair);
    old_hears_much(&pair);
    rc_redis_overlap_marked(&pair.new);
    new_hears(&pair, "m", pair.mark);
    new_hears(&pair, "a", bulk);
    old_hears(&pair, "m", pair.mark);
    rc_redis_overlap_handle(&pair.new, hear, &pair);
    cr_assert_eq(pair.new.role, RC_REDIS_OVERLAP_OVER);
    expect_given_back(&pair);
    pair_close(&pair);
}

/* By whoever follows; the other one, which may be stuck, does not fill the file again. */
Test(overlap, what_was_forwarded_is_given_back_when_it_is_given_up)
{
    struct pair pair;
    pair_open(&pair);
    old_hears_much(&pair);
    pair.new.since_ms -= RC_REDIS_OVERLAP_MS;
    rc_redis_overlap_handle(&pair.new, hear, &pair);
    cr_assert_eq(pair.new.role, RC_REDIS_OVERLAP_LOST);
    expect_given_back(&pair);
    old_hears(&pair, "a", bulk);
    cr_assert_leq(file_bytes(&pair), 4096);
    cr_assert(rc_redis_overlap_ended(&pair.old), "nobody follows it");
    pair_close(&pair);
}

Test(overlap, too_much_behind_the_mark_is_given_back)
{
    static char most[RC_REDIS_OVERLAP_KEPT_MAX];
    struct pair pair;
    pair_open(&pair);
    old_hears_much(&pair);
    new_hears(&pair, "m", pair.mark);
    new_hears(&pair, "a", "1");
    memset(most, 'x', sizeof(most) - 1);
    new_hears(&pair, "a", most);
    cr_assert_eq(pair.new.role, RC_REDIS_OVERLAP_LOST);
    expect_given_back(&pair);
    cr_assert(rc_redis_overlap_ended(&pair.old), "nobody follows it");
    pair_close(&pair);
}

/* The new one has died, and the next one follows nobody. */
Test(overlap, what_was_forwarded_for_one_that_died_is_given_back)
{
    struct pair pair;
    pair_open(&pair);
    old_hears_much(&pair);
    rc_redis_overlap_drop(pair.fd);
    cr_assert_leq(file_bytes(&pair), 4096);
    old_hears(&pair, "a", bulk);
    cr_assert_leq(file_bytes(&pair), 4096);
    cr_assert(rc_redis_overlap_ended(&pair.old));
    pair_close(&pair);
    const int empty = memfd_create("pass", MFD_CLOEXEC);
    rc_redis_overlap_drop(empty);
    rc_redis_overlap_drop(-1);
    close(empty);
}

Test(overlap, a_file_that_nobody_forwards_into_is_not_followed)
{
    struct rc_redis_overlap overlap;
    const int fd = memfd_create("pass", MFD_CLOEXEC);
    cr_assert_not(rc_redis_overlap_follow(&overlap, fd), "empty");
    cr_assert_eq(ftruncate(fd, 8192), 0);
    cr_assert_not(rc_redis_overlap_follow(&overlap, fd), "zeros");
    close(fd);
}
