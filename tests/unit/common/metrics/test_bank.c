/* common/metrics/bank: metrics of one process, read and gone on with by programs of other builds. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "build_id.h"
#include "common/metrics/bank.h"

static struct rc_banks *banks;

static void open_all(void)
{
    banks = calloc(1, sizeof(*banks));
    cr_assert_not_null(banks);
}

static void close_all(void)
{
    free(banks);
}

TestSuite(bank, .init = open_all, .fini = close_all);

/* What the current bank has becomes another build's: another number, all words one further on, and rows in another order. */
static void make_foreign(void)
{
    struct rc_bank *bank = &banks->banks[atomic_load(&banks->current)];
    const size_t words = sizeof(struct rc_metrics) / 8;
    memmove((void *)&bank->words[1], (const void *)&bank->words[0], words * 8);
    atomic_store(&bank->words[0], 0xbadu);
    for (uint32_t i = 0; i < bank->row_count; i++) {
        bank->rows[i].offset += 8;
    }
    const struct rc_bank_row first = bank->rows[0];
    memmove(&bank->rows[0], &bank->rows[1], (bank->row_count - 1) * sizeof(first));
    bank->rows[bank->row_count - 1] = first;
    atomic_store(&bank->build, RC_BUILD_ID ^ 1u);
}

static void count_all(struct rc_metrics *metrics)
{
    for (uint32_t i = 0; i < RC_METRIC_COUNT; i++) {
        rc_metric_set(metrics, (enum rc_metric_id)i, 1000 + i);
    }
    for (uint32_t i = 0; i < RC_HISTOGRAM_COUNT; i++) {
        rc_metric_observe(metrics, (enum rc_histogram_id)i, 77 + i);
    }
    rc_metric_subscribed(metrics, 3, 5);
    rc_metric_closed(metrics, 1012);
    rc_metric_closed(metrics, 4567);
}

static void expect_all(const struct rc_bank *bank)
{
    for (uint32_t i = 0; i < RC_METRIC_COUNT; i++) {
        cr_assert_eq(rc_bank_value(bank, (enum rc_metric_id)i), 1000u + i, "metric %u", i);
    }
    for (uint32_t i = 0; i < RC_HISTOGRAM_COUNT; i++) {
        struct rc_histogram all = {0};
        rc_bank_merge(&all, bank, (enum rc_histogram_id)i);
        cr_assert_eq(atomic_load(&all.count), 1u);
        cr_assert_eq(atomic_load(&all.sum), 77u + i);
        cr_assert_eq(atomic_load(&all.max), 77u + i);
    }
    cr_assert_eq(rc_bank_subscriptions(bank, 3), 5u);
    cr_assert_eq(rc_bank_subscriptions(bank, 4), 0u);
    uint64_t closes = 0;
    for (uint32_t i = 0; i < RC_METRIC_CLOSES; i++) {
        closes += rc_bank_closes(bank, (enum rc_metric_close)i);
    }
    cr_assert_eq(closes, 2u);
    cr_assert_eq(rc_bank_closes(bank, RC_METRIC_CLOSE_OTHER), 1u);
}

Test(bank, names_are_all_different)
{
    (void)rc_banks_own(banks);
    const struct rc_bank *bank = rc_banks_current(banks);
    for (uint32_t i = 0; i < bank->row_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            cr_assert_neq(bank->rows[i].name, bank->rows[j].name, "rows %u and %u", i, j);
        }
    }
}

Test(bank, a_successor_of_the_same_build_goes_on_in_the_same_memory)
{
    struct rc_metrics *metrics = rc_banks_own(banks);
    count_all(metrics);
    cr_assert_eq(rc_banks_open(banks), metrics);
    rc_banks_inherit(banks);
    rc_banks_take(banks);
    expect_all(rc_banks_current(banks));
}

Test(bank, what_another_build_counts_is_read_by_name)
{
    count_all(rc_banks_own(banks));
    make_foreign();
    cr_assert_not(rc_bank_ours(rc_banks_current(banks)));
    expect_all(rc_banks_current(banks));
}

Test(bank, a_successor_of_another_build_counts_on_and_is_not_seen_before_it_takes_over)
{
    count_all(rc_banks_own(banks));
    make_foreign();
    const struct rc_bank *before = rc_banks_current(banks);
    struct rc_metrics *metrics = rc_banks_open(banks);
    rc_metric_add(metrics, RC_METRIC_LOG_DROPPED, 1);
    cr_assert_eq(rc_banks_current(banks), before);
    rc_banks_inherit(banks);
    expect_all(before);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LOG_DROPPED), 1000u + RC_METRIC_LOG_DROPPED + 1,
                 "what it has counted itself, too");
    /* It dies. The next one begins at the same place again. */
    metrics = rc_banks_open(banks);
    cr_assert_eq(rc_metric_get(metrics, RC_METRIC_LOG_DROPPED), 0u);
    rc_banks_inherit(banks);
    rc_banks_take(banks);
    cr_assert_neq(rc_banks_current(banks), before);
    cr_assert(rc_bank_ours(rc_banks_current(banks)));
    expect_all(rc_banks_current(banks));
    /* And back, into the bank of before. */
    make_foreign();
    (void)rc_banks_own(banks);
    cr_assert_eq(rc_banks_current(banks), before);
    expect_all(before);
}

Test(bank, what_the_other_build_does_not_have_reads_nothing)
{
    count_all(rc_banks_own(banks));
    make_foreign();
    struct rc_bank *bank = &banks->banks[atomic_load(&banks->current)];
    bank->rows[4].name ^= 1;
    const uint32_t id = 5; /* make_foreign has turned the table by one */
    cr_assert_eq(rc_bank_value(bank, (enum rc_metric_id)id), 0u);
    struct rc_metrics *metrics = rc_banks_own(banks);
    cr_assert_eq(rc_metric_get(metrics, (enum rc_metric_id)id), 0u);
    cr_assert_eq(rc_metric_get(metrics, (enum rc_metric_id)(id + 1)), 1000u + id + 1);
}

/* Memory of another process may be anything. */
Test(bank, a_damaged_table_reads_nothing)
{
    static const struct {
        uint32_t offset;
        uint32_t bytes;
    } wrong[] = {{RC_BANK_BYTES, 8}, {UINT32_MAX - 7, 8}, {3, 8}, {8, UINT32_MAX - 7}, {RC_BANK_BYTES - 8, 16}, {8, 0}};
    count_all(rc_banks_own(banks));
    make_foreign();
    struct rc_bank *bank = &banks->banks[atomic_load(&banks->current)];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        for (uint32_t row = 0; row < bank->row_count; row++) {
            bank->rows[row].offset = wrong[i].offset;
            bank->rows[row].bytes = wrong[i].bytes;
        }
        struct rc_histogram all = {0};
        cr_expect_eq(rc_bank_value(bank, (enum rc_metric_id)2), 0u, "case %zu", i);
        cr_expect_eq(rc_bank_subscriptions(bank, 3), 0u);
        rc_bank_merge(&all, bank, (enum rc_histogram_id)0);
        cr_expect_eq(atomic_load(&all.count), 0u);
    }
    bank->row_count = UINT32_MAX;
    cr_expect_eq(rc_bank_value(bank, (enum rc_metric_id)2), 0u);
    (void)rc_banks_own(banks);
}
