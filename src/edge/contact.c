#include "edge/contact.h"

#include <stdlib.h>

struct contact *contact_new(struct contacts *all, void (*on_ready)(void *arg), void *arg)
{
	struct contact *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->all = all;
	c->on_ready = on_ready;
	c->arg = arg;
	buf_init(&c->out, c->out_mem, sizeof(c->out_mem));
	return c;
}

void contact_on_ready(void *contact)
{
	struct contact *c = contact;

	c->on_ready(c->arg);
}

static void leave(struct contact *c)
{
	if (!c->back)
		return;
	*c->back = c->next;
	if (c->next)
		c->next->back = c->back;
	c->back = NULL;
	c->all->count--;
}

void contact_drop(struct contact **contact)
{
	struct contact *c = *contact;

	*contact = NULL;
	if (!c)
		return;
	leave(c);
	timer_stop(&c->timer);
	stream_close(&c->stream);
	explicit_bzero(c->out_mem, sizeof(c->out_mem)); /* a password may have been there */
	free(c);
}

/* ---- waiting ------------------------------------------------------------------------------ */

/* While it waits the host has nothing to say but goodbye. */
static void on_waiting_ready(void *arg)
{
	struct contact *c = arg;
	uint8_t byte;
	size_t n;

	if (stream_read(&c->stream, &byte, 1, &n) != STREAM_AGAIN)
		contact_drop(&c);
}

static void on_waited(void *arg)
{
	struct span bye = SPAN("QUIT\r\n");
	struct contact *c = arg;

	(void)stream_write(&c->stream, &bye);
	stream_finish(&c->stream);
	contact_drop(&c);
}

static struct span part(const struct contact *c, size_t i)
{
	return span_of(c->key[i], c->key_n[i]);
}

static bool fits(const struct contact *c, const struct contact_key *key)
{
	return c->hop == key->hop && c->tls == key->tls &&
	       span_eq(part(c, 0), key->target) && span_eq(part(c, 1), key->credential) &&
	       span_eq(part(c, 2), key->helo);
}

struct contact *contact_find(struct contacts *all, const struct contact_key *key,
			     void (*on_ready)(void *arg), void *arg)
{
	struct contact *c = all->first;

	while (c && !fits(c, key))
		c = c->next;
	if (!c)
		return NULL;
	leave(c);
	timer_stop(&c->timer);
	c->on_ready = on_ready;
	c->arg = arg;
	return c;
}

static bool set_key(struct contact *c, const struct contact_key *key)
{
	const struct span parts[] = { key->target, key->credential, key->helo };

	c->hop = key->hop;
	c->tls = key->tls;
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (parts[i].n >= TEXT_MAX)
			return false;
		c->key_n[i] = (uint8_t)parts[i].n;
		if (parts[i].n)
			memcpy(c->key[i], parts[i].p, parts[i].n);
	}
	return true;
}

void contact_keep(struct contact **contact, const struct contact_key *key, ms_t how_long)
{
	struct contact *c = *contact;
	struct contacts *all = c->all;

	*contact = NULL;
	if (all->count >= CONTACTS_WAITING || !set_key(c, key)) {
		on_waited(c);
		return;
	}
	c->on_ready = on_waiting_ready;
	c->arg = c;
	c->next = all->first;
	c->back = &all->first;
	if (c->next)
		c->next->back = &c->next;
	all->first = c;
	all->count++;
	timer_init(&c->timer, all->loop, on_waited, c);
	timer_set(&c->timer, loop_now(all->loop) + how_long);
}

void contacts_drop(struct contacts *all)
{
	while (all->first)
		on_waited(all->first);
}
