/*
 * key_board: the keys of every [[identity]] row of kind "jwt", in a segment that the acceptor writes and workers read.
 *
 * There are two banks, as there are two copies of the configuration: the keys of configuration generation G are in bank G & 1, which is
 * written before G is in force. So a row's policy never meets the keys of another row that a reload put in its place. Within a bank a row
 * is written again when its JWKS URL has new keys: a sequence lock, odd while it is written; a reader copies and looks again.
 */
#ifndef RC_COMMON_IDENTITY_KEY_BOARD_H
#define RC_COMMON_IDENTITY_KEY_BOARD_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/config/values.h"
#include "common/identity/material.h"

#define RC_KEY_BOARD_WORDS (sizeof(struct rc_jwt_material) / 8)

/* W: acceptor. */
struct rc_key_row {
    _Atomic uint32_t revision; /* odd while it is being written; 0 = never */
    uint8_t pad[60];
    _Atomic uint64_t words[RC_KEY_BOARD_WORDS]; /* struct rc_jwt_material */
};

struct rc_key_board {
    struct rc_key_row rows[2][RC_CONFIG_IDENTITIES_MAX]; /* bank: configuration generation & 1 */
};

/* Acceptor: puts a set in place. The revision that it has. */
uint32_t rc_key_board_write(struct rc_key_board *board, uint32_t generation, uint32_t row,
                            const struct rc_jwt_material *material);

/* The revision of a row; differs from the last one when there are new keys. */
uint32_t rc_key_board_revision(const struct rc_key_board *board, uint32_t generation, uint32_t row);

/* Copies a row. 0 with its revision; -EAGAIN: it is being written, look again later. */
int rc_key_board_read(const struct rc_key_board *board, uint32_t generation, uint32_t row,
                      struct rc_jwt_material *material, uint32_t *revision);

#endif
