// simdjson's DOM over the same lines: prints GB/s.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <simdjson.h>
#include <string>
#include <vector>

int main(int argc, char **argv)
{
	std::ifstream file(argv[argc - 1]);
	std::vector<simdjson::padded_string> lines;
	simdjson::dom::parser parser;
	simdjson::dom::element e;
	std::string line;
	size_t n = 0;
	double best = 0;

	for (; std::getline(file, line); n += line.size() + 1)
		lines.emplace_back(line);
	for (int round = 0; round < 9; round++) {
		auto a = std::chrono::steady_clock::now();
		for (int turn = 0; turn < 40; turn++)
			for (auto &l : lines)
				if (parser.parse(l).get(e))
					return 1;
		std::chrono::duration<double> d =
		    std::chrono::steady_clock::now() - a;
		best = std::max(best, 40 * n / d.count() / 1e9);
	}
	printf("%.2f\n", best);
}
