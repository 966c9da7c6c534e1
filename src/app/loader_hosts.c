#include "app/loader_inner.h"

#include "io/idn.h"

/* What a next hop is called behind its protocol; a path is no name. */
static size_t protocol_of(struct span text)
{
	static const char *const names[] = { "smtp:", "lmtp:" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (span_starts(text, span_str(names[i])) &&
		    !span_starts(text, SPAN("lmtp:unix:")))
			return strlen(names[i]);
	return 0;
}

/* NULL, and the text with its host as the DNS has it; or why it has none. */
static const char *put_host(struct span text, char out[TEXT_MAX])
{
	size_t n = protocol_of(text);
	uint8_t mem[TEXT_MAX];
	const char *why;
	struct buf b;

	buf_init(&b, mem, TEXT_MAX - 1);
	buf_put(&b, span_head(text, n));
	why = idn_host(span_skip(text, n), &b);
	if (why || b.full)
		return why ? why : "it is too long";
	memset(out, 0, TEXT_MAX);
	memcpy(out, b.mem, b.len);
	return NULL;
}

bool walk_host(struct walk *w, const config_setting_t *s, const char *what,
	       struct span text, char out[TEXT_MAX])
{
	const char *why = put_host(text, out);

	if (why)
		problem(w->problems, walk_origin(s), "%s: \"%.*s\" names no host: %s",
			what, SPAN_ARG(span_head(text, 100)), why);
	return why == NULL;
}

/* One that cannot be keeps its default, as with any other value that cannot be. */
void loader_hosts(struct loaded *l, struct problems *p)
{
	static const enum setting rows[] = { SET_hostname, SET_deliver_to, SET_relay,
					     SET_srs_domain };

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct setting_row *row = &setting_table[rows[i]];
		char *text = (char *)&l->conf.set + row->offset;
		const char *why = put_host(span_str(text), text);
		struct err unused;

		if (!why)
			continue;
		problem(p, l->origins.set[rows[i]], "%s: \"%s\" names no host: %s",
			row->key, text, why);
		(void)!setting_put(&l->conf.set, row, span_str(row->def), &unused);
	}
}
