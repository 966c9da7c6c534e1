#include "store/recipients.h"

#include "base/list.h"
#include "base/rcptmap.h"
#include "io/idn.h"

/* One that no domain can be made of stays as it is: it is nobody's. */
static struct span domain_in_ascii(struct span lower, uint8_t mem[ADDRESS_MAX])
{
	uint8_t ascii[ADDRESS_MAX];
	struct buf out;

	buf_init(&out, ascii, sizeof(ascii));
	if (idn_address(lower, &out) || out.full)
		return lower;
	memcpy(mem, ascii, out.len);
	return span_of(mem, out.len);
}

struct span recipients_lower(struct span address, uint8_t mem[ADDRESS_MAX])
{
	uint8_t all = 0;

	if (address.n > ADDRESS_MAX)
		return SPAN_NONE;
	for (size_t i = 0; i < address.n; i++) {
		mem[i] = byte_lower(address.p[i]);
		all |= mem[i];
	}
	return all < 0x80 ? span_of(mem, address.n)
			  : domain_in_ascii(span_of(mem, address.n), mem);
}

struct user *recipients_user(const struct recipients *r, struct span address)
{
	struct user *u = people_user(&r->own, address);

	return u ? u : people_user(&r->given, address);
}

static const struct alias *find_alias(const struct recipients *r, struct span address)
{
	const struct alias *a = people_alias(&r->own, address);

	return a ? a : people_alias(&r->given, address);
}

/* An alias goes before a user of the same name: that is how mail is sent elsewhere. */
static bool find_exact(const struct recipients *r, struct span address, bool aliases,
		       struct found *f)
{
	f->alias = aliases ? find_alias(r, address) : NULL;
	if (f->alias) {
		f->kind = FOUND_ALIAS;
		return true;
	}
	f->user = recipients_user(r, address);
	if (f->user)
		f->kind = FOUND_USER;
	return f->user != NULL;
}

/* user@domain of user+detail@domain, into mem; empty if there is no detail. */
static struct span without_detail(const struct recipients *r, struct span address,
				  size_t at, uint8_t mem[ADDRESS_MAX])
{
	size_t cut = rcptmap_detail(span_head(address, at), span_str(r->conf->set.detail));
	struct span domain = span_skip(address, at);

	if (cut == at || address.n > ADDRESS_MAX)
		return SPAN_NONE;
	memcpy(mem, address.p, cut);
	memcpy(mem + cut, domain.p, domain.n);
	return span_of(mem, cut + domain.n);
}

static bool find_plain(const struct recipients *r, struct span address, size_t at,
		       bool aliases, struct found *f)
{
	uint8_t mem[ADDRESS_MAX];
	struct span plain = without_detail(r, address, at, mem);

	return plain.n && find_exact(r, plain, aliases, f);
}

static struct found find(const struct recipients *r, struct span address, bool aliases)
{
	size_t at = span_find_last(address, '@');
	struct found f = { .kind = FOUND_FOREIGN };

	f.domain = (const struct our_domain *)names_find(&r->domains,
							 span_skip(address, at + 1));
	if (!f.domain || at >= address.n)
		return f;
	if (find_exact(r, address, aliases, &f) || find_plain(r, address, at, aliases, &f))
		return f;
	f.kind = FOUND_UNKNOWN;
	if (f.domain->catch_all.n)
		f.kind = FOUND_CATCH_ALL;
	else if (f.domain->any)
		f.kind = FOUND_ANY;
	else if (f.domain->route && f.domain->route->verify)
		f.kind = FOUND_ASK;
	return f;
}

struct found recipients_find(const struct recipients *r, struct span address)
{
	return find(r, address, true);
}

/* ---- ways out ---- */

static bool is_below(struct span domain, struct span above)
{
	size_t at = domain.n - above.n;

	return domain.n > above.n + 1 && domain.p[at - 1] == '.' &&
	       span_eq(span_skip(domain, at), above);
}

/* A row for the domain itself goes before those for all below another. */
static const struct relay *relay_for(const struct conf *conf, struct span domain)
{
	const struct relay *below = NULL;

	for (size_t i = 0; i < conf->relay_count; i++) {
		const struct relay *r = &conf->relays[i];

		if (!r->below && span_eq(domain, span_str(r->domain)))
			return r;
		if (r->below && !below && is_below(domain, span_str(r->domain)))
			below = r;
	}
	return below;
}

struct way recipients_way_out(const struct conf *conf, struct span domain)
{
	const struct relay *r = relay_for(conf, domain);
	struct way w = {
		.hop = r ? r->hop : conf->relay_hop,
		.target = span_str(r ? r->target : conf->relay_target),
		.tls = r ? r->tls : (enum hop_tls)conf->set.hop_tls,
		.login = span_str(r ? r->login : conf->set.relay_login),
	};

	if (w.hop == HOP_MX) {
		w.target = domain;
		w.login = SPAN_NONE;
	}
	if ((w.hop != HOP_MX && w.hop != HOP_SMTP) || domain.n == 0 ||
	    domain.n >= TEXT_MAX)
		w.hop = HOP_COUNT;
	return w;
}

/* ---- expansion ---- */

struct expansion {
	const struct recipients *r;
	bool relays;
	struct pile *pile;
	bool (*each)(void *arg, const struct target *t);
	void *arg;
	struct names seen; /* aliases that were opened */
	size_t targets;
	bool failed; /* out of memory */
};

struct opened {
	struct name name;
};

static void give(struct expansion *x, struct target *t, struct span address,
		 struct span mailbox)
{
	if (!pile_keep(x->pile, address, &t->address) ||
	    !pile_keep(x->pile, mailbox, &t->mailbox) || !x->each(x->arg, t))
		x->failed = true;
	x->targets++;
}

static void go(struct expansion *x, const struct found *f, struct span address,
	       struct span mailbox, size_t depth)
{
	const struct conf *conf = x->r->conf;
	const struct route *route = f->domain->route;
	struct target t = {
		.hop = route ? route->hop : conf->deliver_hop,
		.hop_target = span_str(route ? route->target : conf->deliver_target),
		.renamed = depth > 0,
	};

	give(x, &t, address, mailbox);
}

/* Out into the world: only for who may, or because an alias of ours says so. */
static void go_out(struct expansion *x, struct span address, struct span lower,
		   size_t depth)
{
	struct span domain = span_skip(lower, span_find_last(lower, '@') + 1);
	struct way w = recipients_way_out(x->r->conf, domain);
	struct target t = {
		.hop = w.hop,
		.foreign = true,
		.renamed = depth > 0,
	};

	if (w.hop == HOP_COUNT || (depth == 0 && !x->relays))
		return;
	if (!pile_keep(x->pile, w.target, &t.hop_target))
		x->failed = true;
	else
		give(x, &t, address, lower);
}

/* Was this alias opened before? If not, it is now. */
static bool opened(struct expansion *x, struct span name)
{
	struct opened *o;

	if (names_find(&x->seen, name))
		return true;
	o = pile_take(x->pile, sizeof(*o));
	if (!o) {
		x->failed = true;
		return true;
	}
	o->name.text = name;
	x->failed |= !names_put(&x->seen, &o->name);
	return false;
}

static void expand(struct expansion *x, struct span address, struct span lower,
		   size_t depth);
static void follow(struct expansion *x, const struct found *f, struct span address,
		   struct span lower, size_t depth);

/* "alice: alice, bob" is her own mailbox and a copy; Postfix reads it so, too. */
static void open_alias(struct expansion *x, const struct alias *a, size_t depth)
{
	struct span targets = a->targets, target;

	if (opened(x, a->name.text))
		return;
	while (!x->failed && x->targets < ALIAS_TARGETS && list_next(&targets, &target)) {
		uint8_t mem[ADDRESS_MAX];
		struct span lower = recipients_lower(target, mem);
		struct found f = find(x->r, lower, true);

		if (f.kind == FOUND_ALIAS && f.alias == a)
			f = find(x->r, lower, false);
		if (depth < ALIAS_DEPTH)
			follow(x, &f, target, lower, depth + 1);
	}
}

static void follow(struct expansion *x, const struct found *f, struct span address,
		   struct span lower, size_t depth)
{
	uint8_t mem[ADDRESS_MAX];
	struct span plain;

	switch (f->kind) {
	case FOUND_FOREIGN:
		go_out(x, address, lower, depth);
		break;
	case FOUND_UNKNOWN:
		break;
	case FOUND_USER:
		go(x, f, address, f->user->name.text, depth);
		break;
	case FOUND_ALIAS:
		open_alias(x, f->alias, depth);
		break;
	case FOUND_CATCH_ALL:
		plain = recipients_lower(f->domain->catch_all, mem);
		/* the sender's address stays: it is what the owner wants to know */
		if (recipients_find(x->r, plain).kind == FOUND_FOREIGN)
			address = f->domain->catch_all;
		if (!opened(x, f->domain->name.text))
			expand(x, address, plain, depth + 1);
		break;
	case FOUND_ANY:
	case FOUND_ASK:
		plain = without_detail(x->r, lower, span_find_last(lower, '@'), mem);
		go(x, f, address, plain.n ? plain : lower, depth);
		break;
	}
}

static void expand(struct expansion *x, struct span address, struct span lower,
		   size_t depth)
{
	struct found f = recipients_find(x->r, lower);

	if (depth <= ALIAS_DEPTH)
		follow(x, &f, address, lower, depth);
}

/* <postmaster> without a domain (RFC 5321, 4.5.1): ours, or that of the first domain that has one. */
static struct span postmaster(const struct recipients *r, uint8_t mem[ADDRESS_MAX])
{
	const char *host = r->conf->set.hostname;
	struct buf out;

	for (size_t i = 0; i <= r->conf->domain_count; i++) {
		struct span lower;

		buf_init(&out, mem, ADDRESS_MAX);
		buf_put(&out, SPAN("postmaster@"));
		buf_put_lower(&out, span_str(i ? r->conf->domains[i - 1] : host));
		lower = buf_span(&out);
		if (!out.full && recipients_find(r, lower).kind > FOUND_UNKNOWN)
			return lower;
	}
	return SPAN_NONE;
}

enum expanded recipients_expand(const struct recipients *r, struct span address,
				bool relays, struct pile *pile,
				bool (*each)(void *arg, const struct target *t), void *arg)
{
	struct expansion x = {
		.r = r, .relays = relays, .pile = pile, .each = each, .arg = arg
	};
	uint8_t mem[ADDRESS_MAX];
	struct span lower = recipients_lower(address, mem);

	names_init(&x.seen, r->key);
	if (span_eq(lower, SPAN("postmaster")))
		lower = postmaster(r, mem);
	expand(&x, address, lower, 0);
	names_close(&x.seen);
	if (x.failed)
		return EXPANDED_MEMORY;
	return x.targets ? EXPANDED : EXPANDED_NOBODY;
}
