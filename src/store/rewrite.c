#include "store/rewrite.h"

#include "store/inner.h"
#include "wire/batv.h"
#include "wire/srs.h"

#define BATV_KEY 0

static struct span domain_of(struct span address)
{
	return span_skip(address, span_find_last(address, '@') + 1);
}

static bool is_ours(const struct store *s, struct span domain)
{
	uint8_t mem[ADDRESS_MAX];

	return names_find(&s->recipients.domains, recipients_lower(domain, mem)) != NULL;
}

/* Of an alias in a domain of ours whose target is in another one. */
static bool is_forwarded(const struct store *s, const struct parcel *p)
{
	return p->rcpts[0].origin.n > 0 && !is_ours(s, domain_of(p->sender));
}

static struct span forward(const struct store *s, const struct parcel *p, struct buf *out)
{
	const struct settings *set = &s->conf->set;
	struct span domain = set->srs_domain[0] ? span_str(set->srs_domain)
						: domain_of(p->rcpts[0].origin);

	return srs_forward(s->srs_key, p->sender, domain, loop_wall(s->loop), out)
		       ? buf_span(out)
		       : p->sender;
}

struct span rewrite_sender(const struct store *s, const struct parcel *p,
			   uint8_t mem[ADDRESS_MAX])
{
	const struct settings *set = &s->conf->set;
	struct buf out;

	buf_init(&out, mem, ADDRESS_MAX);
	if (p->sender.n == 0 || is_ours(s, domain_of(p->rcpts[0].address)))
		return p->sender;
	if (set->srs && is_forwarded(s, p))
		return forward(s, p, &out);
	if (set->batv && (p->flags & (MAIL_AUTH | MAIL_LOCAL)) &&
	    is_ours(s, domain_of(p->sender)) &&
	    batv_tag(s->batv_key, BATV_KEY, p->sender, loop_wall(s->loop), &out))
		return buf_span(&out);
	return p->sender;
}

enum came_back rewrite_back(const struct store *s, struct span rcpt, bool bounce,
			    struct buf *out)
{
	int64_t wall = loop_wall(s->loop);

	buf_reset(out);
	if (!is_ours(s, domain_of(rcpt)))
		return CAME_PLAIN;
	if (srs_is(rcpt))
		return bounce && srs_reverse(s->srs_key, rcpt, wall, out) ? CAME_ON
									  : CAME_FORGED;
	switch (batv_check(s->batv_key, rcpt, wall, out)) {
	case BATV_GOOD:
		return CAME_BACK;
	case BATV_BAD:
		return CAME_FORGED;
	case BATV_NONE:
		break;
	}
	buf_reset(out);
	return CAME_PLAIN;
}

/* <postmaster> hears everybody (RFC 5321, 4.5.1). */
bool rewrite_misses_tag(const struct store *s, struct span rcpt)
{
	struct span local = span_head(rcpt, span_find_last(rcpt, '@'));

	return s->conf->set.batv && !span_eq_nocase(local, SPAN("postmaster")) &&
	       is_ours(s, domain_of(rcpt));
}
