#include "auth/dovecot_reply.h"

#include "base/number.h"

static bool read_number(struct span *rest, uint32_t *out)
{
	uint64_t n;

	if (!number_parse(span_cut(rest, '\t'), UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

static void read_extra(struct dovecot_reply *r, struct span rest)
{
	while (rest.n) {
		struct span field = span_cut(&rest, '\t');

		if (span_eq(field, SPAN("temp")) || span_eq(field, SPAN("code=temp_fail")))
			r->temporary = true;
		else if (span_eq(field, SPAN("user_disabled")) ||
			 span_eq(field, SPAN("code=user_disabled")) ||
			 span_eq(field, SPAN("nologin")))
			r->disabled = true;
	}
}

struct dovecot_reply dovecot_reply(struct span line)
{
	static const struct {
		struct span word;
		enum dovecot_kind kind;
		bool numbered;
	} words[] = {
		{ SPAN_INIT("VERSION"), DOVECOT_VERSION, true },
		{ SPAN_INIT("MECH"), DOVECOT_MECH, false },
		{ SPAN_INIT("DONE"), DOVECOT_DONE, false },
		{ SPAN_INIT("OK"), DOVECOT_OK, true },
		{ SPAN_INIT("FAIL"), DOVECOT_FAIL, true },
		{ SPAN_INIT("CONT"), DOVECOT_CONT, true },
	};
	struct dovecot_reply r = { .kind = DOVECOT_OTHER };
	struct span rest = line, word;

	if (span_find(line, '\0') < line.n)
		return (struct dovecot_reply){ .kind = DOVECOT_BROKEN };
	word = span_cut(&rest, '\t');
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!span_eq(word, words[i].word))
			continue;
		r.kind = words[i].kind;
		if (words[i].numbered && !read_number(&rest, &r.number))
			r.kind = DOVECOT_BROKEN;
	}
	if (r.kind == DOVECOT_MECH)
		r.name = span_cut(&rest, '\t');
	if (r.kind == DOVECOT_OK || r.kind == DOVECOT_FAIL)
		read_extra(&r, rest);
	return r;
}
