#include "auth/passwd_line.h"

#define FIELDS_BEFORE_EXTRA 5 /* uid, gid, gecos, home, shell */

static bool forbids(struct span extra)
{
	struct span name = span_cut(&extra, '=');

	if (span_eq(name, SPAN("nologin")))
		return extra.n == 0 ||
		       (!span_eq(extra, SPAN("no")) && !span_eq(extra, SPAN("n")));
	return span_eq(name, SPAN("allow_nets")) || span_eq(name, SPAN("allow_real_nets"));
}

enum passwd_says passwd_line(struct span line, struct passwd_row *out)
{
	struct span rest;

	/* files that were written elsewhere */
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	rest = span_trim(line);
	*out = (struct passwd_row){ 0 };
	if (rest.n == 0 || rest.p[0] == '#')
		return PASSWD_NOTHING;
	if (span_find(rest, '\0') < rest.n || span_find(rest, ':') == rest.n)
		return PASSWD_BROKEN;
	out->user = span_cut(&rest, ':');
	out->hash = span_cut(&rest, ':');
	for (int i = 0; i < FIELDS_BEFORE_EXTRA; i++)
		span_cut(&rest, ':');
	/* as in /etc/shadow: what begins so is no hash of anything */
	out->locked = out->hash.n == 0 || out->hash.p[0] == '!' || out->hash.p[0] == '*';
	while (rest.n)
		out->locked |= forbids(span_cut(&rest, ' '));
	return out->user.n ? PASSWD_USER : PASSWD_BROKEN;
}
