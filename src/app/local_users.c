#include "app/local_users.h"

#include <pwd.h>

static bool are_wanted(const struct conf *conf)
{
	for (uint32_t i = 0; i < conf->listener_count; i++)
		if (*conf->listeners[i].path)
			return true;
	return false;
}

/* A name that can stand in front of an @ as it is. */
static bool is_plain(const char *name)
{
	static const char fine[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = strlen(name);

	return n > 0 && n < sizeof(((struct local_user *)0)->name) &&
	       strspn(name, fine) == n;
}

void local_users_read(struct conf *conf)
{
	const struct passwd *p;

	conf->local_user_count = 0;
	if (!are_wanted(conf))
		return;
	setpwent();
	while (conf->local_user_count < LOCAL_USERS_MAX && (p = getpwent()) != NULL) {
		struct local_user *u = &conf->local_users[conf->local_user_count];

		if (!is_plain(p->pw_name))
			continue;
		u->uid = p->pw_uid;
		memcpy(u->name, p->pw_name, strlen(p->pw_name) + 1);
		conf->local_user_count++;
	}
	endpwent();
}
