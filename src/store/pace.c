#include "store/pace.h"

unsigned window_size(const struct window *w, unsigned most)
{
	unsigned size = w->size ? w->size : WINDOW_FIRST;

	return size < most ? size : most;
}

void window_won(struct window *w, unsigned most)
{
	unsigned size = window_size(w, most);

	if (++w->won < size)
		return;
	w->won = 0;
	w->size = size < most ? size + 1 : most;
}

void window_lost(struct window *w)
{
	unsigned size = w->size ? w->size : WINDOW_FIRST;

	w->won = 0;
	w->size = size > 1 ? size / 2 : 1;
}

static ms_t doubled(ms_t first, uint32_t times, ms_t longest)
{
	ms_t pause = first;

	while (times-- > 0 && pause < longest)
		pause *= 2;
	return pause < longest ? pause : longest;
}

static ms_t scattered(ms_t pause, uint64_t seed)
{
	uint64_t mixed = seed * 0x9e3779b97f4a7c15u;

	return pause - (ms_t)((mixed >> 40) % ((uint64_t)pause / 8 + 1));
}

ms_t pace_pause(uint32_t tries, ms_t first, ms_t longest, uint64_t seed)
{
	return scattered(doubled(first, tries ? tries - 1 : 0, longest), seed + tries);
}

ms_t pace_back_off(uint32_t fails, ms_t first, ms_t longest, uint64_t seed)
{
	ms_t shortest = first / 10 > MS_SECOND ? first / 10 : MS_SECOND;

	return scattered(doubled(shortest, fails ? fails - 1 : 0, longest), seed + fails);
}
