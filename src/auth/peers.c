#include "auth/inner.h"
#include "base/list.h"
#include "crypt/password.h"

/*
 * The links to edges, fetch and watch. Edges parse what strangers send, so they may
 * be in somebody's hands: one that says what no edge of ours would say is cut off. What is
 * heard in one round is bounded, and who does not take our answers is not heard.
 */

#define FRAMES_ONCE 64 /* of one link, before the others have their turn */

static const char *name_of(const struct peer *p)
{
	return role_word[p->role];
}

static void rearm(struct peer *p)
{
	if (p->link)
		watch_mask(&p->watch, (link_full(p->link) ? 0 : WATCH_READ) |
					      (link_waiting(p->link) ? WATCH_WRITE : 0));
}

bool peer_send(struct peer *p)
{
	bool sent = p->link && link_send(p->link, NULL, 0);

	rearm(p);
	return sent;
}

static void drop(struct peer *p)
{
	struct auth *a = p->auth;

	if (!p->link)
		return;
	watch_stop(&p->watch);
	link_close(&p->link);
	if (p->role == ROLE_EDGE)
		attempts_lost(a, p);
	if (p->role == ROLE_FETCH)
		oauth_gone(a->oauth, loop_now(a->loop));
	if (p->role == ROLE_WATCH) /* nobody listens to what waited for room */
		passwords_go_on(a->passwords);
}

/* ---- what they say ---------------------------------------- */

static bool is_of_backend(const struct backend *b, struct span name)
{
	struct span base = span_str(b->credential);

	if (b->login == BACKEND_OWN) /* one for each user */
		return span_starts(name, base) && name.n > base.n && name.p[base.n] == '/';
	return b->login != BACKEND_SAME && span_eq(name, base);
}

/*
 * What an edge logs in with somewhere, and nothing else: what we ask about tokens with is in
 * the same table, and is for us alone.
 */
static bool is_for_edges(const struct conf *conf, struct span name)
{
	if (!name.n)
		return false;
	if (span_eq(name, span_str(conf->set.relay_login)))
		return true;
	for (uint32_t i = 0; i < conf->relay_count; i++)
		if (span_eq(name, span_str(conf->relays[i].login)))
			return true;
	for (uint32_t i = 0; i < conf->backend_count; i++)
		if (is_of_backend(&conf->backends[i], name))
			return true;
	return false;
}

static bool tell_credential(struct auth *a, struct peer *edge, struct span frame)
{
	struct vault_credential c;
	struct msg_CREDENTIAL_IS is = { 0 };
	struct msg_CREDENTIAL m;
	struct buf *out;

	if (!msg_CREDENTIAL_unpack(frame, &m))
		return false;
	is.ask = m.ask;
	c.known = false;
	if (is_for_edges(a->start->conf, m.name) &&
	    keeper_find_credential(a->keeper, m.name, &c) && c.known) {
		is.ok = 1;
		is.user = span_of(c.user, c.user_n);
		is.secret = span_of(c.secret, c.secret_n);
	}
	out = link_begin(edge->link);
	msg_CREDENTIAL_IS_pack(&is, out);
	(void)peer_send(edge); /* a broken link shows when it is read */
	password_wipe(span_of(&c, sizeof(c)));
	password_wipe(buf_span(out));
	return true;
}

static bool take_edge(struct peer *p, const struct frame *f)
{
	if (f->kind == MSG_AUTH)
		return attempts_auth(p->auth, p, f->bytes);
	if (f->kind == MSG_AUTH_MORE)
		return attempts_more(p->auth, p, f->bytes);
	if (f->kind == MSG_AUTH_OVER)
		return attempts_over(p->auth, p, f->bytes);
	if (f->kind == MSG_AUTH_JUDGED)
		return attempts_judged(p->auth, p, f->bytes);
	if (f->kind == MSG_AUTH_LEFT)
		return attempts_left(p->auth, p, f->bytes);
	if (f->kind == MSG_AUTH_HELD)
		return attempts_held(p->auth, p, f->bytes);
	return f->kind == MSG_CREDENTIAL && tell_credential(p->auth, p, f->bytes);
}

static bool take_fetched(struct auth *a, struct span frame)
{
	struct msg_FETCHED m;

	if (!msg_FETCHED_unpack(frame, &m))
		return false;
	oauth_fetched(a->oauth, &m, loop_now(a->loop), loop_wall(a->loop));
	return true;
}

static bool take_control(struct auth *a, struct span frame)
{
	struct msg_CONTROL m;
	struct span rest, word;

	if (!msg_CONTROL_unpack(frame, &m))
		return false;
	rest = m.words;
	if (list_next(&rest, &word) && span_eq(word, SPAN("dkim")))
		store_link_command(a->store, m.ask, m.words);
	else
		passwords_command(a->passwords, m.ask, m.words, loop_wall(a->loop));
	return true;
}

static bool take(struct peer *p, const struct frame *f)
{
	struct auth *a = p->auth;

	if (p->role == ROLE_EDGE)
		return take_edge(p, f);
	if (p->role == ROLE_FETCH)
		return f->kind == MSG_FETCHED && take_fetched(a, f->bytes);
	return f->kind == MSG_CONTROL && take_control(a, f->bytes);
}

static enum link_got hear(struct peer *p, struct err *err)
{
	enum link_got got = LINK_GOT;
	struct frame f;

	for (int i = 0; got == LINK_GOT && i < FRAMES_ONCE && !link_full(p->link); i++) {
		got = link_recv(p->link, &f, err);
		if (got != LINK_GOT)
			break;
		if (!take(p, &f)) {
			err_set(err, "%s sent a %s that makes no sense", name_of(p),
				message_table[f.kind].word);
			got = LINK_BROKEN;
		}
		/* it may have held a secret */
		password_wipe(f.bytes);
		frame_close_fds(&f);
	}
	return got;
}

static void on_peer(void *arg, unsigned ready)
{
	struct peer *p = arg;
	struct err err = { "the link is broken" };
	enum link_got got = LINK_MORE;

	if ((ready & WATCH_WRITE) && !link_flush(p->link))
		got = LINK_CLOSED;
	else if ((ready & WATCH_WRITE) && p->role == ROLE_WATCH)
		passwords_go_on(p->auth->passwords);
	if (got == LINK_MORE && p->link && (ready & WATCH_READ))
		got = hear(p, &err);
	if (got == LINK_BROKEN)
		auth_trouble(p->auth, LOG_LINK_BROKEN, err.text);
	if (got == LINK_BROKEN || got == LINK_CLOSED)
		drop(p);
	rearm(p);
}

/* ---- coming and going ---------------------------------------- */

static struct peer *place_of(struct auth *a, enum role role, unsigned number)
{
	if (role == ROLE_EDGE)
		return number < EDGES_MAX ? &a->edges[number] : NULL;
	if (role == ROLE_WATCH)
		return &a->watcher;
	return role == ROLE_FETCH ? &a->fetch : NULL;
}

void peers_meet(struct auth *a, struct link *link)
{
	struct peer *p = place_of(a, link_role(link), link_number(link));

	if (link_role(link) == ROLE_STORE) {
		store_link_meet(a->store, link);
		return;
	}
	if (!p) {
		link_close(&link);
		return;
	}
	drop(p);
	*p = (struct peer){ .auth = a,
			    .link = link,
			    .role = link_role(link),
			    .number = link_number(link),
			    .generation = ++a->generations };
	if (watch_start(a->loop, &p->watch, link_fd(link), WATCH_READ, on_peer, p))
		return;
	auth_trouble(a, LOG_TROUBLE, "a link cannot be watched");
	link_close(&p->link);
}

struct peer *peers_edge(struct auth *a, unsigned number, uint32_t generation)
{
	struct peer *p = number < EDGES_MAX ? &a->edges[number] : NULL;

	return p && p->link && p->generation == generation ? p : NULL;
}

void peers_close(struct auth *a)
{
	struct peer *others[] = { &a->fetch, &a->watcher };

	for (size_t i = 0; i < EDGES_MAX; i++) {
		watch_stop(&a->edges[i].watch);
		link_close(&a->edges[i].link);
	}
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		watch_stop(&others[i]->watch);
		link_close(&others[i]->link);
	}
}
