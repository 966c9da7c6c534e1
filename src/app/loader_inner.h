/*
 * loader_inner - what the files that read one kind of section each share
 *
 * walk_NAME() takes one entry of section NAME: a group whose members have the right names
 * and kinds, or a text. What it says is judged here as far as one entry can be; how the
 * entries go together, conf_check() judges.
 */
#ifndef APP_LOADER_INNER_H
#define APP_LOADER_INNER_H

#include "app/loader_walk.h"

struct origin walk_origin(const config_setting_t *s);
/* The text of an entry of texts. */
struct span walk_string(const config_setting_t *s);

/* The text of a member that is there, or NULL. */
const char *walk_text(const config_setting_t *group, const char *name);
bool walk_has(const config_setting_t *group, const char *name);
bool walk_flag(const config_setting_t *group, const char *name);
/* The index of a member's word; fallback if it is not there. */
int walk_word(const config_setting_t *group, enum section section, const char *name,
	      int fallback);

/* In lower case and as the DNS has it; false, and reported, if it is not a domain. */
MUST bool walk_domain(struct walk *w, const config_setting_t *s, struct span text,
		      char out[DOMAIN_MAX + 1]);
/* As an absolute path. False, and reported, if it is too long. */
MUST bool walk_path(struct walk *w, const config_setting_t *s, const char *path,
		    char out[TEXT_MAX]);

/*
 * What a text says, into a member of the configuration. These texts go into logs, into
 * addresses that are fetched and into DNS names, so nothing else than visible characters
 * may be in them. Empty stays empty, and is reported only if it may not be.
 */
MUST bool walk_take(struct walk *w, const config_setting_t *s, const char *what,
		    const char *text, char *out, size_t cap);
/*
 * Somebody's name or address, in place: in lower case, and what is behind an @ as the DNS has
 * it. False, and reported, if it can have no such thing.
 */
MUST bool walk_account(struct walk *w, const config_setting_t *s, const char *what,
		       char *text, size_t cap);

/* loader_set.c: "KEY=VALUE", over what the file says */
void loader_set(struct loaded *l, struct problems *p, const char *text);

/* loader_syntax.c: what libconfig could not read, and what it was meant to be */
void loader_unreadable(struct problems *p, struct origin at, const char *text);

/* loader_owners.c: have the roles users of their own, and none of them root? */
void loader_judge_owners(const struct conf *c, const struct origins *o,
			 struct problems *p);

/* loader_hosts.c: names of machines, which the DNS has in ASCII */
void loader_hosts(struct loaded *l, struct problems *p);
/*
 * host:port, or a next hop (smtp:host:port), with the host as the DNS has it. Whether it is
 * one at all is not judged. False, and reported, if its letters can be none.
 */
MUST bool walk_host(struct walk *w, const config_setting_t *s, const char *what,
		    struct span text, char out[TEXT_MAX]);

/* loader_sections.c: who connects, and whose mail we take */
void walk_listener(struct walk *w, const config_setting_t *s);
void walk_certificate(struct walk *w, const config_setting_t *s);
void walk_domains(struct walk *w, const config_setting_t *s);
void walk_route(struct walk *w, const config_setting_t *s);
void walk_source(struct walk *w, const config_setting_t *s);
void walk_proxy(struct walk *w, const config_setting_t *s);
void walk_xclient(struct walk *w, const config_setting_t *s);
void walk_allow(struct walk *w, const config_setting_t *s);
void walk_deny(struct walk *w, const config_setting_t *s);
void walk_access(struct walk *w, const config_setting_t *s);
void walk_dnsbl(struct walk *w, const config_setting_t *s);
void walk_observed(struct walk *w, const config_setting_t *s);

/* loader_users.c: who logs in, and where their mail goes */
void walk_relay(struct walk *w, const config_setting_t *s);
void walk_passwords(struct walk *w, const config_setting_t *s);
void walk_trap(struct walk *w, const config_setting_t *s);
void walk_oauth(struct walk *w, const config_setting_t *s);
void walk_send_as(struct walk *w, const config_setting_t *s);
void walk_dkim(struct walk *w, const config_setting_t *s);

/* loader_mailboxes.c: where they read it */
void walk_backend(struct walk *w, const config_setting_t *s);
void walk_mailbox(struct walk *w, const config_setting_t *s);

#endif
