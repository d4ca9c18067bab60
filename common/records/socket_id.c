/* socket_id: see socket_id.h. */
#include "common/records/socket_id.h"

#include <stdbool.h>
#include <string.h>

#define PLACE_DIGITS_MAX 25u /* of 2^80 */
#define RANDOM_DIGITS_MAX 20u

typedef unsigned __int128 number;

static size_t number_write(char *out, number value)
{
    char digits[40];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < count; i++) {
        out[i] = digits[count - 1 - i];
    }
    return count;
}

size_t rc_socket_id_write(char out[RC_SOCKET_ID_MAX], uint32_t boot_nonce, const struct rc_client_ref *ref)
{
    const number place = (number)boot_nonce << 48 | (number)ref->worker << 32 | ref->slot;
    size_t bytes = number_write(out, ref->random);
    out[bytes++] = '.';
    return bytes + number_write(out + bytes, place);
}

/* Digits alone, without zeros before them. */
static bool number_read(const char *text, size_t bytes, size_t digits_max, number *value)
{
    if (bytes == 0 || bytes > digits_max || (text[0] == '0' && bytes > 1)) {
        return false;
    }
    *value = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        *value = *value * 10 + (number)(unsigned)(text[i] - '0');
    }
    return true;
}

enum rc_client_id_kind rc_socket_id_read(const char *id, size_t bytes, uint32_t boot_nonce, struct rc_client_ref *ref)
{
    const char *dot = bytes == 0 ? NULL : memchr(id, '.', bytes);
    number random;
    number place;
    if (dot == NULL || !number_read(id, (size_t)(dot - id), RANDOM_DIGITS_MAX, &random) ||
        !number_read(dot + 1, bytes - (size_t)(dot - id) - 1, PLACE_DIGITS_MAX, &place) || random > UINT64_MAX ||
        random == 0 || place >> 80 != 0) {
        return RC_CLIENT_ID_INVALID;
    }
    const uint16_t worker = (uint16_t)(place >> 32 & UINT16_MAX);
    if ((uint32_t)(place >> 48) != boot_nonce) {
        return RC_CLIENT_ID_FOREIGN;
    }
    if (worker >= RC_WORKERS_MAX) {
        return RC_CLIENT_ID_INVALID;
    }
    *ref = (struct rc_client_ref){.random = (uint64_t)random, .worker = worker, .slot = (uint32_t)place};
    return RC_CLIENT_ID_LOCAL;
}

enum rc_client_id_kind rc_any_client_id_read(const char *id, size_t bytes, const char *instance_id, uint32_t boot_nonce,
                                             struct rc_client_ref *ref)
{
    const enum rc_client_id_kind kind = rc_client_id_read(id, bytes, instance_id, boot_nonce, ref);
    return kind == RC_CLIENT_ID_INVALID ? rc_socket_id_read(id, bytes, boot_nonce, ref) : kind;
}
