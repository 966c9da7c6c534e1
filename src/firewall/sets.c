#include "firewall/sets.h"

#include <stdio.h>

#include "firewall/judge.h"

#define RUN_WITHIN  (5 * MS_SECOND)
#define LOOK_EVERY  (3 * MS_SECOND)
#define PAUSE_FIRST MS_SECOND
#define PAUSE_MAX   MS_MINUTE

/* ---- how it is ------------------------------------------------------------------------- */

static void set_state(struct sets *s, enum firewall_state state, const char *why,
		      const char *what)
{
	bool changed = s->state != state || strcmp(s->why, why) != 0;

	s->state = state;
	if (why != s->why)
		snprintf(s->why, sizeof(s->why), "%s", why);
	if (changed || what)
		s->on_state(s->arg, what);
}

void sets_never(struct sets *s, const char *why)
{
	s->never = true;
	set_state(s, FIREWALL_MISSING, why, NULL);
}

static void fails(struct sets *s, enum firewall_state state, const char *why)
{
	s->made = s->doubted = false;
	s->step = SETS_ABSENT;
	s->again_at = loop_now(s->loop) + s->pause;
	s->pause = 2 * s->pause < PAUSE_MAX ? 2 * s->pause : PAUSE_MAX;
	set_state(s, state, why, NULL);
}

/* ---- one step ---------------------------------------------------------------------------- */

/* What this step tells nft. */
static enum nft_how write_step(struct sets *s, struct buf *out)
{
	switch (s->step) {
	case SETS_ABSENT:
		batch_absent(&s->table, out);
		return NFT_CHECK;
	case SETS_OURS:
		batch_ours(&s->table, out);
		return NFT_CHECK;
	case SETS_MAY:
		batch_may(&s->table, out);
		return NFT_CHECK;
	case SETS_LOOK:
		batch_whole(&s->table, out);
		return NFT_CHECK;
	case SETS_MAKE:
		memset(s->table.has, 0, sizeof(s->table.has));
		s->table.rules = 0;
		batch_make(&s->table, s->replaces, out);
		break;
	case SETS_ITEMS:
		s->taken = blocks_take(&s->blocks, s->items, s->batch_max,
				       loop_now_exact(s->loop));
		batch_items(&s->table, s->items, s->taken, out);
		break;
	case SETS_PORTS:
		s->ports_due = false;
		batch_ports(&s->table, out);
		break;
	case SETS_COUNT:
		batch_count(&s->table, out);
		break;
	case SETS_REMOVE:
		batch_remove(&s->table, out);
		break;
	}
	return NFT_CHANGE;
}

static void run(struct sets *s, enum sets_step step)
{
	struct buf batch;
	struct err err;
	enum nft_how how;

	s->step = step;
	buf_init(&batch, s->mem, sizeof(s->mem));
	how = write_step(s, &batch);
	if (batch.full)
		err_set(&err, "a batch for nft is longer than %d bytes", BATCH_BYTES);
	else if (nft_run(&s->nft, how, buf_span(&batch), s->within, &err))
		return;
	if (step == SETS_ITEMS)
		blocks_undo(&s->blocks, s->items, s->taken);
	if (s->removing)
		s->on_removed(s->arg);
	else
		fails(s, FIREWALL_FAILS, err.text);
}

/* ---- what came of it ------------------------------------------------------------------- */

static void made(struct sets *s)
{
	bool again = s->state == FIREWALL_WORKS;

	s->made = true;
	s->ports_due = s->doubted = s->proved = false;
	s->look_at = loop_now(s->loop); /* does this nft understand how we look? */
	blocks_again(&s->blocks);
	set_state(s, FIREWALL_WORKS, "",
		  again ? "put back: somebody else had changed the table" : NULL);
}

static void put_in(struct sets *s)
{
	blocks_done(&s->blocks, s->items, s->taken);
	batch_done(&s->table, s->items, s->taken);
	s->batch_max = FIREWALL_BATCH;
	s->pause = PAUSE_FIRST;
}

/* The table is well, so it was something in the batch: find it by halves. */
static void blame_batch(struct sets *s)
{
	uint8_t mem[128];
	char what[200];
	struct buf b;

	s->doubted = false;
	if (s->taken > 1) {
		s->batch_max = s->taken / 2;
		return;
	}
	s->batch_max = FIREWALL_BATCH;
	if (s->taken == 0)
		return;
	buf_init(&b, mem, sizeof(mem));
	net_print_short(&s->items[0].net, &b);
	snprintf(what, sizeof(what), "nft does not take %.*s", SPAN_ARG(buf_span(&b)));
	blocks_forget(&s->blocks, &s->items[0].net);
	s->refused++;
	s->on_state(s->arg, what);
}

static void counted(struct sets *s, const struct nft_result *r)
{
	uint64_t packets;

	if (!batch_counted(r->out, &packets)) {
		fails(s, FIREWALL_FAILS, "nft prints something else than a counter");
		return;
	}
	s->packets += packets;
	s->pause = PAUSE_FIRST;
}

static void went_well(struct sets *s, const struct nft_result *r)
{
	switch (s->step) {
	case SETS_ABSENT:
	case SETS_OURS:
		s->replaces = s->step == SETS_OURS;
		run(s, SETS_MAKE);
		break;
	case SETS_MAY:
		fails(s, FIREWALL_FAILS,
		      "there is a table of that name that Holdfast did not make: set "
		      "firewall.table to another name, or delete it");
		break;
	case SETS_MAKE:
		made(s);
		break;
	case SETS_ITEMS:
		put_in(s);
		break;
	case SETS_PORTS:
		break;
	case SETS_LOOK:
		s->proved = true;
		if (s->doubted)
			blame_batch(s);
		run(s, SETS_COUNT);
		break;
	case SETS_COUNT:
		counted(s, r);
		break;
	case SETS_REMOVE:
		break;
	}
}

/* nft, or the kernel, said no. */
static void was_refused(struct sets *s, const struct nft_result *r)
{
	switch (s->step) {
	case SETS_ABSENT:
		run(s, SETS_OURS);
		break;
	case SETS_OURS:
		run(s, SETS_MAY);
		break;
	case SETS_MAY:
	case SETS_MAKE:
		fails(s,
		      strstr(r->why, "not permitted") ? FIREWALL_MISSING : FIREWALL_FAILS,
		      r->why);
		break;
	case SETS_ITEMS:
		s->doubted = true;
		run(s, SETS_LOOK);
		break;
	case SETS_PORTS:
	case SETS_LOOK:
	case SETS_COUNT:
		/* not as we left it; if it never was, making it again at once is no use */
		if (!s->proved) {
			fails(s, FIREWALL_FAILS, r->why);
			break;
		}
		s->made = s->doubted = false;
		run(s, SETS_ABSENT);
		break;
	case SETS_REMOVE:
		break;
	}
}

static void on_end(void *arg, const struct nft_result *r)
{
	struct sets *s = arg;

	if (s->step == SETS_ITEMS && r->end != NFT_OK)
		blocks_undo(&s->blocks, s->items, s->taken);
	if (s->removing) {
		if (s->step == SETS_REMOVE)
			s->on_removed(s->arg);
		else
			run(s, SETS_REMOVE);
		return;
	}
	if (r->end == NFT_OK)
		went_well(s, r);
	else if (r->end == NFT_NO)
		was_refused(s, r);
	else
		fails(s, FIREWALL_FAILS, r->why);
	sets_go_on(s);
}

/* ---- going on ------------------------------------------------------------------------------ */

static void look(struct sets *s)
{
	s->look_at = loop_now(s->loop) + LOOK_EVERY;
	blocks_expire(&s->blocks, loop_now(s->loop));
	run(s, SETS_LOOK);
}

void sets_go_on(struct sets *s)
{
	ms_t now = loop_now(s->loop);

	if (nft_busy(&s->nft) || s->removing || s->never)
		return;
	if (!s->made && now >= s->again_at)
		run(s, SETS_ABSENT);
	else if (s->made && now >= s->look_at)
		look(s);
	else if (s->made && s->ports_due)
		run(s, SETS_PORTS);
	else if (s->made && s->blocks.due)
		run(s, SETS_ITEMS);
	if (!nft_busy(&s->nft))
		timer_set(&s->timer, s->made ? s->look_at : s->again_at);
}

static void on_time(void *arg)
{
	sets_go_on(arg);
}

bool sets_open(struct sets *s, struct loop *loop, const struct settings *set,
	       const uint64_t key[2], struct err *err)
{
	s->loop = loop;
	s->pause = PAUSE_FIRST;
	s->within = RUN_WITHIN;
	s->batch_max = FIREWALL_BATCH;
	s->state = FIREWALL_OFF;
	memcpy(s->name, set->firewall_table, sizeof(s->name));
	memcpy(s->path, set->firewall_nft, sizeof(s->path));
	s->table.name = s->name;
	s->table.max = set->firewall_max;
	blocks_init(&s->blocks, (size_t)set->firewall_max, key);
	timer_init(&s->timer, loop, on_time, s);
	return nft_open(&s->nft, loop, s->path, on_end, s, err);
}

void sets_close(struct sets *s)
{
	if (!s->loop)
		return;
	timer_stop(&s->timer);
	nft_close(&s->nft);
	blocks_close(&s->blocks);
}

void sets_ports(struct sets *s, const struct conf *conf)
{
	uint16_t old[LISTENERS_MAX];
	size_t n = s->table.port_count;

	memcpy(old, s->table.ports, sizeof(old));
	table_ports(&s->table, conf);
	if (n != s->table.port_count ||
	    memcmp(old, s->table.ports, n * sizeof(old[0])) != 0)
		s->ports_due = true;
	sets_go_on(s);
}

void sets_remove(struct sets *s, ms_t within)
{
	if (s->removing)
		return;
	s->removing = true;
	timer_stop(&s->timer);
	s->within = within / 2;
	if (nft_busy(&s->nft))
		nft_hurry(&s->nft, s->within);
	else if (!s->never)
		run(s, SETS_REMOVE); /* also if it failed before: it touches only ours */
	else
		s->on_removed(s->arg);
}
