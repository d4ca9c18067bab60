/* sid: see sid.h. */
#include "common/records/sid.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/text/base64.h"

#define SID_SLOT_BITS 20u
#define SID_CHARACTER_BITS 6u
#define SID_NSP_MAX 256u
#define SID_TOKEN_MASK (((uint64_t)1 << RC_SID_TOKEN_BITS) - 1)

_Static_assert(RC_WORKERS_MAX <= 256, "a worker's index has 8 bits");

/* The lowest `count` characters' worth of bits. */
static void write_bits(char *out, unsigned __int128 bits, uint32_t count)
{
    while (count-- > 0) {
        out[count] = rc_base64url_character((uint32_t)bits);
        bits >>= SID_CHARACTER_BITS;
    }
}

void rc_sid_instance(char out[RC_SID_INSTANCE_BYTES], const char *instance_id)
{
    write_bits(out, rc_hash_public(instance_id, strlen(instance_id)), RC_SID_INSTANCE_BYTES);
}

void rc_sid_write(char out[RC_SID_BYTES], const char instance[RC_SID_INSTANCE_BYTES],
                  const struct rc_client_ref *client)
{
    RC_ASSERT(client->slot <= RC_SID_SLOT_MAX && client->worker < RC_WORKERS_MAX &&
              client->random >> RC_SID_TOKEN_BITS == 0);
    const uint64_t place = ((uint64_t)client->worker << SID_SLOT_BITS) | client->slot;
    memcpy(out, instance, RC_SID_INSTANCE_BYTES);
    write_bits(out + RC_SID_INSTANCE_BYTES, (unsigned __int128)place << RC_SID_TOKEN_BITS | client->random,
               RC_SID_BYTES - RC_SID_INSTANCE_BYTES);
}

bool rc_sid_read(struct rc_sid *sid, struct rc_span text)
{
    unsigned __int128 bits = 0;
    if (text.count != RC_SID_BYTES) {
        return false;
    }
    for (uint32_t i = 0; i < RC_SID_BYTES; i++) {
        const int value = rc_base64url_value(text.bytes[i]);
        if (value < 0) {
            return false;
        }
        if (i >= RC_SID_INSTANCE_BYTES) {
            bits = bits << SID_CHARACTER_BITS | (uint32_t)value;
        }
    }
    memcpy(sid->instance, text.bytes, RC_SID_INSTANCE_BYTES);
    const uint64_t place = (uint64_t)(bits >> RC_SID_TOKEN_BITS);
    sid->client = (struct rc_client_ref){.random = (uint64_t)bits & SID_TOKEN_MASK,
                                         .slot = (uint32_t)place & RC_SID_SLOT_MAX,
                                         .worker = (uint16_t)(place >> SID_SLOT_BITS)};
    return true;
}

bool rc_sid_is_of(const struct rc_sid *sid, const char instance[RC_SID_INSTANCE_BYTES])
{
    return memcmp(sid->instance, instance, RC_SID_INSTANCE_BYTES) == 0;
}

uint64_t rc_sid_token(uint64_t random, struct rc_span nsp, uint8_t times)
{
    uint8_t text[sizeof(random) + 1 + SID_NSP_MAX];
    if (nsp.count == 1 && times == 0) {
        return random;
    }
    const size_t bytes = nsp.count < SID_NSP_MAX ? nsp.count : SID_NSP_MAX;
    memcpy(text, &random, sizeof(random));
    text[sizeof(random)] = times;
    memcpy(text + sizeof(random) + 1, nsp.bytes, bytes);
    const uint64_t token = rc_hash(text, sizeof(random) + 1 + bytes) & SID_TOKEN_MASK;
    return token != 0 ? token : 1;
}
