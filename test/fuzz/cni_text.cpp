// SPDX-License-Identifier: Apache-2.0
// Any bytes where the CNI plugin and the agent take text from others: network configuration, endpoint record, alias.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

#include "agent/cni/config.h"
#include "agent/cni/endpoint.h"

namespace {

using podlane::cni::Command;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void fuzz_records(std::string_view text) {
    if (const auto endpoint = podlane::Endpoint::parse(text)) {
        require(podlane::Endpoint::from_json(endpoint->to_json()) == *endpoint);
        require(endpoint->id().find('/') == std::string::npos);
        require(podlane::encode_alias(*endpoint).size() <= podlane::max_alias);
    }
    if (const auto endpoint = podlane::decode_alias(text)) {
        require(endpoint->id().find('/') == std::string::npos);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto command :
         {Command::add, Command::del, Command::check, Command::gc, Command::status, Command::version}) {
        const auto config = podlane::cni::parse_config(text, command);
        require(config || !config.error().message.empty());
    }
    fuzz_records(text);
    return 0;
}
