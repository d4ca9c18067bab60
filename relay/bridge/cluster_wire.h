/*
 * cluster_wire: what servers say to one another through socket.io-adapter's ClusterAdapter, on which the sharded adapter (of
 * @socket.io/redis-adapter) and @socket.io/redis-streams-adapter stand.
 *
 *   {"uid","nsp","type","data"}     JSON text; or, when there is binary in it, the same as msgpack: told apart by the first octet
 *   uid … nsp … type … data …       as fields of a stream's entry: data is JSON text, or base64 of msgpack
 *
 *   type                            data
 *    3 broadcast                    {"packet":{"type":2,"data":[event, …args]},"opts":{"rooms","except","flags"}[,"requestId"]}
 *    4 join, 5 leave                {"opts","rooms"}
 *    6 disconnect                   {"opts","close"}
 *    7 fetch sockets                {"opts","requestId"}                   answered by  8 {"requestId","sockets"}
 *    9 event of a server            {"packet":[event, …args][,"requestId"]} answered by 10 {"requestId","packet"}
 *   11 client count, 12 its acknowledgements: answers to a broadcast with a requestId. 1, 2 heartbeats, 13 close: no answer, nothing to do
 *
 * Read as a struct rc_adapter_request: what the two families ask is the same. Pure; anybody who can publish to Redis may have written it:
 * everything is checked before anything is believed, unknown members are passed over. Errors: those of json_scan and msgpack_json; -EINVAL: it is none
 * of these.
 */
#ifndef RC_RELAY_BRIDGE_CLUSTER_WIRE_H
#define RC_RELAY_BRIDGE_CLUSTER_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/args.h"
#include "common/records/envelope.h"
#include "relay/bridge/adapter_request.h"

/* Views of the message and of the buffer; they live as long as both do. */
struct rc_cluster_message {
    struct rc_adapter_request request; /* uid: without escapes. A broadcast without an id wants no answer */
    struct rc_span nsp;
    uint8_t nsp_text[RC_NSP_MAX];
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
};

/* Bytes of a buffer for a message of so many, unless it is one with more than `text_bytes_max` of text. */
size_t rc_cluster_read_room(size_t message_bytes, size_t text_bytes_max);
int rc_cluster_read(struct rc_cluster_message *message, struct rc_span bytes, uint8_t *buffer, size_t room);

/* Fields of a stream's entry. */
struct rc_cluster_entry {
    struct rc_span uid;
    struct rc_span nsp;
    struct rc_span type;
    struct rc_span data;
};

/* Fields and values in turn. */
struct rc_cluster_entry rc_cluster_entry_of(const struct rc_span *values, uint32_t value_count);
int rc_cluster_read_entry(struct rc_cluster_message *message, const struct rc_cluster_entry *entry, uint8_t *buffer,
                          size_t room);

/* Bytes of a buffer in which a broadcast of ours surely fits, in either form. */
size_t rc_cluster_write_room(const struct rc_adapter_message *message);
/* Writes it. An empty span: its data is not what its flags say. */
struct rc_span rc_cluster_write(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);
/* The same, as msgpack. */
struct rc_span rc_cluster_pack(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);
/* The same as rc_cluster_write, `data` of a stream's entry alone. */
struct rc_span rc_cluster_write_entry(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);
/* Bytes of a buffer in which a client's answer to a broadcast (12) fits, in either form, unless it names an attachment more than once. */
size_t rc_cluster_ack_room(const struct rc_adapter_ack *ack);
/* Writes it: as text, or as msgpack when it has binary. An empty span: it does not fit, or its arguments are none. */
struct rc_span rc_cluster_ack_write(const struct rc_adapter_ack *ack, uint8_t *buffer, size_t room);
/* The same, as msgpack. */
struct rc_span rc_cluster_ack_pack(const struct rc_adapter_ack *ack, uint8_t *buffer, size_t room);
#define RC_CLUSTER_BROADCAST RC_SPAN("3") /* its type, as text */

#endif
