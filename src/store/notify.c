#include "store/notify.h"

#include "spec/messages.h"

static bool notify_word(struct span word, unsigned *words)
{
	static const struct {
		struct span word;
		unsigned bit;
	} known[] = {
		{ SPAN_INIT("NEVER"), NOTIFY_NEVER },
		{ SPAN_INIT("SUCCESS"), NOTIFY_SUCCESS },
		{ SPAN_INIT("FAILURE"), NOTIFY_FAILURE },
		{ SPAN_INIT("DELAY"), NOTIFY_DELAY },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (span_eq_nocase(word, known[i].word)) {
			*words |= known[i].bit;
			return true;
		}
	return false;
}

static bool is_printable(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f)
			return false;
	return true;
}

static bool notify_param(struct span param, struct notify *out)
{
	struct span value = param;
	struct span name = span_cut(&value, '=');

	if (!is_printable(param) || value.n == 0)
		return false;
	if (span_eq_nocase(name, SPAN("ORCPT"))) {
		out->orcpt = value;
		return value.n <= ORCPT_MAX;
	}
	if (!span_eq_nocase(name, SPAN("NOTIFY")))
		return false;
	while (value.n)
		if (!notify_word(span_cut(&value, ','), &out->words))
			return false;
	return out->words == NOTIFY_NEVER || !(out->words & NOTIFY_NEVER);
}

bool notify_parse(struct span params, struct notify *out)
{
	struct notify n = { 0 };

	while (params.n)
		if (!notify_param(span_cut(&params, ' '), &n))
			return false;
	*out = n;
	return true;
}

bool notify_owed(uint32_t flags, struct span sender, struct span params,
		 enum dsn_action action)
{
	struct notify n = { 0 };

	if (sender.n == 0 || (flags & MAIL_OURS) || !(flags & (MAIL_AUTH | MAIL_LOCAL)) ||
	    !notify_parse(params, &n))
		return false;
	switch (action) {
	case DSN_FAILED:
		return n.words == 0 || (n.words & NOTIFY_FAILURE);
	case DSN_DELAYED:
		return n.words == 0 || (n.words & NOTIFY_DELAY);
	case DSN_DELIVERED:
	case DSN_RELAYED:
	case DSN_EXPANDED:
		return n.words & NOTIFY_SUCCESS;
	case DSN_ACTIONS:
		break;
	}
	return false;
}
