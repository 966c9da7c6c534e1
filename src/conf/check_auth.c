#include "conf/check_inner.h"

#define OAUTH_MECHANISMS (1u << SASL_OAUTHBEARER | 1u << SASL_XOAUTH2)

static bool mechanism_named(struct span word, enum sasl_mechanism *out)
{
	for (int i = 0; i < SASL_COUNT; i++)
		if (span_eq_nocase(word, span_str(sasl_word[i]))) {
			*out = (enum sasl_mechanism)i;
			return true;
		}
	return false;
}

/* "plain login", or with commas between them */
static void read_mechanisms(const struct check *c)
{
	struct span left = setting_text(c->conf->set.auth_mechanisms);
	enum sasl_mechanism m;

	c->conf->mechanisms = 0;
	while (left.n) {
		struct span part = span_cut(&left, ',');

		while (part.n) {
			struct span word = span_cut(&part, ' ');

			if (word.n == 0)
				continue;
			if (mechanism_named(word, &m))
				c->conf->mechanisms |= 1u << m;
			else
				problem(c->problems, c->origins->set[SET_auth_mechanisms],
					"auth.mechanisms: there is no \"%.*s\"; there are plain, login, "
					"scram-sha-256, scram-sha-256-plus, oauthbearer, xoauth2, external",
					SPAN_ARG(word));
		}
	}
}

static bool mailbox_server_judges(const struct conf *conf)
{
	for (size_t i = 0; i < conf->password_source_count; i++)
		if (conf->password_sources[i].kind == PASSWORDS_BACKEND)
			return true;
	return false;
}

static void check_mechanisms(const struct check *c)
{
	const struct conf *conf = c->conf;
	struct origin at = c->origins->set[SET_auth_mechanisms];
	bool wanted = false;

	for (size_t i = 0; i < conf->listener_count; i++)
		wanted |= conf->listeners[i].auth && !*conf->listeners[i].path;
	if (wanted && conf->mechanisms == 0)
		problem(c->problems, at,
			"auth.mechanisms names none, but there are listeners where users log in");
	if (conf->mechanisms & OAUTH_MECHANISMS && conf->oauth_count == 0 &&
	    !mailbox_server_judges(conf))
		doubt(c->problems, at,
		      "auth.mechanisms offers tokens, but auth.oauth names nobody who may vouch "
		      "with them");
}

static void check_oauth(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->oauth_count; i++) {
		const struct oauth *o = &conf->oauth[i];
		struct origin at = c->origins->oauth[i];

		if (!*o->issuer)
			problem(c->problems, at, "auth.oauth: the issuer is empty");
		if (!*o->keys && !*o->introspect)
			problem(c->problems, at,
				"auth.oauth: %s: without \"keys\" or \"introspect\" no token can "
				"be judged",
				o->issuer);
		if (*o->login && !*o->introspect)
			doubt(c->problems, at,
			      "auth.oauth: %s: \"login\" is not used without \"introspect\"",
			      o->issuer);
		if (!*o->audience)
			doubt(c->problems, at,
			      "auth.oauth: %s: without \"audience\" tokens that were made for any "
			      "other service count here, too",
			      o->issuer);
		for (size_t j = 0; j < i; j++)
			if (strcmp(o->issuer, conf->oauth[j].issuer) == 0)
				problem(c->problems, at, "auth.oauth: %s is there twice",
					o->issuer);
	}
	if (conf->oauth_count && !(conf->mechanisms & OAUTH_MECHANISMS))
		doubt(c->problems, c->origins->oauth[0],
		      "auth.oauth is not used unless auth.mechanisms has oauthbearer or xoauth2");
}

static void check_passwords(const struct check *c)
{
	const struct conf *conf = c->conf;

	for (size_t i = 0; i < conf->password_source_count; i++)
		for (size_t j = 0; j < i; j++) {
			const struct password_source *a = &conf->password_sources[i];
			const struct password_source *b = &conf->password_sources[j];

			if (a->kind == b->kind && strcmp(a->path, b->path) == 0)
				doubt(c->problems, c->origins->password_sources[i],
				      "auth.sources: this one is there twice, and the second is "
				      "never asked");
		}
}

void check_auth(const struct check *c)
{
	read_mechanisms(c);
	check_mechanisms(c);
	check_oauth(c);
	check_passwords(c);
}
