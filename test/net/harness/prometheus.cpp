// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/prometheus.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "test/net/harness/error.h"
#include "test/net/harness/scrape.h"
#include "test/net/harness/wait.h"

namespace podlane::net {
namespace {

using nlohmann::json;

constexpr const char* address = "127.0.0.1:9090";

}  // namespace

std::string prometheus_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    const char* cache = std::getenv("PODLANE_CACHE");
    std::istringstream folders(path == nullptr ? "" : path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        if (const auto program = folder + '/' + name; access(program.c_str(), X_OK) == 0) {
            return program;
        }
    }
    const auto unpacked = std::string(cache == nullptr ? "/var/cache/podlane" : cache) + "/tools/usr/bin/" + name;
    return access(unpacked.c_str(), X_OK) == 0 ? unpacked : "";
}

Prometheus::Prometheus(const Namespace& ns, const std::vector<std::string>& targets,
                       const std::vector<std::filesystem::path>& rule_files)
    : ns_(ns), files_("prometheus") {
    auto rules = json::array();
    for (const auto& file : rule_files) {
        rules.push_back(file.string());
    }
    const json podlane = {{"job_name", "podlane"}, {"static_configs", json::array({{{"targets", targets}}})}};
    const json config = {
        {"global", {{"scrape_interval", "1s"}, {"scrape_timeout", "1s"}, {"evaluation_interval", "1s"}}},
        {"rule_files", rules},
        {"scrape_configs", json::array({podlane})}};
    const auto file = files_.path() / "prometheus.yml";
    std::ofstream(file) << config.dump(1);  // YAML too
    process_ = std::make_unique<Process>(
        ns, std::vector<std::string>{prometheus_program("prometheus"), "--config.file=" + file.string(),
                                     "--storage.tsdb.path=" + (files_.path() / "data").string(),
                                     "--web.listen-address=" + std::string(address), "--log.level=warn"});
    const auto ready = fmt::format("http://{}/-/ready", address);
    const bool answers =
        wait_until([&] { return !process_->running() || get(ns, ready).status == 200; }, std::chrono::seconds(20));
    if (!answers || !process_->running()) {
        raise_error("Prometheus does not answer: {}", process_->output());
    }
}

json Prometheus::api(const std::string& what, const Parameters& parameters) const {
    std::vector<std::string> argv = {"curl", "--silent", "--show-error", "--max-time", "10", "--get"};
    for (const auto& [name, value] : parameters) {
        argv.insert(argv.end(), {"--data-urlencode", name + '=' + value});
    }
    argv.push_back(fmt::format("http://{}/api/v1/{}", address, what));
    const auto done = run(ns_, argv);
    const auto answer = json::parse(done.out, nullptr, false);
    if (!done.ok() || !answer.is_object() || answer.value("status", "") != "success") {
        raise_error("Prometheus: {}", done.describe());
    }
    return answer.at("data");
}

json Prometheus::query(const std::string& expression) const {
    return api("query", {{"query", expression}}).at("result");
}

}  // namespace podlane::net
