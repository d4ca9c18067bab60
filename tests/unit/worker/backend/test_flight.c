/* Calls of one key: who asks, who waits, what is kept. */
#include "worker/backend/flight.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct rc_flights *flights;
static uint32_t flight;
static struct rc_span body;

static void begin(void)
{
    flights = rc_flights_open();
    cr_assert_not_null(flights);
}

static void finish(void)
{
    rc_flights_close(flights);
}

TestSuite(flight, .init = begin, .fini = finish);

static enum rc_flight_found ask(uint64_t key, uint64_t now_ms)
{
    uint8_t bytes[RC_BACKEND_KEY_BYTES] = {0};
    memcpy(bytes, &key, sizeof(key));
    return rc_flight_begin(flights, RC_BACKEND_CONNECT, 0, bytes, now_ms, (struct rc_backend_waiter){.token = now_ms},
                           &flight, &body);
}

static uint32_t land(uint32_t which, uint16_t status, const char *text, uint64_t now_ms)
{
    const struct rc_backend_answer answer = {
        .outcome = RC_BACKEND_ANSWERED, .status = status, .body = rc_span_text(text), .why = ""};
    uint32_t told = 0;
    struct rc_flight_waiter *next;
    for (struct rc_flight_waiter *each = rc_flight_end(flights, which, &answer, now_ms); each != NULL; each = next) {
        next = each->next;
        free(each);
        told++;
    }
    return told;
}

Test(flight, those_who_come_meanwhile_wait_for_the_first)
{
    cr_assert_eq(ask(1, 0), RC_FLIGHT_FIRST);
    const uint32_t first = flight;
    cr_expect_eq(ask(1, 1), RC_FLIGHT_JOINED);
    cr_expect_eq(ask(1, 2), RC_FLIGHT_JOINED);
    cr_expect_eq(ask(2, 3), RC_FLIGHT_FIRST);
    cr_expect_eq(land(first, 200, "{}", 4), 3);
    cr_expect_eq(ask(1, 5), RC_FLIGHT_FIRST); /* nothing was kept */
}

Test(flight, an_answer_is_kept_as_long_as_it_says)
{
    cr_assert_eq(ask(1, 0), RC_FLIGHT_FIRST);
    (void)land(flight, 200, "{\"user\":{\"ttl\":7},\"ttl\":2}", 1000);
    cr_expect_eq(ask(1, 2999), RC_FLIGHT_KEPT);
    cr_expect(rc_span_equal(body, RC_SPAN("{\"user\":{\"ttl\":7},\"ttl\":2}")));
    cr_expect_eq(ask(1, 3000), RC_FLIGHT_FIRST);
    (void)land(flight, 200, "{\"ttl\":9}", 3000);
    rc_flights_forget(flights);
    cr_expect_eq(ask(1, 3001), RC_FLIGHT_FIRST);
}

Test(flight, only_good_answers_with_a_whole_number_are_kept)
{
    static const struct {
        uint16_t status;
        const char *text;
    } cases[] = {{500, "{\"ttl\":5}"}, {403, "{\"ttl\":5}"}, {200, "{\"ttl\":\"5\"}"}, {200, "{\"ttl\":-1}"},
                 {200, "{\"ttl\":5"},  {200, "[5]"},         {200, "{\"ttl\":0}"},     {200, ""}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(ask(i, 0), RC_FLIGHT_FIRST);
        (void)land(flight, cases[i].status, cases[i].text, 0);
        cr_expect_eq(ask(i, 1), RC_FLIGHT_FIRST, "%s", cases[i].text);
    }
}

Test(flight, what_was_asked_before_a_reload_is_not_kept)
{
    cr_assert_eq(ask(1, 0), RC_FLIGHT_FIRST);
    const uint32_t first = flight;
    rc_flights_forget(flights);
    cr_expect_eq(ask(1, 1), RC_FLIGHT_ALONE);
    cr_expect_eq(land(first, 200, "{\"ttl\":5}", 2), 1);
    cr_expect_eq(ask(1, 3), RC_FLIGHT_FIRST);
}

Test(flight, the_table_is_bounded_and_the_oldest_goes)
{
    for (uint64_t key = 0; key < RC_FLIGHTS_MAX; key++) {
        cr_assert_eq(ask(key, 0), RC_FLIGHT_FIRST, "%lu", (unsigned long)key);
        (void)land(flight, 200, "{\"ttl\":5}", 0);
    }
    cr_assert_eq(ask(RC_FLIGHTS_MAX, 1), RC_FLIGHT_FIRST);
    (void)land(flight, 200, "{\"ttl\":5}", 1);
    cr_expect_eq(ask(1, 2), RC_FLIGHT_KEPT);
    cr_expect_eq(ask(RC_FLIGHTS_MAX, 2), RC_FLIGHT_KEPT);
    cr_expect_eq(ask(0, 2), RC_FLIGHT_FIRST); /* it made room for the last one */
}

Test(flight, bytes_are_bounded_too)
{
    char *large = malloc(RC_FLIGHT_BYTES_MAX / 2 + 100);
    memset(large, ' ', RC_FLIGHT_BYTES_MAX / 2 + 99);
    memcpy(large, "{\"ttl\":5}", 9);
    large[RC_FLIGHT_BYTES_MAX / 2 + 99] = '\0';
    for (uint64_t key = 0; key < 2; key++) {
        cr_assert_eq(ask(key, 0), RC_FLIGHT_FIRST);
        (void)land(flight, 200, large, 0);
    }
    cr_expect_eq(ask(1, 1), RC_FLIGHT_KEPT);
    cr_expect_eq(ask(0, 1), RC_FLIGHT_FIRST);
    free(large);
}
