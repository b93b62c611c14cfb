// Judges that share no line with what they judge: RapidJSON for JSON, Node's
// former http_parser for HTTP.
#include "fuzz_oracle.h"

#include <cstring>
#include <http_parser.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

namespace {

struct Keys : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Keys> {
	int depth = 0, deepest = 0, best = 5;
	bool object = false;

	bool open(bool is_object)
	{
		if (depth++ == 0)
			object = is_object;
		deepest = depth > deepest ? depth : deepest;
		return true;
	}
	bool StartObject() { return open(true); }
	bool StartArray() { return open(false); }
	bool EndObject(rapidjson::SizeType) { return depth-- > 0; }
	bool EndArray(rapidjson::SizeType) { return depth-- > 0; }
	bool Key(const char *p, rapidjson::SizeType n, bool)
	{
		static const char *const names[] = {"disconnect", "text", "limit",
						    "delete", "warning"};
		for (int i = 0; depth == 1 && i < best; i++)
			if (strlen(names[i]) == n && memcmp(p, names[i], n) == 0)
				best = i;
		return true;
	}
};

struct Body {
	unsigned char *to;
	size_t n;
	bool done;
};

int on_body(http_parser *h, const char *p, size_t n)
{
	Body *b = static_cast<Body *>(h->data);

	memcpy(b->to + b->n, p, n);
	b->n += n;
	return 0;
}

int on_done(http_parser *h)
{
	static_cast<Body *>(h->data)->done = true;
	return 0;
}

int on_head(http_parser *)
{
	return 1; // no body is to be expected
}

} // namespace

int oracle_json(const unsigned char *p, size_t n)
{
	using namespace rapidjson;
	MemoryStream in(reinterpret_cast<const char *>(p), n);
	Keys keys;
	Reader reader;

	if (memchr(p, '\0', n) != nullptr)
		return ORACLE_REFUSES; // it would take a NUL for the end
	reader.Parse<kParseIterativeFlag | kParseValidateEncodingFlag |
		     kParseNumbersAsStringsFlag>(in, keys);
	// RFC 8259 lets an escape be half a pair, and a number be of any size
	if (reader.GetParseErrorCode() ==
		    kParseErrorStringUnicodeSurrogateInvalid ||
	    reader.GetParseErrorCode() == kParseErrorNumberTooBig)
		return ORACLE_SILENT;
	if (keys.deepest > 1024)
		return ORACLE_SILENT;
	return reader.HasParseError() || !keys.object ? ORACLE_REFUSES
						      : keys.best;
}

bool oracle_chunks(const unsigned char *p, size_t n, unsigned char *to,
		   size_t *size)
{
	static const char head[] =
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	http_parser_settings settings;
	http_parser h;
	Body body = {to, 0, false};

	http_parser_settings_init(&settings);
	settings.on_body = on_body;
	settings.on_message_complete = on_done;
	http_parser_init(&h, HTTP_RESPONSE);
	h.data = &body;
	http_parser_execute(&h, &settings, head, sizeof head - 1);
	http_parser_execute(&h, &settings, reinterpret_cast<const char *>(p), n);
	*size = body.n;
	return HTTP_PARSER_ERRNO(&h) == HPE_OK && body.done;
}

bool oracle_head(const unsigned char *p, size_t n, int *status)
{
	http_parser_settings settings;
	http_parser h;
	Body body = {nullptr, 0, false};

	http_parser_settings_init(&settings);
	settings.on_headers_complete = on_head;
	settings.on_message_complete = on_done;
	http_parser_init(&h, HTTP_RESPONSE);
	h.data = &body;
	http_parser_execute(&h, &settings, reinterpret_cast<const char *>(p), n);
	*status = static_cast<int>(h.status_code);
	return HTTP_PARSER_ERRNO(&h) == HPE_OK && body.done;
}
