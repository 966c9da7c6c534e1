#include "watch/inquiry.h"

#include <stdlib.h>

#include "base/fields.h"
#include "base/list.h"

#define INQUIRIES_MAX  CONTROL_CLIENTS /* each is for one of them */
#define INQUIRY_WITHIN ((ms_t)60)      /* the administrator waits for no more than 100 */
#define OURS	       UINT32_C(0x80000000) /* in the number of what we ask ourselves */

struct inquiry {
	struct inquiries *all;
	struct timer timer;
	uint32_t ask;	  /* 0: this place is free */
	unsigned awaited; /* a bit for each role */
	struct account_facts facts;
	void (*on_end)(void *arg, const struct account_facts *facts);
	void *arg;
};

struct inquiries {
	struct sight *sight;
	uint32_t asked;
	struct inquiry one[INQUIRIES_MAX];
};

static void finish(struct inquiry *q)
{
	timer_stop(&q->timer);
	q->ask = 0;
	q->on_end(q->arg, &q->facts);
}

static void on_late(void *arg)
{
	finish(arg);
}

bool inquiries_open(struct inquiries **out, struct sight *s, struct err *err)
{
	struct inquiries *i = calloc(1, sizeof(*i));

	if (!i)
		return err_set(err, "watch: out of memory");
	i->sight = s;
	for (struct inquiry *q = i->one; q < i->one + INQUIRIES_MAX; q++) {
		q->all = i;
		timer_init(&q->timer, s->loop, on_late, q);
	}
	*out = i;
	return true;
}

void inquiries_close(struct inquiries **i)
{
	free(*i);
	*i = NULL;
}

static void ask(struct inquiry *q, struct sight_peer *whom, enum role role,
		const char *first, const char *second, struct span user)
{
	struct msg_CONTROL m = { .ask = q->ask };
	uint8_t mem[2 * USER_MAX + 64];
	struct buf words;

	if (!whom->link)
		return;
	buf_init(&words, mem, sizeof(mem));
	list_put(&words, span_str(first));
	list_put(&words, span_str(second));
	list_put(&words, user);
	m.words = buf_span(&words);
	msg_CONTROL_pack(&m, link_begin(whom->link));
	if (!words.full && sight_send(whom))
		q->awaited |= 1u << role;
}

void inquiry_begin(struct inquiries *i, struct span user,
		   void (*on_end)(void *arg, const struct account_facts *facts), void *arg)
{
	static const struct account_facts nothing;
	struct inquiry *q = i->one;

	while (q < i->one + INQUIRIES_MAX && q->ask)
		q++;
	if (q == i->one + INQUIRIES_MAX) {
		on_end(arg, &nothing);
		return;
	}
	q->ask = OURS | (++i->asked & ~OURS);
	q->awaited = 0;
	q->facts = nothing;
	q->on_end = on_end;
	q->arg = arg;
	ask(q, &i->sight->auth, ROLE_AUTH, "passwd", "state", user);
	ask(q, &i->sight->store, ROLE_STORE, "queue", "held-of", user);
	if (q->awaited)
		timer_set(&q->timer, loop_now(i->sight->loop) + INQUIRY_WITHIN);
	else
		finish(q);
}

static int64_t number_in(struct span row, const char *name)
{
	struct field f;

	return field_find(row, name, &f) && f.kind != FIELD_TEXT ? f.number : 0;
}

static void take(struct account_facts *f, enum role by, struct span row)
{
	if (by == ROLE_AUTH) {
		f->auth_says = true;
		f->disabled = number_in(row, "disabled") != 0;
		f->disabled_since = number_in(row, "since");
	} else {
		f->store_says = true;
		f->held = number_in(row, "messages");
		f->held_since = number_in(row, "oldest");
		f->incident = number_in(row, "incident");
	}
}

bool inquiry_hear(struct inquiries *i, uint32_t ask, enum role by, struct span row,
		  bool ends)
{
	struct inquiry *q = i->one;

	if (!(ask & OURS))
		return false;
	while (q < i->one + INQUIRIES_MAX && q->ask != ask)
		q++;
	/* an answer that comes too late is for nobody */
	if (q == i->one + INQUIRIES_MAX || !(q->awaited & 1u << by))
		return true;
	if (!ends) {
		take(&q->facts, by, row);
		return true;
	}
	q->awaited &= ~(1u << by);
	if (!q->awaited)
		finish(q);
	return true;
}
