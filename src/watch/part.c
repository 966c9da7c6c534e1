#include "watch/part.h"

#include "base/fields.h"

void part_begin(struct part *p, const char *name)
{
	buf_init(&p->out, p->mem, sizeof(p->mem));
	if (name)
		part_put(p, "part", name);
}

void part_put(struct part *p, const char *name, const char *text)
{
	field_text(&p->out, name, span_str(text));
}

void part_end(struct part *p)
{
	p->to->row(p->to->arg, &p->out);
}
