#include "session/limits.h"

void limits_of(const struct settings *set, const bool observed[RULE_COUNT],
	       struct guard_limits *out)
{
	*out = (struct guard_limits){
		.observe = set->guard_mode == GUARD_OBSERVE,
		.sessions_max = set->sessions,
		.reserved = set->reserved,
		.per_address = set->sessions_address,
		.connect_rate = set->connect_rate,
		.connect_burst = set->connect_burst,
		.delay_at = set->delay_at,
		.late_at = set->late_at,
		.ban_at = set->ban_at,
		.ban_history_at = set->ban_history_at,
		.good_after = set->good_after,
		.prefix_offenders = set->prefix_offenders,
		.drop_after = set->drop_after,
		.kernel_after = set->kernel_after,
		.half_fast = set->half_fast,
		.half_slow = set->half_slow,
		.ban_first = set->ban_first,
		.ban_max = set->ban_max,
	};
	memcpy(out->observed, observed, sizeof(out->observed));
}

void limits_of_accounts(const struct settings *set, const bool observed[RULE_COUNT],
			struct accounts_limits *out)
{
	*out = (struct accounts_limits){
		.delay = set->auth_delay,
		.delay_max = set->auth_delay_max,
		.unknown_users = set->auth_unknown,
		.guarded_at = set->auth_guarded_at,
		.campaign_at = set->auth_campaign_at,
		.places = set->quota_places,
		.device_life = set->auth_device,
		.remember_wrong = set->auth_wrong,
		.per_user = set->mailbox_user,
		.per_network = set->mailbox_network,
		.observe_limit = observed[RULE_ACCOUNT],
		.observe = set->guard_mode == GUARD_OBSERVE,
	};
}
