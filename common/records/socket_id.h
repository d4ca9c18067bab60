/*
 * socket_id: a client's id in the form of the Pusher Channels protocol, "digits.digits": what server SDKs check, and what channel
 * authorisations sign.
 *
 *   {random}.{boot nonce, worker, slot as one number of 80 bits}
 *
 * It says all that a client id says but for the instance's name: one of this boot is known by the nonce, any other is another instance's,
 * or of nobody. Pure; any process may call.
 */
#ifndef RC_COMMON_RECORDS_SOCKET_ID_H
#define RC_COMMON_RECORDS_SOCKET_ID_H

#include <stddef.h>
#include <stdint.h>

#include "common/records/envelope.h"

#define RC_SOCKET_ID_MAX 46u /* 20 digits, a dot, 25 digits */

/* Without NUL; its bytes. */
size_t rc_socket_id_write(char out[RC_SOCKET_ID_MAX], uint32_t boot_nonce, const struct rc_client_ref *ref);
/* LOCAL: *ref is set; FOREIGN: it may be another instance's; INVALID: it is no socket id. */
enum rc_client_id_kind rc_socket_id_read(const char *id, size_t bytes, uint32_t boot_nonce, struct rc_client_ref *ref);
/* One in either form: whom a message leaves out. */
enum rc_client_id_kind rc_any_client_id_read(const char *id, size_t bytes, const char *instance_id, uint32_t boot_nonce,
                                             struct rc_client_ref *ref);

#endif
