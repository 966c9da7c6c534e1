/*
 * accounts_kit - a small site whose logins the guard of accounts judges, in virtual time
 *
 * What auth does, without hashes: site_login() asks the guard, compares the password if it
 * is told to, and says what came of it.
 */
#ifndef TESTS_UNIT_ACCOUNTS_KIT_H
#define TESTS_UNIT_ACCOUNTS_KIT_H

#include "expect.h"

#include "base/attr.h"
#include "guard/account_inside.h"

#define SITE_USERS 64
#define SITE_NOW   (20 * MS_DAY)
#define SITE_WALL  INT64_C(1767225600000)

struct site {
	void *mem;
	struct accounts a;
	ms_t now;
	int64_t wall;
	uint64_t dices;
	size_t user_count;
	struct {
		char name[32], password[32];
	} users[SITE_USERS];
};

/* Who tries what. */
struct login {
	struct addr from;
	const char *user, *secret, *client;
	bool trap, behind;
};

#define LOGIN(who, name, word, program)                                      \
	{                                                                    \
		.from = who, .user = name, .secret = word, .client = program \
	}

struct fate {
	enum account_go go; /* CHECK: it is in */
	enum account_why why;
	ms_t delay;
	enum event event;
	unsigned tell;
	uint32_t campaign;
	bool known, checked, held;
};

static const struct accounts_limits site_limits = {
	.delay = 2 * MS_SECOND,
	.delay_max = 15 * MS_SECOND,
	.unknown_users = 10,
	.guarded_at = 10,
	.campaign_at = 8,
	.places = 20,
	.device_life = 30 * MS_DAY,
	.remember_wrong = MS_HOUR,
};

static const struct accounts_shape site_shape = { 1024, 2048, 2048, 1024, 1024, 256 };
static const uint64_t site_key[2] = { 11, 22 };

static int site_set_up(void **state)
{
	struct site *s = calloc(1, sizeof(*s));
	size_t n = accounts_size(&site_shape);

	assert_non_null(s);
	s->mem = calloc(1, n);
	assert_non_null(s->mem);
	accounts_init(s->mem, n, &site_shape, site_key, SITE_NOW);
	assert_true(accounts_open(&s->a, s->mem, n));
	s->a.limits = site_limits;
	accounts_begin(&s->a, NULL, SITE_NOW);
	s->now = SITE_NOW;
	s->wall = SITE_WALL;
	s->dices = 7;
	*state = s;
	return 0;
}

static int site_tear_down(void **state)
{
	struct site *s = *state;

	free(s->mem);
	free(s);
	return 0;
}

static inline void site_wait(struct site *s, ms_t t)
{
	s->now += t;
	s->wall += t;
}

static inline void site_user(struct site *s, const char *name, const char *password)
{
	size_t i = 0;

	while (i < s->user_count && strcmp(s->users[i].name, name) != 0)
		i++;
	assert_true(i < SITE_USERS);
	snprintf(s->users[i].name, sizeof(s->users[i].name), "%s", name);
	snprintf(s->users[i].password, sizeof(s->users[i].password), "%s", password);
	s->user_count += i == s->user_count;
}

static inline const char *site_password(const struct site *s, const char *name)
{
	for (size_t i = 0; i < s->user_count; i++)
		if (strcmp(s->users[i].name, name) == 0)
			return s->users[i].password;
	return NULL;
}

static inline uint64_t site_hash(const struct site *s, const char *text)
{
	return text ? accounts_hash(&s->a, span_str(text)) : 0;
}

static inline struct account_try site_try(const struct site *s, const struct login *l)
{
	return (struct account_try){
		.from = l->from,
		.behind = l->behind,
		.user = span_str(l->user),
		.secret = site_hash(s, l->secret),
		.client = site_hash(s, l->client),
		.mechanism = SASL_PLAIN,
		.exists = site_password(s, l->user) != NULL,
		.trap = l->trap,
	};
}

static inline struct fate site_login(struct site *s, const struct login *l)
{
	struct account_try t = site_try(s, l);
	struct account_verdict v = accounts_came(&s->a, &t, s->now, s->wall);
	const char *right = site_password(s, l->user);
	struct account_done d;
	struct fate f = { v.go,	      v.why,	      v.delay, v.event, v.tell,
			  v.campaign, v.known_device, false,   false };

	if (v.go != GO_CHECK)
		return f;
	d = accounts_done(&s->a, &t,
			  right && l->secret && strcmp(right, l->secret) == 0
				  ? ACCOUNT_RIGHT
				  : ACCOUNT_WRONG,
			  s->now, s->wall);
	return (struct fate){ d.verdict.go,    d.verdict.why,
			      d.verdict.delay, d.verdict.event,
			      v.tell | d.tell, d.verdict.campaign,
			      v.known_device,  true,
			      d.held };
}

/* Somebody who must get in, and does. */
static inline struct fate site_in(struct site *s, const char *why, struct login l)
{
	struct fate f;

	l.secret = site_password(s, l.user);
	f = site_login(s, &l);
	if (f.go != GO_CHECK)
		fail_msg("%s: %s got %d (%s)", why, l.user, (int)f.go,
			 account_why_word[f.why]);
	return f;
}

static inline struct account_state site_state(const struct site *s, const char *user)
{
	struct account_state st;

	accounts_state(&s->a, span_str(user), s->now, s->wall, &st);
	return st;
}

static inline size_t site_campaigns(const struct site *s, struct campaign_state *first)
{
	struct campaign_state c;
	size_t n = 0;

	for (size_t i = 0; i < s->a.shape.campaigns; i++) {
		if (!accounts_campaign(&s->a, i, s->now, &c))
			continue;
		if (n++ == 0)
			*first = c;
	}
	return n;
}

/* One of many addresses, in as many networks. */
static inline struct addr site_addr(size_t i)
{
	return addr_v4((uint8_t)(11 + i / 60000), (uint8_t)(i / 250 % 240),
		       (uint8_t)(i % 250), (uint8_t)(1 + i % 200));
}

#endif
