#include "edge/hosts.h"

#include "base/number.h"
#include "wire/mx.h"

static void look_at_next(struct hosts *r);

/* ---- why it came to nothing -------------------------------------------------------------- */

void hosts_note(struct hosts *r, int code, struct span why)
{
	if (r->noted && r->code == 0 && code != 0)
		return;
	r->noted = true;
	r->code = code;
	why = span_head(why, sizeof(r->why));
	memcpy(r->why, why.p, why.n);
	r->why_n = (uint16_t)why.n;
}

static void note(struct hosts *r, int code, const char *status, struct span who,
		 const char *what)
{
	uint8_t mem[HOSTS_WHY];
	struct buf why;

	buf_init(&why, mem, sizeof(mem));
	buf_put(&why, span_str(status));
	buf_put(&why, span_head(who, 200));
	buf_put(&why, span_str(what));
	hosts_note(r, code, buf_span(&why));
}

static void no_more(struct hosts *r)
{
	r->over = true;
	r->host.count = 0;
	r->on_host(r->arg);
}

static struct span host_name(const struct hosts *r)
{
	const struct dns_name *n = &r->hosts[r->at - 1].name;

	return span_of(n->text, n->n);
}

/* ---- the host whose turn it is ----------------------------------------------------------- */

static void take_turn(struct hosts *r)
{
	if (r->setup.tls == HOP_TLS_DANE && r->host.proof != TLS_PROOF_DANE) {
		note(r, 0, "4.7.5 ", span_str(r->host.name),
		     " has no TLSA records that count");
		look_at_next(r);
		return;
	}
	r->on_host(r->arg);
}

/* No DANE: what the policy or the configuration says. */
static void without_records(struct hosts *r)
{
	if (r->setup.tls == HOP_TLS_NONE) {
		take_turn(r);
	} else if (r->enforced && !r->hosts[r->at - 1].allowed) {
		note(r, 0, "4.7.5 ", host_name(r), " is not in the MTA-STS policy");
		look_at_next(r);
	} else {
		if (r->enforced || r->setup.tls == HOP_TLS_VERIFY) {
			r->host.tls = HOP_TLS_VERIFY;
			r->host.proof = TLS_PROOF_AUTHORITIES;
			r->host.word = r->enforced ? "sts" : "pkix";
		}
		take_turn(r);
	}
}

static void keep_record(struct hosts *r, const struct dns_tlsa *t, struct buf *bytes)
{
	struct tls_record *to = &r->host.records[r->host.record_count];
	const struct tls_record record = { t->usage, t->selector, t->matching, t->bytes };

	if (r->host.record_count == HOST_RECORDS || !tls_record_usable(&record) ||
	    buf_room(bytes) < t->bytes.n)
		return;
	*to = record;
	to->bytes = span_of(bytes->mem + bytes->len, t->bytes.n);
	buf_put(bytes, t->bytes);
	r->host.record_count++;
}

static void ask_for_records(struct hosts *r);

static void put_name(char to[DOMAIN_MAX + 1], struct span name)
{
	memset(to, 0, DOMAIN_MAX + 1);
	memcpy(to, name.p, span_head(name, DOMAIN_MAX).n);
}

/* RFC 7672, 3.2.2: the names that the certificate may be for. */
static void trust_records(struct hosts *r)
{
	struct host *h = &r->host;

	h->proof = TLS_PROOF_DANE;
	h->word = "dane";
	if (r->setup.hop == HOP_MX) {
		put_name(h->also, r->setup.target);
	} else if (r->alias.n) {
		put_name(h->also, host_name(r));
		put_name(h->name, span_of(r->alias.text, r->alias.n));
	}
}

/* RFC 7672, 2.2: records that nobody can use still say that there is TLS. */
static void on_records(void *arg, const struct dns_answer *a)
{
	struct hosts *r = arg;
	struct buf bytes;

	if (a->result == DNS_FAILED) {
		/* they may be there, and somebody keeps them from us (RFC 7672, 2.1.3) */
		note(r, 0, "4.7.5 the TLSA records of ", host_name(r),
		     " cannot be looked up now");
		look_at_next(r);
		return;
	}
	if ((a->result != DNS_FOUND || !a->authentic) && r->alias.n) {
		r->alias.n = 0;
		ask_for_records(r);
		return;
	}
	if (a->result != DNS_FOUND || !a->authentic) {
		without_records(r);
		return;
	}
	buf_init(&bytes, r->bytes, sizeof(r->bytes));
	for (size_t i = 0; i < a->tlsa_count; i++)
		keep_record(r, &a->tlsa[i], &bytes);
	if (r->host.tls < HOP_TLS_MUST)
		r->host.tls = HOP_TLS_MUST;
	if (r->host.record_count)
		trust_records(r);
	take_turn(r);
}

/* RFC 7672, 2.2.3: those of the name behind an alias count first. */
static void ask_for_records(struct hosts *r)
{
	struct span whose = r->alias.n ? span_of(r->alias.text, r->alias.n) : host_name(r);
	uint8_t mem[DOMAIN_MAX + 20];
	struct buf name;

	buf_init(&name, mem, sizeof(mem));
	buf_fmt(&name, "_%u._tcp.", r->host.port);
	buf_put(&name, whose);
	dns_look_up(r->setup.dns, &r->lookup, DNS_TLSA, buf_span(&name), on_records, r);
}

/* IPv6 and IPv4 in turn, so that one that does not work costs one try. */
static void interleave(struct hosts *r)
{
	size_t most = r->v4_count > r->v6_count ? r->v4_count : r->v6_count;
	struct host *h = &r->host;

	for (size_t i = 0; i < most; i++) {
		if (i < r->v6_count && h->count < HOST_ADDRESSES)
			h->addresses[h->count++] = r->v6[i];
		if (i < r->v4_count && h->count < HOST_ADDRESSES)
			h->addresses[h->count++] = r->v4[i];
	}
}

static void ask_for_address(struct hosts *r, struct span host);

static void have_addresses(struct hosts *r)
{
	interleave(r);
	if (!r->host.count && r->setup.hop != HOP_MX)
		/* it may be known in another way */
		ask_for_address(r, host_name(r));
	else if (r->host.count && r->setup.dane && r->secure && r->hosts_secure &&
		 r->setup.tls != HOP_TLS_NONE) {
		ask_for_records(r);
	} else if (r->host.count) {
		without_records(r);
	} else {
		if (r->failed)
			note(r, 0, "4.4.3 ", host_name(r), " cannot be looked up now");
		else
			note(r, 550, "5.4.4 ", host_name(r), " has no address");
		look_at_next(r);
	}
}

static void take_addresses(struct hosts *r, const struct dns_answer *a, struct addr *to,
			   size_t *count)
{
	r->failed = r->failed || a->result == DNS_FAILED;
	if (a->result == DNS_FOUND)
		r->secure = r->secure && a->authentic;
	/* those of MX records are no aliases (RFC 5321, 5.1) */
	if (r->setup.hop != HOP_MX && a->owner.n &&
	    !span_eq_nocase(span_of(a->owner.text, a->owner.n), host_name(r)))
		r->alias = a->owner;
	for (size_t i = 0; i < a->count && *count < HOST_ADDRESSES; i++)
		to[(*count)++] = a->addresses[i];
	if (--r->due == 0)
		have_addresses(r);
}

static void on_v4(void *arg, const struct dns_answer *a)
{
	struct hosts *r = arg;

	take_addresses(r, a, r->v4, &r->v4_count);
}

static void on_v6(void *arg, const struct dns_answer *a)
{
	struct hosts *r = arg;

	take_addresses(r, a, r->v6, &r->v6_count);
}

static void new_host(struct hosts *r, struct span name, uint16_t port)
{
	struct host *h = &r->host;

	*h = (struct host){ .port = port, .tls = r->setup.tls, .word = "no" };
	memcpy(h->name, name.p, span_head(name, sizeof(h->name) - 1).n);
	if (h->tls == HOP_TLS_VERIFY) {
		h->proof = TLS_PROOF_AUTHORITIES;
		h->word = "pkix";
	}
}

static void look_at_next(struct hosts *r)
{
	if (r->at == r->host_count) {
		no_more(r);
		return;
	}
	r->at++;
	new_host(r, host_name(r), r->setup.mx_port);
	r->failed = false;
	r->secure = true;
	r->alias.n = 0;
	r->v4_count = r->v6_count = 0;
	r->due = 2;
	dns_look_up(r->setup.dns, &r->lookup, DNS_A, host_name(r), on_v4, r);
	dns_look_up(r->setup.dns, &r->other_lookup, DNS_AAAA, host_name(r), on_v6, r);
}

/* ---- the hosts of a domain --------------------------------------------------------------- */

static bool allowed(const struct hosts *r, struct span name)
{
	struct sts_policy p = { .hosts_n = r->allowed_n };

	memcpy(p.hosts, r->allowed, r->allowed_n);
	return sts_policy_has(&p, name);
}

static void add_host(struct hosts *r, struct span name)
{
	struct dns_name *to = &r->hosts[r->host_count].name;

	if (r->host_count == HOSTS_MAX)
		return;
	to->n = (uint8_t)name.n;
	memcpy(to->text, name.p, name.n);
	r->hosts[r->host_count].allowed = r->enforced && allowed(r, name);
	r->host_count++;
}

static void put_in_order(struct hosts *r, const struct dns_answer *a)
{
	struct mx_host hosts[DNS_ANSWER_HOSTS];
	size_t count = a->mx_count, left;

	for (size_t i = 0; i < count; i++)
		hosts[i] = (struct mx_host){
			a->mx[i].preference, span_of(a->mx[i].host.text, a->mx[i].host.n)
		};
	if (mx_is_null(hosts, count)) {
		note(r, 556, "5.1.10 ", r->setup.target, " takes no mail (null MX)");
		return;
	}
	left = mx_order(hosts, count, r->setup.self, loop_clock_us());
	for (size_t i = 0; i < left; i++)
		add_host(r, hosts[i].name);
	if (!left)
		note(r, 554, "5.4.6 mail for ", r->setup.target, " comes back to us");
}

static void on_mx(void *arg, const struct dns_answer *a)
{
	struct hosts *r = arg;
	struct span domain = r->setup.target;

	switch (a->result) {
	case DNS_FAILED:
		note(r, 0, "4.4.3 ", domain, " cannot be looked up now");
		break;
	case DNS_NO_NAME:
		note(r, 550, "5.1.2 ", domain, " does not exist");
		break;
	case DNS_NO_DATA:
		/* RFC 5321, 5.1: the domain is its own host */
		r->hosts_secure = true;
		if (domain.n && domain.n <= DOMAIN_MAX)
			add_host(r, domain);
		break;
	case DNS_FOUND:
		r->hosts_secure = a->authentic;
		if (a->mx_count)
			put_in_order(r, a);
		else
			note(r, 550, "5.4.4 ", domain,
			     " has no mail host with a good name");
		break;
	}
	look_at_next(r);
}

static void on_policy(void *arg, const struct sts_policy *p)
{
	struct hosts *r = arg;

	if (p && p->mode == STS_ENFORCE) {
		r->enforced = true;
		r->allowed_n = p->hosts_n;
		memcpy(r->allowed, p->hosts, p->hosts_n);
	}
	dns_look_up(r->setup.dns, &r->lookup, DNS_MX, r->setup.target, on_mx, r);
}

/* user@[192.0.2.7], user@[IPv6:2001:db8::7] */
static bool literal(struct hosts *r)
{
	struct span text = r->setup.target;
	struct addr a;

	if (text.n < 2 || text.p[0] != '[' || text.p[text.n - 1] != ']')
		return false;
	text = span_of(text.p + 1, text.n - 2);
	if (span_starts_nocase(text, SPAN("IPv6:")))
		text = span_skip(text, 5);
	new_host(r, text, r->setup.mx_port);
	if (!addr_parse(text, &a)) {
		note(r, 550, "5.1.2 ", r->setup.target, " is not an address");
		no_more(r);
		return true;
	}
	r->host.addresses[r->host.count++] = a;
	take_turn(r);
	return true;
}

/* ---- one host ---------------------------------------------------------------------------- */

bool hosts_split(struct span target, struct span *host, uint16_t *port)
{
	size_t at = span_find_last(target, ':');
	uint64_t n;

	*host = span_head(target, at);
	if (host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']')
		*host = span_of(host->p + 1, host->n - 2);
	if (!host->n || !number_parse(span_skip(target, at + 1), 65535, &n) || !n)
		return false;
	*port = (uint16_t)n;
	return true;
}

static void on_address(void *arg)
{
	struct hosts *r = arg;
	const struct dns_query *q = &r->query;

	if (!q->count) {
		uint8_t mem[100];
		struct buf what;

		buf_init(&what, mem, sizeof(mem) - 1);
		buf_fmt(&what, " %s", q->why);
		mem[what.len] = '\0';
		note(r, 0, "", r->setup.target, (const char *)mem);
		no_more(r);
		return;
	}
	r->host.count = q->count;
	memcpy(r->host.addresses, q->addresses, q->count * sizeof(q->addresses[0]));
	take_turn(r);
}

static void ask_for_address(struct hosts *r, struct span host)
{
	if (dns_address(r->setup.dns, &r->query, host, on_address, r))
		on_address(r);
}

/* Of a name in the DNS, asked so that its word counts (RFC 7672, 2.2.2). */
static bool may_have_records(const struct hosts *r, struct span host)
{
	return r->setup.dane && r->setup.hop == HOP_SMTP && r->setup.tls != HOP_TLS_NONE &&
	       dns_is_local(r->setup.dns) && host.n <= DOMAIN_MAX &&
	       span_find(host, '.') < host.n && !dns_is_known(r->setup.dns, host);
}

static void begin_with_one(struct hosts *r, struct span host, uint16_t port)
{
	if (may_have_records(r, host)) {
		r->setup.mx_port = port;
		r->hosts_secure = true; /* nobody but the configuration says who it is */
		add_host(r, host);
		look_at_next(r);
		return;
	}
	new_host(r, host, port);
	ask_for_address(r, host);
}

void hosts_begin(struct hosts *r, const struct hosts_setup *setup,
		 void (*on_host)(void *arg), void *arg)
{
	struct span host;
	uint16_t port = 0;

	*r = (struct hosts){ .setup = *setup, .on_host = on_host, .arg = arg };
	if (setup->hop == HOP_MX) {
		if (literal(r))
			return;
		if (setup->policies && setup->tls != HOP_TLS_NONE)
			policies_ask(setup->policies, &r->ask, setup->target, on_policy,
				     r);
		else
			on_policy(r, NULL);
	} else if (hosts_split(setup->target, &host, &port)) {
		begin_with_one(r, host, port);
	} else {
		note(r, 0, "", setup->target, " is not a next hop: host:port is needed");
		no_more(r);
	}
}

void hosts_next(struct hosts *r)
{
	look_at_next(r);
}

void hosts_stop(struct hosts *r)
{
	policies_forget(&r->ask);
	dns_forget(&r->lookup);
	dns_forget(&r->other_lookup);
	dns_cancel(&r->query);
}
