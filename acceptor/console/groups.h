/*
 * groups: rows of a list, counted by what one of their members says: `ringcast clients --by user`.
 *
 * Owned by the command that makes them; private memory, as many groups as there are different texts. Rows without the member are a group, too.
 */
#ifndef RC_ACCEPTOR_CONSOLE_GROUPS_H
#define RC_ACCEPTOR_CONSOLE_GROUPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct rc_group;

struct rc_groups {
    const char *by;       /* borrowed: name of the member */
    struct rc_group *all; /* owned */
    size_t count;
    size_t room;
    json_t *places; /* owned: text -> where in `all` */
};

/* False: no memory. */
bool rc_groups_add(struct rc_groups *groups, const json_t *row);
/* Once, behind the last row. The largest first: [{"user":"42","clients":12,"behind_bytes":0,"sent_bytes":1,"received_bytes":1}, …], `limit` at most; NULL: no memory.
 * `*more`: there are others. */
json_t *rc_groups_json(struct rc_groups *groups, size_t limit, bool *more);
void rc_groups_free(struct rc_groups *groups);

#endif
