/*
 * Whatever a dialogue says, and however what a server says is chopped up: the visit is the same.
 *
 * Byte 0 says how many bytes arrive at once, byte 1 what is spoken, and how the connection ends.
 * Lines up to an empty one are the dialogue, the rest is what the server says.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "rehearse/visit.h"

#define TURNS_MAX 6000
#define SEEN_MAX  (1 << 18)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span choices[] = { SPAN_INIT("{random 3}.{word}"), SPAN_INIT("{address}") };
static struct span words[] = { SPAN_INIT("red"), SPAN_INIT(""), SPAN_INIT("x") };
static unsigned weights[] = { 1, 0, 9 };
static const struct words lists[] = {
	{ .name = "word", .items = words, .weights = weights, .n = COUNT_OF(words) },
};
static const struct value values[] = {
	{ { .name = "each", .items = choices, .n = 2 }, DRAW_EACH },
	{ { .name = "visit", .items = choices, .n = 2 }, DRAW_VISIT },
	{ { .name = "address-of", .items = choices, .n = 2 }, DRAW_ADDRESS },
};
static const struct span outside[] = { SPAN_INIT("ann:secret"),
				       SPAN_INIT("b@here.example") };

static const struct pool pool = {
	.lists = lists,
	.lists_n = COUNT_OF(lists),
	.values = values,
	.values_n = COUNT_OF(values),
	.domain = SPAN_INIT("here.example"),
	.recipients = outside,
	.recipients_n = COUNT_OF(outside),
	.logins = outside,
	.logins_n = COUNT_OF(outside),
	.seed = 3,
};

/* What happens when there is nothing more to hear, or nobody listens. */
enum { SILENCE = 1u << 0, HANGS_UP_EARLY = 1u << 1 };

struct play {
	struct visit visit;
	struct visitor who;
	struct span in;		 /* all that the server says */
	size_t come, used;	 /* of it */
	size_t chunk;		 /* that comes at once */
	struct buf *seen, *sent; /* in one turn one may be before the other or behind it */
	ms_t now, done;
	unsigned turns;
};

static void write_down(struct play *p, const struct visit_out *out)
{
	const struct visit_heard *h = &out->heard;

	if (h->is)
		buf_fmt(p->seen, "%d %d %d %s\n", (int)h->stage, (int)h->end, h->breach,
			out->breach);
	if (out->became_done)
		p->done = p->now;
	if (p->visit.over)
		buf_fmt(p->seen, "over %d %d %u %lld\n", p->visit.end, p->visit.stage,
			out->orders, (long long)p->done);
	buf_put(p->sent, buf_span(out->out));
	BUG_IF(h->breach != (out->breach[0] != '\0'));
	BUG_IF(p->visit.over != !!(out->orders & (VISIT_DO_CLOSE | VISIT_DO_RESET)));
	BUG_IF(out->became_done && !p->visit.is_done);
}

/* One turn, with what has come and is not used: in memory of its own, so that no more is read. */
static struct visit_out turn(struct play *p, enum visit_in_kind kind, struct buf *text)
{
	struct span in = span_of(p->in.p + p->used, p->come - p->used);
	uint8_t *fit = malloc(in.n ? in.n : 1);
	struct visit_out out = { .out = text };

	BUG_IF(!fit);
	if (in.n)
		memcpy(fit, in.p, in.n);
	visit_step(&p->visit, &p->who, kind, span_of(fit, in.n), p->now, &out);
	free(fit);
	BUG_IF(out.used > in.n || text->full);
	/* whoever listens uses everything, and goes on only with what it has heard */
	BUG_IF(visit_listens(&p->visit) && !out.again && out.used < in.n);
	BUG_IF(out.again && !out.heard.is);
	p->used += out.used;
	p->turns++;
	write_down(p, &out);
	return out;
}

static bool goes_on(const struct play *p)
{
	return !p->visit.over && p->turns < TURNS_MAX && !p->sent->full && !p->seen->full;
}

static void tell(struct play *p, enum visit_in_kind kind)
{
	static uint8_t mem[EXPAND_MAX + 1000];

	for (bool more = true; more && goes_on(p);) {
		struct visit_out out;
		struct buf text;

		buf_init(&text, mem, sizeof(mem));
		out = turn(p, kind, &text);
		more = out.again || text.len || out.orders & VISIT_DO_TLS;
		kind = text.len ? VISIT_SENT : VISIT_BYTES;
		if (out.orders & VISIT_DO_TLS) {
			/* what comes in the clear is no handshake */
			if (text.len)
				tell(p, VISIT_SENT);
			kind = p->used < p->in.n ? VISIT_TLS_FAILED : VISIT_TLS_DONE;
		}
	}
}

/*
 * Nothing is read as long as it does not listen, and time passes only when nothing can be read:
 * so it passes at the same points of the dialogue, however the bytes come.
 */
static void play(struct play *p, enum visit_in_kind last, unsigned how)
{
	tell(p, VISIT_CONNECTED);
	while (goes_on(p)) {
		bool listens = visit_listens(&p->visit);

		if (listens && p->come < p->in.n) {
			size_t left = p->in.n - p->come;

			p->come += left < p->chunk ? left : p->chunk;
			tell(p, VISIT_BYTES);
		} else if (p->visit.deadline != MS_NEVER &&
			   (listens ? how & SILENCE : !(how & HANGS_UP_EARLY))) {
			BUG_IF(p->visit.deadline < p->now);
			p->now = p->visit.deadline;
			tell(p, VISIT_TIME);
		} else {
			p->come = p->in.n;
			tell(p, last);
			BUG_IF(goes_on(p));
		}
	}
}

/* What a step sends fits into what it says, and is the same for the same visitor. */
static void expand(const struct script *s)
{
	static uint8_t mem[2][EXPAND_MAX];
	struct buf one, two;

	for (size_t i = 0; i < s->n; i++) {
		struct visitor a = { .visit = i, .rng = { i } }, b = a;

		BUG_IF(s->steps[i].most > EXPAND_MAX);
		buf_init(&one, mem[0], s->steps[i].most);
		buf_init(&two, mem[1], s->steps[i].most);
		if (s->steps[i].parts) {
			script_expand(&s->steps[i], &pool, &a, &one);
			script_expand(&s->steps[i], &pool, &b, &two);
		}
		BUG_IF(one.full || !span_eq(buf_span(&one), buf_span(&two)));
	}
}

static bool run(struct play *p, const struct script *s, enum speaks speaks, struct span in,
		size_t chunk, unsigned how, struct buf *seen, struct buf *sent)
{
	static const enum visit_in_kind lasts[] = { VISIT_EOF, VISIT_RESET,
						    VISIT_PHASE_OVER };

	*p = (struct play){
		.in = in, .chunk = chunk, .now = 1000, .seen = seen, .sent = sent
	};
	p->who = (struct visitor){
		.visit = 5, .address = 6, .from = "127.0.0.9", .rng = { 1 }
	};
	visit_init(&p->visit, s, &pool, speaks, 5000);
	play(p, lasts[how / 4 % COUNT_OF(lasts)], how);
	return p->visit.over;
}

static size_t lines_of(struct span *in, char *mem, const char **lines)
{
	size_t n = 0;

	while (in->n && n < STEPS_MAX) {
		struct span line = span_cut(in, '\n');

		if (line.n == 0)
			break;
		memcpy(mem, line.p, line.n);
		mem[line.n] = '\0';
		lines[n++] = mem;
		mem += line.n + 1;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t mem[4][SEEN_MAX];
	static char texts[8192];
	const char *lines[STEPS_MAX];
	struct buf seen[2], sent[2];
	enum speaks speaks;
	struct play p;
	struct script s;
	struct span in;
	struct err e;
	bool over;
	size_t n;

	if (size < 2 || size > 4096)
		return 0;
	speaks = data[1] % 3;
	in = span_of(data + 2, size - 2);
	n = lines_of(&in, texts, lines);
	if (!script_open(&s, lines, n, speaks, &pool, &e))
		return 0;
	for (size_t i = 0; i < 2; i++) {
		buf_init(&seen[i], mem[i], SEEN_MAX);
		buf_init(&sent[i], mem[2 + i], SEEN_MAX);
	}
	expand(&s);
	over = run(&p, &s, speaks, in, in.n, data[1] / 3, &seen[0], &sent[0]);
	over &= run(&p, &s, speaks, in, data[0] + 1u, data[1] / 3, &seen[1], &sent[1]);
	/* those that would go on for long are cut at different points */
	BUG_IF(over && !span_eq(buf_span(&seen[0]), buf_span(&seen[1])));
	BUG_IF(over && !span_eq(buf_span(&sent[0]), buf_span(&sent[1])));
	script_close(&s);
	return 0;
}
