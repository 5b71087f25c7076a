// SPDX-License-Identifier: Apache-2.0
// Who speaks DHCP as a client, from /proc: a client has a packet socket on its device while it has no address there,
// and UDP port 68, or it names the device on its command line.
#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "agent/doctor/collect.h"

namespace podlane::doctor {
namespace {

constexpr unsigned client_port = 68;
constexpr auto client_names =
    std::to_array<std::string_view>({"dhclient", "dhcpcd", "udhcpc", "systemd-network", "NetworkManager", "connmand",
                                     "wickedd-dhcp4", "dhcpclient", "dhcp-client"});

using Inode = std::uint64_t;

struct PacketSocket {
    std::uint32_t ifindex = 0;
    Inode inode = 0;
};

struct Process {
    int pid = 0;
    std::string command;
    std::vector<std::string> arguments;
    std::set<Inode> sockets;
};

std::string read_all(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> fields_of(const std::string& line) {
    std::istringstream words(line);
    return {std::istream_iterator<std::string>(words), {}};
}

template <typename T>
T number(std::string_view text, int base) {
    T value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, base);
    return value;
}

// Those that take IPv4 packets: "sk RefCnt Type Proto Iface R Rmem User Inode".
std::vector<PacketSocket> packet_sockets() {
    std::vector<PacketSocket> sockets;
    std::ifstream file("/proc/thread-self/net/packet");
    for (std::string line; std::getline(file, line);) {
        const auto fields = fields_of(line);
        if (fields.size() >= 9 && (fields[3] == "0800" || fields[3] == "0003")) {
            sockets.push_back({number<std::uint32_t>(fields[4], 10), number<Inode>(fields[8], 10)});
        }
    }
    return sockets;
}

// "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...".
std::set<Inode> client_port_sockets() {
    std::set<Inode> sockets;
    std::ifstream file("/proc/thread-self/net/udp");
    for (std::string line; std::getline(file, line);) {
        const auto fields = fields_of(line);
        const auto colon = fields.size() >= 10 ? fields[1].find(':') : std::string::npos;
        if (colon != std::string::npos && number<unsigned>(fields[1].substr(colon + 1), 16) == client_port) {
            sockets.insert(number<Inode>(fields[9], 10));
        }
    }
    return sockets;
}

std::string link_target(const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::read_symlink(path, error).string();
}

std::set<Inode> sockets_of(const std::filesystem::path& process) {
    constexpr std::string_view prefix = "socket:[";
    std::set<Inode> sockets;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(process / "fd", error)) {
        const auto target = link_target(entry.path());
        if (target.starts_with(prefix)) {
            sockets.insert(number<Inode>(std::string_view(target).substr(prefix.size()), 10));
        }
    }
    return sockets;
}

std::vector<std::string> arguments_of(const std::filesystem::path& process) {
    std::vector<std::string> arguments;
    std::istringstream text(read_all(process / "cmdline"));
    for (std::string word; std::getline(text, word, '\0');) {
        arguments.push_back(std::move(word));
    }
    return arguments;
}

// Of this network namespace.
std::vector<Process> processes() {
    std::vector<Process> found;
    const auto here = link_target("/proc/thread-self/ns/net");
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const auto pid = number<int>(entry.path().filename().string(), 10);
        if (pid == 0 || link_target(entry.path() / "ns" / "net") != here) {
            continue;
        }
        auto command = read_all(entry.path() / "comm");
        std::erase(command, '\n');
        found.push_back({pid, std::move(command), arguments_of(entry.path()), sockets_of(entry.path())});
    }
    return found;
}

// The name may be busybox's first argument, or a script's.
bool is_client(const Process& process) {
    const auto is_name = [](std::string_view name) {
        return std::ranges::find(client_names, name) != client_names.end();
    };
    const auto names_client = [&](const std::string& argument) {
        return is_name(std::filesystem::path(argument).filename().string());
    };
    const auto first = std::min<std::size_t>(process.arguments.size(), 2);
    return is_name(process.command) ||
           std::any_of(process.arguments.begin(), process.arguments.begin() + static_cast<std::ptrdiff_t>(first),
                       names_client);
}

bool has_any(const Process& process, const std::set<Inode>& sockets) {
    return std::ranges::any_of(process.sockets, [&](Inode inode) { return sockets.contains(inode); });
}

// The device by its name and number.
std::string seen_on(const Process& process, const std::string& device, std::uint32_t ifindex,
                    const std::vector<PacketSocket>& packet, const std::set<Inode>& udp) {
    const bool client = is_client(process);
    const bool listens = std::ranges::any_of(packet, [&](const PacketSocket& socket) {
        return socket.ifindex == ifindex && process.sockets.contains(socket.inode);
    });
    if (listens && (client || has_any(process, udp))) {
        return fmt::format("a packet socket on {}{}", device, has_any(process, udp) ? " and UDP port 68" : "");
    }
    const bool named = client && std::ranges::find(process.arguments, device) != process.arguments.end();
    return named ? fmt::format("started for {}", device) : "";
}

}  // namespace

std::vector<DhcpClient> find_dhcp_clients(const std::vector<MacvlanFacts>& networks) {
    std::vector<DhcpClient> clients;
    if (networks.empty()) {
        return clients;
    }
    const auto packet = packet_sockets();
    const auto udp = client_port_sockets();
    for (const auto& process : processes()) {
        for (const auto& network : networks) {
            for (const auto& [device, ifindex] : {std::pair(network.settings.master, network.master_ifindex),
                                                  std::pair(network.settings.shim, network.shim_ifindex)}) {
                const auto seen = ifindex == 0 ? "" : seen_on(process, device, ifindex, packet, udp);
                if (!seen.empty()) {
                    clients.push_back({device, process.pid, process.command, seen});
                }
            }
        }
    }
    return clients;
}

}  // namespace podlane::doctor
