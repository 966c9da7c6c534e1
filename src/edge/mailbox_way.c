/*
 * The way to the mailbox server of a login: which it is (mailboxes, the state database, the
 * ring), what is said there to log in, and the call, with another server if the one that the
 * ring names turns out to be gone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "edge/mailbox.h"

static void choose(struct mailbox_way *m);

static struct mailboxes *all_of(const struct mailbox_way *m)
{
	return m->conn->edge->mailboxes;
}

/* As they are to be chosen from: an order of the administrator's holds at once. */
static struct backends *servers(const struct mailbox_way *m)
{
	struct backends *b = all_of(m)->backends;

	backends_obey(b, m->conn->edge->guard.orders);
	return b;
}

static bool is_pop3(const struct mailbox_way *m)
{
	return mailbox_is_pop3(m->conn);
}

static struct span login_of(const struct mailbox_way *m)
{
	return span_of(m->login, m->login_n);
}

/* ---- who waits for the store or for auth ------------------------------------------------- */

static struct mailbox_way **bucket(struct mailboxes *all, uint64_t ask)
{
	return &all->asking[ask % MAILBOX_BUCKETS];
}

static void wait_for(struct mailbox_way *m, enum mailbox_state state, uint64_t ask)
{
	struct mailbox_way **b = bucket(all_of(m), ask);
	struct loop *loop = m->conn->edge->loop;

	m->state = state;
	m->ask = ask;
	m->next_asking = *b;
	*b = m;
	timer_set(&m->timer, loop_now(loop) + MAILBOX_WAIT);
}

static void wait_no_more(struct mailbox_way *m)
{
	struct mailbox_way **at = bucket(all_of(m), m->ask);

	timer_stop(&m->timer);
	if (m->state != MAILBOX_LOCATES && m->state != MAILBOX_CREDITS)
		return;
	while (*at && *at != m)
		at = &(*at)->next_asking;
	if (*at)
		*at = m->next_asking;
	m->state = MAILBOX_IDLE;
}

static struct mailbox_way *find_asking(struct edge *e, enum mailbox_state state,
				       uint64_t ask)
{
	struct mailbox_way *m = *bucket(e->mailboxes, ask);

	while (m && (m->ask != ask || m->state != state))
		m = m->next_asking;
	return m;
}

/* ---- the end ------------------------------------------------------------------------ */

static void tell(const struct mailbox_way *m, struct span why)
{
	struct edge *e = m->conn->edge;
	uint8_t mem[1024];
	struct buf out;

	buf_init(&out, mem, sizeof(mem));
	field_text(&out, "backend", span_str(m->backend ? m->backend->name : ""));
	field_text(&out, "service", is_pop3(m) ? SPAN("pop3") : SPAN("imap"));
	field_text(&out, "state", SPAN("refuses"));
	field_text(&out, "login", login_of(m));
	field_text(&out, "why", span_head(why, LOG_OWN_TEXT_MAX));
	pulse_log(e->pulse, LOG_BACKEND, loop_wall(e->loop), NULL, buf_span(&out));
}

/* Who is ahead has nobody who waits: it begins anew when somebody does. */
static void arrive(struct mailbox_way *m, enum backend_got got)
{
	gate_leave(&m->pass);
	if (m->ahead) {
		mailbox_way_end(m);
		return;
	}
	m->got = got;
	m->state = MAILBOX_CALLED;
	mailbox_arrived(m);
}

static void cannot(struct mailbox_way *m, enum backend_got got, const char *why)
{
	if (!m->ahead)
		tell(m, span_str(why));
	arrive(m, got);
}

void mailbox_way_end(struct mailbox_way *m)
{
	wait_no_more(m);
	gate_leave(&m->pass);
	if (m->call) {
		call_end(m->call);
		pool_give(&all_of(m)->calls, m->call);
		m->call = NULL;
	}
	words_free(&m->used);
	rules_let_go(&m->rules);
	m->backend = NULL;
	m->state = MAILBOX_IDLE;
}

/* ---- the call ----------------------------------------------------------------------- */

static const struct addr *known(const struct mailbox_way *m, size_t *count)
{
	const struct addr *a = NULL;

	*count = backends_addresses(all_of(m)->backends, m->backend, is_pop3(m), &a);
	return a;
}

/* Health: who did not greet us is down; who broke off behind that is looked at. */
static void note_health(const struct mailbox_way *m)
{
	const struct call *c = m->call;
	struct backends *b = all_of(m)->backends;
	struct span why = span_of(c->talk.why, c->talk.why_n);
	bool broken = c->talk.got == BACKEND_GOT_BROKEN;

	if (c->talk.greeted)
		backends_greeted(b, m->backend, is_pop3(m), c->addresses,
				 c->resolved ? c->count : 0);
	else if (broken && !c->ours)
		backends_failed(b, m->backend, is_pop3(m), why);
	if (broken && c->talk.greeted)
		backends_doubt(b, m->backend, is_pop3(m));
	backends_learn(b, span_of(c->talk.offered, c->talk.offered_n));
	if (c->talk.greeted)
		backends_login(b, m->backend, c->talk.got == BACKEND_GOT_YES);
}

/* What our administrator should know: the server does not do what it is there for. */
static void note_trouble(const struct mailbox_way *m)
{
	const struct call *c = m->call;
	enum backend_got got = c->talk.got;

	if (got == BACKEND_GOT_UNFIT || (got == BACKEND_GOT_BROKEN && c->talk.greeted) ||
	    (got == BACKEND_GOT_NO && !m->judging) || c->ours)
		tell(m, span_of(c->talk.why, c->talk.why_n));
}

/* Nobody has heard the password yet, and the ring may name another. */
static bool goes_elsewhere(const struct mailbox_way *m)
{
	const struct call *c = m->call;

	return c->talk.got == BACKEND_GOT_BROKEN && !c->talk.greeted && m->tried;
}

static void on_call_over(void *conn)
{
	struct mailbox_way *m = ((struct conn *)conn)->mailbox;
	enum backend_got got = m->call->talk.got;
	bool elsewhere = !m->ahead && goes_elsewhere(m);

	if (!m->ahead || !m->call->talk.greeted)
		note_health(m);
	if (!m->ahead)
		note_trouble(m);
	if (!elsewhere) {
		arrive(m, got);
		return;
	}
	call_end(m->call);
	pool_give(&all_of(m)->calls, m->call);
	m->call = NULL;
	words_free(&m->used);
	choose(m);
}

/* The session may be over, or on its way to another server. */
static void leave_if_greeted(struct mailbox_way *m)
{
	if (m && m->call && m->call->talk.greeted)
		gate_leave(&m->pass);
}

/* Of the way, and then of the relay: whoever has it. */
static void on_server_ready(void *conn)
{
	struct conn *c = conn;

	if (c->mailbox && c->mailbox->state == MAILBOX_CALLS_IT) {
		call_ready(c->mailbox->call);
		leave_if_greeted(c->mailbox);
	} else if (c->state == CONN_RELAYS) {
		conn_go_on(c);
	}
}

static struct backend_setup words_of(const struct mailbox_way *m)
{
	const struct login_words *w = m->used ? m->used : m->given;

	return (struct backend_setup){
		.pop3 = is_pop3(m),
		.hold = m->ahead,
		.mechanism = w->mechanism,
		/* LOGIN and USER are everywhere, AUTH=PLAIN is not */
		.first = w->authzid.n || w->mechanism != SASL_PLAIN ? w->first : SPAN_NONE,
		.user = w->user,
		.secret = w->secret,
		.reply_timeout = m->rules->conf->set.backend_reply,
	};
}

static struct backend_setup talk_of(struct mailbox_way *m)
{
	struct backend_setup talk = words_of(m);
	struct conn *c = m->conn;
	struct buf id;

	buf_init(&id, m->session, sizeof(m->session));
	id_print(c->number, &id);
	talk.client = (struct mailbox_peer_client){ .peer = c->session.peer,
						    .local = stream_local(&c->stream),
						    .session = buf_span(&id) };
	return talk;
}

static void begin_call(struct mailbox_way *m)
{
	struct conn *c = m->conn;
	struct mailboxes *all = all_of(m);
	struct call_setup setup = {
		.loop = c->edge->loop,
		.dns = deliveries_dns(c->edge->deliveries),
		.tls = deliveries_tls(c->edge->deliveries),
		.backend = m->backend,
		.talk = talk_of(m),
		.connect_timeout = m->rules->conf->set.backend_connect,
		.on_ready = on_server_ready,
		.on_over = on_call_over,
		.arg = c,
	};

	if (!c->relay)
		c->relay = calloc(1, sizeof(*c->relay));
	m->call = c->relay && all->calls.lent < MAILBOX_CALLS &&
				  ports_have_descriptor(c->edge)
			  ? pool_take(&all->calls)
			  : NULL;
	if (!m->call) {
		if (!m->ahead)
			report_capacity(c->edge, "mailbox-logins",
					"too many logins are under way");
		arrive(m, BACKEND_GOT_LATER);
		return;
	}
	setup.stream = &c->relay->server;
	setup.addresses = known(m, &setup.count);
	m->state = MAILBOX_CALLS_IT;
	call_begin(m->call, &setup);
}

/* It may have been found dead while this one stood in line. */
static void on_turn(void *way)
{
	struct mailbox_way *m = way;

	timer_stop(&m->timer);
	if (backends_is_well(servers(m), m->backend, is_pop3(m))) {
		begin_call(m);
		return;
	}
	words_free(&m->used);
	if (m->tried)
		choose(m);
	else
		arrive(m, BACKEND_GOT_BROKEN);
}

static void call(struct mailbox_way *m)
{
	const struct backend *b = m->backend;
	struct span server = span_str(is_pop3(m) ? b->pop3 : b->imap);
	struct backend_setup words = words_of(m);
	bool known = m->conn->known_device || m->ahead;

	if (!backend_credentials_ok(&words)) {
		cannot(m, BACKEND_GOT_UNFIT, "what the user gave cannot be said there");
	} else if (gate_enter(&all_of(m)->gates, server, known, &m->pass, on_turn, m)) {
		begin_call(m);
	} else {
		m->state = MAILBOX_IN_LINE;
		timer_set(&m->timer, loop_now(m->conn->edge->loop) + MAILBOX_WAIT);
	}
}

/* ---- what is said there ------------------------------------------------------------------ */

bool mailbox_credential(struct edge *e, uint64_t ask, bool ok, struct span user,
			struct span secret)
{
	struct mailbox_way *m = find_asking(e, MAILBOX_CREDITS, ask);

	if (!(ask & MAILBOX_ASK))
		return false;
	if (!m)
		return true;
	wait_no_more(m);
	words_free(&m->used);
	if (ok && mailbox_peer_text_ok(user) && mailbox_peer_text_ok(secret))
		m->used = words_for(m->backend, login_of(m), user, secret);
	if (m->used)
		call(m);
	else
		cannot(m, BACKEND_GOT_UNFIT,
		       "its credential is not known (holdfast relay passwd)");
	return true;
}

static void ask_credential(struct mailbox_way *m)
{
	struct edge *e = m->conn->edge;
	uint8_t mem[TEXT_MAX + USER_MAX + 1];
	struct buf name;

	buf_init(&name, mem, sizeof(mem));
	buf_put(&name, span_str(m->backend->credential));
	if (m->backend->login == BACKEND_OWN) {
		buf_byte(&name, '/');
		buf_put(&name, login_of(m));
	}
	wait_for(m, MAILBOX_CREDITS, MAILBOX_ASK | ++e->mailboxes->asked);
	if (auth_ask_credential(e, m->ask, buf_span(&name)))
		return;
	wait_no_more(m);
	arrive(m, BACKEND_GOT_LATER);
}

/* A password can only be tried with a server that has passwords of its own. */
static void log_in(struct mailbox_way *m)
{
	bool ours = m->backend->login != BACKEND_SAME && !m->judging;

	if (ours && m->ahead)
		arrive(m, BACKEND_GOT_LATER);
	else if (ours)
		ask_credential(m);
	else if (m->given)
		call(m);
	else
		cannot(m, BACKEND_GOT_UNFIT, "the user logged in here without a password");
}

/* ---- which ------------------------------------------------------------------------------ */

/* Somebody has named it: nobody else has that mailbox. */
static void take_named(struct mailbox_way *m, const struct backend *b)
{
	bool pop3 = is_pop3(m);

	m->backend = b;
	if (!*(pop3 ? b->pop3 : b->imap)) {
		m->none = true;
		arrive(m, BACKEND_GOT_UNFIT);
	} else if (backends_is_well(servers(m), b, pop3)) {
		log_in(m);
	} else {
		arrive(m, BACKEND_GOT_BROKEN);
	}
}

/* Servers are those of the configuration in force: one that came meanwhile begins it anew. */
static void choose(struct mailbox_way *m)
{
	const struct conf *conf = m->rules->conf;
	bool any;

	if (m->rules != m->conn->edge->rules) {
		mailbox_way_begin(m);
		return;
	}
	m->backend = backends_choose(servers(m), is_pop3(m), login_of(m), m->tried, &any);
	if (m->backend) {
		m->tried |= UINT64_C(1) << (m->backend - conf->backends);
		log_in(m);
		return;
	}
	m->none = !any;
	arrive(m, any ? BACKEND_GOT_BROKEN : BACKEND_GOT_UNFIT);
}

void mailbox_located(struct edge *e, uint64_t ask, struct span name)
{
	struct mailbox_way *m = find_asking(e, MAILBOX_LOCATES, ask);
	const struct backend *b;

	if (!m)
		return;
	wait_no_more(m);
	b = name.n ? backend_find(m->rules->conf, name) : NULL;
	if (b)
		take_named(m, b);
	else if (name.n)
		cannot(m, BACKEND_GOT_UNFIT,
		       "the database names a server that is not in the configuration");
	else
		choose(m);
}

static void not_in_time(void *arg)
{
	struct mailbox_way *m = arg;

	wait_no_more(m);
	arrive(m, BACKEND_GOT_LATER);
}

/* Nobody guesses where a mailbox is: another server would make an empty one. */
void mailbox_not_located(struct edge *e)
{
	for (size_t i = 0; i < MAILBOX_BUCKETS; i++) {
		struct mailbox_way *m = e->mailboxes->asking[i], *next;

		for (; m; m = next) {
			next = m->next_asking;
			if (m->state == MAILBOX_LOCATES)
				not_in_time(m);
		}
	}
}

static void locate(struct mailbox_way *m)
{
	struct edge *e = m->conn->edge;
	struct msg_LOCATE ask = { .ask = MAILBOX_ASK | ++e->mailboxes->asked,
				  .login = login_of(m) };

	if (!store_can_send(e)) {
		arrive(m, BACKEND_GOT_LATER);
		return;
	}
	msg_LOCATE_pack(&ask, link_begin(e->store.link));
	if (store_send(e))
		wait_for(m, MAILBOX_LOCATES, ask.ask);
	else
		arrive(m, BACKEND_GOT_LATER);
}

/* Could the database name anything else than what would be chosen without it? */
static bool is_sure(const struct mailbox_way *m)
{
	const struct conf *conf = m->rules->conf;

	return backends_count(all_of(m)->backends, is_pop3(m)) == 0 ||
	       (conf->backend_count == 1 && conf->backends[0].weight > 0);
}

void mailbox_way_begin(struct mailbox_way *m)
{
	struct edge *e = m->conn->edge;
	const struct backend *named;

	mailbox_way_end(m);
	m->rules = rules_hold(e->rules);
	m->tried = 0;
	m->none = false;
	timer_init(&m->timer, e->loop, not_in_time, m);
	named = backend_of_user(m->rules->conf, login_of(m));
	if (named)
		take_named(m, named);
	else if (is_sure(m))
		choose(m);
	else if (m->ahead)
		mailbox_way_end(m);
	else
		locate(m);
}

bool mailbox_way_go(struct mailbox_way *m, struct span login)
{
	if (!m->ahead || m->state == MAILBOX_IDLE ||
	    !(is_sure(m) || span_eq(login, login_of(m))))
		return false;
	m->ahead = false;
	m->login_n = (uint8_t)login.n;
	memcpy(m->login, login.p, login.n);
	if (m->state == MAILBOX_CALLS_IT)
		call_go(m->call);
	return true;
}
