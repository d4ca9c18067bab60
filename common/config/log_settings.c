/* log_settings: see log_settings.h. */
#include "common/config/log_settings.h"

#include "common/base/log.h"

static enum rc_log_redaction redaction_of(const struct rc_config_log *settings, uint32_t of_kind)
{
    return (enum rc_log_redaction)(of_kind == RC_LOG_REDACT_DEFAULT ? settings->redact : of_kind);
}

void rc_log_settings_apply(const struct rc_config_log *settings)
{
    const enum rc_log_redaction how[RC_LOG_KINDS] = {
        [RC_LOG_USER] = redaction_of(settings, settings->redact_users),
        [RC_LOG_NAME] = redaction_of(settings, settings->redact_names),
        [RC_LOG_EMAIL] = redaction_of(settings, settings->redact_emails),
        [RC_LOG_ADDRESS] = redaction_of(settings, settings->redact_addresses),
    };
    rc_log_set_level((enum rc_log_level)settings->level);
    rc_log_redact(how, settings->redact_key.text);
}
