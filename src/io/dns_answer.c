#include "io/dns_answer.h"

#define HEAD	     12
#define TYPE_SOA     6
#define CLASS_IN     1
#define NXDOMAIN     3
#define FLAG_AD	     (1u << 5) /* authentic data */
#define POINTERS_MAX 64	       /* in one name: more are a loop */

/* A message, and how far we have read. */
struct reader {
	struct span all;
	size_t at;
	bool bad; /* sticky */
};

static unsigned byte(struct reader *r)
{
	if (r->bad || r->at >= r->all.n) {
		r->bad = true;
		return 0;
	}
	return r->all.p[r->at++];
}

static unsigned two(struct reader *r)
{
	unsigned high = byte(r);

	return high << 8 | byte(r);
}

static uint32_t four(struct reader *r)
{
	uint32_t high = two(r);

	return high << 16 | two(r);
}

static void skip(struct reader *r, size_t n)
{
	if (r->bad || n > r->all.n - r->at)
		r->bad = true;
	else
		r->at += n;
}

static void skip_name(struct reader *r)
{
	unsigned n;

	while ((n = byte(r)) != 0) {
		if (n >= 0xc0) {
			(void)byte(r);
			return;
		}
		if (n > 63)
			r->bad = true;
		skip(r, n);
	}
}

static bool is_host_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A label of n bytes. False: it is none of a host, or the name gets too long. */
static bool take_label(struct reader *r, unsigned n, struct dns_name *name)
{
	if (name->n + n + 1 > sizeof(name->text))
		return false;
	if (name->n)
		name->text[name->n++] = '.';
	for (unsigned i = 0; i < n; i++) {
		uint8_t c = byte_lower((uint8_t)byte(r));

		if (r->bad || !is_host_byte(c))
			return false;
		name->text[name->n++] = (char)c;
	}
	return true;
}

/* The name of a host, or of the root; pointers followed. r is a copy: it may end anywhere. */
static bool take_any_name(struct reader r, struct dns_name *name)
{
	unsigned pointers = 0, n;

	name->n = 0;
	while ((n = byte(&r)) != 0) {
		if (n >= 0xc0) {
			r.at = (n & 0x3f) << 8 | byte(&r);
			if (++pointers > POINTERS_MAX)
				return false;
		} else if (n > 63 || !take_label(&r, n, name)) {
			return false;
		}
	}
	return !r.bad;
}

static bool take_name(struct reader r, struct dns_name *name)
{
	return take_any_name(r, name) && name->n > 0;
}

/* The head of a record; what follows are n bytes of data. */
struct record {
	unsigned type, class;
	uint32_t ttl;
	size_t n;
};

static struct record head(struct reader *r)
{
	struct record rec;

	skip_name(r);
	rec.type = two(r);
	rec.class = two(r);
	rec.ttl = four(r);
	rec.n = two(r);
	if (rec.ttl > INT32_MAX) /* RFC 2181, 8 */
		rec.ttl = 0;
	if (!r->bad && rec.n > r->all.n - r->at)
		r->bad = true;
	return rec;
}

static void note_ttl(struct dns_answer *out, uint32_t ttl)
{
	if (ttl < out->ttl)
		out->ttl = ttl;
}

static void take_address(const struct reader *r, size_t n, struct dns_answer *out)
{
	const uint8_t *p = r->all.p + r->at;
	struct addr a;

	if (n == 4)
		a = addr_v4(p[0], p[1], p[2], p[3]);
	else
		memcpy(a.ip, p, sizeof(a.ip));
	if (out->count < DNS_ANSWER_ADDRESSES)
		out->addresses[out->count++] = a;
}

static void take_mx(struct reader r, struct dns_answer *out)
{
	struct dns_mx *mx = &out->mx[out->mx_count];

	if (out->mx_count == DNS_ANSWER_HOSTS)
		return;
	mx->preference = (uint16_t)two(&r);
	if (take_any_name(r, &mx->host))
		out->mx_count++;
}

static void take_tlsa(struct reader r, size_t n, struct dns_answer *out)
{
	struct dns_tlsa *t = &out->tlsa[out->tlsa_count];

	if (out->tlsa_count == DNS_ANSWER_TLSAS)
		return;
	t->usage = (uint8_t)byte(&r);
	t->selector = (uint8_t)byte(&r);
	t->matching = (uint8_t)byte(&r);
	t->bytes = span_of(r.all.p + r.at, n - 3);
	out->tlsa_count++;
}

/* A record of the type that was asked for. False: it makes no sense as one. */
static bool take_data(const struct reader *r, size_t n, unsigned type,
		      struct dns_answer *out)
{
	switch (type) {
	case DNS_PTR:
		if (out->name_count < DNS_ANSWER_NAMES &&
		    take_name(*r, &out->names[out->name_count]))
			out->name_count++;
		return true;
	case DNS_MX:
		take_mx(*r, out);
		return true;
	case DNS_TLSA:
		if (n > 3)
			take_tlsa(*r, n, out);
		return true;
	case DNS_TXT:
		if (out->text_count < DNS_ANSWER_TEXTS)
			out->texts[out->text_count++] = span_of(r->all.p + r->at, n);
		return true;
	default:
		if (n != (type == DNS_A ? 4 : 16))
			return false;
		take_address(r, n, out);
		return true;
	}
}

static void take_record(struct reader *r, unsigned type, struct dns_answer *out)
{
	const struct reader whose = *r;
	struct record rec = head(r);

	if (r->bad)
		return;
	if (rec.class == CLASS_IN)
		note_ttl(out, rec.ttl);
	if (rec.class == CLASS_IN && rec.type == type && take_data(r, rec.n, type, out)) {
		if (out->result != DNS_FOUND && !take_name(whose, &out->owner))
			out->owner.n = 0;
		out->result = DNS_FOUND;
	}
	skip(r, rec.n);
}

/* The negative answer is good for the shorter of the TTL of the SOA and its last number. */
static void take_soa(struct reader *r, struct dns_answer *out)
{
	struct record rec = head(r);
	struct reader data = *r;

	if (r->bad)
		return;
	if (rec.type == TYPE_SOA && rec.class == CLASS_IN && rec.n >= 20) {
		uint32_t minimum;

		data.at = r->at + rec.n - 4;
		minimum = four(&data);
		note_ttl(out, rec.ttl < minimum ? rec.ttl : minimum);
	}
	skip(r, rec.n);
}

static void forget(struct dns_answer *out)
{
	out->result = DNS_FAILED;
	out->authentic = false;
	out->owner.n = 0;
	out->count = out->name_count = out->mx_count = out->tlsa_count = out->text_count =
		0;
}

static unsigned at_most(unsigned n)
{
	return n < DNS_RECORDS_MAX ? n : DNS_RECORDS_MAX;
}

void dns_answer_parse(struct span packet, unsigned type, struct dns_answer *out)
{
	struct reader r = { .all = packet };
	unsigned flags, code, questions, answers, authorities;

	forget(out);
	out->ttl = UINT32_MAX;
	skip(&r, 2);
	flags = two(&r);
	code = flags & 15;
	questions = two(&r);
	answers = at_most(two(&r));
	authorities = at_most(two(&r));
	skip(&r, 2);
	if (r.bad || questions > 1 || (code != 0 && code != NXDOMAIN))
		return;
	if (questions) {
		skip_name(&r);
		skip(&r, 4);
	}
	out->authentic = flags & FLAG_AD;
	out->result = code == NXDOMAIN ? DNS_NO_NAME : DNS_NO_DATA;
	for (unsigned i = 0; i < answers && !r.bad; i++)
		take_record(&r, type, out);
	if (out->result != DNS_FOUND) {
		out->ttl = UINT32_MAX;
		for (unsigned i = 0; i < authorities && !r.bad; i++)
			take_soa(&r, out);
	}
	if (r.bad) /* half an answer is none */
		forget(out);
}

bool dns_text(struct span text, struct buf *out)
{
	while (text.n) {
		size_t n = text.p[0];

		buf_put(out, span_head(span_skip(text, 1), n));
		text = span_skip(text, 1 + n);
	}
	return !out->full;
}

/* ---- names ------------------------------------------------------------------------------- */

void dns_print_reverse(const struct addr *a, struct span zone, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	bool v4 = addr_is_v4(a);

	for (size_t i = sizeof(a->ip); i-- > (v4 ? 12u : 0u);) {
		if (v4) {
			buf_number(out, a->ip[i]);
		} else {
			buf_byte(out, (uint8_t)hex[a->ip[i] & 15]);
			buf_byte(out, '.');
			buf_byte(out, (uint8_t)hex[a->ip[i] >> 4]);
		}
		buf_byte(out, '.');
	}
	buf_put(out, zone);
}

void dns_print_ptr(const struct addr *a, struct buf *out)
{
	dns_print_reverse(a, addr_is_v4(a) ? SPAN("in-addr.arpa") : SPAN("ip6.arpa"), out);
}
