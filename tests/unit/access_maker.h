/*
 * access_maker - a small blob of access lists for tests, from entries in an array
 */
#ifndef TESTS_UNIT_ACCESS_MAKER_H
#define TESTS_UNIT_ACCESS_MAKER_H

#include <stdlib.h>

#include "base/bug.h"
#include "guard/access_build.h"

struct made_entry {
	struct net net;
	uint32_t list, line, until; /* until: in seconds; 0: for good */
	enum access_answer answer;
	bool reason; /* give it the reason "because" */
};

struct made_name {
	const char *text;
	enum access_of of;
	uint32_t list, line, until;
	enum access_answer answer;
};

struct made {
	const struct made_entry *entries;
	size_t count;
	const struct made_name *names;
	size_t name_count;
	size_t lists;
	bool first_match[64];
	/* out */
	void *mem;
	size_t n;
	size_t repeated;
};

static inline void made_put(struct access_build *b, struct access_more *more,
			    const struct made_entry *e)
{
	const uint8_t *ip = e->net.addr.ip;
	uint64_t hi = 0, lo = 0;
	uint32_t extra = 0;

	for (int i = 0; i < 8; i++) {
		hi = hi << 8 | ip[i];
		lo = lo << 8 | ip[i + 8];
	}
	if (e->until || e->reason) {
		more[b->more_count++] = (struct access_more){ e->until,
							      e->reason ? 10 : 0 };
		extra = (uint32_t)b->more_count;
	}
	if (e->net.bits >= 96 && addr_is_v4(&e->net.addr))
		b->v4[b->v4_count++] = (struct access_v4){ (uint32_t)lo,
							   e->line,
							   extra,
							   (uint8_t)(e->net.bits - 96),
							   (uint8_t)e->list,
							   (uint8_t)e->answer,
							   0 };
	else
		b->v6[b->v6_count++] = (struct access_v6){ .hi = hi,
							   .lo = lo,
							   .line = e->line,
							   .more = extra,
							   .bits = e->net.bits,
							   .list = (uint8_t)e->list,
							   .answer = (uint8_t)e->answer };
}

static inline uint32_t made_text(uint8_t *mem, size_t *n, const char *text)
{
	size_t length = strlen(text), at = *n;

	mem[at] = (uint8_t)length;
	mem[at + 1] = (uint8_t)(length >> 8);
	memcpy(mem + at + 2, text, length);
	*n += 2 + length;
	return (uint32_t)at;
}

static inline void *made_room(size_t n)
{
	void *mem = calloc(1, n);

	BUG_IF(!mem);
	return mem;
}

static inline enum flatten made_make(struct made *m)
{
	size_t n = m->count + 1, text_n = 2, room4 = n + ACCESS_BUCKETS / 2;
	uint8_t *text = made_room(64 + 400 * (m->name_count + 1));
	struct access_more *more = made_room(n * sizeof(*more));
	struct access_name *names = made_room((m->name_count + 1) * sizeof(*names));
	struct access_file *files = made_room(64 * sizeof(*files));
	struct access_build b = {
		.v4 = made_room(room4 * sizeof(struct access_v4)),
		.v4_spare = made_room(room4 * sizeof(struct access_v4)),
		.v6 = made_room(n * sizeof(struct access_v6)),
		.v6_spare = made_room(n * sizeof(struct access_v6)),
		.segments6 = made_room(2 * n * sizeof(struct access_segment6)),
		.deep = made_room(2 * n * sizeof(struct access_segment6)),
		.infos = made_room(n * sizeof(struct access_info)),
		.chains = made_room(64 * n * sizeof(struct access_chain)),
		.chain_room = 64 * n,
		.nodes = made_room(ACCESS_NODES * sizeof(struct access_node)),
		.more = more,
		.names = names,
		.lists = files,
		.list_count = m->lists,
		.first_match = m->first_match,
		.key = { 1, 2 },
	};
	uint32_t file = made_text(text, &text_n, "a list"), unused;
	enum flatten came;

	unused = made_text(text, &text_n, "because");
	BUG_IF(unused != 10);
	for (size_t i = 0; i < m->lists; i++)
		files[i].file = file;
	for (size_t i = 0; i < m->count; i++) {
		made_put(&b, more, &m->entries[i]);
		files[m->entries[i].list].entries++;
	}
	for (size_t i = 0; i < m->name_count; i++) {
		const struct made_name *e = &m->names[i];

		names[b.name_count++] = (struct access_name){
			.text = made_text(text, &text_n, e->text),
			.line = e->line,
			.until = e->until,
			.list = (uint8_t)e->list,
			.answer = (uint8_t)e->answer,
			.of = (uint8_t)e->of,
		};
		files[e->list].entries++;
	}
	b.text = span_of(text, text_n);
	access_sort(&b);
	came = access_flatten(&b);
	m->repeated = b.repeated;
	if (came == FLATTEN_DONE) {
		m->n = access_build_size(&b);
		m->mem = made_room(m->n);
		access_build(&b, m->mem);
	}
	free(b.v4);
	free(b.v4_spare);
	free(b.v6);
	free(b.v6_spare);
	free(b.segments6);
	free(b.deep);
	free(b.infos);
	free(b.chains);
	free(b.nodes);
	free(more);
	free(names);
	free(files);
	free(text);
	return came;
}

#endif
