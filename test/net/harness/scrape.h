// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "test/net/harness/node.h"
#include "test/net/harness/process.h"

namespace podlane::net {

// An answer over HTTP, as curl has it.
struct WebAnswer {
    int status = 0;  // 0: none
    std::string body;
};
[[nodiscard]] WebAnswer get(const Namespace& ns, const std::string& url);

// What Prometheus would have of a text in its format 0.0.4.
class Scrape {
public:
    explicit Scrape(const std::string& text);

    // Names and types of the families, those without samples included.
    [[nodiscard]] const std::map<std::string, std::string>& types() const { return types_; }
    // Of exactly these labels, as they are written: {path="vxlan"}. Nothing: there is no such sample.
    [[nodiscard]] std::optional<double> value(const std::string& series) const;
    // Of all samples of this name together.
    [[nodiscard]] double total(std::string_view name) const;
    [[nodiscard]] std::size_t samples() const { return samples_.size(); }

private:
    std::map<std::string, std::string> types_;
    std::map<std::string, double> samples_;
};
// Of the node's agent, at the default of `listen`. Raises when it does not answer.
[[nodiscard]] Scrape scrape(Node& node);

}  // namespace podlane::net
