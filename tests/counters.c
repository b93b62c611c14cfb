/* The statistics line and the report of the shipped objects, in argv[2], with
 * every counter at argv[1]: does a number lose a digit on its way to the
 * reader? */
#include "../coverage.h"
#include "../log.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
	static struct session s;
	static struct request request;
	static struct file files[2];
	struct moment now = { 2000, 1795000000000 };
	struct session_config config = { .tweet_key = "text" };
	struct coverage r = {
		.session = &s, .request = &request, .files = files, .report = ""
	};
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;

	if (argc < 3 || !coverage_name(&r, argv[2]) ||
	    request_url(&request, "http://counters.example/x") != NULL)
		return 2;
	log_init(LOG_INFO, false, &request.secrets);
	session_init(&s, &config, (struct moment){ 1000, 1795000000000 });
	s.stats.tweets = s.stats.notices = s.stats.malformed = n;
	s.stats.keepalives = s.stats.bytes = s.stats.connects = n;
	s.covers.gaps = s.covers.gap_ms = n;
	coverage_stats(&r, now);
	coverage_write(&r, now);
	return r.report_failed;
}
