#include "app/life.h"

void upgrade_start(struct supervisor *s, struct asked asked)
{
	life_answer(s, &asked, false, "not in this version");
}

void upgrade_tried(struct supervisor *s, int status)
{
	(void)s;
	(void)status;
}

bool upgrade_resume(struct supervisor *s, int fd, struct err *err)
{
	(void)s;
	(void)fd;
	return err_set(err, "not in this version");
}

void upgrade_go_on(struct supervisor *s)
{
	(void)s;
}
