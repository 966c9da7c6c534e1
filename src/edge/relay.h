/*
 * relay - bytes between a client and its mailbox server, both ways, and nothing else
 *
 * An idle one holds two streams. A block is lent while a side cannot take what was read; a
 * pipe while much flows between two plain sockets, so that the kernel moves it (splice(2)).
 * What one side does not take is not read from the other. An end is passed on, and the other
 * way goes on.
 *
 * It reads no clock and knows no session: its owner watches idleness, and has it go on when
 * one of the streams calls. Of IMAP it knows where an answer ends, for its owner's last word.
 */
#ifndef EDGE_RELAY_H
#define EDGE_RELAY_H

#include "io/pool.h"
#include "io/stream.h"
#include "spec/limits.h"
#include "wire/imap_answers.h"

#define RELAY_BLOCK   16384 /* as a record of TLS */
#define RELAY_PIPE    (256u << 10)
#define RELAY_PIPES   256	 /* lent at once, of an edge; who gets none uses blocks */
#define RELAY_SPARE   32	 /* kept for the next */
#define RELAY_AT_ONCE (1u << 20) /* bytes of one session before others have their turn */

struct relay_pipe {
	struct relay_pipe *next;
	int fd[2];
	size_t room;
};

/* What the relays of an edge share. */
struct relays {
	struct pool blocks;
	struct relay_pipe *spare;
	size_t pipes, spares; /* all, and those that are spare */
	uint8_t *scratch;     /* RELAY_BLOCK bytes, used between two waits only */
};

void relays_init(struct relays *all, void *scratch);
void relays_close(struct relays *all);

struct relay_way {
	struct stream *from, *to;
	uint64_t bytes; /* for the owner to read */
	struct relay_pipe *pipe;
	size_t in_pipe;
	uint8_t *block;
	uint16_t at, n;	  /* what the block holds */
	bool bulk;	  /* much flows */
	bool ended, shut; /* nothing more comes; and that was passed on */
};

struct relaying {
	struct relays *all;
	struct stream server;	   /* for the owner to connect */
	struct relay_way up, down; /* to the server, to the client */
	struct imap_answers answers;
	bool imap;	   /* for the owner to say: the answers are followed */
	bool server_first; /* it was the server that ended it */
	bool reset;	   /* the client's connection broke */
	/* the owner's */
	ms_t moved, leave_by;
	uint64_t bytes_before;
	char name[BACKEND_NAME_MAX]; /* of the server; "": none yet */
};

enum relay_result {
	RELAY_WAITS, /* until a stream calls */
	RELAY_MORE,  /* it had its share: have it go on soon */
	RELAY_LEAVES, /* as WAITS, but the server has ended it: the client has to close now */
	RELAY_OVER,
};

/*
 * r: zeroed, then its server connected, at the end of an answer. What each side has said
 * since. False: no memory.
 */
MUST bool relay_begin(struct relaying *r, struct relays *all, struct stream *client,
		      struct span from_client, struct span from_server);
/* It is IMAP, and an answer of ours would be heard as one: nothing else is on its way. */
bool relay_between_answers(const struct relaying *r);
enum relay_result relay_go_on(struct relaying *r);
/* Give back what is lent, close the server's stream; one that never began is fine. */
void relay_end(struct relaying *r);

#endif
