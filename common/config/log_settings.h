/*
 * log_settings: the part of [log] that is in force at run time, handed to the process's logger. Any process, at its start and after
 * each reload; nothing can fail.
 */
#ifndef RC_COMMON_CONFIG_LOG_SETTINGS_H
#define RC_COMMON_CONFIG_LOG_SETTINGS_H

#include "common/config/values.h"

/* Level and redaction. What lines without either hold before is nobody's data. */
void rc_log_settings_apply(const struct rc_config_log *settings);

#endif
