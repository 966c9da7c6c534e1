/* What the edge is told of an attempt. */
#include "auth/attempt.h"

#include "crypt/ticket.h"

void attempt_words(struct attempt *t, struct span words)
{
	t->words_n = words.n <= sizeof(t->words) ? words.n : 0;
	if (t->words_n)
		memcpy(t->words, words.p, t->words_n);
}

static bool is_token(const struct attempt *t)
{
	return t->try.mechanism == SASL_OAUTHBEARER || t->try.mechanism == SASL_XOAUTH2;
}

/* What is wrong with a token is told in the same words, whatever it is. */
static void token_words(struct attempt *t)
{
	struct buf b;

	buf_init(&b, t->words, sizeof(t->words));
	oauth_error_print(t->try.mechanism, &b);
	t->words_n = b.full ? 0 : b.len;
}

static struct span reason_of(const struct attempt *t)
{
	return span_str(t->reason ? t->reason : account_why_word[t->done.verdict.why]);
}

/*
 * What the store wants to see of somebody who was let in. Not of whom only the edge knows:
 * it logged in at a mailbox server, where the mail is then, and not in our Maildirs. IMAP
 * has no use for one. A certificate is the edge's word, too, and a choice of the
 * administrator (auth.mechanisms).
 */
static struct span print_ticket(const struct attempt *t, uint8_t mem[TICKET_SIZE])
{
	bool reads = t->try.service == SERVICE_POP3;
	const struct ticket k = { .purpose = reads	    ? TICKET_MAILBOX
					     : t->done.held ? TICKET_HELD
							    : TICKET_MAIL,
				  .edge = t->edge,
				  .login = attempt_user(t) };

	if (t->try.service == SERVICE_IMAP || (t->account.at_backend && !t->proven))
		return SPAN_NONE;
	ticket_make(t->auth->start->ticket_key, &k,
		    loop_now(t->auth->loop) +
			    (reads ? TICKET_FOR_LOGIN : TICKET_FOR_SESSION),
		    mem);
	return span_of(mem, TICKET_SIZE);
}

void attempt_say(struct attempt *t, enum authed result)
{
	uint8_t ticket[TICKET_SIZE];
	const struct account_verdict *v = &t->done.verdict;
	struct peer *edge = peers_edge(t->auth, t->edge, t->generation);
	struct msg_AUTHED m = {
		.ask = t->ask,
		.result = (uint8_t)result,
		.event = (uint16_t)v->event,
		.delay = result == AUTHED_YES || result == AUTHED_ASK ? 0
								      : (uint32_t)v->delay,
		.tag = t->try.secret,
		.known_device = v->known_device,
		.sure = t->placed,
		.login = result == AUTHED_YES || result == AUTHED_ASK ? attempt_user(t)
								      : SPAN_NONE,
		.ticket = result == AUTHED_YES ? print_ticket(t, ticket) : SPAN_NONE,
		.reason = result == AUTHED_YES ? SPAN_NONE : reason_of(t),
	};

	if (!edge)
		return;
	if (result == AUTHED_NO && is_token(t))
		token_words(t);
	if (result == AUTHED_YES || result == AUTHED_NO)
		m.text = span_of(t->words, t->words_n);
	msg_AUTHED_pack(&m, link_begin(edge->link));
	(void)peer_send(edge); /* a broken link shows when it is read */
}
