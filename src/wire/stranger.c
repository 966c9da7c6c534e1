#include "wire/stranger.h"

#include "base/attr.h"

bool stranger_line(struct span line)
{
	static const char *const heads[] = {
		"GET ",	  "POST ",  "HEAD ", "PUT ",   "OPTIONS ", "CONNECT ", "DELETE ",
		"TRACE ", "PRI * ", "SSH-",  "PROXY ", "RTSP/",	   "\x03",     "\x05",
	};

	for (size_t i = 0; i < COUNT_OF(heads); i++)
		if (span_starts_nocase(line, span_str(heads[i])))
			return true;
	return line.n && (line.p[0] < ' ' || line.p[0] >= 0x7f);
}
