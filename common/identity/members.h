/*
 * members: the members of a JSON object that one looks for, by name, of an object in which no name occurs twice.
 *
 * Two members of one name are read differently by different programs, which is how signed texts come to say two things (RFC 8725
 * section 3.1, RFC 7515 section 4). Pure; the values are borrowed from the text.
 */
#ifndef RC_COMMON_IDENTITY_MEMBERS_H
#define RC_COMMON_IDENTITY_MEMBERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/text/json_scan.h"

#define RC_MEMBERS_MAX 128u         /* of one object */
#define RC_MEMBERS_NAME_BYTES 6144u /* of all names together, decoded */

struct rc_member {
    struct rc_span name;        /* that is looked for */
    struct rc_json_value value; /* type RC_JSON_NONE: it is not there */
};

/* Reads the whole of an object. 0; -EBADMSG or -EILSEQ: it is none, or not UTF-8; -EOVERFLOW: nested too deep; -EEXIST: a name occurs
 * twice; -EMSGSIZE: too many members, or too long names. */
int rc_members_take(struct rc_span text, struct rc_member *wanted, size_t count);

#endif
