/*
 * standing - what the guard thinks of a client, as its session is told
 *
 * edge/ fills it in before each step; the session obeys and does not ask why.
 */
#ifndef SESSION_STANDING_H
#define SESSION_STANDING_H

#include "base/buf.h"
#include "base/time.h"
#include "spec/limits.h"
#include "spec/replies.h"
#include "spec/rules.h"

enum facts_state {
	FACTS_NONE,    /* nobody looks anything up */
	FACTS_PENDING, /* under way: RCPT waits for them (DO_FACTS) */
	FACTS_KNOWN,
};

/* What the DNS says about the client. */
struct facts {
	enum facts_state state;
	bool no_ptr;	 /* its address has no name */
	bool ptr_forged; /* it has one that does not have the address */
	bool failed;	 /* some look-up had no answer */
	uint8_t name_n;	 /* of the verified name; 0: none */
	char name[DOMAIN_MAX];
	int32_t weight;	       /* of blocklists, less that of allow lists */
	bool listed, welcomed; /* by one of either */
	char zone[64];	       /* the heaviest that lists it; "" for none */
};

struct standing {
	bool known_good, allowed;
	bool passed; /* no greeting delay */
	/*
	 * RULE_NONE: nothing. Otherwise senders and recipients get this rule's reply with
	 * the code; and if over, the session ends with it at once.
	 */
	enum rule late;
	bool over;
	/* the client's code, of whatever rule: the session puts the letter of the rule that
	   refuses in its first place; "" for none */
	char id[CODE_MAX];
	ms_t delay; /* answers to offences are held back so long; 0: not */
	/* as they are now, with little room (0: as configured) */
	ms_t command_timeout, data_timeout, tls_timeout;
	int64_t errors, junk;
	bool handshake_over; /* STARTTLS gets 454 */
	struct facts facts;
};

#define RULE_TEXT_MAX (CODE_MAX + TEXT_MAX + 4)

/*
 * What follows the text of a rule's reply: "[P7K2Q9M] +49 30 123456", from a code of the
 * client of whatever rule, and guard.contact; each may be empty. At most RULE_TEXT_MAX.
 */
void standing_print_code(enum rule rule, const char *id, struct span contact,
			 struct buf *out);

#endif
