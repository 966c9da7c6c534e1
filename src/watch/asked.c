#include "watch/asked.h"

#include "base/fields.h"
#include "base/list.h"
#include "base/number.h"
#include "io/idn.h"

void asked_row(const struct asked *a, const struct buf *fields)
{
	if (!fields->full)
		control_row(a->sight->control, a->ask, ROLE_WATCH, buf_span(fields));
}

void asked_done(const struct asked *a, const char *text)
{
	control_end(a->sight->control, a->ask, ROLE_WATCH, true, span_str(text));
}

void asked_refuse(const struct asked *a, const char *text)
{
	control_end(a->sight->control, a->ask, ROLE_WATCH, false, span_str(text));
}

/* ---- addresses and prefixes -------------------------------------------------------- */

static void clear_host_bits(struct net *n)
{
	for (unsigned bit = n->bits; bit < 128; bit++)
		n->addr.ip[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
}

/* Is it only that host bits are set? Then say what may be meant. */
static bool has_host_bits(struct span text, struct err *err)
{
	struct span rest = text, head = span_cut(&rest, '/');
	struct net n;
	uint64_t bits;
	char mem[64];
	struct buf out;

	if (!addr_parse(head, &n.addr) || !number_parse(rest, 128, &bits))
		return false;
	if (addr_is_v4(&n.addr))
		bits += 96;
	if (bits > 128)
		return false;
	n.bits = (uint8_t)bits;
	clear_host_bits(&n);
	buf_init(&out, mem, sizeof(mem));
	net_print(&n, &out);
	err_set(err, "%.*s has bits behind its prefix: did you mean %.*s?",
		SPAN_ARG(span_head(text, 64)), SPAN_ARG(buf_span(&out)));
	return true;
}

bool asked_net(struct span text, struct net *out, struct err *err)
{
	if (net_parse(text, out))
		return true;
	if (has_host_bits(text, err))
		return false;
	return err_set(err,
		       "\"%.*s\" is neither an address nor a prefix: 192.0.2.7, "
		       "192.0.2.0/24, 2001:db8::/48",
		       SPAN_ARG(span_head(text, 64)));
}

void asked_field_net(struct buf *out, const char *name, const struct net *n)
{
	uint8_t mem[64];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	net_print(n, &text);
	field_text(out, name, buf_span(&text));
}

void asked_field_addr(struct buf *out, const char *name, const struct addr *a)
{
	struct net n = { .addr = *a, .bits = 128 };

	asked_field_net(out, name, &n);
}

void asked_field_real(struct buf *out, const char *name, double value)
{
	bool counts = value > 0 && value < 9e15;

	field_number(out, name, counts ? (int64_t)(value + 0.5) : 0);
}

/* ---- users -------------------------------------------------------------------------- */

bool asked_is_user(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '@' || (text.p[i] > 'f' && text.p[i] <= 'z') ||
		    (text.p[i] > 'F' && text.p[i] <= 'Z'))
			return true;
	return false;
}

/* The domain of users who say none, as for auth. */
static struct span own_domain(const struct conf *conf)
{
	for (uint32_t i = 0; i < conf->password_source_count; i++)
		if (conf->password_sources[i].domain[0])
			return span_str(conf->password_sources[i].domain);
	return conf->domain_count ? span_str(conf->domains[0]) : SPAN_NONE;
}

/* In the form that auth gives names; what has no such form is nobody. */
static void put_user(struct span text, struct buf *out)
{
	uint8_t mem[ADDRESS_MAX];
	struct buf ascii;

	buf_init(&ascii, mem, sizeof(mem));
	if (idn_address(text, &ascii) || ascii.full)
		buf_put_lower(out, text);
	else
		buf_put_lower(out, buf_span(&ascii));
}

bool asked_user(const struct sight *s, struct span text, struct buf *out)
{
	struct account_state st;

	put_user(text, out);
	if (span_find(text, '@') < text.n || out->full || !s->view.has_accounts)
		return !out->full;
	accounts_state(&s->view.accounts, buf_span(out), loop_now(s->loop),
		       loop_wall(s->loop), &st);
	if (!st.known && own_domain(s->conf).n) {
		buf_byte(out, '@');
		buf_put_lower(out, own_domain(s->conf));
	}
	return !out->full;
}

/* ---- words ------------------------------------------------------------------------- */

static bool plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] == 127)
			return false;
	return true;
}

static bool read_for(struct asked_words *w, struct span value, struct err *err)
{
	if (!duration_parse(value, &w->within) || w->within < MS_SECOND ||
	    w->within > 3650 * MS_DAY)
		return err_set(err, "--for needs a time from 1s to 3650d: 30m, 12h, 7d");
	return true;
}

static bool read_why(struct asked_words *w, struct span value, struct err *err)
{
	if (value.n >= ORDER_WHY_MAX || !plain(value))
		return err_set(err, "--why takes up to %d bytes on one line",
			       ORDER_WHY_MAX - 1);
	w->why = value;
	return true;
}

static bool read_limit(struct asked_words *w, struct span value, struct err *err)
{
	if (!number_parse(value, LIMIT_MAX, &w->limit) || w->limit == 0)
		return err_set(err, "--limit needs a number from 1 to %d", LIMIT_MAX);
	return true;
}

static bool read_client(struct asked_words *w, struct span value, struct err *err)
{
	w->has_client = true;
	return asked_net(value, &w->client, err);
}

static bool read_force(struct asked_words *w, struct span value, struct err *err)
{
	(void)value;
	(void)err;
	w->force = true;
	return true;
}

static bool read_remove(struct asked_words *w, struct span value, struct err *err)
{
	(void)value;
	(void)err;
	w->remove = true;
	return true;
}

static bool read_by(struct asked_words *w, struct span value, struct err *err)
{
	(void)err;
	w->by = value;
	return true;
}

static bool read_user(struct asked_words *w, struct span value, struct err *err)
{
	(void)err;
	w->user = value;
	return true;
}

static const struct option {
	const char *name;
	unsigned flag;
	bool has_value;
	bool (*read)(struct asked_words *w, struct span value, struct err *err);
} options[] = {
	{ "--for", WORD_FOR, true, read_for },
	{ "--why", WORD_WHY, true, read_why },
	{ "--limit", WORD_LIMIT, true, read_limit },
	{ "--client", WORD_CLIENT, true, read_client },
	{ "--force", WORD_FORCE, false, read_force },
	{ "--remove", WORD_REMOVE, false, read_remove },
	{ "--by", WORD_BY, true, read_by },
	{ "--user", WORD_USER, true, read_user },
};

static const struct option *option_named(struct span name, unsigned allowed)
{
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if ((options[i].flag & allowed) && span_eq(name, span_str(options[i].name)))
			return &options[i];
	return NULL;
}

static bool take_option(struct asked_words *w, struct span word, struct span *rest,
			unsigned allowed, struct err *err)
{
	struct span value = word, name = span_cut(&value, '=');
	const struct option *o = option_named(name, allowed);

	if (!o || (!o->has_value && name.n != word.n))
		return err_set(err, "there is no option %.*s here",
			       SPAN_ARG(span_head(word, 40)));
	if (o->has_value && name.n == word.n && !list_next(rest, &value))
		return err_set(err, "%s needs a value", o->name);
	return o->read(w, value, err);
}

bool asked_read(struct span rest, unsigned allowed, struct asked_words *out,
		struct err *err)
{
	struct asked_words w = { .limit = LIMIT_DEFAULT };
	struct span word;
	bool has_target = false;

	*err = (struct err){ 0 };
	while (list_next(&rest, &word)) {
		if (span_starts(word, SPAN("--"))) {
			if (!take_option(&w, word, &rest, allowed, err))
				return false;
		} else if (has_target || !(allowed & (WORD_TARGET | WORD_MAYBE))) {
			return err_set(err, "\"%.*s\" is one word too many",
				       SPAN_ARG(span_head(word, 64)));
		} else {
			w.target = word;
			has_target = true;
		}
	}
	if (!has_target && (allowed & WORD_TARGET))
		return err_set(err, "an address or a prefix is needed: 192.0.2.7, "
				    "192.0.2.0/24, 2001:db8::/48");
	*out = w;
	return true;
}
