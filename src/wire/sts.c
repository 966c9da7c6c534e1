#include "wire/sts.h"

#include "base/list.h"
#include "base/number.h"
#include "spec/limits.h"

#define AGE_MAX 31557600u /* a year: RFC 8461, 3.2 */

static bool id_ok(struct span id)
{
	for (size_t i = 0; i < id.n; i++) {
		uint8_t c = byte_lower(id.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			return false;
	}
	return id.n > 0 && id.n <= STS_ID_MAX;
}

bool sts_record_parse(struct span text, struct span *id)
{
	*id = SPAN_NONE;
	if (!span_eq(span_trim(span_cut(&text, ';')), SPAN("v=STSv1")))
		return false;
	while (text.n) {
		struct span value = span_trim(span_cut(&text, ';'));
		struct span name = span_cut(&value, '=');

		if (span_eq(name, SPAN("id")) && !id->n)
			*id = value;
	}
	return id_ok(*id);
}

/* ---- the policy ----------------------------------------------------------------------- */

/* A host, or "*." and a domain. */
static bool pattern_ok(struct span pattern)
{
	struct span host = span_skip(pattern, span_starts(pattern, SPAN("*.")) ? 2 : 0);

	for (size_t i = 0; i < host.n; i++) {
		uint8_t c = byte_lower(host.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
		    c != '.' && c != '_')
			return false;
	}
	return host.n > 0 && pattern.n <= DOMAIN_MAX;
}

static bool take_mode(struct span value, struct sts_policy *out)
{
	static const struct {
		struct span word;
		enum sts_mode mode;
	} modes[] = {
		{ SPAN_INIT("none"), STS_NONE },
		{ SPAN_INIT("testing"), STS_TESTING },
		{ SPAN_INIT("enforce"), STS_ENFORCE },
	};

	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		if (span_eq(value, modes[i].word)) {
			out->mode = modes[i].mode;
			return true;
		}
	}
	return false;
}

/* What has been seen of the policy. */
struct seen {
	bool version, mode, age;
	struct buf hosts;
};

static bool take_age(struct span value, struct sts_policy *out)
{
	uint64_t age;

	/* ten digits at most */
	if (value.n > 10 || !number_parse(value, 9999999999u, &age))
		return false;
	out->max_age = age < AGE_MAX ? (uint32_t)age : AGE_MAX;
	return true;
}

/* One field; of those that may be there once the first counts. False: no policy. */
static bool take_field(struct span name, struct span value, struct seen *seen,
		       struct sts_policy *out)
{
	if (span_eq(name, SPAN("version"))) {
		seen->version = span_eq(value, SPAN("STSv1"));
		return seen->version;
	}
	if (span_eq(name, SPAN("mode")) && !seen->mode) {
		seen->mode = take_mode(value, out);
		return seen->mode;
	}
	if (span_eq(name, SPAN("max_age")) && !seen->age) {
		seen->age = take_age(value, out);
		return seen->age;
	}
	if (span_eq(name, SPAN("mx"))) {
		uint8_t mem[DOMAIN_MAX];
		struct buf lower;

		if (!pattern_ok(value))
			return false;
		buf_init(&lower, mem, sizeof(mem));
		buf_put_lower(&lower, value);
		list_put(&seen->hosts, buf_span(&lower));
	}
	return true;
}

/* A line of the text, without its end: CRLF, or LF alone. */
static struct span next_line(struct span *text)
{
	struct span line = span_cut(text, '\n');

	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

bool sts_policy_parse(struct span text, struct sts_policy *out)
{
	struct seen seen = { 0 };

	*out = (struct sts_policy){ 0 };
	buf_init(&seen.hosts, out->hosts, sizeof(out->hosts));
	while (text.n) {
		struct span value = next_line(&text), name;

		if (!span_trim(value).n)
			continue;
		name = span_trim(span_cut(&value, ':'));
		if (!take_field(name, span_trim(value), &seen, out))
			return false;
	}
	out->hosts_n = (uint16_t)seen.hosts.len;
	/* too many patterns: half of them would refuse good hosts */
	return seen.version && seen.mode && seen.age && !seen.hosts.full &&
	       (out->mode == STS_NONE || out->hosts_n);
}

/* RFC 8461, 4.1: a star stands for one label, on the left. */
static bool fits(struct span pattern, struct span host)
{
	if (!span_starts(pattern, SPAN("*.")))
		return span_eq_nocase(pattern, host);
	span_cut(&host, '.');
	return host.n && span_eq_nocase(span_skip(pattern, 2), host);
}

bool sts_policy_has(const struct sts_policy *p, struct span host)
{
	struct span hosts = span_of(p->hosts, p->hosts_n), pattern;

	while (list_next(&hosts, &pattern))
		if (fits(pattern, host))
			return true;
	return false;
}
