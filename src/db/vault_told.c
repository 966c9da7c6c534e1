#include "db/vault_told.h"

#include "db/vault_inner.h"

static struct span addr_span(const struct addr *a)
{
	return span_of(a->ip, sizeof(a->ip));
}

static struct addr addr_at(sqlite3_stmt *st, int column)
{
	struct span s = sql_text(st, column);
	struct addr a = { 0 };

	if (s.n == sizeof(a.ip))
		memcpy(a.ip, s.p, s.n);
	return a;
}

/* ---- devices ------------------------------------------------------------------------------ */

bool vault_put_device(struct vault *v, const struct vault_device *d, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_DEVICE_PUT);

	sql_bind(st, 1, (int64_t)d->user);
	sql_bind(st, 2, (int64_t)d->client);
	sql_bind_blob(st, 3, addr_span(&d->prefix));
	sql_bind_text(st, 4, d->address);
	sql_bind_text(st, 5, d->helo);
	sql_bind(st, 6, d->first);
	sql_bind(st, 7, d->last);
	sql_bind(st, 8, d->logins);
	return sql_run(&v->sql, st, "remembering a device", err) && vault_settle(v, err);
}

bool vault_each_device(struct vault *v, int64_t since, size_t limit,
		       void (*each)(void *arg, const struct vault_device *d), void *arg,
		       struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_DEVICES);
	bool row;

	sql_bind(st, 1, since);
	sql_bind(st, 2, (int64_t)limit);
	for (;;) {
		struct vault_device d = { 0 };

		if (!sql_row(&v->sql, st, &row, "reading devices", err))
			return false;
		if (!row)
			return true;
		d.user = (uint64_t)sqlite3_column_int64(st, 0);
		d.client = (uint64_t)sqlite3_column_int64(st, 1);
		d.prefix = addr_at(st, 2);
		d.first = sqlite3_column_int64(st, 3);
		d.last = sqlite3_column_int64(st, 4);
		d.logins = (uint32_t)sqlite3_column_int64(st, 5);
		each(arg, &d);
	}
}

bool vault_devices_of(struct vault *v, struct span address, size_t skip, size_t limit,
		      void (*each)(void *arg, const struct vault_device *d), void *arg,
		      struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_DEVICES_OF);
	bool row;

	sql_bind_text(st, 1, address);
	sql_bind(st, 2, (int64_t)limit);
	sql_bind(st, 3, (int64_t)skip);
	for (;;) {
		struct vault_device d = { .address = address };

		if (!sql_row(&v->sql, st, &row, "reading devices", err))
			return false;
		if (!row)
			return true;
		d.client = (uint64_t)sqlite3_column_int64(st, 0);
		d.prefix = addr_at(st, 1);
		d.helo = sql_text(st, 2);
		d.first = sqlite3_column_int64(st, 3);
		d.last = sqlite3_column_int64(st, 4);
		d.logins = (uint32_t)sqlite3_column_int64(st, 5);
		each(arg, &d);
	}
}

bool vault_forget_devices(struct vault *v, struct span address, int64_t *count,
			  struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_DEVICES_DROP);

	sql_bind_text(st, 1, address);
	if (!sql_run(&v->sql, st, "forgetting devices", err))
		return false;
	*count = sql_changes(&v->sql);
	return vault_settle(v, err);
}

bool vault_prune_devices(struct vault *v, int64_t before, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_DEVICES_PRUNE);

	sql_bind(st, 1, before);
	return sql_run(&v->sql, st, "forgetting old devices", err) && vault_settle(v, err);
}

/* ---- history ------------------------------------------------------------------------------- */

bool vault_put_login(struct vault *v, const struct vault_login *l, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_HISTORY_PUT);

	sql_bind_text(st, 1, l->address);
	sql_bind(st, 2, l->good);
	sql_bind_blob(st, 3, addr_span(&l->prefix));
	sql_bind(st, 4, (int64_t)l->client);
	sql_bind_text(st, 5, l->reason);
	sql_bind_text(st, 6, l->mechanism);
	sql_bind_blob(st, 7, addr_span(&l->peer));
	sql_bind_text(st, 8, l->helo);
	sql_bind(st, 9, l->first);
	sql_bind(st, 10, l->last);
	sql_bind(st, 11, l->count);
	return sql_run(&v->sql, st, "remembering a login", err) && vault_settle(v, err);
}

bool vault_prune_logins(struct vault *v, struct span address, int64_t keep,
			struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_HISTORY_PRUNE);

	sql_bind_text(st, 1, address);
	sql_bind(st, 2, keep);
	return sql_run(&v->sql, st, "forgetting old logins", err) && vault_settle(v, err);
}

bool vault_logins_of(struct vault *v, struct span address, bool failures_only, size_t skip,
		     size_t limit, void (*each)(void *arg, const struct vault_login *l),
		     void *arg, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_HISTORY_OF);
	bool row;

	sql_bind_text(st, 1, address);
	sql_bind(st, 2, failures_only ? 0 : 1);
	sql_bind(st, 3, (int64_t)limit);
	sql_bind(st, 4, (int64_t)skip);
	for (;;) {
		struct vault_login l = { .address = address };

		if (!sql_row(&v->sql, st, &row, "reading logins", err))
			return false;
		if (!row)
			return true;
		l.good = sqlite3_column_int(st, 0) != 0;
		l.prefix = addr_at(st, 1);
		l.client = (uint64_t)sqlite3_column_int64(st, 2);
		l.reason = sql_text(st, 3);
		l.mechanism = sql_text(st, 4);
		l.peer = addr_at(st, 5);
		l.helo = sql_text(st, 6);
		l.first = sqlite3_column_int64(st, 7);
		l.last = sqlite3_column_int64(st, 8);
		l.count = sqlite3_column_int64(st, 9);
		each(arg, &l);
	}
}

bool vault_tell(struct vault *v, struct span address, struct span kind, int64_t wall,
		int64_t last, bool *due, struct err *err)
{
	sqlite3_stmt *st = sql_start(&v->sql, Q_TOLD_PUT);

	sql_bind_text(st, 1, address);
	sql_bind_text(st, 2, kind);
	sql_bind(st, 3, wall);
	sql_bind(st, 4, last);
	if (!sql_run(&v->sql, st, "noting a notice", err))
		return false;
	*due = sql_changes(&v->sql) > 0;
	return vault_settle(v, err);
}
