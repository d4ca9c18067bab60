/* A session changes hosts by what both say to each other over Redis, which is the fake one: who is asked, when it is taken, and who is refused. The
 * test is the other instance, "b". */
#include "tests/support/comeback_rig.h"

TestSuite(comeback, .init = open_all, .fini = close_all);

static struct rc_span claim(void)
{
    static uint8_t data[64];
    struct rc_sio_session_claim its = {.user_bytes = 3};
    memcpy(its.pid, PID, RC_PID_BYTES);
    memcpy(data, &its, sizeof(its));
    memcpy(data + sizeof(its), "ann", 3);
    return rc_span_of(data, sizeof(its) + 3);
}

/* "b" says it; the token is that of what was asked last. */
static void says(struct rc_comeback_message *message, struct rc_span behind)
{
    static uint8_t bytes[RC_COMEBACK_BYTES_MAX];
    message->from = RC_SPAN("b");
    message->token = comeback.serial;
    const size_t count = rc_comeback_write(bytes, message);
    memcpy(bytes + count, behind.bytes, behind.count);
    comeback.own.message(comeback.own.context, rc_span_text(comeback.own.name),
                         rc_span_of(bytes, count + behind.count));
}

static void refuses(uint16_t code)
{
    struct rc_comeback_message none = {.kind = RC_COMEBACK_NONE, .code = code};
    says(&none, RC_SPAN(""));
}

static void has(void)
{
    struct rc_comeback_message have = {.kind = RC_COMEBACK_HAVE,
                                       .sid = (const uint8_t *)SID,
                                       .user = RC_SPAN("ann"),
                                       .rooms = rc_span_of("/#\0lobby", 9)};
    says(&have, RC_SPAN(""));
}

/* One message, up to which the answer has `total`. */
static void misses(const char *data, uint32_t total, bool last)
{
    struct rc_comeback_message missed = {.kind = RC_COMEBACK_MISSED, .last = last, .total = total, .count = 1};
    const struct rc_comeback_missed one = {.identity = 5, .event = RC_SPAN("said"), .data = rc_span_text(data)};
    uint8_t text[64];
    says(&missed, rc_span_of(text, (size_t)(rc_comeback_missed_write(text, &one) - text)));
}

/* What was published last: its kind, and the channel. */
static bool said(const char *channel, enum rc_comeback_kind kind)
{
    const char *last = fake.published[(fake.publish_count - 1) % 16];
    const size_t bytes = strlen(channel);
    return strncmp(last, channel, bytes) == 0 && last[bytes] == ' ' && last[bytes + 1] == 1 &&
           last[bytes + 2] == (char)kind;
}

static uint16_t ask(void)
{
    return rc_comeback_ask(&comeback, RC_SPAN("/#"), claim());
}

static uint16_t found(void)
{
    const struct rc_recovery_asked_for asked = {.channel = RC_SPAN("/#"), .claim = claim()};
    struct rc_span record;
    uint64_t lost_ms;
    return rc_recovery_abroad_find(&recovery, &asked, rc_clock_ms(), &record, &lost_ms);
}

Test(comeback, who_is_alone_asks_nobody)
{
    registry.instance_count = 0;
    cr_assert_eq(ask(), RC_SIO_SESSION_UNKNOWN);
    registry.instance_count = 1;
    fake.up = false;
    cr_assert_eq(ask(), RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(fake.publish_count, 0);
}

Test(comeback, all_are_asked_once_and_what_they_say_is_remembered)
{
    registry.instance_count = 2;
    cr_assert_eq(ask(), 0);
    cr_assert(said("ws:instances:session", RC_COMEBACK_ASK));
    cr_assert_eq(ask(), 0);
    cr_assert_eq(fake.publish_count, 1);
    refuses(RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(ask(), 0, "there is another one");
    refuses(RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(ask(), RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(fake.publish_count, 1);
    fake_pass(RC_COMEBACK_ANSWER_MS + 100);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RECOVERY_UNANSWERED), 0);
}

Test(comeback, who_does_not_know_yet_that_it_was_lost_is_asked_again)
{
    cr_assert_eq(ask(), 0);
    refuses(RC_SIO_SESSION_CONNECTED);
    cr_assert_eq(ask(), 0);
    cr_assert_eq(fake.publish_count, 2);
    refuses(RC_SIO_SESSION_FOREIGN_USER);
    cr_assert_eq(ask(), RC_SIO_SESSION_FOREIGN_USER);
}

Test(comeback, it_is_taken_when_its_rooms_are_heard)
{
    cr_assert_eq(ask(), 0);
    has();
    cr_assert_eq(found(), RC_SIO_SESSION_CONNECTED, "it is on its way");
    fake_pass(20);
    cr_assert_eq(fake.publish_count, 1);
    heard = true;
    fake_pass(100);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_TAKE));
    misses("[0]", 1, false);
    refuses(RC_SIO_SESSION_BUSY); /* its own rooms are being read, or it has no room for all of the answer */
    fake_pass(300);
    cr_assert_eq(fake.publish_count, 3);
    misses("[1]", 1, true);
    cr_assert_eq(found(), 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RECOVERY_CAME), 1);
}

/* It is asked for, heard and taken. */
static void take(void)
{
    heard = true;
    cr_assert_eq(ask(), 0);
    has();
    fake_pass(100);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_TAKE));
}

static void expect_too_old(void)
{
    cr_assert_eq(ask(), RC_SIO_SESSION_TOO_OLD);
    cr_assert_eq(found(), RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RECOVERY_CAME), 0);
}

/* Until it is asked for it may stay where it is: what is for it goes there, too. From then on that would come back. */
Test(comeback, who_has_it_is_known_until_it_is_asked_for)
{
    struct rc_sid sid;
    cr_assert(rc_sid_read(&sid, RC_SPAN(SID)));
    heard = false;
    cr_assert_null(rc_comeback_owner(&comeback, sid.client.random));
    (void)ask();
    cr_assert_null(rc_comeback_owner(&comeback, sid.client.random));
    has();
    cr_assert_str_eq(rc_comeback_owner(&comeback, sid.client.random), "b");
    cr_assert_null(rc_comeback_owner(&comeback, sid.client.random + 1));
    heard = true;
    fake_pass(100);
    cr_assert_null(rc_comeback_owner(&comeback, sid.client.random));
    refuses(RC_SIO_SESSION_BUSY);
    cr_assert_str_eq(rc_comeback_owner(&comeback, sid.client.random), "b", "it was not given");
}

Test(comeback, what_is_for_who_is_expected_goes_to_who_has_it_too)
{
    static struct relay_host host;
    const struct rc_to_sockets to = {
        .router = &host.router, .registry = &registry, .direct = &direct, .comeback = &comeback};
    const struct rc_envelope_view view = {.head = {.sequence = 1, .channel_bytes = RC_SID_BYTES, .data_bytes = 3},
                                          .channel = SID,
                                          .data = (const uint8_t *)"[1]"};
    relay_host_open(&host, 1, 65536, 65536);
    host.recovery = &recovery;
    relay_host_start_relay(&host);
    cr_assert_eq(ask(), 0);
    has();
    const uint32_t before = fake.publish_count;
    cr_assert(rc_to_sockets_room(&to, &view));
    cr_assert_eq(fake.publish_count, before + 1);
    const char *last = fake.published[(fake.publish_count - 1) % 16];
    cr_assert_eq(strncmp(last, "ws:direct:b~" SID " ", 13 + RC_SID_BYTES), 0, "%s", last);
    heard = true;
    fake_pass(100);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_TAKE));
    const uint32_t taken = fake.publish_count;
    cr_assert(rc_to_sockets_room(&to, &view));
    cr_assert_eq(fake.publish_count, taken, "it would come back");
    relay_host_close(&host);
}

/* What is for it while it is asked for goes to the asker alone, else it came back with it. Where it is not given its owner gets that, too: it may come
 * back there. */
static void expect_told(uint16_t code, uint32_t after_ms)
{
    static struct relay_host host;
    const struct rc_to_sockets to = {
        .router = &host.router, .registry = &registry, .direct = &direct, .comeback = &comeback};
    struct rc_envelope_view view = {.head = {.channel_bytes = RC_SID_BYTES, .data_bytes = 3}, .channel = SID};
    relay_host_open(&host, 1, 65536, 65536);
    host.recovery = &recovery;
    relay_host_start_relay(&host);
    take();
    const uint32_t taken = fake.publish_count;
    for (uint32_t i = 1; i <= 2; i++) {
        view.head.sequence = rc_router_sequence(&host.router);
        view.data = (const uint8_t *)(i == 1 ? "[1]" : "[2]");
        cr_assert(rc_to_sockets_room(&to, &view));
    }
    cr_assert_eq(fake.publish_count, taken);
    if (code != 0) {
        refuses(code);
    }
    if (after_ms != 0) {
        fake_pass(after_ms);
    }
    for (uint32_t i = 0; i < 2; i++) {
        const char *said_then = fake.published[(taken + i) % 16];
        const size_t head = strlen("ws:direct:b~" SID " ");
        cr_assert_eq(strncmp(said_then, "ws:direct:b~" SID " ", head), 0, "%s", said_then);
        cr_assert_not_null(strstr(said_then + head, i == 0 ? "[1]" : "[2]"), "%s", said_then);
    }
    cr_assert_eq(fake.publish_count, taken + 2, "each once");
    relay_host_close(&host);
}

Test(comeback, what_was_for_it_while_it_was_asked_for_goes_to_its_owner_when_that_is_busy)
{
    expect_told(RC_SIO_SESSION_BUSY, 0);
}

Test(comeback, what_was_for_it_while_it_was_asked_for_goes_to_its_owner_when_that_does_not_answer)
{
    expect_told(0, RC_COMEBACK_ANSWER_MS + 100);
}

Test(comeback, what_was_for_it_while_it_was_asked_for_goes_to_its_owner_when_that_refuses)
{
    expect_told(RC_SIO_SESSION_FOREIGN_USER, 0);
}

Test(comeback, of_which_a_part_was_lost_does_not_come)
{
    take();
    misses("[3]", 3, true);
    expect_too_old();
}

Test(comeback, of_which_a_message_is_none_does_not_come)
{
    take();
    misses("[1]", 1, false);
    misses("[1", 2, true);
    expect_too_old();
}

Test(comeback, what_was_set_on_it_is_an_object)
{
    struct rc_comeback_message have = {.kind = RC_COMEBACK_HAVE,
                                       .sid = (const uint8_t *)SID,
                                       .user = RC_SPAN("ann"),
                                       .set = RC_SPAN("[1]"),
                                       .rooms = rc_span_of("/#", 3)};
    cr_assert_eq(ask(), 0);
    says(&have, RC_SPAN(""));
    expect_too_old();
}

Test(comeback, what_is_not_heard_or_not_answered_in_time_does_not_come)
{
    cr_assert_eq(ask(), 0);
    has();
    fake_pass(RC_COMEBACK_ROOMS_MS + 100);
    cr_assert_eq(ask(), RC_SIO_SESSION_BUSY);
    cr_assert_eq(found(), RC_SIO_SESSION_UNKNOWN);
    fake_pass(RC_COMEBACK_KNOWN_MS + 3000);
    cr_assert_eq(ask(), 0, "it is asked again");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RECOVERY_UNANSWERED), 0);
    fake_pass(RC_COMEBACK_ANSWER_MS + 100);
    cr_assert_eq(ask(), RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RECOVERY_UNANSWERED), 1);
}

/* It is lost here: this instance is the owner. */
static void lose(void)
{
    uint8_t data[128];
    struct rc_sio_session_head head = {.state = RC_SIO_SESSION_LOST, .user_bytes = 3, .rooms_bytes = 9};
    memcpy(head.pid, PID, RC_PID_BYTES);
    memcpy(head.sid, SID, RC_SID_BYTES);
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), "ann/#\0lobby", 12);
    const struct rc_envelope_view up = {
        .head = {.origin = {.random = 77}, .channel_bytes = 2, .data_bytes = sizeof(head) + 12},
        .channel = "/#",
        .data = data};
    rc_recovery_take(&recovery, 0, 1, true, &up, rc_clock_ms());
}

Test(comeback, the_owner_gives_it_once_and_knows_where_it_went)
{
    struct rc_sid sid;
    lose();
    struct rc_comeback_message question = {
        .kind = RC_COMEBACK_ASK, .channel = RC_SPAN("/#"), .pid = (const uint8_t *)PID, .user = RC_SPAN("bob")};
    cr_assert(rc_sid_read(&sid, RC_SPAN(SID)));
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE), "another user's");
    question.user = RC_SPAN("ann");
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_HAVE));
    question.kind = RC_COMEBACK_TAKE;
    question.through.count = 1;
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE), "its rooms are not heard");
    heard = true;
    cr_assert_null(rc_comeback_moved(&comeback, sid.client.random));
    const uint32_t answers = fake.publish_count;
    says(&question, RC_SPAN(""));
    cr_assert_eq(fake.publish_count, answers, "Redis was given it twice: its asker waits for no other answer to it");
    comeback.serial++;
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_MISSED));
    cr_assert_str_eq(rc_comeback_moved(&comeback, sid.client.random)->instance, "b");
    comeback.serial++;
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE), "once");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RECOVERY_WENT), 1);
    take();
    cr_assert_str_eq(rc_comeback_moved(&comeback, sid.client.random)->instance, "b");
    refuses(RC_SIO_SESSION_TOO_OLD);
    cr_assert_null(rc_comeback_moved(&comeback, sid.client.random), "what is for it goes in no circle");
}

/* --- a Redis Cluster ------------------------------------------------------------------------------------------------- */

#define HOME 11u

static void in_cluster(void)
{
    fake.clustered = true;
    fake.places = (struct rc_redis_places){.map = 99, .count = 3, .ids = {HOME, 22, 33}};
    comeback.own.place = HOME;
}

/* "b" says through that server that it gave it; it is heard at that one. */
static void given(uint64_t place, uint64_t at)
{
    uint8_t bytes[RC_COMEBACK_BYTES_MAX];
    const struct rc_comeback_message message = {.kind = RC_COMEBACK_GIVEN,
                                                .from = RC_SPAN("b"),
                                                .token = comeback.serial,
                                                .through = {.map = 99, .place = place, .count = 3}};
    comeback.marked.place = at;
    comeback.marked.message(comeback.marked.context, rc_span_text(comeback.marked.name),
                            rc_span_of(bytes, rc_comeback_write(bytes, &message)));
}

static void given_all(void)
{
    given(22, 22);
    given(22, HOME);
    given(33, 33);
    given(33, HOME);
}

static bool went_through(uint32_t count, const uint64_t *ids)
{
    bool all = fake.at_count == count;
    for (uint32_t i = 0; i < count; i++) {
        all &= fake.at[i] == ids[i];
    }
    return all;
}

Test(comeback, in_a_cluster_it_is_asked_for_through_each_server_and_through_home_last)
{
    in_cluster();
    take();
    cr_assert(went_through(2, (const uint64_t[]){22, 33}));
    cr_assert_eq(fake.publish_count, 4, "ASK, two marks, and TAKE itself");
    const char *mark = fake.published[1];
    cr_assert_eq(strncmp(mark, "ws:instance:b:session:mark \x01\x04", 29), 0, "%s", mark);
    misses("[1]", 1, true);
    given_all();
    cr_assert_eq(found(), 0);
}

/* What the owner had heard through a server that is slower than home comes here before it is there, else it came twice. */
Test(comeback, in_a_cluster_it_is_there_when_all_that_its_owner_had_heard_has_come)
{
    in_cluster();
    take();
    given(22, 22);
    given(22, HOME);
    given(33, HOME);
    misses("[1]", 1, true);
    misses("[1]", 1, true); /* the same, which Redis was given twice */
    cr_assert_eq(found(), RC_SIO_SESSION_CONNECTED, "it is on its way");
    given(33, 22);
    given(44, 44);
    cr_assert_eq(found(), RC_SIO_SESSION_CONNECTED);
    given(33, 33);
    cr_assert_eq(found(), 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RECOVERY_CAME), 1);
}

Test(comeback, in_a_cluster_of_which_a_mark_is_lost_does_not_come)
{
    in_cluster();
    take();
    misses("[1]", 1, true);
    given(22, 22);
    given(22, HOME);
    given(33, 33);
    fake_pass(RC_COMEBACK_ANSWER_MS + 100);
    cr_assert_eq(ask(), 0, "it is given: what stands before it may be late");
    fake_pass(RC_COMEBACK_ROOMS_MS + 100);
    cr_assert_eq(ask(), RC_SIO_SESSION_BUSY);
    cr_assert_eq(found(), RC_SIO_SESSION_UNKNOWN);
}

/* What waits here for a server would come behind the mark that goes past it. */
Test(comeback, in_a_cluster_what_was_published_here_before_comes_first)
{
    in_cluster();
    fake.order = 7;
    fake.taken = 6;
    heard = true;
    cr_assert_eq(ask(), 0);
    has();
    fake_pass(100);
    cr_assert_eq(fake.publish_count, 1);
    fake.order = 9; /* what comes after is heard here */
    fake.taken = 7;
    fake_pass(300);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_TAKE));
}

Test(comeback, in_a_cluster_a_server_that_is_away_ends_it_when_the_time_is_up)
{
    in_cluster();
    fake.away = 33;
    heard = true;
    cr_assert_eq(ask(), 0);
    has();
    fake_pass(100);
    fake_pass(200);
    cr_assert(!said("ws:instance:b:session", RC_COMEBACK_TAKE));
    fake_pass(RC_COMEBACK_ROOMS_MS + 100);
    cr_assert_eq(ask(), RC_SIO_SESSION_BUSY);
    cr_assert_eq(found(), RC_SIO_SESSION_UNKNOWN);
}

/* As long as somebody waits, as often as it is looked at. */
static void wait_long(void)
{
    for (uint64_t ms = RC_COMEBACK_TICK_MS; ms + 100 < RC_COMEBACK_ROOMS_MS; ms += RC_COMEBACK_TICK_MS) {
        fake_pass(ms);
    }
}

/* Each question takes a place among those of all askers at its owner. */
Test(comeback, in_a_cluster_nothing_is_asked_while_a_server_is_away)
{
    in_cluster();
    fake.away = 33;
    heard = true;
    cr_assert_eq(ask(), 0);
    has();
    const uint64_t token = comeback.serial;
    wait_long();
    cr_assert_eq(fake.at_count, 0);
    cr_assert_eq(comeback.serial, token);
    fake.away = 0;
    fake_pass(RC_COMEBACK_ROOMS_MS - 100);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_TAKE));
}

Test(comeback, in_a_cluster_a_server_that_takes_nothing_is_tried_now_and_then)
{
    in_cluster();
    fake.stuck = 33;
    heard = true;
    cr_assert_eq(ask(), 0);
    has();
    wait_long();
    cr_assert(fake.at_count > 1 && fake.at_count <= RC_COMEBACK_ROOMS_MS / RC_COMEBACK_AGAIN_MS, "%lu", fake.at_count);
}

/* Each question has a token of its own. */
Test(comeback, an_answer_to_a_former_question_is_none_to_this_one)
{
    in_cluster();
    take();
    const uint64_t first = comeback.serial;
    refuses(RC_SIO_SESSION_BUSY);
    fake_pass(300);
    cr_assert_neq(comeback.serial, first);
    const uint64_t second = comeback.serial;
    comeback.serial = first;
    misses("[1]", 1, true);
    refuses(RC_SIO_SESSION_TOO_OLD);
    comeback.serial = second;
    cr_assert_eq(found(), RC_SIO_SESSION_CONNECTED, "it is on its way still");
    misses("[2]", 1, true);
    given_all();
    cr_assert_eq(found(), 0);
}

Test(comeback, an_answer_under_another_map_than_it_was_asked_under_is_none)
{
    in_cluster();
    take();
    fake.places.map = 100;
    misses("[1]", 1, true);
    expect_too_old();
}

/* A stream is read by each at its own pace: what the asker has read before it asks must be among what it is given. */
Test(comeback, the_owner_gives_it_when_it_has_read_a_stream_as_far_as_the_asker)
{
    lose();
    struct rc_comeback_message question = {.kind = RC_COMEBACK_TAKE,
                                           .channel = RC_SPAN("/#"),
                                           .pid = (const uint8_t *)PID,
                                           .user = RC_SPAN("ann"),
                                           .read = RC_SPAN("20-1"),
                                           .through = {.count = 1}};
    heard = true;
    stream_place = "20-0";
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE), "it is asked again");
    stream_place = "20-1";
    comeback.serial++;
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_MISSED));
}

Test(comeback, who_asks_says_how_far_it_has_read_a_stream)
{
    struct rc_comeback_message message;
    stream_place = "30-9";
    take();
    cr_assert_eq(rc_comeback_read(&message, rc_span_of(fake.said, fake.said_bytes)), 0);
    cr_assert(rc_span_equal(message.read, RC_SPAN("30-9")));
}

/* What its client had of a stream before it was lost comes to the asker once more, which may read it later: it is taken behind that. */
Test(comeback, it_is_taken_when_a_stream_is_read_as_far_as_its_owner_had)
{
    struct rc_comeback_message have = {.kind = RC_COMEBACK_HAVE,
                                       .sid = (const uint8_t *)SID,
                                       .user = RC_SPAN("ann"),
                                       .rooms = rc_span_of("/#\0lobby", 9),
                                       .read = RC_SPAN("40-2")};
    heard = true;
    stream_place = "40-1";
    cr_assert_eq(ask(), 0);
    says(&have, RC_SPAN(""));
    fake_pass(100);
    cr_assert_eq(fake.publish_count, 1, "it was taken before");
    stream_place = "40-2";
    fake_pass(300);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_TAKE));
}

Test(comeback, who_has_it_says_how_far_it_has_read_a_stream)
{
    struct rc_comeback_message message;
    struct rc_comeback_message question = {
        .kind = RC_COMEBACK_ASK, .channel = RC_SPAN("/#"), .pid = (const uint8_t *)PID, .user = RC_SPAN("ann")};
    lose();
    stream_place = "30-9";
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_HAVE));
    cr_assert_eq(rc_comeback_read(&message, rc_span_of(fake.said, fake.said_bytes)), 0);
    cr_assert(rc_span_equal(message.read, RC_SPAN("30-9")));
}

/* "b" asks through that server of the Cluster; it is heard at that one. */
static void marks(struct rc_comeback_message *question, uint64_t place, uint64_t at)
{
    uint8_t bytes[RC_COMEBACK_BYTES_MAX];
    question->kind = RC_COMEBACK_TAKE;
    question->from = RC_SPAN("b");
    question->token = comeback.serial;
    question->through = (struct rc_comeback_through){.map = 99, .place = place, .count = 3};
    struct rc_redis_subscription *one = place == HOME ? &comeback.own : &comeback.marked;
    one->place = at;
    one->message(comeback.own.context, rc_span_text(one->name), rc_span_of(bytes, rc_comeback_write(bytes, question)));
}

/* All that is heard of a question in the Cluster, but for the one at `without` of it. */
static void marks_all(struct rc_comeback_message *question, uint32_t without)
{
    static const uint64_t heard_at[][2] = {{22, 22}, {22, HOME}, {33, HOME}, {33, 33}, {HOME, HOME}};
    for (uint32_t i = 0; i < RC_ARRAY_COUNT(heard_at); i++) {
        if (i != without) {
            marks(question, heard_at[i][0], heard_at[i][1]);
        }
    }
}

Test(comeback, in_a_cluster_it_is_given_when_it_was_asked_for_through_all_servers)
{
    struct rc_comeback_message question = {
        .channel = RC_SPAN("/#"), .pid = (const uint8_t *)PID, .user = RC_SPAN("ann")};
    in_cluster();
    lose();
    heard = true;
    fake.order = 4;
    for (uint32_t without = 0; without < 5; without++) {
        comeback.serial++;
        marks_all(&question, without);
        marks(&question, 22, 33); /* the bus brings it to all of them */
        marks(&question, 44, 44); /* none of the map's */
        cr_assert_eq(fake.publish_count, 0, "one was lost: %u", without);
    }
    comeback.serial++;
    marks_all(&question, 2);
    marks_all(&question, 2); /* twice is not more */
    cr_assert_eq(fake.publish_count, 0);
    marks(&question, 33, HOME);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_MISSED));
    cr_assert_eq(fake.publish_count, 1);
    marks_all(&question, 5);
    cr_assert_eq(fake.publish_count, 1, "it was answered");
    fake.taken = 3;
    fake_pass(100);
    cr_assert_eq(fake.publish_count, 1, "what this instance published is not with Redis yet");
    fake.taken = 4;
    fake_pass(300);
    cr_assert(went_through(2, (const uint64_t[]){22, 33}));
    cr_assert(said("ws:instance:b:session:mark", RC_COMEBACK_GIVEN));
    fake_pass(500);
    cr_assert_eq(fake.publish_count, 3, "once");
}

/* Its client had it from here at once: whoever asks is not to hear it as if it were new. */
Test(comeback, in_a_cluster_who_has_it_says_so_when_what_was_said_before_is_with_redis)
{
    struct rc_comeback_message question = {
        .kind = RC_COMEBACK_ASK, .channel = RC_SPAN("/#"), .pid = (const uint8_t *)PID, .user = RC_SPAN("ann")};
    in_cluster();
    lose();
    fake.taken_by_ms = 1;
    comeback.serial++;
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE));
    fake.taken_by_ms = rc_clock_ms();
    comeback.serial++;
    says(&question, RC_SPAN(""));
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_HAVE));
}

Test(comeback, who_has_something_to_be_rid_of_first_is_asked_again)
{
    cr_assert_eq(ask(), 0);
    refuses(RC_SIO_SESSION_BUSY);
    const uint32_t asked = fake.publish_count;
    cr_assert_eq(ask(), 0);
    cr_assert_eq(fake.publish_count, asked + 1);
    cr_assert(said("ws:instances:session", RC_COMEBACK_ASK));
}

static void give_in_cluster(void)
{
    struct rc_comeback_message question = {
        .channel = RC_SPAN("/#"), .pid = (const uint8_t *)PID, .user = RC_SPAN("ann")};
    in_cluster();
    lose();
    heard = true;
    comeback.serial++;
    marks_all(&question, 5);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_MISSED));
}

Test(comeback, in_a_cluster_that_it_was_given_is_not_told_while_a_server_is_away)
{
    fake.away = 33;
    give_in_cluster();
    wait_long();
    cr_assert_eq(fake.at_count, 0);
    fake.away = 0;
    fake_pass(RC_COMEBACK_ROOMS_MS - 100);
    cr_assert(went_through(2, (const uint64_t[]){22, 33}));
}

Test(comeback, in_a_cluster_that_it_was_given_is_told_now_and_then_to_a_server_that_takes_nothing)
{
    fake.stuck = 33;
    give_in_cluster();
    wait_long();
    cr_assert(fake.at_count > 1 && fake.at_count <= RC_COMEBACK_ROOMS_MS / RC_COMEBACK_AGAIN_MS, "%lu", fake.at_count);
}

/* Of each that was given there is something to be told still, and places for that are bounded: who finds none keeps its session. */
Test(comeback, in_a_cluster_it_stays_while_nobody_could_say_that_it_was_given)
{
    struct rc_comeback_message question = {
        .channel = RC_SPAN("/#"), .pid = (const uint8_t *)PID, .user = RC_SPAN("ann")};
    in_cluster();
    heard = true;
    fake.order = 4;
    fake.taken = 3;
    for (uint32_t i = 0; i < RC_COMEBACKS_MAX; i++) {
        lose();
        comeback.serial++;
        marks_all(&question, 5);
        cr_assert(said("ws:instance:b:session", RC_COMEBACK_MISSED));
    }
    lose();
    comeback.serial++;
    marks_all(&question, 5);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE));
    cr_assert_eq(found(), 0, "it is here still");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_RECOVERY_WENT), RC_COMEBACKS_MAX);
    fake.taken = 4;
    fake_pass(100);
    comeback.serial++;
    marks_all(&question, 5);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_MISSED), "there is a place again");
}

Test(comeback, in_a_cluster_who_hears_elsewhere_is_told_to_ask_again_once)
{
    struct rc_comeback_message question = {
        .channel = RC_SPAN("/#"), .pid = (const uint8_t *)PID, .user = RC_SPAN("ann")};
    in_cluster();
    lose();
    heard = true;
    fake.places.map = 98;
    marks_all(&question, 5);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE));
    cr_assert_eq(fake.publish_count, 1);
    cr_assert_gt(fake.differ, 0, "the map is read again");
    fake.places.count = 0; /* nor is anything given while it is not known where */
    comeback.serial++;
    marks_all(&question, 5);
    cr_assert_eq(fake.publish_count, 2);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE));
}

/* What came under one map says nothing of another one. */
Test(comeback, in_a_cluster_a_map_that_changes_in_the_middle_begins_anew)
{
    struct rc_comeback_message question = {
        .channel = RC_SPAN("/#"), .pid = (const uint8_t *)PID, .user = RC_SPAN("ann")};
    in_cluster();
    lose();
    heard = true;
    marks_all(&question, 4);
    fake.places.map = 98;
    marks(&question, HOME, HOME);
    cr_assert(said("ws:instance:b:session", RC_COMEBACK_NONE));
    fake.places.map = 99;
    marks_all(&question, 5);
    cr_assert_eq(fake.publish_count, 1, "it was answered");
}

Test(comeback, what_makes_no_sense_is_refused)
{
    comeback.everybody.message(comeback.everybody.context, RC_SPAN("ws:instances:session"), RC_SPAN("{}"));
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 1);
    has(); /* nobody asked */
    cr_assert_eq(found(), RC_SIO_SESSION_UNKNOWN);
}
