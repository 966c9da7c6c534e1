#include "guard/fade.h"

#define LN2 0.69314718055994530942

/* 2 to the power of -x, for 0 <= x < 1: the series of e^-y, y = x ln 2 < 0.7. */
static double part(double x)
{
	double y = x * LN2, sum = 1;

	for (int i = 9; i > 0; i--)
		sum = 1 - y / i * sum;
	return sum;
}

double fade(double points, int64_t age, int64_t half_life)
{
	int64_t whole;

	if (age <= 0)
		return points;
	if (half_life <= 0)
		return 0;
	whole = age / half_life;
	if (whole > 60)
		return 0;
	points /= (double)(UINT64_C(1) << whole);
	return points * part((double)(age % half_life) / (double)half_life);
}
