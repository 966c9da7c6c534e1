/* ban, unban, allow: what is ordered about addresses and prefixes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "base/number.h"
#include "watch/among.h"
#include "watch/bans.h"
#include "watch/explain.h"
#include "watch/ordering_inner.h"

#define WIDEST_V4 8
#define WIDEST_V6 16

/* Read the words and the net; false: answered already. */
static bool read_net(const struct asked *a, unsigned allowed, struct asked_words *w,
		     struct net *net)
{
	struct err err = { 0 };

	if (!asked_read(a->rest, allowed, w, &err) || !asked_net(w->target, net, &err)) {
		asked_refuse(a, err.text);
		return false;
	}
	if (!a->sight->view.orders) {
		asked_refuse(a,
			     "The memory for orders is not there, so nothing can be ordered. "
			     "See the log, and restart the server.");
		return false;
	}
	return true;
}

/* "192.0.2.0/24" */
struct net_text {
	char text[64];
};

static struct net_text text_of(const struct net *n)
{
	struct net_text t = { { 0 } };
	struct buf out;

	buf_init(&out, t.text, sizeof(t.text) - 1);
	net_print(n, &out);
	return t;
}

static bool find_order(const struct sight *s, const struct net *net, struct order *out)
{
	for (size_t at = 0; orders_next(s->view.orders, &at, out);)
		if (out->net.bits == net->bits && addr_eq(&out->net.addr, &net->addr))
			return true;
	return false;
}

static bool put_order(const struct asked *a, enum order_kind kind, const struct net *net,
		      int64_t until, struct span why)
{
	int64_t wall = loop_wall(a->sight->loop);
	struct order o = {
		.kind = (uint8_t)kind, .net = *net, .since = wall, .until = until
	};

	memcpy(o.why, why.n ? (const char *)why.p : "",
	       why.n < sizeof(o.why) ? why.n : sizeof(o.why) - 1);
	if (orders_put(a->sight->view.orders, &o, wall))
		return true;
	asked_refuse(a,
		     "There are as many orders as there can be. Put long lists into a file: "
		     "see `access` in the configuration.");
	return false;
}

static int64_t until_of(const struct sight *s, const struct asked_words *w)
{
	return w->within ? loop_wall(s->loop) + w->within : INT64_MAX;
}

/* " for 7d" or " for good" */
static void print_within(ms_t within, struct buf *out)
{
	buf_put(out, SPAN(" for "));
	if (within)
		duration_print(within, out);
	else
		buf_put(out, SPAN("good"));
}

static void kick_all(const struct sight *s, const struct net *net)
{
	struct kick kick = { .net = *net };

	orders_kick(s->view.orders, &kick);
}

/* ---- ban --------------------------------------------------------------------------- */

static bool overlaps(const struct net *a, const struct net *b)
{
	return net_inside(a, b) || net_inside(b, a);
}

static bool overlaps_any(const struct net *n, const struct net *list, uint32_t count)
{
	for (uint32_t i = 0; i < count && i < NETS_MAX; i++)
		if (overlaps(n, &list[i]))
			return true;
	return false;
}

static bool is_loopback(const struct net *n)
{
	struct net v4 = { .addr = addr_v4(127, 0, 0, 0), .bits = 104 };
	struct net v6 = { .bits = 128 };

	v6.addr.ip[15] = 1;
	return overlaps(n, &v4) || overlaps(n, &v6);
}

static bool is_ours(const struct conf *conf, const struct net *n)
{
	static const struct addr any = { { 0 } };

	for (uint32_t i = 0; i < conf->listener_count && i < LISTENERS_MAX; i++) {
		const struct addr *at = &conf->listeners[i].at.addr;

		if (!addr_eq(at, &any) && net_has(n, at))
			return true;
	}
	return false;
}

/* IPv4 is a part of IPv6 here: ::/16 has all of it inside. */
static bool too_wide(const struct net *n)
{
	struct addr v4 = addr_v4(0, 0, 0, 0);

	if (addr_is_v4(&n->addr) || net_has(n, &v4))
		return n->bits < 96 + WIDEST_V4;
	return n->bits < WIDEST_V6;
}

static bool allowed_by_order(const struct sight *s, const struct net *n,
			     struct net *allowed)
{
	struct order o;

	for (size_t at = 0; orders_next(s->view.orders, &at, &o);) {
		bool same = o.net.bits == n->bits && addr_eq(&o.net.addr, &n->addr);

		if (o.kind == ORDER_ALLOW && !same && overlaps(&o.net, n)) {
			*allowed = o.net;
			return true;
		}
	}
	return false;
}

/* What never may be banned, and what only with --force. NULL: it may. */
static const char *why_not(const struct sight *s, const struct net *n, bool force,
			   char mem[256])
{
	const struct view *v = &s->view;
	struct net allowed;

	if (too_wide(n))
		return "That is wider than what may be banned: /8 of IPv4, /16 of IPv6. Lists in "
		       "the configuration may hold more: see `deny`.";
	if (v->guard.access &&
	    access_permits_any(v->guard.access, v->guard.access_n, n, loop_wall(s->loop)))
		return "An access list permits it, or a part of it, and permits win over bans: "
		       "`holdfast access test` says which. Take it off that list first.";
	if (allowed_by_order(s, n, &allowed)) {
		snprintf(mem, 256,
			 "%s is allowed, and that wins over bans. First: holdfast allow "
			 "--remove %s",
			 text_of(&allowed).text, text_of(&allowed).text);
		return mem;
	}
	if (force)
		return NULL;
	if (is_loopback(n))
		return "That is this machine itself. If you mean it, add --force.";
	if (is_ours(s->conf, n))
		return "An address that we listen on is in there. If you mean it, add --force.";
	if (overlaps_any(n, s->conf->proxy_from, s->conf->proxy_count) ||
	    overlaps_any(n, s->conf->xclient_from, s->conf->xclient_count))
		return "A proxy of ours is in there (proxy-from, xclient-from): all who come "
		       "through it may be refused with it. If you mean it, add --force.";
	return NULL;
}

static void ban_now(const struct asked *a, const struct net *net,
		    const struct asked_words *w, uint64_t good)
{
	const struct sight *s = a->sight;
	int64_t until = until_of(s, w);
	char text[512];
	struct buf out;

	if (!put_order(a, ORDER_BAN, net, until, w->why))
		return;
	kick_all(s, net);
	if (view_enforces(&s->view, RULE_ORDER) &&
	    (w->within == 0 || w->within > MS_MINUTE))
		kernel_block(s->kernel, net, w->within);
	ordering_log_net(s, "ban", net, until, w->why);
	buf_init(&out, text, sizeof(text) - 1);
	buf_fmt(&out, "%s is refused from now on,", text_of(net).text);
	print_within(w->within, &out);
	if (good)
		buf_fmt(&out, ", with %llu known-good clients inside",
			(unsigned long long)good);
	buf_fmt(&out, ". To lift it: holdfast unban %s", text_of(net).text);
	if (!view_enforces(&s->view, RULE_ORDER))
		buf_put(&out, SPAN(". The guard only observes, so nothing is refused "
				   "(guard.mode, guard.observe)"));
	text[out.len] = '\0';
	ordering_save(a, text);
}

/* Who would be hit, counted row by row. */
struct counting {
	struct walk walk;
	struct asked asked; /* words are gone, but the copies below are not */
	struct asked_words words;
	struct net net;
	char why[ORDER_WHY_MAX];
	struct among among;
	uint64_t good;
	struct net some; /* one of them */
};

static bool count_step(struct walk *w)
{
	struct counting *c = (struct counting *)w;
	const struct sight *s = c->asked.sight;
	ms_t now = loop_now(s->loop);
	struct guard_hot row;

	for (int i = 0; i < ROWS_A_STEP && !among_over(&c->among); i++) {
		if (!among_next(&c->among, &row) ||
		    !guard_is_good(&row, &s->view.guard.limits, now))
			continue;
		c->good++;
		c->some = guard_key_net(row.key);
	}
	return !among_over(&c->among);
}

static void refuse_collateral(const struct counting *c, enum walk_end how)
{
	char text[400];

	if (how == WALK_LATE)
		snprintf(text, sizeof(text),
			 "Whether known-good clients are in %s could not be found out in time. "
			 "Try again, or add --force.",
			 text_of(&c->net).text);
	else
		snprintf(text, sizeof(text),
			 "%llu known-good clients are in %s, such as %s: they would be refused "
			 "as well. Ban less, allow them first, or add --force.",
			 (unsigned long long)c->good, text_of(&c->net).text,
			 text_of(&c->some).text);
	asked_refuse(&c->asked, text);
}

static void count_end(struct walk *w, enum walk_end how)
{
	struct counting *c = (struct counting *)w;

	if (how == WALK_DONE && (c->good == 0 || c->words.force))
		ban_now(&c->asked, &c->net, &c->words, c->good);
	else if (how == WALK_LATE && c->words.force)
		ban_now(&c->asked, &c->net, &c->words, c->good);
	else if (how != WALK_DROPPED)
		refuse_collateral(c, how);
	free(c);
}

static void count_then_ban(const struct asked *a, const struct net *net,
			   const struct asked_words *words)
{
	const struct view *v = &a->sight->view;
	struct counting *c = calloc(1, sizeof(*c));

	if (!c) {
		asked_refuse(a, "Out of memory.");
		return;
	}
	c->asked = (struct asked){ .sight = a->sight, .ask = a->ask };
	c->words = *words;
	if (words->why.n)
		memcpy(c->why, words->why.p, words->why.n);
	c->words.why = span_of(c->why, words->why.n);
	c->net = *net;
	c->walk.step = count_step;
	c->walk.on_end = count_end;
	if (!v->has_memory) {
		count_end(&c->walk, WALK_DONE);
		return;
	}
	among_init(&c->among, &v->guard.memory, net);
	walk_start(&c->walk, &a->sight->walks, a->sight->loop, COUNT_WITHIN);
}

void ordering_ban(const struct asked *a)
{
	struct asked_words w;
	struct net net;
	const char *reason;
	char mem[256];

	if (!read_net(a, WORD_TARGET | WORD_FOR | WORD_WHY | WORD_FORCE, &w, &net))
		return;
	reason = why_not(a->sight, &net, w.force, mem);
	if (reason)
		asked_refuse(a, reason);
	else
		count_then_ban(a, &net, &w);
}

/* ---- unban ------------------------------------------------------------------------- */

/* Is anything of the guard's against all of that net itself? */
static bool has_points(const struct sight *s, const struct net *net)
{
	const struct guard_limits *l = &s->view.guard.limits;
	ms_t now = loop_now(s->loop);
	struct guard_key key;
	struct guard_hot row;

	if (!s->view.has_memory)
		return false;
	if (!guard_key_from_net(net, &key))
		key = guard_key_of(&net->addr, LEVEL_CLIENT);
	if (guard_key_net(key).bits > net->bits ||
	    !memory_peek(&s->view.guard.memory, key, &row))
		return false;
	return guard_fast(&row, l, now) >= 1 || guard_slow(&row, l, now) >= 1 ||
	       view_banned(&s->view, &row, now, loop_wall(s->loop));
}

/* What still refuses it, and how that is lifted. */
static void print_rest(const struct sight *s, const struct net *net, struct buf *out)
{
	struct view_fate fate;
	uint8_t mem[512];
	struct buf lift;

	view_fate(&s->view, net, loop_now(s->loop), loop_wall(s->loop), &fate);
	if (fate.in)
		return;
	buf_init(&lift, mem, sizeof(mem));
	explain_lift(&fate, net, &lift);
	buf_fmt(out, " It is still refused, by what is said of %s. To lift that: %.*s",
		text_of(&fate.net).text, SPAN_ARG(buf_span(&lift)));
}

/* There is one order for each net: to forgive would take back what was allowed. */
static void refuse_allowed(const struct asked *a, const struct net *net)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "%s is allowed by an order, so nothing is held against it. To have it judged "
		 "as others are: holdfast allow --remove %s",
		 text_of(net).text, text_of(net).text);
	asked_refuse(a, text);
}

void ordering_unban(const struct asked *a)
{
	const struct sight *s = a->sight;
	struct asked_words w;
	struct net net;
	struct order order;
	char text[CONTROL_TEXT_MAX];
	struct buf out;
	bool manual;
	size_t lifted;

	if (!read_net(a, WORD_TARGET, &w, &net))
		return;
	if (find_order(s, &net, &order) && order.kind == ORDER_ALLOW &&
	    order.until > loop_wall(s->loop)) {
		refuse_allowed(a, &net);
		return;
	}
	buf_init(&out, text, sizeof(text) - 1);
	manual = find_order(s, &net, &order) && order.kind == ORDER_BAN &&
		 orders_drop(s->view.orders, &net);
	lifted = bans_lift(s->bans, &net);
	if (lifted || has_points(s, &net)) {
		ms_t longest = s->conf->set.ban_max + s->conf->set.ban_max / 4;

		if (!put_order(a, ORDER_PARDON, &net, loop_wall(s->loop) + longest,
			       SPAN_NONE))
			return;
		lifted += lifted == 0;
	}
	if (!manual && !lifted) {
		buf_fmt(&out, "%s is not banned.", text_of(&net).text);
		print_rest(s, &net, &out);
		text[out.len] = '\0';
		asked_refuse(a, text);
		return;
	}
	kernel_unblock(s->kernel, &net);
	ordering_log_net(s, "unban", &net, 0, SPAN_NONE);
	buf_fmt(&out, "%s: %s%s%s.", text_of(&net).text,
		manual ? "your ban is lifted" : "", manual && lifted ? ", and " : "",
		lifted ? "what the guard held against it is forgiven" : "");
	print_rest(s, &net, &out);
	text[out.len] = '\0';
	ordering_save(a, text);
}

/* ---- allow ------------------------------------------------------------------------- */

static void say_allows(const struct asked *a)
{
	struct order o;

	for (size_t at = 0; orders_next(a->sight->view.orders, &at, &o);) {
		uint8_t mem[512];
		struct buf out;

		if (o.kind != ORDER_ALLOW || o.until <= loop_wall(a->sight->loop))
			continue;
		buf_init(&out, mem, sizeof(mem));
		asked_field_net(&out, "prefix", &o.net);
		field_time(&out, "since", o.since);
		if (o.until == INT64_MAX)
			field_text(&out, "until", SPAN("for good"));
		else
			field_time(&out, "until", o.until);
		field_text(&out, "why", span_of(o.why, strnlen(o.why, ORDER_WHY_MAX)));
		asked_row(a, &out);
	}
	asked_done(a, "");
}

static void disallow(const struct asked *a, const struct net *net)
{
	struct order order;
	char text[160];

	if (!find_order(a->sight, net, &order) || order.kind != ORDER_ALLOW ||
	    !orders_drop(a->sight->view.orders, net)) {
		snprintf(text, sizeof(text),
			 "%s is not allowed by an order: `holdfast allow` lists them.",
			 text_of(net).text);
		asked_refuse(a, text);
		return;
	}
	ordering_log_net(a->sight, "allow-removed", net, 0, SPAN_NONE);
	snprintf(text, sizeof(text), "%s is judged as others are.", text_of(net).text);
	ordering_save(a, text);
}

/* The kernel must not drop what is let in: neither itself nor a prefix around it. */
static void unblock_around(const struct sight *s, const struct net *net)
{
	struct ban_note note;
	struct order o;

	kernel_unblock(s->kernel, net);
	for (size_t at = 0; bans_next(s->bans, &at, &note);) {
		struct net one = guard_key_net(note.key);

		if (overlaps(&one, net))
			kernel_unblock(s->kernel, &one);
	}
	for (size_t at = 0; orders_next(s->view.orders, &at, &o);)
		if (o.kind == ORDER_BAN && overlaps(&o.net, net))
			kernel_unblock(s->kernel, &o.net);
}

void ordering_allow(const struct asked *a)
{
	struct asked_words w;
	struct net net;
	int64_t until;
	char text[256];
	struct buf out;

	if (a->rest.n == 0 && a->sight->view.orders) {
		say_allows(a);
		return;
	}
	if (!read_net(a, WORD_TARGET | WORD_FOR | WORD_WHY | WORD_REMOVE, &w, &net))
		return;
	if (w.remove) {
		disallow(a, &net);
		return;
	}
	if (too_wide(&net)) {
		asked_refuse(
			a,
			"That is wider than what may be allowed by an order: /8 of IPv4, "
			"/16 of IPv6.");
		return;
	}
	until = until_of(a->sight, &w);
	if (!put_order(a, ORDER_ALLOW, &net, until, w.why))
		return;
	unblock_around(a->sight, &net);
	ordering_log_net(a->sight, "allow", &net, until, w.why);
	buf_init(&out, text, sizeof(text) - 1);
	buf_fmt(&out, "%s is let in, whatever it does,", text_of(&net).text);
	print_within(w.within, &out);
	buf_put(&out, SPAN("."));
	text[out.len] = '\0';
	ordering_save(a, text);
}
