#include "rehearse/summary.h"

struct served {
	double done, asked, p99; /* p99: of the slowest kind of client */
};

static const json_t *phase_in(const json_t *actor, const char *word)
{
	return element_with(json_object_get(actor, "phases"), "phase", word);
}

/* Visits that ended so; without a word all, but for those that the phase was over for. */
static double ended(const json_t *phase, const char *word)
{
	const char *stage, *end;
	json_t *ends, *n;
	double sum = 0;

	json_object_foreach(json_object_get(phase, "ended"), stage, ends)
	{
		json_object_foreach(ends, end, n)
		{
			if (word ? strcmp(end, word) == 0 : strcmp(end, "over") != 0)
				sum += or_zero(figure(n));
		}
	}
	return sum;
}

/* As promises are judged: what was due and never began counts, what is tried again does not. */
static double asked(const json_t *phase)
{
	double done = or_zero(figure_in(phase, "done"));
	double again = or_zero(figure_in(phase, "again"));
	double never = or_zero(figure_in(phase, "due") - figure_in(phase, "begun"));

	return done + fmax(0, ended(phase, NULL) - done - again) + fmax(0, never);
}

static struct served served(const json_t *result, const char *word)
{
	struct served out = { .p99 = (double)NAN };
	size_t i;
	json_t *actor;

	json_array_foreach(json_object_get(result, "actors"), i, actor)
	{
		const json_t *phase = phase_in(actor, word);

		if (!is_honest(actor))
			continue;
		out.done += or_zero(figure_in(phase, "done"));
		out.asked += asked(phase);
		out.p99 = fmax(out.p99, figure_in(phase, "p99_ms"));
	}
	return out;
}

/* Replies 4xx and 5xx, and hanging up without a word: what a server may log. */
static double refusals(const json_t *phase)
{
	const char *stage;
	json_t *heard;
	double sum = ended(phase, "dropped");

	json_object_foreach(json_object_get(phase, "heard"), stage, heard)
	{
		sum += or_zero(figure_in(heard, "later")) +
		       or_zero(figure_in(heard, "no"));
	}
	return sum;
}

/* What the attack phase had in it. */
struct load {
	double attempts;    /* begun by attackers, or by everybody if there are none */
	double connections; /* begun by everybody */
	double refusals;    /* of everybody */
};

static struct load load(const json_t *result)
{
	const json_t *actors = json_object_get(result, "actors");
	bool attacked = has_attackers(actors);
	struct load out = { 0 };
	size_t i;
	json_t *actor;

	json_array_foreach(actors, i, actor)
	{
		const json_t *phase = phase_in(actor, "attack");
		double begun = or_zero(figure_in(phase, "begun"));

		out.connections += begun;
		out.refusals += refusals(phase);
		if (!attacked || !is_honest(actor))
			out.attempts += begun;
	}
	return out;
}

double summary_most(const json_t *result, const char *key)
{
	double out = (double)NAN;
	size_t i;
	json_t *phase;

	json_array_foreach(json_object_get(result, "phases"), i, phase)
	{
		out = fmax(out, figure_in(json_object_get(phase, "server"), key));
	}
	return out;
}

static void put_served(struct made *m, const json_t *result, const char *phase,
		       const char *success, const char *p99)
{
	struct served s = served(result, phase);

	made_put(m, success,
		 figure_json(s.asked > 0 ? fmin(1, s.done / s.asked) : (double)NAN));
	made_put(m, p99, figure_json(s.p99));
}

static json_t *per_1000(double x, double n)
{
	return figure_json(n > 0 ? 1000 * x / n : (double)NAN);
}

json_t *summary_of(const json_t *result, bool *failed)
{
	struct made m = { .object = json_object() };
	const json_t *attack = element_with(json_object_get(result, "phases"), "phase",
					    "attack");
	const json_t *cost = json_object_get(attack, "server");
	const json_t *rates = json_object_get(result, "figures");
	double cpu = figure_in(cost, "cpu_s"), log = figure_in(cost, "log_bytes");
	struct load over = load(result);

	put_served(&m, result, "quiet", "quiet_success", "quiet_p99_ms");
	put_served(&m, result, "attack", "success", "p99_ms");
	put_served(&m, result, "after", "after_success", "after_p99_ms");
	made_put(&m, "attempts", figure_json(over.attempts));
	made_put(&m, "attempts_per_s", figure_json(figure_in(rates, "begun_per_s")));
	made_put(&m, "held", figure_json(figure_in(rates, "held")));
	made_put(&m, "seconds",
		 figure_json(figure_in(attack, "to_s") - figure_in(attack, "from_s")));
	made_put(&m, "cpu_s", figure_json(cpu));
	made_put(&m, "cpu_per_1000", per_1000(cpu, over.connections));
	made_put(&m, "log_bytes", figure_json(log));
	made_put(&m, "log_per_1000", per_1000(log, over.refusals));
	made_put(&m, "pss_most", figure_json(summary_most(result, "pss_most")));
	made_put(&m, "kernel_most", figure_json(summary_most(result, "kernel_most")));
	*failed |= m.failed;
	return m.object;
}
