// SPDX-License-Identifier: Apache-2.0
// The agent's side of sd_notify(3), against a datagram socket in the role of the service manager's.
#include "agent/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using std::chrono::milliseconds;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

using Environment = std::map<std::string, std::string>;

// A manager's socket: name as in $NOTIFY_SOCKET.
class Manager {
public:
    explicit Manager(std::string name) : name_(std::move(name)), socket_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
        sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
        std::ranges::copy(name_, address.sun_path);
        socklen_t length = sizeof(address);
        if (name_[0] == '@') {
            address.sun_path[0] = 0;
            length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
        }
        EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), length), 0) << name_;
    }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;
    ~Manager() {
        if (name_[0] == '/') {
            ::unlink(name_.c_str());
        }
    }

    [[nodiscard]] const std::string& name() const { return name_; }
    // Datagrams since the last call.
    std::vector<std::string> told() {
        std::vector<std::string> result;
        std::array<char, 4096> text{};
        for (ssize_t size = 0; (size = ::recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT)) >= 0;) {
            result.emplace_back(text.data(), static_cast<std::size_t>(size));
        }
        return result;
    }

private:
    std::string name_;
    Fd socket_;
};

class ServiceManagerTest : public testing::Test {
protected:
    std::unique_ptr<ServiceManager> start(const Environment& environment) {
        auto made = ServiceManager::create(*loop_, environment, [this] { return problem_; });
        EXPECT_TRUE(made.has_value()) << made.error().message;
        return std::move(made.value());
    }
    std::string refusal(const Environment& environment) {
        const auto made = ServiceManager::create(*loop_, environment, [this] { return problem_; });
        return made ? "" : made.error().message;
    }
    void run_for(milliseconds time) {
        const auto timer = loop_->after(time, [this] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
    }
    static std::string unique(std::string_view kind) {
        const auto* test = testing::UnitTest::GetInstance()->current_test_info();
        return fmt::format("{}podlane-{}-{}", kind, ::getpid(), test->name());
    }

    std::unique_ptr<EventLoop> loop_ = EventLoop::create().value();
    std::optional<std::string> problem_ = "the cluster's state has not been read yet";
    Manager manager_{unique(std::filesystem::temp_directory_path().string() + '/')};
};

TEST_F(ServiceManagerTest, ServiceThatIsNotUpYet_SaysWhyOnceAndAsksForTime) {
    const auto service = start({{"NOTIFY_SOCKET", manager_.name()}});
    run_for(milliseconds(700));
    EXPECT_THAT(manager_.told(), testing::ElementsAre("EXTEND_TIMEOUT_USEC=30000000\n",
                                                      "STATUS=the cluster's state has not been read yet"));
}

TEST_F(ServiceManagerTest, ServiceThatIsUp_SaysSoOnce) {
    const auto service = start({{"NOTIFY_SOCKET", manager_.name()}});
    run_for(milliseconds(300));
    EXPECT_THAT(manager_.told(), Not(Contains(HasSubstr("READY=1"))));
    problem_.reset();
    run_for(milliseconds(600));
    EXPECT_THAT(manager_.told(), testing::ElementsAre("READY=1\nSTATUS=forwarding"));
    problem_ = "lost again";
    run_for(milliseconds(600));
    EXPECT_THAT(manager_.told(), testing::IsEmpty());
}

TEST_F(ServiceManagerTest, StatusOfSeveralLines_IsOneAssignment) {
    problem_ = "a\nREADY=1";
    const auto service = start({{"NOTIFY_SOCKET", manager_.name()}});
    run_for(milliseconds(300));
    EXPECT_THAT(manager_.told(), Contains("STATUS=a READY=1"));
}

TEST_F(ServiceManagerTest, AbstractSocket_IsReached) {
    Manager manager(unique("@"));
    problem_.reset();
    const auto service = start({{"NOTIFY_SOCKET", manager.name()}});
    run_for(milliseconds(300));
    EXPECT_THAT(manager.told(), Contains("READY=1\nSTATUS=forwarding"));
}

TEST_F(ServiceManagerTest, Watchdog_IsFedThriceInItsTimeByTheLoopAlone) {
    problem_.reset();
    const auto service = start({{"NOTIFY_SOCKET", manager_.name()},
                                {"WATCHDOG_USEC", "300000"},
                                {"WATCHDOG_PID", std::to_string(::getpid())}});
    run_for(milliseconds(1050));
    const auto told = manager_.told();
    EXPECT_THAT(told.front(), HasSubstr("WATCHDOG=1\n"));
    EXPECT_THAT(std::ranges::count(told, "WATCHDOG=1\n"), testing::AllOf(testing::Ge(6), testing::Le(11)));
    // A loop that does not run proves nothing.
    ::usleep(400'000);
    EXPECT_THAT(manager_.told(), testing::IsEmpty());
}

TEST_F(ServiceManagerTest, WatchdogOfAnotherProcess_IsNotFed) {
    const auto service = start({{"NOTIFY_SOCKET", manager_.name()}, {"WATCHDOG_USEC", "30000"}, {"WATCHDOG_PID", "1"}});
    run_for(milliseconds(300));
    EXPECT_THAT(manager_.told(), Not(Contains(HasSubstr("WATCHDOG"))));
}

TEST_F(ServiceManagerTest, ReloadAndStop_AreTold) {
    problem_.reset();
    const auto service = start({{"NOTIFY_SOCKET", manager_.name()}});
    run_for(milliseconds(300));
    manager_.told();
    service->reloading();
    service->stays();
    service->stopping();
    EXPECT_THAT(manager_.told(), testing::ElementsAre(testing::MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+"),
                                                      "READY=1", "STOPPING=1"));
}

TEST_F(ServiceManagerTest, WithoutAManager_NothingIsToldAndNothingFails) {
    const auto service = start({{"WATCHDOG_USEC", "1000"}});
    run_for(milliseconds(50));
    service->reloading();
    service->stopping();
    EXPECT_THAT(manager_.told(), testing::IsEmpty());
}

TEST_F(ServiceManagerTest, ManagerThatIsAway_IsToldWhenItIsBack) {
    problem_.reset();
    const auto name = unique("@later-");
    const auto service = start({{"NOTIFY_SOCKET", name}});
    run_for(milliseconds(300));
    Manager later(name);
    run_for(milliseconds(300));
    EXPECT_THAT(later.told(), Contains("READY=1\nSTATUS=forwarding"));
}

TEST_F(ServiceManagerTest, BadVariables_AreNamed) {
    EXPECT_THAT(refusal({{"NOTIFY_SOCKET", "relative"}}), HasSubstr("NOTIFY_SOCKET=relative"));
    EXPECT_THAT(refusal({{"NOTIFY_SOCKET", "/" + std::string(107, 'x')}}), HasSubstr("longer"));
    EXPECT_EQ(refusal({{"NOTIFY_SOCKET", "/" + std::string(106, 'x')}}), "");
    EXPECT_EQ(refusal({{"NOTIFY_SOCKET", "@" + std::string(107, 'x')}}), "");
    EXPECT_EQ(refusal({{"NOTIFY_SOCKET", manager_.name()}, {"WATCHDOG_USEC", "7200000000"}}), "") << "two hours";
    for (const auto* time : {"0", "-1", "5s", "1e6"}) {
        EXPECT_THAT(refusal({{"NOTIFY_SOCKET", manager_.name()}, {"WATCHDOG_USEC", time}}), HasSubstr(time)) << time;
    }
}

}  // namespace
}  // namespace podlane
