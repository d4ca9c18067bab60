/*
 * tls_record: the record protocol of TLS 1.3 (RFC 8446 5) for a connection whose handshake is over.
 *
 * What it needs of a connection are struct rc_tls_keys: two traffic secrets with what is derived from them, and two numbers; plain
 * bytes without a pointer. OpenSSL's object for the same connection takes 14 KB, and cannot leave its process. The ciphers are OpenSSL's,
 * one context a cipher and direction for all connections of a worker, keyed anew for each record.
 *
 * After the handshake a peer may send application data, alerts and KeyUpdate (4.6.3), which is all that is understood: what else a client
 * could send (a certificate it was not asked for) ends the connection. Records of 2^24 are sealed with one key at most (5.5).
 *
 * One thread. Bytes of the peer are checked; nothing of them is given out before the tag is right.
 */
#ifndef RC_WORKER_IO_TLS_RECORD_H
#define RC_WORKER_IO_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_TLS_HEADER_BYTES 5u
#define RC_TLS_TAG_BYTES 16u
#define RC_TLS_SEALED_MORE \
    (RC_TLS_HEADER_BYTES + 1u + RC_TLS_TAG_BYTES)               /* than the plaintext of a record without padding */
#define RC_TLS_SEALED_MAX (RC_TLS_HEADER_BYTES + 16384u + 256u) /* RFC 8446 5.2 */
#define RC_TLS_SECRET_MAX 48u

enum rc_tls_content { RC_TLS_ALERT = 21, RC_TLS_HANDSHAKE = 22, RC_TLS_APPLICATION = 23 };

/* RFC 8446 6.2 */
enum rc_tls_alert {
    RC_TLS_CLOSE_NOTIFY = 0,
    RC_TLS_UNEXPECTED_MESSAGE = 10,
    RC_TLS_BAD_RECORD_MAC = 20,
    RC_TLS_RECORD_OVERFLOW = 22,
    RC_TLS_DECODE_ERROR = 50,
    RC_TLS_INTERNAL_ERROR = 80,
    RC_TLS_USER_CANCELED = 90
};

struct rc_tls_direction {
    uint64_t sequence; /* of the next record under this secret */
    uint8_t secret[RC_TLS_SECRET_MAX];
    uint8_t key[32];
    uint8_t iv[12];
};

struct rc_tls_keys {
    uint32_t suite; /* index of the cipher suite + 1; 0: none */
    bool told_end;  /* close_notify was sent, or an alert that ends the connection */
    struct rc_tls_direction in;
    struct rc_tls_direction out;
};

struct rc_tls_ciphers; /* a worker's */

struct rc_tls_ciphers *rc_tls_ciphers_open(void); /* NULL: no memory */
void rc_tls_ciphers_close(struct rc_tls_ciphers *ciphers);

/* The bytes of a secret of the suite (its number in RFC 8446 B.4); 0: it is none of those that are known here. */
size_t rc_tls_secret_bytes(uint32_t suite_number);
/* Keys of a server from the application traffic secrets of the handshake, with no record read, and `sealed` written. 0, -EINVAL: an unknown
 * suite; -EIO: OpenSSL cannot. */
int rc_tls_keys_set(struct rc_tls_keys *keys, uint32_t suite_number, const uint8_t *client, const uint8_t *server,
                    uint64_t sealed);

/* Keys that another process has left: can they be such? */
bool rc_tls_keys_valid(const struct rc_tls_keys *keys);

/* Seals one record with `count` bytes (at most 16,384) into `out`, which has room for count + RC_TLS_SEALED_MORE. 0 or -EIO: the connection cannot
 * go on. */
int rc_tls_seal(struct rc_tls_ciphers *ciphers, struct rc_tls_keys *keys, enum rc_tls_content type,
                const uint8_t *plain, size_t count, uint8_t *out);
/* Puts KeyUpdate into `out` (room for 5 + RC_TLS_SEALED_MORE), and goes on with the next secret. 0 or -EIO. */
int rc_tls_update(struct rc_tls_ciphers *ciphers, struct rc_tls_keys *keys, uint8_t *out);
/* Is it time to? */
bool rc_tls_update_due(const struct rc_tls_keys *keys);

/* The whole bytes of the record that begins there, header included, as far as that can be said of `count` bytes (0: not yet).
 * -EMSGSIZE: larger than a record may be; -EPROTO: none that may come after a handshake. */
int rc_tls_record_bytes(const uint8_t *bytes, size_t count, size_t *record_bytes);

/* What a record was. */
enum rc_tls_opened {
    RC_TLS_OPENED_DATA,    /* *count bytes for the application, perhaps none */
    RC_TLS_OPENED_NOTHING, /* it was for this layer */
    RC_TLS_OPENED_UPDATE,  /* likewise, and the peer asks for a KeyUpdate of ours */
    RC_TLS_OPENED_END,     /* close_notify */
    RC_TLS_OPENED_ENDED,   /* another alert: nothing is to be said any more */
    RC_TLS_OPENED_BAD      /* *alert is to be told */
};

/* Opens one whole record (at most RC_TLS_SEALED_MAX) into `plain`, which has room for 16,640 bytes. *changing (NULL: nobody wants to know) becomes 1
 * before anything else changes of the keys than the number of the next record. */
enum rc_tls_opened rc_tls_open_record(struct rc_tls_ciphers *ciphers, struct rc_tls_keys *keys, const uint8_t *record,
                                      size_t record_bytes, uint8_t *plain, size_t *count, uint8_t *changing,
                                      enum rc_tls_alert *alert);

#endif
