#include "edge/inside.h"

bool facts_open(struct edge *e, struct err *err)
{
	(void)e;
	(void)err;
	return true;
}

void facts_close(struct edge *e)
{
	(void)e;
}

void facts_adopt(struct edge *e)
{
	(void)e;
}

void facts_begin(struct conn *c)
{
	(void)c;
}

void facts_fill(const struct conn *c, struct facts *out)
{
	(void)c;
	out->state = FACTS_NONE;
}

void facts_wait(struct conn *c)
{
	conn_answer_soon(c, IN_FACTS, 0);
}

void facts_forget(struct conn *c)
{
	(void)c;
}
