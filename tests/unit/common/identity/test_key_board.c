/* key_board: what is written is read, whole or not at all; banks know nothing of each other. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/identity/key_board.h"

#define ROUNDS 2000u

static struct rc_key_board *board;
static struct rc_jwt_material material;
static struct rc_jwt_material got;

static void set_up(void)
{
    board = calloc(1, sizeof(*board));
    cr_assert(board != NULL);
}

static void tear_down(void)
{
    free(board);
}

TestSuite(key_board, .init = set_up, .fini = tear_down);

Test(key_board, empty_at_first)
{
    uint32_t revision = 1;
    cr_assert_eq(rc_key_board_revision(board, 0, 3), 0);
    cr_assert_eq(rc_key_board_read(board, 0, 3, &got, &revision), 0);
    cr_assert_eq(revision, 0);
    cr_assert_eq(got.count, 0);
}

Test(key_board, written_and_read)
{
    uint32_t revision = 0;
    memset(&material, 7, sizeof(material));
    const uint32_t wrote = rc_key_board_write(board, 4, 3, &material);
    cr_assert_eq(rc_key_board_revision(board, 4, 3), wrote);
    cr_assert_eq(rc_key_board_revision(board, 6, 3), wrote);
    cr_assert_eq(rc_key_board_revision(board, 5, 3), 0);
    cr_assert_eq(rc_key_board_revision(board, 4, 2), 0);
    cr_assert_eq(rc_key_board_read(board, 4, 3, &got, &revision), 0);
    cr_assert_eq(revision, wrote);
    cr_assert_arr_eq((uint8_t *)&got, (uint8_t *)&material, sizeof(got));
    cr_assert_neq(rc_key_board_write(board, 4, 3, &material), wrote);
}

/* A writer that died in the middle. */
Test(key_board, half_written_is_not_seen)
{
    uint32_t revision = 0;
    memset(&material, 7, sizeof(material));
    rc_key_board_write(board, 0, 0, &material);
    atomic_fetch_add(&board->rows[0][0].revision, 1);
    cr_assert_eq(rc_key_board_read(board, 0, 0, &got, &revision), -EAGAIN);
    cr_assert_eq(got.bytes, 0);
    rc_key_board_write(board, 0, 0, &material);
    cr_assert_eq(rc_key_board_read(board, 0, 0, &got, &revision), 0);
}

static void *write_on(void *context)
{
    struct rc_jwt_material *mine = context;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        memset(mine, (int)(i & 0x7f), sizeof(*mine));
        rc_key_board_write(board, 0, 0, mine);
    }
    return NULL;
}

/* Never a mixture of two sets. */
Test(key_board, read_while_it_is_written)
{
    pthread_t writer;
    uint32_t revision = 0;
    cr_assert_eq(pthread_create(&writer, NULL, write_on, &material), 0);
    while (rc_key_board_revision(board, 0, 0) < 2 * ROUNDS) {
        if (rc_key_board_read(board, 0, 0, &got, &revision) == 0) {
            const uint8_t *bytes = (const uint8_t *)&got;
            for (size_t i = 1; i < sizeof(got); i++) {
                cr_assert_eq(bytes[i], bytes[0]);
            }
        }
    }
    cr_assert_eq(pthread_join(writer, NULL), 0);
}
