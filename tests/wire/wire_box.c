#include "tests/wire/wire_box.h"

#include "base/number.h"

static struct span next_word(struct span *text)
{
	*text = span_trim(*text);
	return span_cut(text, ' ');
}

static bool is(struct span word, const char *what)
{
	return span_eq(word, span_str(what));
}

static const char *removes(struct stage *g, struct span word)
{
	uint64_t n = 0;

	if (is(word, "nothing"))
		g->box.left = STAGE_NO_ANSWER;
	else if (is(word, "all") || number_parse(word, INT32_MAX, &n))
		g->box.left = (int)n;
	else
		return "the box removes what?";
	return NULL;
}

static const char *marked(struct stage_box *b, struct span text)
{
	uint8_t bits[sizeof(b->told)] = { 0 };
	uint64_t n;

	while (text.n) {
		if (!number_parse(next_word(&text), STAGE_BOX_MAX, &n) || n == 0)
			return "which were marked?";
		bits[(n - 1) / 8] |= (uint8_t)(1u << (n - 1) % 8);
		text = span_trim(text);
	}
	return memcmp(bits, b->told, sizeof(bits)) == 0 ? NULL : "others were marked";
}

const char *wire_box(struct stage *g, struct span text)
{
	struct span what = next_word(&text), word;
	uint64_t n;

	if (is(what, "marked"))
		return marked(&g->box, span_trim(text));
	word = next_word(&text);
	if (is(what, "add"))
		return stage_box_add(&g->box, word, text) ? NULL : "it is full";
	if (is(what, "removes"))
		return removes(g, word);
	if (!number_parse(word, STAGE_TEXT_MAX, &n) || n == 0)
		return "the box does what?";
	if (is(what, "piece"))
		g->box.piece = n;
	else if (is(what, "gone") && n <= STAGE_BOX_MAX)
		g->box.gone[n - 1] = true;
	else
		return "the box does what?";
	return NULL;
}
