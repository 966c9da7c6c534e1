/* What is said at a mailbox server to log in: kept in one block, and wiped with it. */
#include <stdlib.h>
#include <string.h>

#include "edge/mailbox.h"

static struct span put(uint8_t **at, struct span s)
{
	uint8_t *to = *at;

	if (s.n)
		memcpy(to, s.p, s.n);
	*at += s.n;
	return span_of(to, s.n);
}

static struct login_words *open_words(size_t n)
{
	struct login_words *w = calloc(1, sizeof(*w) + n);

	if (w)
		w->n = n;
	return w;
}

struct login_words *words_make(struct span authzid, struct span user, struct span secret)
{
	struct login_words *w = open_words(authzid.n + user.n + secret.n + 2);
	uint8_t *at;

	if (!w)
		return NULL;
	at = w->mem;
	w->mechanism = SASL_PLAIN;
	w->first = span_of(w->mem, w->n);
	w->authzid = put(&at, authzid);
	*at++ = '\0';
	w->user = put(&at, user);
	*at++ = '\0';
	w->secret = put(&at, secret);
	return w;
}

struct login_words *words_make_token(enum sasl_mechanism m, struct span user,
				     struct span token)
{
	/* each byte of the name may become three */
	struct login_words *w = open_words(3 * user.n + token.n + 32);
	struct buf b;

	if (!w)
		return NULL;
	buf_init(&b, w->mem, w->n);
	sasl_print_token(m, user, token, &b);
	w->mechanism = m;
	w->first = buf_span(&b);
	return w;
}

void words_free(struct login_words **words)
{
	struct login_words *w = *words;

	*words = NULL;
	if (!w)
		return;
	explicit_bzero(w->mem, w->n);
	free(w);
}

/* "user*master" (Dovecot), or as SASL authorization identity; of OWN the name is the user's. */
struct login_words *words_for(const struct backend *b, struct span login,
			      struct span user, struct span secret)
{
	uint8_t mem[2 * USER_MAX + 1];
	struct buf both;

	switch (b->login) {
	case BACKEND_AUTHZID:
		return words_make(login, user, secret);
	case BACKEND_OWN:
		return words_make(SPAN_NONE, user.n ? user : login, secret);
	case BACKEND_MASTER:
		buf_init(&both, mem, sizeof(mem));
		buf_put(&both, login);
		buf_byte(&both, '*');
		buf_put(&both, span_head(user, USER_MAX));
		return words_make(SPAN_NONE, buf_span(&both), secret);
	case BACKEND_SAME:
	case BACKEND_LOGINS:
		break;
	}
	return NULL;
}
