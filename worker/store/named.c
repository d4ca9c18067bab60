/* named: see named.h. */
#include "worker/store/named.h"

#include <string.h>

const char *rc_named_address(const struct rc_truth *truth, uint32_t slot_index, struct rc_named *who)
{
    static const struct rc_address none = {{0}};
    const struct rc_slot *slot = &truth->slots[slot_index];
    struct rc_address address;
    memcpy(address.bytes, slot->address, sizeof(address.bytes));
    if ((slot->flags & RC_SLOT_UNIX) && rc_address_equal(&address, &none)) {
        memcpy(who->address, "unix", 5);
    } else {
        (void)rc_address_format(who->address, &address);
    }
    return who->address;
}

const char *rc_named_user(const struct rc_truth *truth, uint32_t slot_index, struct rc_named *who)
{
    const uint32_t user = truth->slots[slot_index].user;
    const struct rc_user *object = user == 0 ? NULL : rc_truth_user(truth, user);
    const size_t bytes = object == NULL ? 0 : object->id_bytes;
    if (bytes > 0) {
        memcpy(who->user, object->id, bytes);
    }
    who->user[bytes] = '\0';
    return who->user;
}
