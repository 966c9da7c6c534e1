#include "tests/wire/wire_login.h"

#include "base/number.h"

static struct span next_word(struct span *text)
{
	*text = span_trim(*text);
	return span_cut(text, ' ');
}

static bool is(struct span word, const char *what)
{
	return span_eq(word, span_str(what));
}

static bool keep(struct span text, char *to, size_t room)
{
	if (text.n >= room)
		return false;
	memcpy(to, text.p, text.n);
	to[text.n] = '\0';
	return true;
}

static unsigned mechanisms(struct span text)
{
	unsigned bits = 0;

	while (text.n) {
		struct span word = next_word(&text);

		for (enum sasl_mechanism m = 0; m < SASL_COUNT; m++)
			if (is(word, sasl_word[m]))
				bits |= 1u << m;
	}
	return bits;
}

static const char *says(struct stage *g, struct span word)
{
	if (is(word, "yes"))
		g->authed = AUTHED_YES;
	else if (is(word, "no"))
		g->authed = AUTHED_NO;
	else if (is(word, "later"))
		g->authed = AUTHED_LATER;
	else if (is(word, "over"))
		g->authed = AUTHED_OVER;
	else if (is(word, "nothing"))
		g->authed = STAGE_NO_ANSWER;
	else
		return "auth says what?";
	g->auth_event = is(word, "yes")	   ? EV_AUTH_OK
			: is(word, "no")   ? EV_AUTH_FAILED
			: is(word, "over") ? EV_LOGIN_OVER
					   : EV_AUTH_LATER;
	return NULL;
}

static const char *happens(struct stage *g, struct span word)
{
	for (enum event e = EV_NONE; e < EVENT_COUNT; e++)
		if (is(word, event_table[e].word)) {
			g->auth_event = e;
			return NULL;
		}
	return "there is no such event";
}

static const char *challenges(struct stage *g, struct span text)
{
	if (g->challenge_count == sizeof(g->challenges) / sizeof(g->challenges[0]) ||
	    !keep(text, g->challenges[g->challenge_count], sizeof(g->challenges[0])))
		return "too many challenges";
	g->challenge_count++;
	return NULL;
}

const char *wire_auth(struct stage *g, struct span text)
{
	struct span what = next_word(&text);

	text = span_trim(text);
	if (is(what, "says"))
		return says(g, text);
	if (is(what, "event"))
		return happens(g, text);
	if (is(what, "challenge"))
		return challenges(g, text);
	if (is(what, "offers"))
		g->conf.mechanisms = g->conf.mailbox_mechanisms = mechanisms(text);
	else if (is(what, "delay"))
		return duration_parse(text, &g->auth_delay) ? NULL : "how long?";
	else if (is(what, "login"))
		return keep(text, g->login, sizeof(g->login)) ? NULL : "too long";
	else if (is(what, "last"))
		return keep(text, g->last_words, sizeof(g->last_words)) ? NULL
									: "too long";
	else
		return "auth does what?";
	return NULL;
}

const char *wire_backend(struct stage *g, struct span text)
{
	static const char *const words[BACKEND_RESULTS] = {
		[BACKEND_READY] = "ready",   [BACKEND_BOX] = "box",
		[BACKEND_DENIES] = "denies", [BACKEND_LIMITS] = "limits",
		[BACKEND_DOWN] = "down",
	};
	struct span what = next_word(&text), word;

	text = span_trim(text);
	if (is(what, "offers"))
		return keep(text, g->offers, sizeof(g->offers)) ? NULL : "too long";
	word = next_word(&text);
	if (!is(what, "says") ||
	    !keep(span_trim(text), g->capability, sizeof(g->capability)))
		return "the mailbox server does what?";
	g->backend = STAGE_NO_ANSWER;
	for (int i = 0; i < BACKEND_RESULTS; i++)
		if (is(word, words[i]))
			g->backend = i;
	return g->backend != STAGE_NO_ANSWER || is(word, "nothing")
		       ? NULL
		       : "the mailbox server says what?";
}

const char *wire_relay(struct stage *g, struct span text)
{
	struct span first = next_word(&text), second = span_trim(text);
	enum hop hop = is(second.n ? second : first, "none") ? HOP_COUNT : HOP_MX;
	struct relay *r = &g->conf.relays[g->conf.relay_count];

	if (!second.n) {
		g->conf.relay_hop = hop;
		return NULL;
	}
	r->below = first.p[0] == '.';
	r->hop = hop;
	g->conf.relay_count++;
	return keep(span_skip(first, r->below), r->domain, sizeof(r->domain)) ? NULL
									      : "too long";
}

const char *wire_peer_login(struct stage_peer *p, struct span word, struct span text)
{
	struct span login = session_login(&p->session);

	text = span_trim(text);
	if (is(word, "gave"))
		return is(text, p->credentials) ? NULL : p->credentials;
	if (is(word, "not"))
		return is(span_tail(text, strlen(p->not_own)), p->not_own) ? NULL
									   : p->not_own;
	if (is(word, "named"))
		return span_eq(text, span_of(p->session.helo, p->session.helo_n))
			       ? NULL
			       : "it has another name";
	if (!is(word, "logged"))
		return "what does it do?";
	if (span_starts(text, SPAN("in as ")))
		text = span_skip(text, 6);
	if (is(text, "nobody"))
		text = SPAN_NONE;
	return span_eq(text, login) ? NULL : "it is somebody else";
}
