#include "app/loader_inner.h"

#include "conf/hop.h"

/* ---- backends ---- */

/* The name is in log lines and on the command line. */
static bool name_ok(struct span name)
{
	for (size_t i = 0; i < name.n; i++) {
		uint8_t b = byte_lower(name.p[i]);

		if (!(b >= 'a' && b <= 'z') && !(b >= '0' && b <= '9') && b != '_' &&
		    (i == 0 || (b != '-' && b != '.')))
			return false;
	}
	return name.n > 0 && name.n < BACKEND_NAME_MAX;
}

static bool backend_name(struct walk *w, const config_setting_t *s, struct backend *b)
{
	struct span name = span_str(walk_text(s, "name"));

	if (!name_ok(name)) {
		problem(w->problems, walk_origin(s),
			"backends: \"%.*s\" is not a name of at most %d letters, digits, _, - and "
			".",
			SPAN_ARG(span_head(name, 100)), BACKEND_NAME_MAX - 1);
		return false;
	}
	memcpy(b->name, name.p, name.n);
	return true;
}

/* "": it has none. */
static bool backend_place(struct walk *w, const config_setting_t *s, const char *member,
			  char out[TEXT_MAX])
{
	const char *text = walk_text(s, member);
	struct span place = span_str(text ? text : "");

	if (place.n == 0)
		return true;
	if (!walk_host(w, s, "backends", place, out))
		return false;
	if (host_port_ok(span_str(out)))
		return true;
	problem(w->problems, walk_origin(s), "backends: %s: \"%.*s\" is not host:port",
		member, SPAN_ARG(span_head(place, 100)));
	return false;
}

static bool backend_weight(struct walk *w, const config_setting_t *s, struct backend *b)
{
	const config_setting_t *weight = config_setting_get_member(s, "weight");
	int n = weight ? config_setting_get_int(weight) : 1;

	if (n < 0 || n > BACKEND_WEIGHT_MAX) {
		problem(w->problems, walk_origin(s),
			"backends: %s: the weight %d is outside 0 to %d", b->name, n,
			BACKEND_WEIGHT_MAX);
		return false;
	}
	b->weight = (uint32_t)n;
	return true;
}

void walk_backend(struct walk *w, const config_setting_t *s)
{
	struct backend b = {
		/* the words are in the order of the enums */
		.tls = (enum backend_tls)walk_word(s, SECTION_BACKENDS, "tls",
						   BACKEND_TLS_NONE),
		.login = (enum backend_login)walk_word(s, SECTION_BACKENDS, "login",
						       BACKEND_SAME),
		.identity = (enum backend_identity)walk_word(
			s, SECTION_BACKENDS, "identity", BACKEND_SAYS_NOTHING),
	};
	uint32_t i = w->conf->backend_count;

	if (!backend_name(w, s, &b) || !backend_place(w, s, "imap", b.imap) ||
	    !backend_place(w, s, "pop3", b.pop3) || !backend_weight(w, s, &b) ||
	    !walk_take(w, s, "backends: credential", walk_text(s, "credential"),
		       b.credential, sizeof(b.credential)))
		return;
	b.verify = walk_has(s, "verify") ? walk_flag(s, "verify")
					 : b.tls != BACKEND_TLS_NONE;
	w->origins->backends[i] = walk_origin(s);
	w->conf->backends[i] = b;
	w->conf->backend_count++;
}

/* ---- mailboxes ---- */

/* "bob@example.org", "bob" where users have no domain, or "@example.org". */
static bool is_user(const char *user)
{
	struct span u = span_str(user);
	size_t at = span_find_last(u, '@');

	if (span_find(u, '@') == 0 && at > 0)
		return false;
	return u.n && (at == u.n || host_name_ok(span_skip(u, at + 1)));
}

void walk_mailbox(struct walk *w, const config_setting_t *s)
{
	uint32_t i = w->conf->mailbox_count;
	struct mailbox m = { 0 };

	if (!walk_take(w, s, "mailboxes: user", walk_text(s, "user"), m.user,
		       sizeof(m.user)) ||
	    !walk_account(w, s, "mailboxes: user", m.user, sizeof(m.user)))
		return;
	if (!is_user(m.user)) {
		problem(w->problems, walk_origin(s),
			"mailboxes: \"%s\" is neither a user nor @domain", m.user);
		return;
	}
	w->mailbox_backend[i] = walk_text(s, "backend");
	w->origins->mailboxes[i] = walk_origin(s);
	w->conf->mailboxes[i] = m;
	w->conf->mailbox_count++;
}

void walk_mailboxes_place(struct walk *w)
{
	struct conf *c = w->conf;

	for (uint32_t i = 0; i < c->mailbox_count; i++) {
		const struct backend *b = backend_find(c, span_str(w->mailbox_backend[i]));

		if (b)
			c->mailboxes[i].backend = (uint32_t)(b - c->backends);
		else
			problem(w->problems, w->origins->mailboxes[i],
				"mailboxes: %s: there is no \"%.*s\" among backends",
				c->mailboxes[i].user,
				SPAN_ARG(span_head(span_str(w->mailbox_backend[i]), 100)));
	}
}
