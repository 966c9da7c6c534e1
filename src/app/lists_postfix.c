/*
 * Lists in the language of Postfix: cidr_table(5) and the source of access(5) tables. Both
 * share what stands on the right: an action.
 */
#include "app/lists_inner.h"
#include "base/number.h"

/* ---- actions ------------------------------------------------------------------------------ */

static const struct {
	struct span word;
	enum access_answer answer;
} actions[] = {
	{ SPAN_INIT("ok"), ACCESS_PERMIT },    { SPAN_INIT("permit"), ACCESS_PERMIT },
	{ SPAN_INIT("reject"), ACCESS_DENY },  { SPAN_INIT("deny"), ACCESS_DENY },
	{ SPAN_INIT("discard"), ACCESS_DENY }, { SPAN_INIT("dunno"), ACCESS_SILENT },
	{ SPAN_INIT("relay"), ACCESS_PERMIT },
};

/* They say what to do with a message, or whom to ask: no answer of a list. */
static const struct span others[] = {
	SPAN_INIT("defer"),
	SPAN_INIT("defer_if_reject"),
	SPAN_INIT("defer_if_permit"),
	SPAN_INIT("warn"),
	SPAN_INIT("info"),
	SPAN_INIT("filter"),
	SPAN_INIT("hold"),
	SPAN_INIT("prepend"),
	SPAN_INIT("redirect"),
	SPAN_INIT("bcc"),
	SPAN_INIT("sleep"),
	SPAN_INIT("warn_if_reject"),
	SPAN_INIT("greylist"),
};

/* permit_mynetworks, reject_unverified_sender, check_policy_service and the like. */
static bool is_restriction(struct span word)
{
	return span_starts_nocase(word, SPAN("permit_")) ||
	       span_starts_nocase(word, SPAN("reject_")) ||
	       span_starts_nocase(word, SPAN("check_")) ||
	       span_starts_nocase(word, SPAN("defer_"));
}

static bool is_other(struct span word)
{
	for (size_t i = 0; i < COUNT_OF(others); i++)
		if (span_eq_nocase(word, others[i]))
			return true;
	return is_restriction(word);
}

static bool is_number(struct span word)
{
	uint64_t n;

	return number_parse(word, UINT64_MAX, &n);
}

/* 554 text, 450 text; other numbers are OK, as pop-before-smtp wrote them. */
static bool is_code(struct span word, uint8_t first)
{
	return word.n == 3 && word.p[0] == first && is_number(word);
}

static void no_answer(struct list_reading *r, struct span word, uint32_t line)
{
	doubt(r->src->problems, list_at(r, line),
	      "\"%.*s\" is nothing that an access list does here: the line counts as DUNNO",
	      QUOTE(word));
}

/* False: it is no action, which has been reported. */
static bool take_action(struct list_reading *r, struct span text, struct list_said *said)
{
	struct span word = list_word(&text);

	for (size_t i = 0; i < COUNT_OF(actions); i++) {
		if (!span_eq_nocase(word, actions[i].word))
			continue;
		said->answer = actions[i].answer;
		said->why = text;
		return true;
	}
	said->answer = ACCESS_SILENT;
	if (is_code(word, '5')) {
		said->answer = ACCESS_DENY;
		said->why = text;
	} else if (is_other(word) || is_code(word, '4')) {
		no_answer(r, word, said->line);
	} else if (is_number(word)) {
		said->answer = ACCESS_PERMIT;
	} else if (word.n == 0) {
		problem(r->src->problems, list_at(r, said->line),
			"there is no action: OK, REJECT, DUNNO or 554 and a text");
		return false;
	} else {
		problem(r->src->problems, list_at(r, said->line),
			"\"%.*s\" is not an action: OK, REJECT, DUNNO or 554 and a text",
			QUOTE(word));
		return false;
	}
	return true;
}

/* ---- logical lines --------------------------------------------------------------------------- */

struct logical {
	struct span first;  /* its first line, without white space around it */
	struct span action; /* what of it, or of those that continue it, is the action */
	uint32_t line;
};

static bool is_nothing(struct span line)
{
	return line.n == 0 || line.p[0] == '#';
}

/*
 * A line and those that continue it, which begin with white space. Only the first of them
 * that says something is of interest: an action is one word, and the rest is its text.
 */
static bool next_logical(struct list_reading *r, struct logical *out)
{
	struct span line;
	bool indented;

	do {
		if (!list_line(r, &line, &indented))
			return false;
		if (indented && !is_nothing(line))
			problem(r->src->problems, list_here(r),
				"a line that begins with white space continues another, but there is "
				"none before it");
	} while (is_nothing(line) || indented);
	*out = (struct logical){ .first = line, .line = r->line };
	(void)list_word(&line);
	out->action = line;
	while (r->left.n && (list_is_white(r->left.p[0]) || r->left.p[0] == '#' ||
			     r->left.p[0] == '\n')) {
		if (!list_line(r, &line, &indented))
			break;
		if (out->action.n == 0 && !is_nothing(line))
			out->action = line;
	}
	return true;
}

/* ---- cidr ---------------------------------------------------------------------------------------- */

#define IFS_MAX 32
#define SET_MAX (129 * (IFS_MAX + 2))

struct condition {
	struct net net;
	bool negated;
	uint32_t line;
};

/* The first line that matches counts; what it matches is worked out as prefixes. */
struct cidr {
	struct list_reading *r;
	size_t depth;
	struct condition ifs[IFS_MAX];
	size_t count;
	struct net set[SET_MAX];
};

static bool is_v4(const struct net *n)
{
	return n->bits >= 96 && addr_is_v4(&n->addr);
}

static void keep_inside(struct cidr *c, const struct net *of)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->count; i++) {
		struct net n = c->set[i];

		if (of->bits <= n.bits ? net_has(of, &n.addr) : net_has(&n, &of->addr))
			c->set[kept++] = of->bits <= n.bits ? n : *of;
	}
	c->count = kept;
}

/* The other half of the prefix of one bit less. */
static struct net other_half(const struct net *n, unsigned bits)
{
	struct net out = { n->addr, (uint8_t)bits };

	out.addr.ip[(bits - 1) / 8] ^= (uint8_t)(0x80u >> (bits - 1) % 8);
	for (unsigned i = bits; i < 128; i++)
		out.addr.ip[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	return out;
}

static void take_out(struct cidr *c, const struct net *of)
{
	size_t kept = 0, had = c->count;
	struct net around = { .bits = 0 };
	bool split = false;

	for (size_t i = 0; i < had; i++) {
		struct net n = c->set[i];

		if (of->bits <= n.bits && net_has(of, &n.addr))
			continue;
		if (of->bits > n.bits && net_has(&n, &of->addr)) {
			around = n;
			split = true;
			continue;
		}
		c->set[kept++] = n;
	}
	/* at most one of the set had it inside */
	for (unsigned bits = around.bits + 1u; split && bits <= of->bits; bits++)
		if (kept < SET_MAX)
			c->set[kept++] = other_half(of, bits);
	c->count = kept;
}

static void apply(struct cidr *c, const struct condition *k)
{
	if (k->negated)
		take_out(c, &k->net);
	else
		keep_inside(c, &k->net);
}

/* All of the family of the pattern, cut down by it and by what stands around it. */
static void work_out(struct cidr *c, const struct condition *pattern)
{
	bool v4 = is_v4(&pattern->net);

	c->set[0] = (struct net){ .bits = 0 };
	if (v4)
		c->set[0] = (struct net){ addr_v4(0, 0, 0, 0), 96 };
	c->count = 1;
	apply(c, pattern);
	for (size_t i = 0; i < c->depth; i++) {
		if (is_v4(&c->ifs[i].net) == v4)
			apply(c, &c->ifs[i]);
		else
			c->count = 0;
	}
}

static bool read_pattern(struct cidr *c, struct span text, struct condition *out)
{
	struct list_reading *r = c->r;
	bool masked;

	out->negated = text.n && text.p[0] == '!';
	if (out->negated)
		text = span_skip(text, 1);
	if (!list_net_parse(text, &out->net, &masked)) {
		problem(r->src->problems, list_at(r, out->line),
			"\"%.*s\" is neither an address nor a prefix such as 192.0.2.0/24",
			QUOTE(text));
		return false;
	}
	if (masked)
		doubt(r->src->problems, list_at(r, out->line),
		      "\"%.*s\": bits behind the slash are not zero, and were taken as zero",
		      QUOTE(text));
	return true;
}

static void begin_if(struct cidr *c, struct span pattern, uint32_t line)
{
	struct condition k = { .line = line };

	/* one that cannot be read is counted all the same, for its endif */
	if (!read_pattern(c, list_trim(pattern), &k))
		k.net = (struct net){ .bits = 128 };
	if (c->depth < IFS_MAX)
		c->ifs[c->depth++] = k;
	else
		problem(c->r->src->problems, list_at(c->r, line),
			"more than %d if inside of each other", IFS_MAX);
}

static void put_rule(struct cidr *c, const struct logical *l)
{
	struct list_said said = list_said(c->r, ACCESS_SILENT);
	struct condition k = { .line = l->line };
	struct span left = l->first;

	said.line = l->line;
	if (!read_pattern(c, list_word(&left), &k) || !take_action(c->r, l->action, &said))
		return;
	work_out(c, &k);
	for (size_t i = 0; i < c->count; i++)
		list_put_net(c->r, &c->set[i], &said);
}

static void read_cidr_line(struct cidr *c, const struct logical *l)
{
	struct span left = l->first, word = list_word(&left);

	if (span_eq_nocase(word, SPAN("if"))) {
		begin_if(c, l->action, l->line);
	} else if (!span_eq_nocase(word, SPAN("endif"))) {
		put_rule(c, l);
	} else if (c->depth == 0) {
		problem(c->r->src->problems, list_at(c->r, l->line),
			"endif without an if before it");
	} else {
		c->depth--;
	}
}

void list_read_cidr(struct list_reading *r)
{
	struct cidr c = { .r = r };
	struct logical l;

	while (!r->stopped && next_logical(r, &l))
		read_cidr_line(&c, &l);
	while (c.depth)
		problem(r->src->problems, list_at(r, c.ifs[--c.depth].line),
			"this if has no endif");
}

/* ---- access(5) ------------------------------------------------------------------------------------ */

/* 192.0.2 is 192.0.2.0/24. */
static bool parse_octets(struct span text, struct net *out)
{
	struct net n = { addr_v4(0, 0, 0, 0), 96 };

	while (text.n) {
		bool last = span_find(text, '.') == text.n;
		struct span part = span_cut(&text, '.');
		uint64_t value;

		if (n.bits == 128 || part.n > 3 || (part.n > 1 && part.p[0] == '0') ||
		    !number_parse(part, 255, &value) || (!last && text.n == 0))
			return false;
		n.addr.ip[n.bits / 8] = (uint8_t)value;
		n.bits = (uint8_t)(n.bits + 8);
	}
	*out = n;
	return n.bits > 96;
}

/* 2001:db8 is 2001:db8::/32. */
static bool parse_groups(struct span text, struct net *out)
{
	uint8_t mem[64];
	struct buf b;
	size_t groups = 1;
	bool masked;

	for (size_t i = 0; i < text.n; i++)
		groups += text.p[i] == ':';
	buf_init(&b, mem, sizeof(mem));
	buf_put(&b, text);
	if (groups < 2 || groups > 7)
		return false;
	buf_fmt(&b, "::/%zu", groups * 16);
	return !b.full && list_net_parse(buf_span(&b), out, &masked);
}

static bool has_digits_only(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '.' && (text.p[i] < '0' || text.p[i] > '9'))
			return false;
	return true;
}

/* In Postfix example.org is also what is below, by default. */
static void put_domain(struct list_reading *r, enum access_of of, struct span name,
		       const struct list_said *said)
{
	uint8_t mem[DOMAIN_MAX + 1];
	struct buf b;

	buf_init(&b, mem, sizeof(mem));
	if (!list_put_name(r, of, name, said) || span_find(name, '@') < name.n ||
	    name.p[0] == '.' || name.p[0] == '[')
		return;
	buf_byte(&b, '.');
	buf_put(&b, name);
	if (!b.full)
		(void)list_put_name(r, of, buf_span(&b), said);
}

/* An address, the beginning of one, or the name of a client. */
static void put_client(struct list_reading *r, struct span key,
		       const struct list_said *said)
{
	struct net n;
	bool masked;

	if (parse_octets(key, &n) || parse_groups(key, &n))
		list_put_net(r, &n, said);
	else if (has_digits_only(key) || span_find(key, ':') < key.n ||
		 list_net_parse(key, &n, &masked))
		list_put_text(r, key, said);
	else
		put_domain(r, ACCESS_PTR, key, said);
}

void list_read_hash(struct list_reading *r)
{
	struct logical l;

	while (!r->stopped && next_logical(r, &l)) {
		struct list_said said = list_said(r, r->src->action);
		struct span left = l.first, key = list_word(&left);

		said.line = l.line;
		/* messages name the line of the key */
		if (!take_action(r, l.action, &said))
			continue;
		/* the null sender: whoever refuses it refuses all bounces */
		if (span_eq(key, SPAN("<>")))
			doubt(r->src->problems, list_at(r, l.line),
			      "<> is the sender of bounces: no list can say anything of it");
		else if (r->src->of == ACCESS_CLIENT)
			put_client(r, key, &said);
		else
			put_domain(r, r->src->of, key, &said);
	}
}
