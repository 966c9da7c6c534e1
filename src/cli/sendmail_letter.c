#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/span.h"
#include "cli/sendmail.h"

/* The header while it is read: fields that go on, and what recipient fields say. */
struct reading {
	const struct sendmail *s;
	struct sendmail_letter *l;
	FILE *head, *to;
	bool keep, collect; /* of the field under way */
};

static struct span without_end(const char *line, ssize_t n)
{
	struct span s = span_of(line, (size_t)n);

	if (s.n && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

/* The name of the field that this line begins; empty: it begins none. */
static struct span name_of(struct span line)
{
	size_t n = span_find(line, ':');

	for (size_t i = 0; i < n && n < line.n; i++)
		if (line.p[i] <= ' ' || line.p[i] >= 0x7f)
			return SPAN_NONE;
	return n < line.n ? span_head(line, n) : SPAN_NONE;
}

static void begin_field(struct reading *r, struct span name, struct span value)
{
	struct sendmail_letter *l = r->l;
	bool to = span_eq_nocase(name, SPAN("To")) || span_eq_nocase(name, SPAN("Cc"));
	bool bcc = span_eq_nocase(name, SPAN("Bcc"));

	l->has_to |= to;
	l->has_bcc |= bcc;
	l->has_from |= span_eq_nocase(name, SPAN("From"));
	if (span_eq_nocase(name, SPAN("Content-Transfer-Encoding")))
		l->eight_bit |= span_eq_nocase(span_trim(value), SPAN("8bit"));
	r->keep = !(bcc && r->s->from_header);
	r->collect = (to || bcc) && r->s->from_header;
	if (r->collect && ftell(r->to) > 0)
		fputc(',', r->to);
}

/* False: the header is over. */
static bool take_line(struct reading *r, struct span line, bool inside)
{
	bool more = inside && line.n && (line.p[0] == ' ' || line.p[0] == '\t');
	struct span name = more ? SPAN_NONE : name_of(line);

	if (!more && !name.n)
		return false;
	if (!more)
		begin_field(r, name, span_skip(line, name.n + 1));
	if (r->keep)
		fprintf(r->head, "%.*s\n", SPAN_ARG(line));
	if (r->collect)
		fprintf(r->to, "%.*s ", SPAN_ARG(span_skip(line, more ? 0 : name.n + 1)));
	return true;
}

static int read_lines(struct reading *r, FILE *in)
{
	struct sendmail_letter *l = r->l;
	char *mem = NULL;
	size_t cap = 0, lines = 0, total = 0;
	ssize_t n;
	int code = EX_OK;

	while ((n = getline(&mem, &cap, in)) > 0) {
		struct span line = without_end(mem, n);

		if (lines++ == 0 && span_starts(line, SPAN("From ")))
			continue; /* of a mailbox file */
		total += line.n;
		if (total > SENDMAIL_HEADER_MAX) {
			fputs("sendmail: the header is too large\n", stderr);
			code = EX_DATAERR;
			break;
		}
		if (!take_line(r, line, ftell(r->head) > 0 || l->has_bcc)) {
			l->first = line.n ? mem : NULL;
			l->first_n = line.n;
			break;
		}
	}
	l->over = n <= 0;
	if (ferror(in))
		code = EX_IOERR;
	if (!l->first)
		free(mem);
	return code;
}

int letter_read(const struct sendmail *s, FILE *in, struct sendmail_letter *l)
{
	struct reading r = { .s = s, .l = l };
	int code = EX_OSERR;

	*l = (struct sendmail_letter){ 0 };
	r.head = open_memstream(&l->head, &l->head_n);
	r.to = open_memstream(&l->to, &l->to_n);
	if (r.head && r.to)
		code = read_lines(&r, in);
	if (r.head && fclose(r.head) != 0)
		code = EX_OSERR;
	if (r.to && fclose(r.to) != 0)
		code = EX_OSERR;
	return code;
}

void letter_free(struct sendmail_letter *l)
{
	free(l->head);
	free(l->to);
	free(l->first);
	*l = (struct sendmail_letter){ 0 };
}

/* ---- on its way ---- */

static int send_head(const struct sendmail_letter *l, struct talk *t)
{
	struct span head = span_of(l->head, l->head_n);
	int code = EX_OK;

	while (head.n && !code) {
		struct span line = span_cut(&head, '\n');

		code = talk_line(t, (const char *)line.p, line.n);
	}
	return code;
}

/* Quoted, if it is not plain words (RFC 5322, 3.2.4). */
static void print_name(const char *name, FILE *out)
{
	fputc('"', out);
	for (; *name; name++) {
		if (*name == '"' || *name == '\\')
			fputc('\\', out);
		if ((unsigned char)*name >= ' ' && *name != 0x7f)
			fputc(*name, out);
	}
	fputs("\" ", out);
}

static int send_missing(const struct sendmail *s, const struct sendmail_letter *l,
			const struct address *from, struct talk *t)
{
	if (!l->has_from && from->n) {
		fputs("From: ", t->out);
		if (s->name && *s->name)
			print_name(s->name, t->out);
		fprintf(t->out, "<%.*s>\r\n", SPAN_ARG(address_span(from)));
	}
	if (!l->has_to && l->has_bcc && s->from_header)
		fputs("To: undisclosed-recipients:;\r\n", t->out);
	fputs("\r\n", t->out);
	return ferror(t->out) ? EX_TEMPFAIL : EX_OK;
}

static int send_body(const struct sendmail *s, FILE *in, struct talk *t)
{
	char *mem = NULL;
	size_t cap = 0;
	ssize_t n;
	int code = EX_OK;

	while (!code && (n = getline(&mem, &cap, in)) > 0) {
		struct span line = without_end(mem, n);

		if (!s->keep_dots && span_eq(line, SPAN(".")))
			break;
		code = talk_line(t, (const char *)line.p, line.n);
	}
	free(mem);
	return ferror(in) ? EX_IOERR : code;
}

int letter_send(const struct sendmail *s, FILE *in, const struct sendmail_letter *l,
		const struct address *from, struct talk *t)
{
	bool ended = l->over || (l->first && !s->keep_dots &&
				 span_eq(span_of(l->first, l->first_n), SPAN(".")));
	int code = send_head(l, t);

	if (!code)
		code = send_missing(s, l, from, t);
	if (!code && l->first && !ended)
		code = talk_line(t, l->first, l->first_n);
	if (!code && !ended)
		code = send_body(s, in, t);
	return code;
}
