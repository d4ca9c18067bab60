/* key_board: see key_board.h. */
#include "common/identity/key_board.h"

#include <errno.h>
#include <string.h>

#define READ_TRIES_MAX 100 /* an acceptor that died in the middle leaves the revision odd */

static const struct rc_key_row *row_of(const struct rc_key_board *board, uint32_t generation, uint32_t row)
{
    return &board->rows[generation & 1][row];
}

uint32_t rc_key_board_write(struct rc_key_board *board, uint32_t generation, uint32_t row,
                            const struct rc_jwt_material *material)
{
    struct rc_key_row *to = &board->rows[generation & 1][row];
    const uint32_t odd = atomic_load_explicit(&to->revision, memory_order_relaxed) | 1u;
    atomic_store_explicit(&to->revision, odd, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* KB1 pairs with KB2: who reads a new word sees the odd revision */
    for (size_t i = 0; i < RC_KEY_BOARD_WORDS; i++) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)material + i * sizeof(word), sizeof(word));
        atomic_store_explicit(&to->words[i], word, memory_order_relaxed);
    }
    /* KB3 pairs with KB4. After 2^31 sets it is 0 once more, which only says "none yet" until the next one. */
    atomic_store_explicit(&to->revision, odd + 1, memory_order_release);
    return odd + 1;
}

uint32_t rc_key_board_revision(const struct rc_key_board *board, uint32_t generation, uint32_t row)
{
    /* Relaxed: only whether it is another one; who reads the keys looks again. */
    return atomic_load_explicit(&row_of(board, generation, row)->revision, memory_order_relaxed);
}

int rc_key_board_read(const struct rc_key_board *board, uint32_t generation, uint32_t row,
                      struct rc_jwt_material *material, uint32_t *revision)
{
    const struct rc_key_row *from = row_of(board, generation, row);
    for (int tries = 0; tries < READ_TRIES_MAX; tries++) {
        const uint32_t before = atomic_load_explicit(&from->revision, memory_order_acquire); /* KB4 pairs with KB3 */
        if ((before & 1) != 0) {
            continue;
        }
        for (size_t i = 0; i < RC_KEY_BOARD_WORDS; i++) {
            const uint64_t word = atomic_load_explicit(&from->words[i], memory_order_relaxed);
            memcpy((uint8_t *)material + i * sizeof(word), &word, sizeof(word));
        }
        atomic_thread_fence(memory_order_acquire); /* KB2 pairs with KB1 */
        if (atomic_load_explicit(&from->revision, memory_order_relaxed) == before) {
            *revision = before;
            return 0;
        }
    }
    rc_jwt_material_clear(material);
    return -EAGAIN;
}
