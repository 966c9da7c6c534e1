/* What is due, after every event: posts are filled, children looked at, stages of a stop. */
#include "app/life.h"

#include <stdio.h>
#include <unistd.h>

#include "base/fields.h"

/* ---- going on ---------------------------------------------------------------------- */

static const enum role stage_role[] = {
	[STAGE_STOPPING_EDGES] = ROLE_EDGE,  [STAGE_STOPPING_FIREWALL] = ROLE_FIREWALL,
	[STAGE_STOPPING_STORE] = ROLE_STORE, [STAGE_STOPPING_AUTH] = ROLE_AUTH,
	[STAGE_STOPPING_FETCH] = ROLE_FETCH, [STAGE_STOPPING_WATCH] = ROLE_WATCH,
};

/* When it is this role's turn to stop. */
static enum stage stops_at(enum role role)
{
	enum stage at = STAGE_STOPPING_EDGES;

	while (at < STAGE_STOPPING_WATCH && stage_role[at] != role)
		at++;
	return at;
}

/* There is one store, one auth and one watch, also while an old one drains. */
static bool room_for(const struct supervisor *s, const struct post *post)
{
	if (s->stage >= stops_at(post->role))
		return false;
	if (post->role != ROLE_EDGE)
		return children_count(s, post->role) == 0;
	return children_count(s, ROLE_EDGE) < EDGES_MAX &&
	       children_count(s, ROLE_ANY) < ROLES_MAX;
}

/* Shown before somebody begins, so that nobody who is seen seems to serve already. */
static int64_t show_vacant(struct supervisor *s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s->post_count; i++)
		n += is_needed(s->posts[i].role) &&
		     (!s->posts[i].child || s->posts[i].child->state != CHILD_READY);
	pulse_gauge_set(s->pulse, GAUGE_VACANT, n);
	return n;
}

static void fill_posts(struct supervisor *s)
{
	ms_t now = loop_now(s->loop);
	struct err err;

	(void)show_vacant(s);
	for (size_t i = 0; i < s->post_count; i++) {
		struct post *p = &s->posts[i];

		if (p->child || now < p->again || !room_for(s, p))
			continue;
		if (child_start(s, p, &err))
			continue;
		p->again = now + BACK_OFF_MAX;
		say(s, LOG_TROUBLE, role_word[p->role], err.text);
		if (!s->complete && s->opt.resume < 0 && is_needed(p->role)) {
			life_give_up(s, 1, &err);
			return;
		}
	}
}

/* Is every post filled with somebody who serves? Then the server is there. */
static void note_complete(struct supervisor *s)
{
	int64_t vacant = show_vacant(s);

	if (s->complete || s->stage != STAGE_SERVING || s->post_count == 0 || vacant > 0)
		return;
	s->complete = true;
	shared_settled(s);
	systemd_notify("READY=1\nMAINPID=%d\nSTATUS=Serving", (int)getpid());
	say_where(s);
}

static void stop_role(struct supervisor *s, enum role role)
{
	ms_t now = loop_now(s->loop);
	ms_t within = s->stop_by > now ? s->stop_by - now : 0;

	if (role != ROLE_EDGE)
		within = LAST_WORDS;
	for (struct child *c = s->children; c < s->children + CHILDREN_MAX; c++)
		if (c->state != CHILD_NONE && c->role == role)
			child_drain(c, within, 0);
}

/* One role after the other: the next begins to stop when the last one has. */
static void stop_on(struct supervisor *s)
{
	while (s->stage >= STAGE_STOPPING_EDGES && s->stage < STAGE_OVER) {
		stop_role(s, stage_role[s->stage]);
		if (children_count(s, stage_role[s->stage]) > 0)
			return;
		s->stage++;
	}
	if (s->stage != STAGE_OVER)
		return;
	loop_stop(s->loop);
}

static ms_t next_time(const struct supervisor *s)
{
	ms_t next = s->looked + LOOK_EVERY;

	for (size_t i = 0; i < s->post_count; i++)
		if (!s->posts[i].child && s->posts[i].again < next &&
		    s->posts[i].again > loop_now(s->loop))
			next = s->posts[i].again;
	return next;
}

static void feed_watchdog(struct supervisor *s)
{
	if (s->watchdog == MS_NEVER || loop_now(s->loop) < s->watchdog_at)
		return;
	s->watchdog_at = loop_now(s->loop) + s->watchdog;
	systemd_notify("WATCHDOG=1");
}

/* What was asked for begins when nothing of that kind is under way. */
static void start_wanted(struct supervisor *s)
{
	struct loading *l = &s->loading;

	if (l->again != MS_NEVER && loop_now(s->loop) >= l->again) {
		l->again = MS_NEVER;
		s->reload_wanted = true;
	}
	if (s->reload_wanted && !l->loader && !s->trial.child &&
	    s->stage <= STAGE_SERVING) {
		struct asked asked = s->reload_asked;

		s->reload_wanted = false;
		s->reload_asked = (struct asked){ 0 };
		reload_start(s, asked);
	}
	if (s->upgrade_wanted && s->stage == STAGE_SERVING && !upgrade_busy(s)) {
		s->upgrade_wanted = false;
		upgrade_start(s, (struct asked){ 0 });
	}
}

void life_go_on(struct supervisor *s)
{
	pulse_beat(s->pulse);
	children_look(s);
	drain_bound(s);
	if (s->stage >= STAGE_SERVING)
		fill_posts(s);
	note_complete(s);
	upgrade_go_on(s);
	stop_on(s);
	feed_watchdog(s);
	shared_renew(s);
	start_wanted(s);
	timer_set(&s->timer, next_time(s));
}

/* ---- stopping ---------------------------------------------------------------------- */

void life_stop(struct supervisor *s, int exit_code)
{
	ms_t within = s->conf ? s->conf->set.drain : 0;
	struct buf *b;

	if (s->stage >= STAGE_STOPPING_EDGES)
		return;
	s->exit_code = exit_code;
	s->stop_by = loop_now(s->loop) + within;
	s->stage = STAGE_STOPPING_EDGES;
	systemd_notify("STOPPING=1\nSTATUS=Draining");
	if (s->loading.loader)
		child_kill(s->loading.loader, "the server stops");
	b = say_begin(s);
	field_text(b, "what", SPAN("draining"));
	field_number(b, "within-ms", within);
	say_end(s, LOG_STOPPING);
}

void life_give_up(struct supervisor *s, int exit_code, const struct err *err)
{
	fprintf(stderr, "holdfast: %s\n", err->text);
	systemd_notify("STATUS=%s", err->text);
	life_stop(s, exit_code);
	s->stop_by = loop_now(s->loop);
}

void life_answer(struct supervisor *s, struct asked *asked, bool ok, const char *text)
{
	struct msg_ORDERED m = { asked->ask, ok, span_head(span_str(text), 1024) };

	if (!asked->waiting)
		return;
	asked->waiting = false;
	for (size_t i = 0; i < s->post_count; i++) {
		struct child *c = s->posts[i].child;

		if (!c || c->role != ROLE_WATCH || !c->life || c->why)
			continue;
		msg_ORDERED_pack(&m, link_begin(c->life));
		if (!link_send(c->life, NULL, 0))
			child_kill(c, "it does not take what the supervisor sends");
		else if (link_waiting(c->life))
			watch_mask(&c->watch, WATCH_READ | WATCH_WRITE);
	}
}
