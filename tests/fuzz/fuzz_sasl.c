/*
 * Whatever a client says in an exchange, and whatever auth answers: names are names, nothing
 * is longer than it may be, and what the room was used for is known. Each line of the input
 * is one of the client's; its first byte says what auth does next.
 */
#include "base/bug.h"
#include "base/utf8.h"
#include "wire/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ready(const struct sasl *s, const struct sasl_event *ev)
{
	bool password = s->mechanism == SASL_PLAIN || s->mechanism == SASL_LOGIN;

	BUG_IF(s->at != SASL_AT_AUTH);
	BUG_IF(ev->user.n > USER_MAX || ev->authzid.n > USER_MAX);
	BUG_IF(!utf8_ok(ev->user) || !utf8_ok(ev->authzid));
	BUG_IF(span_find(ev->user, 0) < ev->user.n);
	BUG_IF(span_find(ev->authzid, 0) < ev->authzid.n);
	BUG_IF(span_find(ev->secret, 0) < ev->secret.n);
	BUG_IF(ev->secret.n > (password ? SECRET_MAX : SASL_MAX));
	BUG_IF(password && (!ev->secret.n || !ev->user.n));
}

static void check(const struct sasl *s, const struct sasl_event *ev,
		  const struct sasl_room *room)
{
	BUG_IF(room->used > SASL_MAX);
	switch (ev->kind) {
	case SASL_READY:
		check_ready(s, ev);
		break;
	case SASL_FORWARD:
		BUG_IF(ev->text.n > SASL_MAX || s->at != SASL_AT_AUTH);
		break;
	case SASL_WANTS:
		BUG_IF(s->at != SASL_AT_FIRST && s->at != SASL_AT_PASSWORD);
		break;
	case SASL_BAD:
	case SASL_CANCELLED:
		BUG_IF(s->at != SASL_IDLE || s->user_n);
		break;
	case SASL_DONE:
		BUG_IF(s->at != SASL_AT_LAST);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size), line;
	struct sasl_room room = { 0 };
	struct sasl_event ev;
	struct sasl s = { 0 };

	line = span_cut(&in, '\n');
	ev = sasl_begin(&s, (1u << SASL_COUNT) - 1, line, &room);
	check(&s, &ev, &room);
	while (in.n && s.at != SASL_IDLE) {
		line = span_cut(&in, '\n');
		if (s.at == SASL_AT_AUTH && line.n && line.p[0] & 1)
			sasl_say(&s);
		else if (s.at == SASL_AT_AUTH)
			sasl_say_last(&s);
		sasl_wipe(&room, sizeof(room));
		ev = sasl_line(&s, span_skip(line, 1), &room);
		check(&s, &ev, &room);
		if (ev.kind == SASL_DONE)
			sasl_end(&s);
	}
	return 0;
}
