/* slot: see slot.h. */
#include "relay/redis/topology/slot.h"

#include <string.h>

/* CRC16-CCITT (XMODEM): polynomial 0x1021, initial 0, as the Cluster specification's appendix A has it. */
static uint16_t slot_crc16(const uint8_t *bytes, size_t count)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < count; i++) {
        crc ^= (uint32_t)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000u) != 0 ? (crc << 1) ^ 0x1021u : crc << 1;
        }
        crc &= 0xffffu;
    }
    return (uint16_t)crc;
}

uint16_t rc_redis_slot(struct rc_span key)
{
    const uint8_t *open = key.count > 0 ? memchr(key.bytes, '{', key.count) : NULL;
    if (open != NULL) {
        const uint8_t *from = open + 1;
        const uint8_t *close = memchr(from, '}', (size_t)(key.bytes + key.count - from));
        if (close != NULL && close > from) {
            key = rc_span_of(from, (size_t)(close - from));
        }
    }
    return slot_crc16(key.bytes, key.count) & (RC_REDIS_SLOTS - 1);
}
