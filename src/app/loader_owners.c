#include "app/loader_inner.h"
#include "app/places.h"

/* Roles that nobody wants are not started, and need no user. */
static bool is_wanted(const struct conf *c, enum setting which)
{
	if (which == SET_user_firewall)
		return c->set.firewall;
	return which != SET_user_fetch || conf_wants_fetch(c);
}

/*
 * Each role has its own kind of power (ARCHITECTURE.md), and the users keep these apart where
 * a sandbox is missing or broken out of. Started as somebody else than root there is only one
 * user, so sharing is possible; but whoever starts as root can have better. With root's own
 * rights there would be nothing left to keep apart.
 */
void loader_judge_owners(const struct conf *c, const struct origins *o, struct problems *p)
{
	static const enum setting rows[] = { SET_user_edge,  SET_user_store,
					     SET_user_auth,  SET_user_watch,
					     SET_user_fetch, SET_user_firewall };
	enum setting seen[COUNT_OF(rows)];
	struct owner owners[COUNT_OF(rows)];
	struct err err;
	size_t n = 0;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct setting_row *row = &setting_table[rows[i]];
		const char *text = (const char *)&c->set + row->offset;
		size_t same = 0;

		/* one that is not there need not be, on the machine of whoever only checks */
		if (!is_wanted(c, rows[i]) || !owner_find(text, &owners[n], &err))
			continue;
		if (!owner_is_fit(text, &owners[n], &err)) {
			problem(p, o->set[rows[i]], "%s: %s", row->key, err.text);
			continue;
		}
		while (same < n && owners[same].uid != owners[n].uid)
			same++;
		if (same < n)
			doubt(p, o->set[rows[i]],
			      "%s is the same user as %s (%s): whoever breaks into one of the "
			      "two roles has what the other may touch, as far as the sandbox "
			      "lets him; give each a user of its own",
			      row->key, setting_table[seen[same]].key, text);
		seen[n++] = rows[i];
	}
}
