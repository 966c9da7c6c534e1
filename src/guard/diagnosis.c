#include "guard/diagnosis.h"

#include "guard/guard.h"

/* clang-format off */
const struct diagnosis_row diagnosis_table[DIAGNOSIS_COUNT] = {
#define DIAGNOSIS(id, word, doc) [DIAGNOSIS_##id] = { word, doc },
#include "guard/diagnosis.def"
};
/* clang-format on */

void evidence_of(const struct guard_hot *row, const struct guard_detail *detail, ms_t now,
		 struct evidence *out)
{
	gsec_t at = memory_second(now);

	*out = (struct evidence){
		.connects = row->connects,
		.refused = row->refused,
		.visits = row->visits,
		.good = row->good,
		.null_senders = detail->seen[EV_NULL_SENDER],
		.hours = at > row->first ? (double)(at - row->first) / 3600 : 0,
		.per_hour = guard_per_hour(row, now),
		.no_ptr = row->flags & HOT_NO_PTR,
		.listed = row->flags & HOT_LISTED,
		.behind = row->flags & HOT_BEHIND,
	};
	memcpy(out->seen, detail->seen, sizeof(out->seen));
	for (enum guard_variety v = 0; v < VARIETY_COUNT; v++) {
		out->variety[v] = distinct_count(&detail->variety[v]);
		out->exact[v] = distinct_is_exact(&detail->variety[v]);
	}
}

/* ---- what the deeds add up to -------------------------------------------------------------- */

/* Sums of the evidence that several kinds ask for. */
struct sums {
	uint32_t unknown, relayed, exist, messages, vrfy, talked, guessed, probed, clumsy;
	uint32_t taken; /* sessions and connections, and little done with them */
	uint32_t offences;
	uint32_t names;		   /* different recipients that were refused */
	uint32_t logins, repeated; /* logins, and the same wrong password once more */
	uint32_t over;		   /* right ones, refused for the number of sessions */
	uint32_t senders; /* different ones: sender addresses, and users who logged in */
	uint32_t served;  /* messages and logins */
};

static uint32_t sum_of(const struct evidence *e, enum says says)
{
	uint32_t n = 0;

	for (enum event v = EV_NONE + 1; v < EVENT_COUNT; v++)
		if (event_table[v].says == says && event_table[v].weight > 0)
			n += e->seen[v];
	return n;
}

/* Facts that many honest senders share say nothing of how well a program works. */
static uint32_t clumsy_of(const struct evidence *e)
{
	return sum_of(e, SAYS_CLUMSY) - e->seen[EV_NO_PTR] - e->seen[EV_PTR_FORGED] -
	       e->seen[EV_HELO_NOT_FQDN] - e->seen[EV_HELO_SYNTAX] -
	       e->seen[EV_HELO_ADDRESS];
}

static struct sums sums_of(const struct evidence *e)
{
	struct sums s = {
		.unknown = e->seen[EV_UNKNOWN_USER],
		.relayed = e->seen[EV_RELAY_DENIED],
		.exist = e->seen[EV_RECIPIENT_OK],
		.messages = e->seen[EV_MESSAGE_OK],
		.vrfy = e->seen[EV_VRFY],
		.talked = sum_of(e, SAYS_TALKER),
		.guessed = sum_of(e, SAYS_GUESS),
		.probed = sum_of(e, SAYS_PROBE) - e->seen[EV_TLS_FAILED],
		.clumsy = clumsy_of(e),
		.taken = sum_of(e, SAYS_FLOOD) + e->seen[EV_HANDSHAKE_OVER],
		.names = e->variety[VARIETY_RECIPIENTS],
		.logins = e->seen[EV_AUTH_OK],
		.repeated = e->seen[EV_AUTH_REPEATED],
		.over = e->seen[EV_LOGIN_OVER],
		.senders = e->variety[VARIETY_SENDERS],
	};

	/* what was known before it was forgotten in detail */
	if (s.logins == 0 && s.messages < e->good)
		s.messages = e->good;
	s.served = s.messages + s.logins;
	s.offences = s.unknown + s.relayed + s.vrfy + s.talked + s.guessed + s.probed +
		     s.clumsy;
	return s;
}

/* ---- one kind each: how well it fits, of a hundred -------------------------------------------- */

/* More evidence, more sure: `from` for the first, near `to` for `many`. */
static unsigned rising(uint32_t n, uint32_t many, unsigned from, unsigned to)
{
	if (n == 0)
		return 0;
	return n >= many ? to : from + (to - from) * (n - 1) / (many > 1 ? many - 1 : 1);
}

static unsigned part(uint64_t some, uint64_t all)
{
	return all ? (unsigned)(some * 100 / all) : 0;
}

/* So much of what it did wrong was this. */
static unsigned share(uint32_t some, const struct sums *s)
{
	return part(some, s->offences);
}

/* Who delivers as much as it offends is not what its offences look like. */
static unsigned unless_good(unsigned fits, const struct sums *s, uint32_t offences)
{
	if (s->served >= 4 * (uint64_t)offences)
		return 0;
	return s->served >= offences ? fits / 2 : fits;
}

static unsigned is_harvester(const struct evidence *e, const struct sums *s)
{
	uint32_t names = s->names < s->unknown ? s->names : s->unknown;
	uint32_t tried = names + s->vrfy;

	(void)e;
	if (tried < 3 || share(s->unknown + s->vrfy, s) < 50)
		return 0;
	if (part(s->unknown, s->unknown + s->exist) < 40 && s->vrfy < 3)
		return 0;
	return unless_good(rising(tried, 30, 35, 95), s, tried);
}

static unsigned is_backscatter(const struct evidence *e, const struct sums *s)
{
	/* one recipient for each null sender, as a bounce has; a harvester asks for many */
	if (e->null_senders < 3 || s->unknown < 3 ||
	    part(e->null_senders, s->unknown + s->exist) < 80)
		return 0;
	if (s->talked || s->vrfy || s->relayed || s->guessed || e->listed)
		return 0;
	return rising(s->unknown, 20, 60, 96);
}

static unsigned is_relay_prober(const struct evidence *e, const struct sums *s)
{
	(void)e;
	if (s->relayed == 0 || share(s->relayed, s) < 40)
		return 0;
	return unless_good(rising(s->relayed, 4, 60, 95), s, s->relayed);
}

static unsigned is_early_talker(const struct evidence *e, const struct sums *s)
{
	if (s->talked == 0)
		return 0;
	return unless_good(rising(e->seen[EV_EARLY_TALK] ? s->talked + 1 : s->talked, 4,
				  50, 90),
			   s, s->talked);
}

static unsigned is_guesser(const struct evidence *e, const struct sums *s)
{
	(void)e;
	if (s->guessed == 0 || share(s->guessed, s) < 40)
		return 0;
	if (s->repeated >= s->guessed * UINT64_C(4)) /* see is_stale() */
		return 0;
	return unless_good(rising(s->guessed, 5, 60, 95), s, s->guessed);
}

static unsigned is_scanner(const struct evidence *e, const struct sums *s)
{
	uint32_t empty = e->seen[EV_NOTHING_SAID];

	if (s->probed && share(s->probed, s) >= 40)
		return unless_good(rising(s->probed, 4, 60, 92), s, s->probed);
	if (s->offences == 0 && s->messages == 0 && empty >= 3 &&
	    part(empty, e->connects) >= 60)
		return rising(empty, 100, 40, 80);
	return 0;
}

static unsigned is_broken(const struct evidence *e, const struct sums *s)
{
	(void)e;
	if (s->clumsy < 2 || share(s->clumsy, s) < 60)
		return 0;
	/* it wanted to deliver mail to people who exist */
	return rising(s->clumsy, 10, s->messages || s->exist ? 55 : 40,
		      s->messages || s->exist ? 90 : 65);
}

static unsigned is_list_server(const struct evidence *e, const struct sums *s)
{
	uint32_t exist = s->exist > s->messages ? s->exist : s->messages;

	(void)e;
	if (s->messages < 10 || s->unknown < 3 || s->unknown * UINT64_C(4) > exist ||
	    share(s->unknown, s) < 60)
		return 0;
	return rising(s->messages, 200, 60, 95);
}

static unsigned is_flooder(const struct evidence *e, const struct sums *s)
{
	if (s->taken < 5 || s->taken <= 2 * (uint64_t)s->offences ||
	    s->messages >= s->taken)
		return 0;
	(void)e;
	return rising(s->taken, 100, 50, 92);
}

/* So many of one password an hour, with no different ones, is no person and no guesser. */
#define RUNS_AT 300
#define SEVERAL 3 /* users at one address */

/* Users who log in and read. Of who sends it is not known how many of the senders are one. */
static bool has_several(const struct sums *s)
{
	return s->senders >= SEVERAL && s->logins >= s->senders &&
	       s->messages * UINT64_C(2) < s->logins;
}

static unsigned is_runaway(const struct evidence *e, const struct sums *s)
{
	uint32_t same = s->logins + s->repeated + s->over;

	/* many users who do that are as many programs */
	if (has_several(s) && s->over < s->logins)
		return 0;
	if (e->per_hour < RUNS_AT || same < RUNS_AT || s->guessed * UINT64_C(20) > same)
		return 0;
	return rising(same, 10 * RUNS_AT, 80, 97);
}

/* What else comes from there is one of them. */
static unsigned is_several(const struct evidence *e, const struct sums *s)
{
	(void)e;
	if (!has_several(s) || s->over > s->logins || s->offences > s->logins)
		return 0;
	return rising(s->senders, 20, 70, 97);
}

/* As often now as all the time, and nothing ever came of it. */
static unsigned is_monitor(const struct evidence *e, const struct sums *s)
{
	double mean = e->hours > 0 ? (double)e->connects / e->hours : 0;

	if (s->offences || s->served || s->repeated || s->over || e->hours < 1 ||
	    e->connects < 30 || part(e->seen[EV_NOTHING_SAID], e->connects) < 90)
		return 0;
	if (e->per_hour < mean * 0.7 || e->per_hour > mean * 1.4)
		return 0;
	return rising(e->connects, 500, 82, 95);
}

static unsigned is_stale(const struct evidence *e, const struct sums *s)
{
	(void)e;
	if (s->repeated < 5 || s->guessed * UINT64_C(4) > s->repeated)
		return 0;
	return rising(s->repeated, 60, 60, 95);
}

static unsigned is_clean(const struct evidence *e, const struct sums *s)
{
	(void)e;
	if (s->served == 0 || s->offences * UINT64_C(4) > s->served || has_several(s))
		return 0;
	return rising(s->served, 50, 60, 95) - part(s->offences, s->served);
}

/* ---- evidence, for people ---------------------------------------------------------------------- */

static void put(struct buf *b, uint32_t n, const char *one, const char *many)
{
	if (n == 0)
		return;
	buf_fmt(b, "%s%u %s", b->len ? ", " : "", n, n == 1 ? one : many);
}

static void put_times(struct buf *b, uint32_t n, const char *word)
{
	if (n == 1)
		buf_fmt(b, "%sonce %s", b->len ? ", " : "", word);
	else
		buf_fmt(b, "%s%u times %s", b->len ? ", " : "", n, word);
}

static void put_events(struct buf *b, const struct evidence *e, enum says says)
{
	for (enum event v = EV_NONE + 1; v < EVENT_COUNT; v++)
		if (event_table[v].says == says && e->seen[v])
			put_times(b, e->seen[v], event_table[v].word);
}

/* What was asked of names that do not exist, as far as it is known how many there were. */
static void put_names(struct buf *b, const struct evidence *e, const struct sums *s)
{
	put(b, s->unknown, "unknown recipient", "unknown recipients");
	if (s->unknown && s->names)
		buf_fmt(b, " (%s%u different)",
			e->exact[VARIETY_RECIPIENTS] ? "" : "about ", s->names);
}

static void put_good(struct buf *b, const struct sums *s)
{
	put(b, s->logins, "login", "logins");
	if (s->messages == 0 && s->logins)
		return;
	if (s->messages == 0)
		buf_fmt(b, "%sno message accepted", b->len ? ", " : "");
	else
		put(b, s->messages, "message accepted", "messages accepted");
}

static void say_harvester(struct buf *b, const struct evidence *e, const struct sums *s)
{
	put_names(b, e, s);
	put(b, s->exist, "that exists", "that exist");
	put(b, s->vrfy, "VRFY or EXPN", "VRFY or EXPN");
	put_good(b, s);
}

static void say_backscatter(struct buf *b, const struct evidence *e, const struct sums *s)
{
	put(b, e->null_senders, "null sender", "null senders");
	put_names(b, e, s);
}

static void say_relay(struct buf *b, const struct evidence *e, const struct sums *s)
{
	(void)e;
	put(b, s->relayed, "recipient of a foreign domain",
	    "recipients of foreign domains");
	put_good(b, s);
}

static void say_talker(struct buf *b, const struct evidence *e, const struct sums *s)
{
	put_events(b, e, SAYS_TALKER);
	put_good(b, s);
}

static void say_guesser(struct buf *b, const struct evidence *e, const struct sums *s)
{
	put_events(b, e, SAYS_GUESS);
	put_good(b, s);
}

static void say_scanner(struct buf *b, const struct evidence *e, const struct sums *s)
{
	(void)s;
	put_events(b, e, SAYS_PROBE);
	put(b, e->connects, "connection", "connections");
}

static void say_broken(struct buf *b, const struct evidence *e, const struct sums *s)
{
	put_events(b, e, SAYS_CLUMSY);
	put_good(b, s);
}

static void say_list(struct buf *b, const struct evidence *e, const struct sums *s)
{
	uint32_t exist = s->exist > s->messages ? s->exist : s->messages;

	put_good(b, s);
	put_names(b, e, s);
	buf_fmt(b, ", %u%% of all", part(s->unknown, (uint64_t)s->unknown + exist));
}

static void say_flooder(struct buf *b, const struct evidence *e, const struct sums *s)
{
	put_events(b, e, SAYS_FLOOD);
	put_good(b, s);
}

static void say_same(struct buf *b, const struct evidence *e, const struct sums *s)
{
	if (s->repeated)
		put_times(b, s->repeated, "the same wrong password again");
	if (s->over)
		put_times(b, s->over, "one session too many");
	put(b, s->guessed, "different one", "different ones");
	put(b, s->logins, "login", "logins");
	if (e->per_hour >= 1)
		put(b, (uint32_t)(e->per_hour < 1e9 ? e->per_hour : 1e9),
		    "connection per hour", "connections per hour");
}

static void say_several(struct buf *b, const struct evidence *e, const struct sums *s)
{
	buf_fmt(b, "%s%u users", e->exact[VARIETY_SENDERS] ? "" : "about ", s->senders);
	put_good(b, s);
	put(b, s->offences, "offence", "offences");
}

static void say_monitor(struct buf *b, const struct evidence *e, const struct sums *s)
{
	(void)s;
	put(b, e->connects, "connection", "connections");
	put(b, (uint32_t)(e->per_hour < 1e9 ? e->per_hour + 0.5 : 1e9),
	    "per hour, evenly", "per hour, evenly");
	buf_fmt(b, ", nothing said");
}

static void say_clean(struct buf *b, const struct evidence *e, const struct sums *s)
{
	(void)e;
	put_good(b, s);
	put(b, s->offences, "offence", "offences");
}

static void say_nothing(struct buf *b, const struct evidence *e, const struct sums *s)
{
	put(b, e->connects, "connection", "connections");
	put(b, s->messages, "message accepted", "messages accepted");
	put(b, s->offences, "offence", "offences");
}

/* ---- the answer --------------------------------------------------------------------------------- */

struct kind {
	unsigned (*fits)(const struct evidence *e, const struct sums *s);
	void (*say)(struct buf *b, const struct evidence *e, const struct sums *s);
};

static const struct kind kinds[DIAGNOSIS_COUNT] = {
	[DIAGNOSIS_NOTHING] = { NULL, say_nothing },
	[DIAGNOSIS_CLEAN] = { is_clean, say_clean },
	[DIAGNOSIS_HARVESTER] = { is_harvester, say_harvester },
	[DIAGNOSIS_RELAY_PROBER] = { is_relay_prober, say_relay },
	[DIAGNOSIS_SCANNER] = { is_scanner, say_scanner },
	[DIAGNOSIS_EARLY_TALKER] = { is_early_talker, say_talker },
	[DIAGNOSIS_BROKEN] = { is_broken, say_broken },
	[DIAGNOSIS_LIST_SERVER] = { is_list_server, say_list },
	[DIAGNOSIS_BACKSCATTER] = { is_backscatter, say_backscatter },
	[DIAGNOSIS_GUESSER] = { is_guesser, say_guesser },
	[DIAGNOSIS_STALE] = { is_stale, say_same },
	[DIAGNOSIS_RUNAWAY] = { is_runaway, say_same },
	[DIAGNOSIS_SEVERAL] = { is_several, say_several },
	[DIAGNOSIS_MONITOR] = { is_monitor, say_monitor },
	[DIAGNOSIS_FLOODER] = { is_flooder, say_flooder },
};

static void put_more(struct buf *b, const struct evidence *e)
{
	if (e->listed)
		buf_fmt(b, ", on a DNS blocklist");
	if (e->no_ptr)
		buf_fmt(b, ", no name in the DNS");
	if (e->behind)
		buf_fmt(b, ", through a front");
	if (e->hours >= 48)
		buf_fmt(b, ", over %u days", (unsigned)(e->hours / 24));
	else if (e->hours >= 2)
		buf_fmt(b, ", over %u hours", (unsigned)e->hours);
}

void diagnose(const struct evidence *e, struct diagnosis *out)
{
	struct sums s = sums_of(e);
	unsigned best = 30; /* less is nothing */
	struct buf why;

	*out = (struct diagnosis){ .kind = DIAGNOSIS_NOTHING };
	for (enum diagnosis_kind k = 0; k < DIAGNOSIS_COUNT; k++) {
		unsigned fits = kinds[k].fits ? kinds[k].fits(e, &s) : 0;

		/* others agree: what an accepted sender would not be, a listed one rather is */
		if (fits && fits <= 90 && e->listed && k != DIAGNOSIS_CLEAN)
			fits += 5;
		if (fits <= best)
			continue;
		best = fits;
		out->kind = k;
		out->confidence = (uint8_t)(fits < 99 ? fits : 99);
	}
	buf_init(&why, out->why, sizeof(out->why) - 1);
	kinds[out->kind].say(&why, e, &s);
	put_more(&why, e);
	out->why_n = (uint8_t)why.len;
	out->why[why.len] = 0;
}
