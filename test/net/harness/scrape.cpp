// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/scrape.h"

#include <cstdlib>
#include <sstream>

#include "test/net/harness/error.h"

namespace podlane::net {

WebAnswer get(const Namespace& ns, const std::string& url) {
    const auto done =
        run(ns, {"curl", "--silent", "--globoff", "--max-time", "10", "--write-out", "\n%{http_code}", url});
    const auto line = done.out.rfind('\n');
    if (line == std::string::npos) {
        return {};
    }
    return {.status = std::atoi(done.out.c_str() + line + 1), .body = done.out.substr(0, line)};
}

Scrape::Scrape(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string hash;
        std::string kind;
        std::string name;
        std::string type;
        if (words >> hash >> kind >> name >> type && hash == "#" && kind == "TYPE") {
            types_[name] = type;
        } else if (!line.empty() && line[0] != '#') {
            const auto blank = line.rfind(' ');
            samples_[line.substr(0, blank)] = std::strtod(line.c_str() + blank, nullptr);
        }
    }
}

std::optional<double> Scrape::value(const std::string& series) const {
    const auto found = samples_.find(series);
    return found == samples_.end() ? std::nullopt : std::optional(found->second);
}

double Scrape::total(std::string_view name) const {
    double sum = 0;
    for (const auto& [series, value] : samples_) {
        sum += series.substr(0, series.find('{')) == name ? value : 0;
    }
    return sum;
}

Scrape scrape(Node& node) {
    const auto answer = get(node.ns(), "http://127.0.0.1:9479/metrics");
    if (answer.status != 200) {
        raise_error("no metrics of {}: {} {}", node.name(), answer.status, answer.body);
    }
    return Scrape(answer.body);
}

}  // namespace podlane::net
