/*
 * pusher_secret: where the secret of a [[pusher_app]] comes from: the table, a file, or the environment.
 *
 * The acceptor alone calls it, when it reads the configuration.
 */
#ifndef RC_COMMON_CONFIG_PUSHER_SECRET_H
#define RC_COMMON_CONFIG_PUSHER_SECRET_H

#include "common/base/err.h"
#include "common/config/values.h"

/* Of a table just read: its secret out of secret_file, or of PUSHER_APP_SECRET. -EINVAL with the remedy. */
int rc_pusher_secret_load(struct rc_config_pusher_app *app, struct rc_err *err);

#endif
