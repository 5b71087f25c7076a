// SPDX-License-Identifier: Apache-2.0
//
// The load generator of the benchmarks: `traffic server` at one end, `traffic rr|crr|stream|udp` at the other.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "test/bench/traffic_client.h"
#include "test/bench/traffic_server.h"

namespace podlane::traffic {
namespace {

enum class Output { text, json };

struct Options {
    std::string address;
    std::uint16_t port = 7000;
    std::optional<int> cpu;
    double seconds = 1;
    Output output = Output::text;
};

using Measure = Result<Measurement> (*)(const Endpoint&, Seconds);

void print(const Measurement& measurement, Output output) {
    if (output == Output::json) {
        const nlohmann::ordered_json json = {{"test", measurement.test},
                                             {"unit", measurement.unit},
                                             {"value", measurement.value},
                                             {"count", measurement.count},
                                             {"seconds", measurement.seconds}};
        fmt::print("{}\n", json.dump());
        return;
    }
    const int decimals = measurement.value < 1000 ? 2 : 0;
    fmt::print("{}: {:.{}f} {} over {:.2f} s\n", measurement.metric, measurement.value, decimals, measurement.unit,
               measurement.seconds);
}

Result<Endpoint> prepare(const Options& options) {
    const auto address = Ipv4Address::parse(options.address);
    if (!address) {
        return std::unexpected(address.error());
    }
    if (options.cpu) {
        if (auto pinned = pin_to_cpu(*options.cpu); !pinned) {
            return std::unexpected(pinned.error());
        }
    }
    return Endpoint{*address, options.port};
}

Result<void> run(const Options& options, Measure measure) {
    const auto endpoint = prepare(options);
    if (!endpoint) {
        return std::unexpected(endpoint.error());
    }
    if (measure == nullptr) {
        return serve(*endpoint);
    }
    const auto measurement = measure(*endpoint, Seconds(options.seconds));
    if (!measurement) {
        return std::unexpected(measurement.error());
    }
    print(*measurement, options.output);
    return {};
}

void add_common_options(CLI::App& command, Options& options) {
    command.add_option("--address", options.address, "IPv4 address of the server")->required();
    command.add_option("--port", options.port, "TCP and UDP port of the server")->check(CLI::Range(1, 65535));
    command.add_option("--cpu", options.cpu, "run on this CPU only")->check(CLI::NonNegativeNumber);
}

CLI::App& add_client(CLI::App& app, Options& options, const char* name, const char* text) {
    CLI::App& command = *app.add_subcommand(name, text);
    add_common_options(command, options);
    command.add_option("--seconds", options.seconds, "how long to measure")->check(CLI::Range(0.01, 3600.0));
    command.add_flag_callback("--json", [&options] { options.output = Output::json; }, "one JSON object on stdout");
    return command;
}

}  // namespace
}  // namespace podlane::traffic

int main(int argc, char** argv) {
    using namespace podlane::traffic;
    CLI::App app{"Measures a network path between two processes."};
    app.require_subcommand(1);
    Options options;
    std::map<const CLI::App*, Measure> measures;

    add_common_options(*app.add_subcommand("server", "answer clients until ended"), options);
    measures[&add_client(app, options, "rr", "request/response over one connection")] = measure_request_response;
    measures[&add_client(app, options, "crr", "connect, request, close")] = measure_connections;
    measures[&add_client(app, options, "stream", "throughput of one connection")] = measure_stream;
    measures[&add_client(app, options, "udp", "64-byte packets that arrive")] = measure_udp;
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }

    const auto found = measures.find(app.get_subcommands().front());
    if (auto done = run(options, found == measures.end() ? nullptr : found->second); !done) {
        fmt::print(stderr, "traffic: {}\n", done.error().message);
        return 1;
    }
    return 0;
}
