#include "conf/hop.h"

#include "base/bug.h"
#include "base/number.h"

#define LABEL_MAX 63

static bool label_ok(struct span label)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' ||
	    label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		uint8_t c = byte_lower(label.p[i]);

		/* underscores are in the DNS, whatever the RFCs say */
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
		    c != '_')
			return false;
	}
	return true;
}

bool host_name_ok(struct span name)
{
	if (name.n == 0 || name.n >= DOMAIN_MAX || name.p[name.n - 1] == '.')
		return false;
	while (name.n)
		if (!label_ok(span_cut(&name, '.')))
			return false;
	return true;
}

bool host_port_ok(struct span text)
{
	size_t colon = span_find_last(text, ':');
	struct span host = span_head(text, colon), port = span_skip(text, colon + 1);
	struct endpoint e;
	uint64_t n;

	if (endpoint_parse(text, &e))
		return !span_eq(host, SPAN("*"));
	return host_name_ok(host) && number_parse(port, UINT16_MAX, &n) && n > 0;
}

/* Tried in the order of the enum: lmtp:unix: before lmtp:. */
static const struct {
	struct span prefix;
	const char *wants;
} hops[HOP_COUNT] = {
	[HOP_MAILDIR] = { SPAN_INIT("maildir"), "" },
	[HOP_DISCARD] = { SPAN_INIT("discard"), "" },
	[HOP_LMTP_UNIX] = { SPAN_INIT("lmtp:unix:"), "lmtp:unix:/path" },
	[HOP_LMTP] = { SPAN_INIT("lmtp:"), "lmtp:host:port" },
	[HOP_SMTP] = { SPAN_INIT("smtp:"), "smtp:host:port" },
	[HOP_MX] = { SPAN_INIT("mx:"), "" },
};

static bool target_ok(enum hop hop, struct span target)
{
	switch (hop) {
	case HOP_MAILDIR:
	case HOP_DISCARD:
		return target.n == 0;
	case HOP_LMTP_UNIX:
		/* what fits into a struct sockaddr_un */
		return target.n > 1 && target.p[0] == '/' && target.n < 108;
	case HOP_LMTP:
	case HOP_SMTP:
		return host_port_ok(target);
	case HOP_MX: /* never written: delivery.relay = "mx" */
	case HOP_COUNT:
		break;
	}
	return false;
}

bool hop_parse(struct span text, enum hop *hop, char target[TEXT_MAX], struct err *err)
{
	for (enum hop i = 0; i < HOP_COUNT; i++) {
		struct span rest = span_skip(text, hops[i].prefix.n);

		if (!span_starts(text, hops[i].prefix))
			continue;
		if (!target_ok(i, rest) || rest.n >= TEXT_MAX) {
			/* nothing to say of it alone, or a path that lacks its unix: */
			if (!*hops[i].wants || (rest.n && rest.p[0] == '/'))
				break;
			return err_set(err, "\"%.*s\" is not %s", SPAN_ARG(text),
				       hops[i].wants);
		}
		*hop = i;
		memset(target, 0, TEXT_MAX);
		memcpy(target, rest.p, rest.n);
		return true;
	}
	return err_set(
		err,
		"\"%.*s\" is none of maildir, discard, lmtp:unix:/path, lmtp:host:port, "
		"smtp:host:port",
		SPAN_ARG(text));
}

void hop_print(enum hop hop, struct span target, struct buf *out)
{
	BUG_IF(hop >= HOP_COUNT);
	buf_put(out, hops[hop].prefix);
	buf_put(out, target);
}

bool hop_is_network(enum hop hop)
{
	switch (hop) {
	case HOP_MAILDIR:
	case HOP_DISCARD:
		return false;
	case HOP_LMTP_UNIX:
	case HOP_LMTP:
	case HOP_SMTP:
	case HOP_MX:
		return true;
	case HOP_COUNT:
		break;
	}
	return false;
}

bool relay_parse(struct span text, enum hop *hop, char target[TEXT_MAX], struct err *err)
{
	bool mx = span_eq(text, SPAN("mx"));

	if (mx || span_eq(text, SPAN("none"))) {
		*hop = mx ? HOP_MX : HOP_COUNT;
		memset(target, 0, TEXT_MAX);
		return true;
	}
	if (!span_starts(text, SPAN("smtp:")))
		return err_set(err, "\"%.*s\" is none of mx, none, smtp:host:port",
			       SPAN_ARG(span_head(text, TEXT_MAX)));
	return hop_parse(text, hop, target, err);
}

void relay_print(enum hop hop, const char *target, struct buf *out)
{
	if (hop == HOP_MX)
		buf_put(out, SPAN("mx"));
	else if (hop == HOP_SMTP)
		buf_fmt(out, "smtp:%s", target);
	else
		buf_put(out, SPAN("none"));
}
