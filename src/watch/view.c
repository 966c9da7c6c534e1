#include "watch/view.h"

#include "link/start.h"
#include "session/limits.h"

void view_conf(struct view *v, const struct conf *conf)
{
	v->conf = conf;
	limits_of(&conf->set, conf->observed, &v->guard.limits);
	limits_of_accounts(&conf->set, conf->observed, &v->accounts.limits);
}

void view_access(struct view *v, const void *mem, size_t n)
{
	bool good = mem && access_ok(mem, n);

	v->guard.access = good ? mem : NULL;
	v->guard.access_n = good ? n : 0;
}

void view_init(struct view *v, const struct start *start, const struct conf *conf)
{
	*v = (struct view){ 0 };
	if (start->accounts.mem)
		v->has_accounts = accounts_open(&v->accounts, start->accounts.mem,
						start->accounts.n);
	view_conf(v, conf);
	if (start->guard.mem)
		v->has_memory = memory_open(&v->guard.memory, start->guard.mem,
					    start->guard.n, 0);
	if (start->orders.mem && orders_ok(start->orders.mem, start->orders.n))
		v->orders = start->orders.mem;
	v->guard.orders = v->orders;
	view_access(v, start->access.mem, start->access.n);
}

int64_t view_wall(gsec_t at, ms_t now, int64_t wall)
{
	int64_t ago, then;

	if (at == 0)
		return 0;
	ago = (int64_t)memory_second(now) - (int64_t)at;
	then = wall - now % MS_SECOND - ago * MS_SECOND;
	return then - then % MS_SECOND; /* it is known no closer: the same whenever asked */
}

bool net_inside(const struct net *small, const struct net *large)
{
	return small->bits >= large->bits && net_has(large, &small->addr);
}

int64_t view_pardoned(const struct view *v, const struct net *net)
{
	return v->orders ? orders_pardoned(v->orders, net) : 0;
}

bool view_banned(const struct view *v, const struct guard_hot *row, ms_t now, int64_t wall)
{
	struct net net = guard_key_net(row->key);
	int64_t pardoned;

	if (!guard_ban_holds(row, now))
		return false;
	pardoned = view_pardoned(v, &net);
	return pardoned == 0 || view_wall(row->ban.since, now, wall) > pardoned;
}

double view_tries_after(const struct guard_ban *ban, ms_t now)
{
	gsec_t second = memory_second(now);
	gsec_t end = ban->until < second ? ban->until : second;
	double hours;

	if (ban->since == 0 || end <= ban->since)
		return 0;
	/* the first minutes are too short to tell a rate from */
	hours = (double)(end - ban->since) / 3600;
	return (double)ban->tries / (hours > 1.0 / 60 ? hours : 1.0 / 60);
}

bool view_enforces(const struct view *v, enum rule rule)
{
	const struct guard_limits *l = &v->guard.limits;

	return !l->observe && rule < RULE_COUNT && !l->observed[rule];
}

/* ---- what happens to whom ---------------------------------------------------------- */

/* What the lists say about all of a net: an entry inside it says nothing about it. */
static bool judge_access(const struct view *v, const struct net *net, int64_t wall,
			 struct view_fate *out)
{
	struct access_hit hit;

	if (!v->guard.access)
		return false;
	hit = access_client(v->guard.access, v->guard.access_n, &net->addr, wall);
	if (hit.answer == ACCESS_SILENT || hit.net.bits > net->bits)
		return false;
	*out = (struct view_fate){
		.by = BY_ACCESS,
		.in = hit.answer == ACCESS_PERMIT,
		.rule = hit.answer == ACCESS_PERMIT ? RULE_NONE : RULE_DENIED,
		.step = hit.answer == ACCESS_PERMIT ? STEP_NONE : STEP_REFUSE,
		.until = hit.until,
		.net = hit.net,
		.hit = hit
	};
	return true;
}

static bool judge_order(const struct view *v, const struct net *net, int64_t wall,
			struct view_fate *out)
{
	struct order o;

	if (!v->orders || !orders_find(v->orders, &net->addr, wall, &o) ||
	    o.net.bits > net->bits)
		return false;
	*out = (struct view_fate){ .by = BY_ORDER,
				   .in = o.kind == ORDER_ALLOW,
				   .rule = o.kind == ORDER_ALLOW ? RULE_NONE : RULE_ORDER,
				   .step = o.kind == ORDER_ALLOW ? STEP_NONE : STEP_REFUSE,
				   .since = o.since,
				   .until = o.until,
				   .net = o.net,
				   .order = o };
	return true;
}

static enum guard_step step_of(const struct guard_ban *ban)
{
	return ban->step < STEP_COUNT ? (enum guard_step)ban->step : STEP_REFUSE;
}

/* The bans of the net's own key and of those around it. */
static bool judge_bans(const struct view *v, const struct net *net, ms_t now,
		       int64_t wall, struct view_fate *out)
{
	for (int level = LEVEL_CLIENT; level < LEVEL_COUNT; level++) {
		struct guard_key key = guard_key_of(&net->addr, (enum guard_level)level);
		struct net around = guard_key_net(key);
		struct guard_hot row;

		if (around.bits > net->bits || !memory_peek(&v->guard.memory, key, &row) ||
		    !view_banned(v, &row, now, wall))
			continue;
		if (level != LEVEL_CLIENT && out->known_good)
			continue; /* never banned with its prefix */
		*out = (struct view_fate){ .by = BY_BAN,
					   .observed = row.ban.observed != 0,
					   .in = row.ban.observed != 0,
					   .known_good = out->known_good,
					   .step = step_of(&row.ban),
					   .rule = row.ban.rule < RULE_COUNT
							   ? (enum rule)row.ban.rule
							   : RULE_NONE,
					   .since = view_wall(row.ban.since, now, wall),
					   .until = view_wall(row.ban.until, now, wall),
					   .net = around };
		return true;
	}
	return false;
}

static bool judge_lockdown(const struct view *v, struct view_fate *out)
{
	int64_t since = v->orders ? orders_in_lockdown(v->orders) : 0;
	bool enforced = view_enforces(v, RULE_LOCKDOWN);

	if (!since || out->known_good)
		return false;
	*out = (struct view_fate){ .by = BY_LOCKDOWN,
				   .rule = RULE_LOCKDOWN,
				   .step = STEP_REFUSE,
				   .since = since,
				   .net = out->net,
				   .observed = !enforced,
				   .in = !enforced };
	return true;
}

static void judge_standing(const struct view *v, const struct guard_hot *row, ms_t now,
			   struct view_fate *out)
{
	const struct guard_limits *l = &v->guard.limits;
	double fast = guard_fast(row, l, now);
	enum guard_step step = fast >= (double)l->late_at    ? STEP_LATE
			       : fast >= (double)l->delay_at ? STEP_DELAY
							     : STEP_NONE;

	if (step == STEP_NONE)
		return;
	out->by = BY_STANDING;
	out->step = step;
	out->rule = step == STEP_LATE ? RULE_LATE : RULE_NONE;
	out->observed = !view_enforces(v, out->rule);
	out->net = guard_key_net(row->key);
}

void view_fate(const struct view *v, const struct net *net, ms_t now, int64_t wall,
	       struct view_fate *out)
{
	struct view_fate access = { 0 }, order = { 0 };
	bool listed = judge_access(v, net, wall, &access);
	bool ordered = judge_order(v, net, wall, &order);
	struct guard_key key = guard_key_of(&net->addr, LEVEL_CLIENT);
	bool is_client = guard_key_net(key).bits <= net->bits;
	struct guard_hot row;
	bool known;

	*out = (struct view_fate){ .in = true, .net = *net };
	/* who is permitted by a list gets in, whatever else there is */
	if (listed && access.in) {
		*out = access;
		return;
	}
	if (ordered || listed) {
		*out = ordered ? order : access;
		out->observed = !out->in && !view_enforces(v, out->rule);
		out->in |= out->observed;
		return;
	}
	if (!v->has_memory)
		return;
	known = is_client && memory_peek(&v->guard.memory, key, &row);
	out->known_good = known && guard_is_good(&row, &v->guard.limits, now);
	/* in the order of guard_came() */
	if (judge_bans(v, net, now, wall, out) && !out->in)
		return;
	if (judge_lockdown(v, out))
		return;
	if (out->by == BY_NOBODY && known)
		judge_standing(v, &row, now, out);
}
