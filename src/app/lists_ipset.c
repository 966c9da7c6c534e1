/*
 * What firewalls and fail2ban print of their sets: `ipset save`, `nft list set`,
 * `fail2ban-client banned` and `fail2ban-client get JAIL banip --with-time`.
 */
#include <time.h>

#include "app/lists_inner.h"
#include "base/number.h"

/* ---- ipset save --------------------------------------------------------------------------- */

/* Up to the quote that closes it. */
static struct span cut_quoted(struct span *left)
{
	struct span word;

	*left = span_skip(*left, 1);
	word = span_cut(left, '"');
	*left = list_trim(*left);
	return word;
}

static bool is_word(struct span word, const char *a, const char *b)
{
	return span_eq(word, span_str(a)) || span_eq(word, span_str(b));
}

/* What follows an address. False: it was reported. */
static bool read_options(struct list_reading *r, struct span left, struct list_said *said)
{
	while (left.n) {
		struct span word = list_word(&left);
		uint64_t seconds;

		if (is_word(word, "nomatch", "nomatch")) {
			said->answer = ACCESS_SILENT;
		} else if (is_word(word, "comment", "comment")) {
			said->why = left.n && left.p[0] == '"' ? cut_quoted(&left)
							       : list_word(&left);
		} else if (is_word(word, "timeout", "timeout")) {
			if (!number_parse(list_word(&left), UINT32_MAX, &seconds)) {
				problem(r->src->problems, list_here(r),
					"behind timeout stands a number of seconds");
				return false;
			}
			/* 0: for good */
			if (seconds)
				said->until = r->src->written +
					      (int64_t)seconds * MS_SECOND;
		} else if (!is_word(word, "-exist", "-!")) {
			/* packets 0, bytes 0, skbmark ... */
			(void)list_word(&left);
		}
	}
	return true;
}

static void read_add(struct list_reading *r, struct span left)
{
	struct list_said said = list_said(r, r->src->action);
	struct span set = list_word(&left), what = list_word(&left);

	if (what.n == 0)
		problem(r->src->problems, list_here(r),
			"behind add stand the name of a set and an address");
	else if (span_find(what, ',') < what.n)
		problem(r->src->problems, list_here(r),
			"\"%.*s\" in the set %.*s is more than an address: only sets of addresses "
			"and networks can be read",
			QUOTE(what), QUOTE(set));
	else if (read_options(r, left, &said))
		list_put_text(r, what, &said);
}

/* What a clock on the wall of this machine shows then. */
static int64_t from_local(int64_t shown)
{
	time_t at = (time_t)(shown / MS_SECOND);
	struct tm tm;

	if (!gmtime_r(&at, &tm))
		return shown;
	tm.tm_isdst = -1;
	at = mktime(&tm);
	return at == (time_t)-1 ? shown : (int64_t)at * MS_SECOND;
}

/* fail2ban: ADDRESS 2026-11-21 10:00:00 + 600 = 2026-11-21 10:10:00, in local time. */
static void read_with_time(struct list_reading *r, struct span line)
{
	struct list_said said = list_said(r, r->src->action);
	struct span address = list_word(&line);
	size_t equals = span_find(line, '=');

	if (equals < line.n) {
		struct span date = list_trim(span_skip(line, equals + 1));

		/* the year 9999 is for good */
		if (!list_date_parse(date, &said.until))
			problem(r->src->problems, list_here(r), "\"%.*s\" is not a date",
				QUOTE(date));
		else if (span_starts(date, SPAN("9999")))
			said.until = INT64_MAX;
		else
			said.until = from_local(said.until);
	}
	list_put_text(r, address, &said);
}

static void read_ipset_line(struct list_reading *r, struct span line)
{
	struct span left = line, word = list_word(&left);
	bool address = word.n && ((word.p[0] >= '0' && word.p[0] <= '9') ||
				  span_find(word, ':') < word.n);

	if (is_word(word, "add", "-A"))
		read_add(r, left);
	else if (address)
		read_with_time(r, line);
	else if (!is_word(word, "create", "-N") && !is_word(word, "COMMIT", "flush") &&
		 !is_word(word, "destroy", "swap"))
		problem(r->src->problems, list_here(r),
			"\"%.*s\" is nothing that `ipset save`, `nft list set` or `fail2ban-client "
			"banned` prints",
			QUOTE(word));
}

/* ---- nft list set ---------------------------------------------------------------------------- */

#define LONGEST (1000 * 365 * MS_DAY)

/* "1d2h3m4s500ms", as nft says times. */
static bool parse_time(struct span text, int64_t *out)
{
	int64_t sum = 0;

	while (text.n) {
		size_t digits = 0, letters;
		struct span number;
		int64_t unit;
		uint64_t n;

		while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
			digits++;
		letters = digits;
		while (letters < text.n && text.p[letters] >= 'a' && text.p[letters] <= 'z')
			letters++;
		number = span_head(text, digits);
		text = span_of(text.p + digits, text.n - digits);
		if (!number_parse(number, UINT32_MAX, &n) || letters == digits)
			return false;
		switch (text.p[0]) {
		case 'w':
			unit = 7 * MS_DAY;
			break;
		case 'd':
			unit = MS_DAY;
			break;
		case 'h':
			unit = MS_HOUR;
			break;
		case 'm':
			unit = letters - digits == 2 ? 1 : MS_MINUTE;
			break;
		case 's':
			unit = MS_SECOND;
			break;
		default:
			return false;
		}
		sum += (int64_t)n * unit;
		sum = sum < LONGEST ? sum : LONGEST;
		text = span_skip(text, letters - digits);
	}
	*out = sum;
	return true;
}

/* 192.0.2.1 timeout 1d expires 23h59m comment "x" */
static void read_element(struct list_reading *r, struct span left)
{
	struct list_said said = list_said(r, r->src->action);
	struct span what, word, time;
	bool expires = false;
	int64_t length;

	left = list_trim(left);
	what = list_word(&left);
	if (what.n == 0)
		return;
	while (left.n) {
		word = list_word(&left);
		if (is_word(word, "comment", "comment")) {
			said.why = left.n && left.p[0] == '"' ? cut_quoted(&left)
							      : list_word(&left);
		} else if (is_word(word, "expires", "timeout")) {
			time = list_word(&left);
			if (!parse_time(time, &length)) {
				problem(r->src->problems, list_here(r),
					"\"%.*s\" is not a time such as 1d2h30m",
					QUOTE(time));
				return;
			}
			if (!expires)
				said.until = r->src->written + length;
			expires |= is_word(word, "expires", "expires");
		} else if (is_word(word, ".", ":")) {
			problem(r->src->problems, list_here(r),
				"\"%.*s\" is the beginning of more than an address: only sets of "
				"addresses and networks can be read",
				QUOTE(what));
			return;
		}
	}
	list_put_text(r, what, &said);
}

/* Up to a comma or the end of the line, not inside quotes. */
static struct span cut_element(struct span *left)
{
	bool quoted = false;
	size_t n = 0;
	struct span out;

	for (; n < left->n; n++) {
		if (left->p[n] == '"')
			quoted = !quoted;
		else if (left->p[n] == ',' && !quoted)
			break;
	}
	out = span_head(*left, n);
	*left = span_skip(*left, n + 1);
	return out;
}

/* What is inside of elements = { }, of this line. False: it ended. */
static bool read_elements(struct list_reading *r, struct span line)
{
	size_t end = span_find(line, '}');
	struct span left = span_head(line, end);

	while (left.n)
		read_element(r, cut_element(&left));
	return end == line.n;
}

static void read_nft(struct list_reading *r, struct span line)
{
	bool inside = false, indented;

	do {
		if (!inside && span_starts(line, SPAN("elements"))) {
			line = span_skip(line, span_find(line, '{') + 1);
			inside = true;
		}
		if (inside)
			inside = read_elements(r, line);
	} while (list_line(r, &line, &indented));
	if (inside)
		problem(r->src->problems, list_here(r),
			"the file ends inside of elements = { }");
}

/* ---- fail2ban-client banned --------------------------------------------------------------------- */

/* [{'sshd': ['192.0.2.1', '192.0.2.2']}, {'postfix': []}] */
static void read_banned(struct list_reading *r, struct span line)
{
	struct list_said said = list_said(r, r->src->action);
	struct span jail = SPAN_NONE;
	int depth = 0;

	while (line.n && !r->stopped) {
		uint8_t c = line.p[0];
		struct span word;

		line = span_skip(line, 1);
		if (c == '[' || c == ']')
			depth += c == '[' ? 1 : -1;
		if (c != '\'' && c != '"')
			continue;
		if (span_find(line, c) == line.n) {
			problem(r->src->problems, list_here(r),
				"the line ends inside of quotes");
			return;
		}
		word = span_cut(&line, c);
		if (depth < 2) {
			jail = word;
			continue;
		}
		said.why = jail;
		list_put_text(r, word, &said);
	}
}

void list_read_ipset(struct list_reading *r)
{
	struct span line;
	bool indented;

	while (list_line(r, &line, &indented)) {
		struct span left = line, word;

		if (line.n == 0 || line.p[0] == '#')
			continue;
		word = list_word(&left);
		if (line.p[0] == '[' && span_find(line, ']') < line.n)
			read_banned(r, line);
		else if (is_word(word, "table", "set") || is_word(word, "elements", "map"))
			read_nft(r, line);
		else
			read_ipset_line(r, line);
	}
}
