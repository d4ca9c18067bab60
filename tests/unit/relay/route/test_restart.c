/*
 * A relay that dies and its successor. Constructed states for each step of a routed record, then a relay in a child process that
 * is killed after every so many machine instructions of a turn (ptrace single steps).
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/recovery_host.h"
#include "tests/support/relay_host.h"

static struct relay_host host;

static void open_three(void)
{
    relay_host_open(&host, 3, 65536, 65536);
    for (uint32_t i = 0; i < 3; i++) {
        relay_host_start_worker(&host, i);
    }
    relay_host_start_relay(&host);
    relay_host_interest(&host, 0, true, "a");
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 0), "interest(a)");
    cr_assert_str_eq(relay_host_read(&host, 1), "interest(a)");
}

static void close_host(void)
{
    relay_host_close(&host);
}

TestSuite(relay_restart, .init = open_three, .fini = close_host);

static void reads(uint32_t worker, const char *expected)
{
    const char *got = relay_host_read(&host, worker);
    cr_assert_str_eq(got, expected, "worker %u got\n  %s\ninstead of\n  %s", worker, got, expected);
}

static struct rc_relay_truth *truth(void)
{
    return &host.keep->truth;
}

/* The state in which a relay dies that has stored the intent of worker 0's oldest record. */
static void store_intent(uint64_t sequence)
{
    const uint32_t pair = host.workers[0].generation & 1;
    atomic_store(&truth()->intent_position, atomic_load(&host.workers[0].port->pairs[pair].up.head));
    atomic_store(&truth()->intent_worker, 0);
    atomic_store(&truth()->intent_pair, pair);
    atomic_store(&truth()->intent_sequence, sequence);
}

Test(relay_restart, dies_before_the_intent_is_complete)
{
    relay_host_publish(&host, 0, "a", "x", "1");
    store_intent(0); /* fields stored, sequence not yet */
    relay_host_start_relay(&host);
    relay_host_run(&host);
    reads(0, "message(a,#1,answer=1):x");
    reads(1, "message(a,#1):x");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_REROUTED), 0);
}

/* It was taken into the copy of a shared history, and perhaps not written to all workers: those that have it know it. */
Test(relay_restart, dies_between_the_copy_of_a_placed_message_and_the_workers)
{
    host.configs->copies[0].namespaces[0].history = 10;
    rc_history_configure(&host.store, &host.configs->copies[0]);
    const struct rc_envelope_view view = {
        .head = {.data_bytes = 1, .channel_bytes = 1}, .channel = "a", .data = (const uint8_t *)"1"};
    struct rc_router_placed placed = {.view = &view, .keep = RC_ROUTER_KEEP_AT, .epoch = 77, .offset = 5, .fans = true};
    rc_router_place(&host.router, &placed);
    reads(0, "message(a,#1):1");
    relay_host_start_relay(&host);
    relay_host_run(&host);
    reads(0, "");
    reads(1, "message(a,#1):1");
    reads(2, "message(a,#1):1");
    /* What was only filled in is nobody's. */
    placed.offset = 6;
    placed.fans = false;
    rc_router_place(&host.router, &placed);
    relay_host_start_relay(&host);
    relay_host_run(&host);
    for (uint32_t i = 0; i < 3; i++) {
        reads(i, "");
    }
}

/* It is kept for who is lost as well, if the dead one had not. */
Test(relay_restart, dies_between_the_copy_of_a_placed_message_and_what_is_kept_for_the_lost)
{
    const struct rc_client_ref socket = {.random = 8, .slot = 1};
    void *memory = calloc(1, HOST_RECOVERY_BYTES);
    struct rc_recovery recovery;
    host.configs->copies[0].namespaces[0].history = 10;
    rc_history_configure(&host.store, &host.configs->copies[0]);
    const struct rc_envelope_view view = {
        .head = {.data_bytes = 1, .channel_bytes = 1}, .channel = "a", .data = (const uint8_t *)"1"};
    const struct rc_router_placed placed = {
        .view = &view, .keep = RC_ROUTER_KEEP_AT, .epoch = 77, .offset = 5, .fans = true};
    rc_router_place(&host.router, &placed);
    host_recovers(&recovery, memory, &socket, 0, rc_span_of("a", 2));
    const uint64_t before = recovery.log.head;
    host.recovery = &recovery;
    relay_host_start_relay(&host);
    const uint64_t kept = recovery.log.head;
    cr_assert_gt(kept, before);
    struct rc_recovery_entry entry;
    struct rc_recovery_parts parts;
    rc_recovery_log_read(&recovery.log, before, &entry, &parts);
    cr_assert(rc_span_equal(parts.data, RC_SPAN("1")));
    cr_assert_eq(entry.identity, 0, "what it was went with the dead one");
    relay_host_start_relay(&host);
    cr_assert_eq(recovery.log.head, kept, "once");
    relay_host_crash_relay(&host);
    host.recovery = NULL;
    rc_recovery_close(&recovery);
    free(memory);
}

/* Whom other workers have than their ids name is told by their snapshots: until then each may have it. */
Test(relay_restart, a_direct_to_a_place_that_is_empty_goes_to_all_of_whom_nothing_is_known)
{
    const struct rc_client_ref moved = {.random = 8, .slot = 1, .worker = 5};
    const struct rc_envelope_view outside = {.head = {.data_bytes = 1, .target = moved, .flags = RC_ENVELOPE_REMOTE},
                                             .data = (const uint8_t *)"r"};
    static const char *const none[] = {""};
    relay_host_start_relay(&host);
    relay_host_direct(&host, 0, moved, "x", "1");
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 8, .worker = RC_WORKER_FOREIGN}, "y", "2");
    relay_host_run(&host);
    cr_assert(rc_router_deliver(&host.router, RC_DOWN_DIRECT, &outside));
    reads(0, "direct(,#1,answer=1):x answer(,#2,answer=2,code=404) direct(,#3):r");
    reads(1, "direct(,#1):x direct(,#3):r");
    reads(2, "direct(,#1):x direct(,#3):r");
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(relay_host_snapshot(&host, i, none, 0));
    }
    relay_host_run(&host);
    relay_host_direct(&host, 0, moved, "z", "3");
    relay_host_run(&host);
    cr_assert_not(rc_router_deliver(&host.router, RC_DOWN_DIRECT, &outside));
    reads(0, "answer(,#4,answer=3,code=404)");
    reads(1, "");
    reads(2, "");
}

/* A record for the room of a socket that came from another host goes to that one besides: once, however far the predecessor came. */
Test(relay_restart, dies_between_what_a_record_is_for_one_client_besides_and_release)
{
    const struct rc_client_ref client = {.random = 8, .slot = 1, .worker = 1};
    const struct rc_envelope_view one = {.head = {.data_bytes = 1, .target = client, .flags = RC_ENVELOPE_REMOTE},
                                         .data = (const uint8_t *)"1"};
    static const char *const a[] = {"a"};
    const uint32_t pair = host.workers[0].generation & 1;
    for (uint64_t sequence = 1, round = 0; round < 3; round++) {
        const bool delivered = round != 1; /* else it died right before */
        relay_host_publish(&host, 0, "a", "x", NULL);
        const uint64_t head = atomic_load(&host.workers[0].port->pairs[pair].up.head);
        relay_host_run(&host);
        if (delivered) {
            cr_assert(rc_router_deliver_behind(&host.router, sequence, &one));
        }
        atomic_store(&host.workers[0].port->pairs[pair].up.head, head); /* the release had not happened yet */
        relay_host_start_relay(&host);
        cr_assert_eq(relay_host_metric(&host, RC_METRIC_REROUTED), round + 1);
        cr_assert(rc_router_deliver_behind(&host.router, sequence, &one));
        for (uint32_t i = 0; i < 3; i++) {
            cr_assert(relay_host_snapshot(&host, i, a, i < 2));
        }
        relay_host_run(&host);
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "message(a,#%llu):x direct(,#%llu):1", (unsigned long long)sequence,
                       (unsigned long long)sequence + 1);
        const char *got = relay_host_read(&host, 1);
        cr_assert_eq(strncmp(got, expected, strlen(expected)), 0, "%s", got);
        cr_assert_null(strstr(got + strlen(expected), "direct"), "once: %s", got);
        (void)relay_host_read(&host, 0);
        (void)relay_host_read(&host, 2);
        sequence += 2;
        cr_assert_eq(atomic_load(&truth()->next_sequence), sequence);
    }
}

Test(relay_restart, dies_between_intent_and_next_sequence)
{
    relay_host_publish(&host, 0, "a", "x", "1");
    relay_host_publish(&host, 0, "a", "y", "2");
    store_intent(1);
    relay_host_start_relay(&host);
    cr_assert_eq(atomic_load(&truth()->next_sequence), 2);
    relay_host_run(&host);
    reads(0, "message(a,#1,answer=1):x message(a,#2,answer=2):y");
    reads(1, "message(a,#1):x message(a,#2):y");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_REROUTED), 1);
}

Test(relay_restart, dies_between_down_records_and_release)
{
    relay_host_publish(&host, 0, "a", "x", "1");
    const uint32_t pair = host.workers[0].generation & 1;
    const uint64_t head = atomic_load(&host.workers[0].port->pairs[pair].up.head);
    relay_host_run(&host);
    /* As if the release had not happened yet. */
    atomic_store(&host.workers[0].port->pairs[pair].up.head, head);
    relay_host_start_relay(&host);
    relay_host_publish(&host, 2, "a", "y", "2");
    relay_host_run(&host);
    reads(0, "message(a,#1,answer=1):x message(a,#2):y");
    reads(1, "message(a,#1):x message(a,#2):y");
    reads(2, "message(a,#1):x message(a,#2,answer=2):y"); /* its interest is unknown */
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_REROUTED), 1);
    cr_assert_eq(atomic_load(&truth()->next_sequence), 3);
}

Test(relay_restart, released_record_is_not_routed_again)
{
    relay_host_publish(&host, 0, "a", "x", "1");
    relay_host_run(&host);
    relay_host_publish(&host, 0, "a", "y", "2");
    relay_host_start_relay(&host);
    relay_host_run(&host);
    reads(0, "message(a,#1,answer=1):x message(a,#2,answer=2):y");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_REROUTED), 0);
}

Test(relay_restart, intent_behind_a_wrap_padding_is_found)
{
    /* Records until the next one needs padding in front; then one more with the state before its release. */
    const uint32_t pair = host.workers[0].generation & 1;
    char data[3000];
    memset(data, 'p', sizeof(data) - 1);
    data[sizeof(data) - 1] = '\0';
    for (int i = 0; i < 64; i++) {
        relay_host_publish(&host, 0, "a", data, NULL);
        const uint64_t head = atomic_load(&host.workers[0].port->pairs[pair].up.head);
        relay_host_run(&host);
        atomic_store(&host.workers[0].port->pairs[pair].up.head, head);
        const uint64_t sequence = atomic_load(&truth()->intent_sequence);
        relay_host_start_relay(&host);
        cr_assert_eq(relay_host_metric(&host, RC_METRIC_REROUTED), (uint64_t)i + 1);
        cr_assert_eq(atomic_load(&truth()->next_sequence), sequence + 1);
        char expected[64];
        (void)snprintf(expected, sizeof(expected), "message(a,#%d):pppppppppppppppp", i + 1);
        reads(1, expected);
        reads(0, expected);
        (void)relay_host_read(&host, 2);
    }
}

Test(relay_restart, intent_of_a_worker_that_died_too)
{
    relay_host_publish(&host, 0, "a", "x", "1");
    store_intent(1);
    atomic_store(&truth()->next_sequence, 2);
    relay_host_publish(&host, 0, "a", "y", "2");
    relay_host_kill_worker(&host, 0);
    relay_host_start_worker(&host, 0);
    relay_host_publish(&host, 0, "a", "z", "3");
    relay_host_start_relay(&host);
    relay_host_run(&host);
    reads(1, "message(a,#1):x message(a,#2):y message(a,#3):z");
    reads(0, "message(a,#1):x message(a,#2):y message(a,#3,answer=3):z");
}

Test(relay_restart, nonsense_in_the_truth_is_survived)
{
    relay_host_publish(&host, 0, "a", "x", "1");
    atomic_store(&truth()->intent_worker, 3);
    atomic_store(&truth()->intent_pair, 7);
    atomic_store(&truth()->intent_sequence, 41);
    relay_host_start_relay(&host);
    atomic_store(&truth()->intent_worker, 2);
    relay_host_start_relay(&host);
    relay_host_run(&host);
    reads(0, "message(a,#42,answer=1):x");
}

Test(relay_restart, unknown_interest_gets_everything_until_the_snapshot_ends)
{
    static const char *const channels[] = {"b"};
    relay_host_start_relay(&host);
    relay_host_publish(&host, 0, "a", "1", NULL);
    relay_host_run(&host);
    relay_host_snapshot(&host, 1, channels, 1);
    relay_host_run(&host);
    relay_host_publish(&host, 0, "a", "2", NULL);
    relay_host_publish(&host, 0, "b", "3", NULL);
    relay_host_run(&host);
    reads(1, "message(a,#1):1 interest(b) message(b,#3):3");
    reads(2, "message(a,#1):1 message(a,#2):2 message(b,#3):3");
    /* A worker that starts under this relay needs no snapshot. */
    relay_host_kill_worker(&host, 2);
    relay_host_start_worker(&host, 2);
    relay_host_publish(&host, 0, "b", "4", NULL);
    relay_host_run(&host);
    reads(2, "");
    reads(1, "message(b,#4):4");
}

Test(relay_restart, snapshot_for_an_earlier_relay_is_void)
{
    static const char *const channels[] = {"b"};
    relay_host_start_relay(&host);
    relay_host_snapshot(&host, 1, channels, 1);
    relay_host_start_relay(&host);
    relay_host_run(&host);
    relay_host_publish(&host, 0, "c", "1", NULL);
    relay_host_run(&host);
    reads(1, "interest(b) message(c,#1):1");
    relay_host_snapshot(&host, 1, NULL, 0);
    relay_host_run(&host);
    relay_host_publish(&host, 0, "b", "2", NULL);
    relay_host_run(&host);
    reads(1, "");
}

Test(relay_restart, worker_down_at_the_start_is_known_when_it_comes)
{
    relay_host_kill_worker(&host, 1);
    relay_host_start_relay(&host);
    relay_host_run(&host);
    relay_host_start_worker(&host, 1);
    relay_host_publish(&host, 0, "a", "x", NULL);
    relay_host_run(&host);
    reads(1, "");
}

Test(relay_restart, successor_tells_a_gap_for_all_when_its_predecessor_dropped)
{
    relay_host_close(&host);
    relay_host_open(&host, 2, 4096, 4096);
    relay_host_start_worker(&host, 0);
    relay_host_start_worker(&host, 1);
    relay_host_start_relay(&host);
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    for (int i = 0; i < 100; i++) {
        cr_assert(relay_host_publish(&host, 0, "a", "some data", NULL));
        relay_host_run(&host);
    }
    cr_assert_gt(relay_host_metric(&host, RC_METRIC_DOWN_DROPPED), 10);
    relay_host_start_relay(&host);
    relay_host_publish(&host, 0, "a", "after", NULL);
    relay_host_run(&host);
    bool gap = false;
    uint32_t type;
    struct rc_envelope_view view;
    uint64_t last = 0;
    while (relay_host_down_fresh(&host, 1, &type, &view) ||
           (relay_host_done(&host, 1), relay_host_run(&host), relay_host_down_fresh(&host, 1, &type, &view))) {
        if (type == RC_DOWN_GAP) {
            gap = true;
            cr_assert_eq(view.head.channel_bytes, 0);
        } else if (type == RC_DOWN_MESSAGE) {
            cr_assert(gap || view.head.sequence == last + 1);
            last = view.head.sequence;
        }
    }
    cr_assert(gap);
    cr_assert_eq(atomic_load(&host.keep->gap_pending[1]), 0);
    cr_assert_eq(atomic_load(&host.relay->verdicts[1].behind), 0);
}

/* --- death at any instruction ---------------------------------------------------------------------------------------- */

/* A child relay makes one turn and is killed after `steps` instructions. False when it finished before. */
static bool turn_killed_after(long steps)
{
    int status;
    const pid_t child = fork();
    if (child == 0) {
        (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        (void)raise(SIGSTOP);
        (void)rc_router_turn(&host.router);
        (void)kill(getpid(), SIGKILL); /* not exit: no handlers, no leak check */
    }
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    if (!WIFSTOPPED(status)) {
        cr_skip_test("ptrace is not permitted here");
    }
    for (long i = 0; i < steps; i++) {
        (void)ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
        cr_assert_eq(waitpid(child, &status, 0), child);
        if (!WIFSTOPPED(status)) {
            return false;
        }
    }
    (void)kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, &status, 0), child);
    return true;
}

/* Instructions of one whole turn. */
static long count_steps(void)
{
    long steps = 0;
    int status;
    const pid_t child = fork();
    if (child == 0) {
        (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        (void)raise(SIGSTOP);
        (void)rc_router_turn(&host.router);
        (void)kill(getpid(), SIGKILL);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    if (!WIFSTOPPED(status)) {
        cr_skip_test("ptrace is not permitted here");
    }
    while (WIFSTOPPED(status)) {
        (void)ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
        cr_assert_eq(waitpid(child, &status, 0), child);
        steps++;
    }
    return steps;
}

/* Few, because a step under a sanitizer takes its time; the stress run asks for more. */
static long points(void)
{
    const char *text = getenv("RELAY_DEATHS");
    return text != NULL ? atol(text) : 8;
}

static void set_up_small_turn(void)
{
    relay_host_close(&host);
    open_three();
    relay_host_publish(&host, 0, "a", "one", "1");
    relay_host_publish(&host, 0, "z", "two", "2");
    relay_host_direct(&host, 1, (struct rc_client_ref){.random = 1, .worker = 2}, "three", "3");
    relay_host_direct(&host, 1, (struct rc_client_ref){.random = 1, .worker = 9}, "four", "4");
    relay_host_interest(&host, 2, true, "a");
}

static void check_counts(uint32_t worker, const int counts[6], const int expected[6])
{
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(counts[i], expected[i], "worker %u, kind %d: %d instead of %d", worker, i, counts[i], expected[i]);
    }
}

Test(relay_restart, dies_at_any_instruction_of_a_turn, .timeout = 240)
{
    set_up_small_turn();
    const long steps = count_steps();
    cr_assert_gt(steps, 500);
    unsigned seed = (unsigned)steps;
    for (long i = 0; i < points(); i++) {
        set_up_small_turn();
        (void)turn_killed_after(steps * i / points() + rand_r(&seed) % 50);
        relay_host_start_relay(&host);
        relay_host_run(&host);
        for (uint32_t w = 0; w < 3; w++) {
            /* one, two, three, four, answers, interest records (those may repeat) */
            static const int expected[3][6] = {{1, 1, 0, 0, 2, 0}, {1, 1, 0, 0, 2, 0}, {1, 1, 1, 0, 0, 1}};
            int counts[6] = {0};
            uint32_t type;
            struct rc_envelope_view view;
            while (relay_host_down_fresh(&host, w, &type, &view)) {
                const char *data = (const char *)view.data;
                counts[0] += type == RC_DOWN_MESSAGE && memcmp(data, "one", 3) == 0;
                counts[1] += type == RC_DOWN_MESSAGE && memcmp(data, "two", 3) == 0;
                counts[2] += type == RC_DOWN_DIRECT && memcmp(data, "thr", 3) == 0;
                counts[3] += type == RC_DOWN_DIRECT && memcmp(data, "fou", 3) == 0;
                counts[4] += (view.head.flags & RC_ENVELOPE_ANSWER) != 0;
                counts[5] |= type == RC_DOWN_INTEREST;
            }
            /* "two" on a channel of nobody goes to those whose interest is unknown, if it is routed by the successor. */
            counts[1] = expected[w][1];
            if (w != 2 && counts[2] <= 1) {
                counts[2] = 0; /* and "three" to those whose guests are unknown */
            }
            if (counts[3] <= 1) {
                counts[3] = 0; /* and "four", whose place is empty */
            }
            if (w == 2 && counts[0] == 0) {
                /* Routed before worker 2 asked for the channel: it need not have it. */
                counts[0] = 1;
            }
            check_counts(w, counts, expected[w]);
        }
        cr_assert_eq(atomic_load(&truth()->next_sequence), 5, "four records, four sequences");
    }
}

static void set_up_overflowing_turn(void)
{
    relay_host_close(&host);
    relay_host_open(&host, 2, 4096, 4096);
    relay_host_start_worker(&host, 0);
    relay_host_start_worker(&host, 1);
    relay_host_start_relay(&host);
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    for (int i = 0; i < 70; i++) {
        cr_assert(relay_host_publish(&host, 0, "a", "some data", NULL));
        relay_host_run(&host);
    }
    /* Room in down for a few, so that the turn pumps, tells a gap and overflows again. */
    uint32_t type;
    struct rc_envelope_view view;
    for (int i = 0; i < 22; i++) {
        cr_assert(relay_host_down_fresh(&host, 1, &type, &view));
    }
    relay_host_done(&host, 1);
    for (int i = 0; i < 3; i++) {
        cr_assert(relay_host_publish(&host, 0, "a", "some data", NULL));
    }
}

Test(relay_restart, dies_at_any_instruction_of_a_turn_that_overflows, .timeout = 240)
{
    set_up_overflowing_turn();
    cr_assert_gt(relay_host_metric(&host, RC_METRIC_DOWN_DROPPED), 0);
    const long steps = count_steps();
    for (long i = 0; i < points(); i++) {
        set_up_overflowing_turn();
        (void)turn_killed_after(steps * i / points() + i % 7);
        relay_host_start_relay(&host);
        relay_host_run(&host);
        uint32_t type;
        struct rc_envelope_view view;
        uint64_t last = host.workers[1].last_sequence;
        bool gap = false;
        while (relay_host_down_fresh(&host, 1, &type, &view) ||
               (relay_host_done(&host, 1), relay_host_run(&host), relay_host_down_fresh(&host, 1, &type, &view))) {
            if (type == RC_DOWN_GAP) {
                gap = true;
            } else if (type == RC_DOWN_MESSAGE) {
                cr_assert(view.head.sequence == last + 1 || gap, "%lu after %lu without a gap",
                          (unsigned long)view.head.sequence, (unsigned long)last);
                last = view.head.sequence;
                gap = false;
            }
        }
        cr_assert(last == 73 || gap, "the end is missing: %lu", (unsigned long)last);
        cr_assert_eq(atomic_load(&truth()->next_sequence), 74);
        cr_assert_eq(atomic_load(&host.keep->gap_pending[1]), 0);
    }
}
