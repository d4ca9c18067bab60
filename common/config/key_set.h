/*
 * key_set: sets the member of a key (key.h) from what a file, a variable or the table's default says.
 *
 * Any process may call; setters fail with -EINVAL and a sentence in `err` that says what was expected and what was found, without the
 * key's name and place.
 */
#ifndef RC_COMMON_CONFIG_KEY_SET_H
#define RC_COMMON_CONFIG_KEY_SET_H

#include "common/config/key.h"

/* A value as the file has it. */
struct rc_config_value {
    enum { RC_VALUE_BOOL, RC_VALUE_INTEGER, RC_VALUE_TEXT, RC_VALUE_LIST, RC_VALUE_OTHER } type;
    bool boolean;
    int64_t integer;
    const char *text; /* borrowed; TEXT: the bytes, OTHER: what it is ("a date"), NUL-terminated */
    size_t bytes;
};

/* Sets a member from one value. A LIST value clears the member; its items follow by rc_config_key_add. */
int rc_config_key_set(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                      struct rc_err *err);
int rc_config_key_add(const struct rc_config_key *key, void *item, const struct rc_config_value *value,
                      struct rc_err *err);
/* Sets a member from text without quotes, as in config.def and in environment variables; lists are separated by
 * commas. */
int rc_config_key_set_text(const struct rc_config_key *key, void *item, const char *text, struct rc_err *err);

/* Fills one section's struct with the defaults. */
void rc_config_item_defaults(const struct rc_config_section *section, void *item);

#endif
