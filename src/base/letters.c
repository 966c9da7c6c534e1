#include "base/letters.h"

#include "base/attr.h"
#include "base/utf8.h"

enum {
	COMMON = 0, /* digits and hyphen are of no script */
	LATIN = 1 << 0,
	GREEK = 1 << 1,
	CYRILLIC = 1 << 2,
	ARMENIAN = 1 << 3,
	GEORGIAN = 1 << 4,
	DEVANAGARI = 1 << 5,
	TAMIL = 1 << 6,
	THAI = 1 << 7,
	HANGUL = 1 << 8,
	KANA = 1 << 9,
	HAN = 1 << 10,
};

/*
 * Letters of languages, and no more: no clicks (they look like marks), no digits of other
 * scripts (they look like ours), no marks that stand alone. In ascending order.
 */
static const struct {
	uint32_t from, to;
	unsigned script;
} ranges[] = {
	{ '-', '-', COMMON },
	{ '0', '9', COMMON },
	{ 'a', 'z', LATIN },
	{ 0xdf, 0xf6, LATIN },
	{ 0xf8, 0x17e, LATIN },
	{ 0x1a1, 0x1a1, LATIN }, /* Vietnamese */
	{ 0x1b0, 0x1b0, LATIN },
	{ 0x1ce, 0x1dc, LATIN }, /* Pinyin */
	{ 0x219, 0x21b, LATIN }, /* Romanian */
	{ 0x390, 0x390, GREEK },
	{ 0x3ac, 0x3ce, GREEK },
	{ 0x430, 0x45f, CYRILLIC },
	{ 0x491, 0x491, CYRILLIC }, /* Ukrainian */
	{ 0x493, 0x493, CYRILLIC }, /* Kazakh, Tatar, Kyrgyz, Mongolian */
	{ 0x497, 0x497, CYRILLIC },
	{ 0x49b, 0x49b, CYRILLIC },
	{ 0x4a3, 0x4a3, CYRILLIC },
	{ 0x4af, 0x4af, CYRILLIC },
	{ 0x4b1, 0x4b1, CYRILLIC },
	{ 0x4bb, 0x4bb, CYRILLIC },
	{ 0x4cf, 0x4cf, CYRILLIC },
	{ 0x4d9, 0x4d9, CYRILLIC },
	{ 0x4e9, 0x4e9, CYRILLIC },
	{ 0x561, 0x586, ARMENIAN },
	{ 0x905, 0x939, DEVANAGARI },
	{ 0x93e, 0x94d, DEVANAGARI },
	{ 0xb85, 0xbb9, TAMIL },
	{ 0xbbe, 0xbcd, TAMIL },
	{ 0xe01, 0xe3a, THAI },
	{ 0xe40, 0xe4e, THAI },
	{ 0x10d0, 0x10f0, GEORGIAN },
	{ 0x1e01, 0x1ef9, LATIN }, /* Vietnamese and others */
	{ 0x3005, 0x3005, HAN },
	{ 0x3041, 0x3096, KANA },
	{ 0x30a1, 0x30fa, KANA },
	{ 0x30fc, 0x30fc, KANA },
	{ 0x4e00, 0x9fff, HAN },
	{ 0xac00, 0xd7a3, HANGUL },
};

/* What is written together, besides each script for itself. */
static const unsigned together[] = { HAN | KANA, HAN | HANGUL };

/* Each is taken for a Latin letter at a glance: a c e h i j l o p s x y b n r k ... */
static const uint32_t like_latin[] = {
	0x3b1, 0x3b3, 0x3b5, 0x3b7, 0x3b9, 0x3ba, 0x3bd, 0x3bf, 0x3c0, 0x3c1,
	0x3c4, 0x3c5, 0x3c7, 0x3c9, 0x430, 0x433, 0x435, 0x43a, 0x43c, 0x43d,
	0x43e, 0x43f, 0x440, 0x441, 0x442, 0x443, 0x445, 0x44a, 0x44c, 0x455,
	0x456, 0x457, 0x458, 0x4af, 0x4bb, 0x4cf, 0x563, 0x566, 0x56c, 0x570,
	0x574, 0x575, 0x578, 0x57d, 0x581, 0x584, 0x585,
};

static bool script_of(uint32_t code, unsigned *script)
{
	for (size_t i = 0; i < COUNT_OF(ranges); i++)
		if (code >= ranges[i].from && code <= ranges[i].to) {
			*script = ranges[i].script;
			return true;
		}
	return false;
}

static bool looks_latin(uint32_t code)
{
	for (size_t i = 0; i < COUNT_OF(like_latin); i++)
		if (like_latin[i] == code)
			return true;
	return false;
}

static bool is_one_script(unsigned scripts)
{
	if ((scripts & (scripts - 1)) == 0)
		return true;
	for (size_t i = 0; i < COUNT_OF(together); i++)
		if ((scripts & ~together[i]) == 0)
			return true;
	return false;
}

bool letters_are_plain(struct span label)
{
	unsigned scripts = 0, script;
	bool own_look = false;
	uint32_t code;

	while (label.n) {
		size_t n = utf8_first(label, &code);

		if (n == 0 || !script_of(code, &script))
			return false;
		scripts |= script;
		own_look |= script != COMMON && !looks_latin(code);
		label = span_skip(label, n);
	}
	return own_look && is_one_script(scripts);
}
