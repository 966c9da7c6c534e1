/*
 * nft - one run of the nft program
 *
 * The batch is its standard input, a memfd; what it prints goes to others, so nobody has to
 * read along, and nobody waits for anybody. Its arguments never change. One that hangs is
 * killed; how much it may print and compute is limited.
 */
#ifndef FIREWALL_NFT_H
#define FIREWALL_NFT_H

#include <sys/types.h>

#include "base/span.h"
#include "io/loop.h"

#define NFT_OUT_MAX 4096 /* of what it prints, as much as we look at */

enum nft_how {
	NFT_CHANGE, /* nft -f - */
	NFT_CHECK, /* nft -c -f -: the kernel says whether it would do it, and does nothing */
};

enum nft_end {
	NFT_OK,
	NFT_NO,	    /* it, or the kernel, refused */
	NFT_HUNG,   /* it was killed */
	NFT_CANNOT, /* it could not be run at all */
};

struct nft_result {
	enum nft_end end;
	struct span out, errors; /* good until the next run */
	char why[200];		 /* what to tell the administrator, unless NFT_OK */
};

struct nft {
	struct loop *loop;
	const char *path; /* borrowed */
	void (*on_end)(void *arg, const struct nft_result *r);
	void *arg;
	struct timer limit;
	pid_t pid; /* 0: none now */
	bool hung;
	int in, out, errors;
	char out_mem[NFT_OUT_MAX], errors_mem[NFT_OUT_MAX];
};

/* Before the sandbox closes, because it handles SIGCHLD. */
MUST bool nft_open(struct nft *n, struct loop *loop, const char *path,
		   void (*on_end)(void *arg, const struct nft_result *r), void *arg,
		   struct err *err);
/* Kills what still runs; on_end is not called. */
void nft_close(struct nft *n);

static inline bool nft_busy(const struct nft *n)
{
	return n->pid > 0;
}

/*
 * Only while none runs. on_end comes later, from the loop. False: it could not be started, and
 * err says why.
 */
MUST bool nft_run(struct nft *n, enum nft_how how, struct span batch, ms_t within,
		  struct err *err);
/* It has only so much time left. */
void nft_hurry(struct nft *n, ms_t within);

#endif
