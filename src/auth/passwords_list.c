#include "auth/passwords_inner.h"

#include "base/fields.h"
#include "base/list.h"

static void put_row(struct job *j, const struct buf *row)
{
	list_put(&j->rows, buf_span(row));
	j->told++;
}

static void put_password_row(void *arg, struct span address, struct span hash,
			     int64_t changed, bool disabled)
{
	struct job *j = arg;
	uint8_t mem[ROW_ROOM];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "address", address);
	if (hash.n) {
		field_text(&row, "scheme", password_scheme(hash));
		field_time(&row, "changed", changed);
	}
	field_flag(&row, "disabled", disabled);
	put_row(j, &row);
	passwords_keep_name(j, address);
}

/* From behind the last one told, which the walk itself replaces. */
static struct span after_of(const struct job *j, uint8_t mem[TEXT_MAX])
{
	memcpy(mem, j->name, j->name_n);
	return span_of(mem, j->name_n);
}

bool passwords_list(struct job *j, struct vault *v)
{
	uint8_t mem[TEXT_MAX];

	return vault_each(v, after_of(j, mem), PAGE, put_password_row, j, &j->err);
}

/* For `explain USER`: one row, with since when it is disabled, if it is. */
bool passwords_state(struct job *j, struct vault *v)
{
	uint8_t mem[ROW_ROOM];
	struct buf row;
	int64_t since;

	if (!vault_disabled(v, name_of(j), &since, &j->err))
		return false;
	buf_init(&row, mem, sizeof(mem));
	field_flag(&row, "disabled", since != 0);
	if (since)
		field_time(&row, "since", since);
	put_row(j, &row);
	return true;
}

static void put_relay_row(void *arg, struct span name, struct span user, int64_t changed)
{
	struct job *j = arg;
	uint8_t mem[ROW_ROOM];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "name", name);
	field_text(&row, "user", user);
	field_time(&row, "changed", changed);
	put_row(j, &row);
	passwords_keep_name(j, name);
}

bool passwords_relays(struct job *j, struct vault *v)
{
	uint8_t mem[TEXT_MAX];

	return vault_each_credential(v, after_of(j, mem), PAGE, put_relay_row, j, &j->err);
}

static void put_addr(struct buf *row, const char *name, const struct addr *a)
{
	uint8_t mem[64];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	addr_print(a, &text);
	field_text(row, name, buf_span(&text));
}

static void put_client(struct buf *row, uint64_t client)
{
	uint8_t mem[20];
	struct buf text;

	buf_init(&text, mem, sizeof(mem));
	buf_fmt(&text, "%08x", (unsigned)(client >> 32));
	field_text(row, "client", buf_span(&text));
}

static void put_device_row(void *arg, const struct vault_device *d)
{
	uint8_t mem[ROW_ROOM];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	put_addr(&row, "network", &d->prefix);
	field_text(&row, "helo", d->helo);
	put_client(&row, d->client);
	field_time(&row, "first", d->first);
	field_time(&row, "last", d->last);
	field_number(&row, "logins", d->logins);
	put_row(arg, &row);
}

bool passwords_devices(struct job *j, struct vault *v)
{
	return vault_devices_of(v, name_of(j), j->before, PAGE, put_device_row, j,
				&j->err);
}

static void put_login_row(void *arg, const struct vault_login *l)
{
	uint8_t mem[ROW_ROOM];
	struct buf row;

	buf_init(&row, mem, sizeof(mem));
	field_text(&row, "result", l->good ? SPAN("ok") : l->reason);
	put_addr(&row, "network", &l->prefix);
	put_addr(&row, "from", &l->peer);
	field_text(&row, "helo", l->helo);
	field_text(&row, "mechanism", l->mechanism);
	field_time(&row, "first", l->first);
	field_time(&row, "last", l->last);
	field_number(&row, "count", l->count);
	put_row(arg, &row);
}

bool passwords_logins(struct job *j, struct vault *v)
{
	return vault_logins_of(v, name_of(j), false, j->before, PAGE, put_login_row, j,
			       &j->err);
}

bool passwords_failures(struct job *j, struct vault *v)
{
	return vault_logins_of(v, name_of(j), true, j->before, PAGE, put_login_row, j,
			       &j->err);
}
