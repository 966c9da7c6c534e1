#include "rehearse/text.h"

#include <stdlib.h>

#include "base/base64.h"
#include "base/number.h"

#define OUTSIDE_MAX 512 /* bytes of a recipient, a name or a password */
#define DOMAIN_MAX  255
#define ADDRESS_MAX 45
#define WRAPS_MAX   3 /* base64 in base64 */

/* ---- memory ---- */

struct script_block {
	struct script_block *next;
	max_align_t mem[];
};

void *blocks_take(struct script_block **blocks, size_t count, size_t size, struct err *e)
{
	struct script_block *b = calloc(1, sizeof(*b) + count * size);

	if (!b) {
		err_set(e, "out of memory");
		return NULL;
	}
	b->next = *blocks;
	*blocks = b;
	return b->mem;
}

void blocks_close(struct script_block **blocks)
{
	while (*blocks) {
		struct script_block *b = *blocks;

		*blocks = b->next;
		free(b);
	}
}

/* ---- compiling ---- */

enum piece_kind {
	PIECE_TEXT,
	PIECE_N,
	PIECE_ADDRESS,
	PIECE_PORT,
	PIECE_TO,
	PIECE_TO_PORT,
	PIECE_DOMAIN,
	PIECE_RECIPIENT,
	PIECE_LOGIN,
	PIECE_PASSWORD,
	PIECE_RANDOM,
	PIECE_DIGITS,
	PIECE_NUMBER,
	PIECE_BASE64,
	PIECE_VALUE,
	PIECE_LIST,
};

struct piece {
	enum piece_kind kind;
	struct span text;	  /* TEXT */
	uint64_t number;	  /* RANDOM, DIGITS: how many; NUMBER: the lowest */
	uint64_t range;		  /* NUMBER: how many there are */
	const struct text *inner; /* BASE64 */
	const struct bag *bag;	  /* VALUE, LIST */
};

/* What one thing is drawn from: the choices of a value, or the words of a list. */
struct bag {
	size_t index; /* in the pool */
	enum draw draw;
	size_t n;
	const uint64_t *upto;	    /* the weights added up; NULL: all alike */
	const struct text *choices; /* of a value */
	struct text bounds;	    /* no pieces: what holds for all of them */
};

static void *take(struct texts *c, size_t count, size_t size)
{
	return blocks_take(c->blocks, count, size, c->e);
}

/* What a text can mean that stands in a step or in a value. */
enum { ESCAPES = 1u << 0, NESTED = 1u << 1 };

static bool compile(struct texts *c, struct span *in, unsigned how, struct text *out);

/* It cannot be more than this in the end, so more need not be told apart. */
static size_t sum(size_t a, size_t b)
{
	return a + b < EXPAND_MAX + 1 ? a + b : EXPAND_MAX + 1;
}

/* Make the bounds of a choice hold for one more. */
static void widen(struct text *bounds, const struct text *t)
{
	if (t->least < bounds->least)
		bounds->least = t->least;
	if (t->most > bounds->most)
		bounds->most = t->most;
	if (t->wraps > bounds->wraps)
		bounds->wraps = t->wraps;
	bounds->marks |= t->marks;
}

/* clang-format off */
static const struct builtin {
	struct span word;
	enum piece_kind kind;
	unsigned numbers; /* it takes */
	size_t least, most;
	unsigned marks;
} builtins[] = {
	{ SPAN_INIT("n"),         PIECE_N,         0, 1, 20,           TEXT_PER_VISIT },
	{ SPAN_INIT("address"),   PIECE_ADDRESS,   0, 0, ADDRESS_MAX,  0 },
	{ SPAN_INIT("port"),      PIECE_PORT,      0, 1, 5,            TEXT_PER_VISIT },
	{ SPAN_INIT("to"),        PIECE_TO,        0, 0, ADDRESS_MAX,  0 },
	{ SPAN_INIT("to-port"),   PIECE_TO_PORT,   0, 1, 5,            0 },
	{ SPAN_INIT("domain"),    PIECE_DOMAIN,    0, 0, DOMAIN_MAX,   0 },
	{ SPAN_INIT("recipient"), PIECE_RECIPIENT, 0, 0, OUTSIDE_MAX,  TEXT_NEEDS_RECIPIENT },
	{ SPAN_INIT("login"),     PIECE_LOGIN,     0, 0, OUTSIDE_MAX,  TEXT_NEEDS_LOGIN },
	{ SPAN_INIT("password"),  PIECE_PASSWORD,  0, 0, OUTSIDE_MAX,  TEXT_NEEDS_LOGIN },
	{ SPAN_INIT("random"),    PIECE_RANDOM,    1, 1, 0,            0 }, /* most: its number */
	{ SPAN_INIT("digits"),    PIECE_DIGITS,    1, 1, 0,            0 },
	{ SPAN_INIT("number"),    PIECE_NUMBER,    2, 1, 20,           0 },
	{ SPAN_INIT("base64"),    PIECE_BASE64,    0, 0, 0,            0 },
};
/* clang-format on */

static const struct builtin *builtin_of(struct span word)
{
	for (size_t i = 0; i < COUNT_OF(builtins); i++)
		if (span_eq(word, builtins[i].word))
			return &builtins[i];
	return NULL;
}

static bool weigh(struct texts *c, const struct words *w, struct bag *out)
{
	uint64_t *upto, total = 0;

	out->n = w->n;
	if (!w->weights)
		return true;
	upto = take(c, w->n, sizeof(*upto));
	if (!upto)
		return false;
	for (size_t i = 0; i < w->n; i++)
		upto[i] = total += w->weights[i];
	out->upto = upto;
	if (total == 0)
		return err_set(c->e, "{%s}: no word of it has a weight above 0", w->name);
	return true;
}

/* The list's bag, made when it is first asked for. NULL: e is set. */
static const struct bag *list_bag(struct texts *c, size_t index)
{
	const struct words *w = &c->pool->lists[index];
	struct bag *b = &c->lists[index];

	if (b->n)
		return b;
	if (w->n == 0) {
		err_set(c->e, "{%s}: this list is empty", w->name);
		return NULL;
	}
	b->index = index;
	b->bounds = (struct text){ .least = EXPAND_MAX + 1 };
	for (size_t i = 0; i < w->n; i++)
		widen(&b->bounds, &(struct text){ .least = w->items[i].n,
						  .most = sum(w->items[i].n, 0) });
	return weigh(c, w, b) ? b : NULL;
}

/* Values and lists. */
static bool named(struct texts *c, struct span word, struct piece *out)
{
	const struct pool *pool = c->pool;

	for (size_t i = 0; i < c->values_n; i++)
		if (span_eq(word, span_str(pool->values[i].words.name))) {
			*out = (struct piece){ .kind = PIECE_VALUE, .bag = &c->values[i] };
			return true;
		}
	for (size_t i = 0; i < pool->lists_n; i++)
		if (span_eq(word, span_str(pool->lists[i].name))) {
			*out = (struct piece){ .kind = PIECE_LIST, .bag = list_bag(c, i) };
			return out->bag != NULL;
		}
	for (size_t i = c->values_n; i < pool->values_n; i++)
		if (span_eq(word, span_str(pool->values[i].words.name)))
			return err_set(
				c->e,
				"{%.*s}: a value may only use values that stand above it",
				SPAN_ARG(word));
	return err_set(c->e,
		       "{%.*s}: there is no such value or list; a brace is written {{",
		       SPAN_ARG(word));
}

static bool numbers_of(const struct builtin *b, struct span args, struct piece *out,
		       struct err *e)
{
	struct span rest = args, low;
	uint64_t high;

	if (b->numbers == 0)
		return args.n == 0 ||
		       err_set(e, "{%.*s} takes nothing", SPAN_ARG(b->word));
	low = span_cut(&rest, ' ');
	if (b->numbers == 1)
		return (number_parse(args, EXPAND_MAX, &out->number) && out->number > 0) ||
		       err_set(e, "{%.*s %.*s}: it takes a number from 1 to %d",
			       SPAN_ARG(b->word), SPAN_ARG(args), EXPAND_MAX);
	if (!number_parse(low, INT64_MAX, &out->number) ||
	    !number_parse(rest, INT64_MAX, &high) || high < out->number)
		return err_set(e, "{%.*s %.*s}: it takes two numbers, as in {%.*s 1 99}",
			       SPAN_ARG(b->word), SPAN_ARG(args), SPAN_ARG(b->word));
	out->range = high - out->number + 1;
	return true;
}

/* bounds: what holds for the piece, as for all of these. */
static bool base64_of(struct texts *c, struct span *in, struct piece *out,
		      struct text *bounds)
{
	struct text *inner = take(c, 1, sizeof(*inner));

	if (!inner || !compile(c, in, ESCAPES | NESTED, inner))
		return false;
	if (inner->wraps == WRAPS_MAX)
		return err_set(c->e, "{base64 ...}: at most %d inside each other",
			       WRAPS_MAX);
	*out = (struct piece){ .kind = PIECE_BASE64, .inner = inner };
	*bounds = (struct text){ .least = (inner->least + 2) / 3 * 4,
				 .most = (inner->most + 2) / 3 * 4,
				 .wraps = inner->wraps + 1,
				 .marks = inner->marks };
	return true;
}

/* What stands between braces; *in is behind the first one, and will be behind the last one. */
static bool value_of(struct texts *c, struct span *in, struct piece *out,
		     struct text *bounds)
{
	static const struct span base64 = SPAN_INIT("base64 ");
	size_t end = span_find(*in, '}');
	struct span args = span_head(*in, end), word;
	const struct builtin *b;

	if (span_starts(*in, base64)) {
		*in = span_skip(*in, base64.n);
		return base64_of(c, in, out, bounds);
	}
	if (end == in->n)
		return err_set(c->e, "a { without its }; a brace alone is written {{");
	*in = span_skip(*in, end + 1);
	word = span_cut(&args, ' ');
	b = builtin_of(word);
	if (!b && args.n)
		return err_set(c->e, "{%.*s %.*s}: no such value takes an argument",
			       SPAN_ARG(word), SPAN_ARG(args));
	if (!b && !named(c, word, out))
		return false;
	if (!b) {
		*bounds = out->bag->bounds;
		return true;
	}
	if (b->kind == PIECE_BASE64)
		return err_set(c->e, "{base64} takes a text, as in {base64 {login}}");
	*out = (struct piece){ .kind = b->kind };
	*bounds = (struct text){ .least = b->least, .most = b->most, .marks = b->marks };
	if (!numbers_of(b, args, out, c->e))
		return false;
	if (b->numbers == 1)
		bounds->least = bounds->most = (size_t)out->number;
	return true;
}

static int hex_digit(uint8_t b)
{
	b = byte_lower(b);
	return b >= '0' && b <= '9' ? b - '0' : b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

/* *in is behind the backslash, and will be behind all of it. */
static bool escape_of(struct span *in, uint8_t *out, struct err *e)
{
	static const char names[] = "rnt0\\", means[] = "\r\n\t\0\\";
	uint8_t b = in->n ? in->p[0] : 0;
	const char *at = b ? strchr(names, b) : NULL;

	if (at) {
		*out = (uint8_t)means[at - names];
		*in = span_skip(*in, 1);
		return true;
	}
	if (b == 'x' && in->n >= 3 && hex_digit(in->p[1]) >= 0 &&
	    hex_digit(in->p[2]) >= 0) {
		*out = (uint8_t)(hex_digit(in->p[1]) << 4 | hex_digit(in->p[2]));
		*in = span_skip(*in, 3);
		return true;
	}
	return err_set(e, "\\%.*s: after \\ comes r, n, t, 0, \\ or x with two hex digits",
		       SPAN_ARG(span_head(*in, b >= ' ' && b < 0x7f ? 1 : 0)));
}

/* Where the text is put together: all its plain bytes in one place, and its pieces. */
struct writer {
	struct piece *pieces;
	size_t n;
	uint8_t *bytes;
	size_t used, begun; /* bytes[begun..used) are no piece yet */
	struct text *text;
};

static void write_piece(struct writer *w, const struct piece *p, const struct text *bounds)
{
	struct text *t = w->text;

	w->pieces[w->n++] = *p;
	/* what is empty counts a byte: so the work is bounded when the length is */
	t->least = sum(t->least, bounds->least);
	t->most = sum(t->most, bounds->most ? bounds->most : 1);
	t->wraps = bounds->wraps > t->wraps ? bounds->wraps : t->wraps;
	t->marks |= bounds->marks;
	t->varies |= p->kind != PIECE_TEXT;
}

static void write_plain(struct writer *w)
{
	struct span text = span_of(w->bytes + w->begun, w->used - w->begun);

	if (text.n)
		write_piece(w, &(struct piece){ .kind = PIECE_TEXT, .text = text },
			    &(struct text){ .least = text.n, .most = text.n });
	w->begun = w->used;
}

/* *in: all of it, or up to the } that ends a NESTED one. */
static bool compile(struct texts *c, struct span *in, unsigned how, struct text *out)
{
	struct writer w = { .text = out };
	size_t braces = 0;
	bool open = true;
	struct text bounds;
	struct piece p;

	for (size_t i = 0; i < in->n; i++)
		braces += in->p[i] == '{';
	*out = (struct text){ 0 };
	w.pieces = take(c, 2 * braces + 1, sizeof(*w.pieces));
	w.bytes = w.pieces ? take(c, in->n + 1, 1) : NULL;
	if (!w.bytes)
		return false;
	out->pieces = w.pieces;
	while (in->n && open) {
		uint8_t b = in->p[0];

		*in = span_skip(*in, 1);
		if (b == '}' && how & NESTED) {
			open = false;
		} else if (b == '\\' && how & ESCAPES) {
			if (!escape_of(in, &w.bytes[w.used++], c->e))
				return false;
		} else if (b == '{' && in->n && in->p[0] == '{') {
			w.bytes[w.used++] = b;
			*in = span_skip(*in, 1);
		} else if (b == '{') {
			write_plain(&w);
			if (!value_of(c, in, &p, &bounds))
				return false;
			write_piece(&w, &p, &bounds);
		} else {
			w.bytes[w.used++] = b;
		}
	}
	if (open && how & NESTED)
		return err_set(c->e, "{base64 ...: its } is missing");
	write_plain(&w);
	out->n = w.n;
	return true;
}

static bool bag_of(struct texts *c, size_t index, struct bag *out)
{
	const struct value *v = &c->pool->values[index];
	struct text *choices;

	if (v->words.n == 0)
		return err_set(c->e, "it has nothing to choose from");
	choices = take(c, v->words.n, sizeof(*choices));
	if (!choices)
		return false;
	out->index = index;
	out->draw = v->draw;
	out->choices = choices;
	out->bounds.least = EXPAND_MAX + 1;
	out->bounds.marks = v->draw == DRAW_VISIT ? TEXT_PER_VISIT : 0;
	for (size_t i = 0; i < v->words.n; i++) {
		struct span in = v->words.items[i];

		if (!compile(c, &in, 0, &choices[i]))
			return false;
		if (v->draw == DRAW_ADDRESS && choices[i].marks & TEXT_PER_VISIT)
			return err_set(c->e,
				       "it is drawn once for an address, but its choice "
				       "%zu changes with each visit",
				       i + 1);
		widen(&out->bounds, &choices[i]);
	}
	return weigh(c, &v->words, out);
}

bool texts_init(struct texts *out, struct script_block **blocks, const struct pool *pool,
		struct err *e)
{
	struct texts t = { .blocks = blocks, .pool = pool, .e = e }, *c = &t;

	c->lists = take(c, pool->lists_n + 1, sizeof(*c->lists));
	c->values = c->lists ? take(c, pool->values_n + 1, sizeof(*c->values)) : NULL;
	if (!c->values)
		return false;
	for (size_t i = 0; i < pool->lists_n; i++)
		if (builtin_of(span_str(pool->lists[i].name)))
			return err_set(c->e,
				       "the list \"%s\" needs another name: {%s} has a "
				       "meaning already",
				       pool->lists[i].name, pool->lists[i].name);
	for (; c->values_n < pool->values_n; c->values_n++) {
		const char *name = pool->values[c->values_n].words.name;

		if (builtin_of(span_str(name)))
			return err_set(c->e,
				       "the value \"%s\" needs another name: {%s} has a "
				       "meaning already",
				       name, name);
		if (!bag_of(c, c->values_n, &c->values[c->values_n]))
			return err_within(c->e, "the value \"%s\"", name);
	}
	*out = t;
	return true;
}

bool text_compile(struct texts *t, struct span in, bool escapes, struct text *out)
{
	return compile(t, &in, escapes ? ESCAPES : 0, out);
}

bool text_append(struct texts *t, struct text *text, struct span tail)
{
	struct span plain = text_plain(text);
	size_t kept = text->varies ? text->n
				   : 0; /* else its bytes get one piece with the tail's */
	uint8_t *bytes = take(t, plain.n + tail.n + 1, 1);
	struct piece *pieces = bytes ? take(t, kept + 1, sizeof(*pieces)) : NULL;

	if (!pieces)
		return false;
	if (kept)
		memcpy(pieces, text->pieces, kept * sizeof(*pieces));
	if (plain.n)
		memcpy(bytes, plain.p, plain.n);
	if (tail.n)
		memcpy(bytes + plain.n, tail.p, tail.n);
	pieces[kept] = (struct piece){ .kind = PIECE_TEXT,
				       .text = span_of(bytes, plain.n + tail.n) };
	text->pieces = pieces;
	text->n = kept + 1;
	text->least = sum(text->least, tail.n);
	text->most = sum(text->most, tail.n);
	return true;
}

void text_sketch(const struct text *t, struct buf *out)
{
	for (size_t i = 0; i < t->n; i++)
		buf_put(out, t->pieces[i].kind == PIECE_TEXT
				     ? span_head(t->pieces[i].text, buf_room(out))
				     : SPAN("?"));
}

struct span text_plain(const struct text *t)
{
	return t->varies || t->n == 0 ? SPAN_NONE : t->pieces[0].text;
}

/* ---- putting the values in ---- */

struct drawing {
	const struct pool *pool;
	const struct visitor *who;
	struct rng *rng;
	bool for_address; /* the same for all its visits */
};

/* What is drawn for a visit or an address as a whole; no other draw has these numbers. */
static struct rng rng_for(const struct drawing *d, uint8_t what, size_t index,
			  bool address)
{
	const struct visitor *who = d->who;

	return rng_of(d->pool->seed,
		      (uint64_t)what << 56 | (uint64_t)address << 48 | who->actor << 16 |
			      index,
		      address ? who->address : who->visit);
}

static void put_number(struct buf *out, uint64_t n)
{
	uint8_t mem[20];
	size_t at = sizeof(mem);

	do {
		mem[--at] = (uint8_t)('0' + n % 10);
		n /= 10;
	} while (n);
	buf_put(out, span_of(mem + at, sizeof(mem) - at));
}

/* count of the `many` bytes that begin with `first`, as many from one number as are in it. */
static void put_random(struct rng *rng, uint64_t count, uint8_t first, uint64_t many,
		       struct buf *out)
{
	uint8_t mem[64];
	uint64_t from = 0;

	for (size_t n = 0; count; count--) {
		if (n % 12 == 0)
			from = rng_next(rng);
		mem[n++] = (uint8_t)(first + from % many);
		from /= many;
		if (n == 60 || count == 1) {
			buf_put(out, span_of(mem, n));
			n = 0;
		}
	}
}

static size_t pick(const struct bag *b, struct rng *rng)
{
	size_t low = 0, high = b->n - 1;
	uint64_t at;

	if (!b->upto)
		return (size_t)rng_below(rng, b->n);
	at = rng_below(rng, b->upto[high]);
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (at < b->upto[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static struct span recipient(const struct drawing *d)
{
	const struct pool *pool = d->pool;

	if (pool->recipients_n == 0)
		return SPAN_NONE;
	return span_head(pool->recipients[rng_below(d->rng, pool->recipients_n)],
			 OUTSIDE_MAX);
}

static struct span login(const struct drawing *d, bool password)
{
	const struct pool *pool = d->pool;
	struct span name, rest;
	struct rng rng;

	if (pool->logins_n == 0)
		return SPAN_NONE;
	rng = rng_for(d, 'l', 0, d->for_address);
	rest = pool->logins[rng_below(&rng, pool->logins_n)];
	name = span_cut(&rest, ':');
	return span_head(password ? rest : name, OUTSIDE_MAX);
}

static void put_text(const struct drawing *d, const struct text *t, struct buf *out);

static void put_value(const struct drawing *d, const struct bag *b, struct buf *out)
{
	struct drawing inner = *d;
	const struct text *t;
	struct rng rng;

	if (b->draw != DRAW_EACH) {
		inner.for_address = b->draw == DRAW_ADDRESS;
		rng = rng_for(d, 'v', b->index, inner.for_address);
		inner.rng = &rng;
	}
	t = &b->choices[pick(b, inner.rng)];
	put_text(&inner, t, out);
}

static void put_base64(const struct drawing *d, const struct text *t, struct buf *out)
{
	uint8_t mem[EXPAND_MAX];
	struct buf inner;

	buf_init(&inner, mem, sizeof(mem));
	put_text(d, t, &inner);
	base64_print(buf_span(&inner), out);
}

static void put_text(const struct drawing *d, const struct text *t, struct buf *out)
{
	const struct visitor *who = d->who;

	for (const struct piece *p = t->pieces; p < t->pieces + t->n; p++)
		switch (p->kind) {
		case PIECE_TEXT:
			buf_put(out, p->text);
			break;
		case PIECE_N:
			put_number(out, who->visit);
			break;
		case PIECE_ADDRESS:
			buf_put(out, span_str(who->from));
			break;
		case PIECE_PORT:
			put_number(out, who->from_port);
			break;
		case PIECE_TO:
			buf_put(out, span_str(who->to));
			break;
		case PIECE_TO_PORT:
			put_number(out, who->to_port);
			break;
		case PIECE_DOMAIN:
			buf_put(out, span_head(d->pool->domain, DOMAIN_MAX));
			break;
		case PIECE_RECIPIENT:
			buf_put(out, recipient(d));
			break;
		case PIECE_LOGIN:
		case PIECE_PASSWORD:
			buf_put(out, login(d, p->kind == PIECE_PASSWORD));
			break;
		case PIECE_RANDOM:
			put_random(d->rng, p->number, 'a', 26, out);
			break;
		case PIECE_DIGITS:
			put_random(d->rng, p->number, '0', 10, out);
			break;
		case PIECE_NUMBER:
			put_number(out, p->number + rng_below(d->rng, p->range));
			break;
		case PIECE_BASE64:
			put_base64(d, p->inner, out);
			break;
		case PIECE_VALUE:
			put_value(d, p->bag, out);
			break;
		case PIECE_LIST:
			buf_put(out,
				d->pool->lists[p->bag->index].items[pick(p->bag, d->rng)]);
			break;
		}
}

void text_expand(const struct text *t, const struct pool *pool, struct visitor *v,
		 struct buf *out)
{
	put_text(&(struct drawing){ .pool = pool, .who = v, .rng = &v->rng }, t, out);
}
