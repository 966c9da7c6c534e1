/*
 * hosts - those that take mail for a next hop, one after the other
 *
 * A host and port, or a domain: then its MX hosts in their order (RFC 5321, 5.1), what
 * its MTA-STS policy says of them (RFC 8461), and what their TLSA records say (RFC 7672);
 * the latter also of a host that the configuration names. Each host is looked up when its
 * turn comes.
 *
 * What the DNS says is only believed to be authentic if the resolver is on this machine
 * (io/dns.h).
 */
#ifndef EDGE_HOSTS_H
#define EDGE_HOSTS_H

#include "edge/policies.h"
#include "io/dns.h"
#include "io/tls.h"

#define HOSTS_MAX      8    /* of a domain: more are not tried */
#define HOST_ADDRESSES 6    /* of a host with MX records; of others DNS_ADDRESSES */
#define HOST_RECORDS   8    /* TLSA, usable ones */
#define HOST_BYTES     2048 /* of them */
#define HOSTS_WHY      320

struct hosts_setup {
	struct loop *loop;
	struct dns *dns;
	struct policies *policies; /* NULL: MTA-STS is off */
	bool dane;
	enum hop hop;	    /* LMTP, SMTP, MX */
	struct span target; /* borrowed */
	struct span self;   /* our name; borrowed */
	enum hop_tls tls;
	uint16_t mx_port; /* of who is looked up */
};

/* How the host whose turn it is must be met. */
struct host {
	char name[DOMAIN_MAX + 1];
	char also[DOMAIN_MAX + 1]; /* with DANE its certificate may be for this, too */
	uint16_t port;
	size_t count; /* at least one */
	struct addr addresses[DNS_ADDRESSES];
	enum hop_tls tls;
	enum tls_proof proof;
	const char *word; /* for the log: who vouches for it, "no" if nobody does */
	size_t record_count;
	struct tls_record records[HOST_RECORDS];
};

/* Embed it, zeroed. */
struct hosts {
	/* to read when on_host is called */
	bool over; /* there is no host left */
	struct host host;
	int code; /* of why nobody could be reached; 0: none, for now */
	uint16_t why_n;
	uint8_t why[HOSTS_WHY];
	/* ---- */
	struct hosts_setup setup;
	void (*on_host)(void *arg);
	void *arg;
	bool noted;
	struct policy_ask ask;
	struct dns_lookup lookup, other_lookup;
	struct dns_query query;
	unsigned due; /* look-ups under way */
	bool failed, secure, hosts_secure;
	struct dns_name alias; /* what the name of a configured host stands for */
	bool enforced;	       /* the policy says which hosts may be used */
	size_t at, host_count;
	struct {
		bool allowed; /* by the policy */
		struct dns_name name;
	} hosts[HOSTS_MAX];
	uint16_t allowed_n;
	uint8_t allowed[STS_HOSTS_MAX]; /* the patterns of the policy, until there are hosts */
	size_t v4_count, v6_count;
	struct addr v4[HOST_ADDRESSES], v6[HOST_ADDRESSES];
	uint8_t bytes[HOST_BYTES]; /* of the TLSA records */
};

/* "host:port", "[2001:db8::1]:port" */
MUST bool hosts_split(struct span target, struct span *host, uint16_t *port);

/* Find the first host. on_host is called, possibly before this returns. */
void hosts_begin(struct hosts *r, const struct hosts_setup *setup,
		 void (*on_host)(void *arg), void *arg);
/* Find the next. */
void hosts_next(struct hosts *r);
/* on_host will not be called. One that is not under way is fine. */
void hosts_stop(struct hosts *r);

/*
 * Remember why it came to nothing. What may be better later counts more than what is for
 * good, and the last of a kind most.
 */
void hosts_note(struct hosts *r, int code, struct span why);

#endif
