#include "guard/fade.h"

#define LN2	  0.69314718055994530942
#define HALF_SQRT 0.70710678118654752440

/*
 * 2 to the power of -x, for 0 <= x < 1: the series of e^y around the middle, where y is so
 * small that seven terms do. Multiplied out, as a division costs more than all of it.
 */
static double part(double x)
{
	double y = (0.5 - x) * LN2;

	return HALF_SQRT *
	       (1 +
		y * (1 + y * (1.0 / 2 +
			      y * (1.0 / 6 +
				   y * (1.0 / 24 + y * (1.0 / 120 + y * (1.0 / 720)))))));
}

double fade(double points, int64_t age, int64_t half_life)
{
	int64_t whole;

	/* of nothing, nothing is left: most rows have no points, and a division takes 9 ns */
	if (age <= 0 || points == 0)
		return points;
	if (half_life <= 0)
		return 0;
	if (age >= half_life) {
		whole = age / half_life;
		if (whole > 60)
			return 0;
		points /= (double)(UINT64_C(1) << whole);
		age -= whole * half_life;
	}
	return points * part((double)age / (double)half_life);
}
