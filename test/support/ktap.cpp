// SPDX-License-Identifier: Apache-2.0
#include "test/support/ktap.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace podlane::test {
namespace {

class KtapPrinter : public testing::EmptyTestEventListener {
public:
    explicit KtapPrinter(std::FILE* out) : out_(out) {}
    KtapPrinter(const KtapPrinter&) = delete;
    KtapPrinter& operator=(const KtapPrinter&) = delete;
    ~KtapPrinter() override { std::fclose(out_); }

private:
    void OnTestIterationStart(const testing::UnitTest& all, int /*iteration*/) override {
        print("KTAP version 1");
        print(fmt::format("1..{}", all.test_to_run_count()));
    }

    void OnTestStart(const testing::TestInfo& /*test*/) override { skip_reason_.clear(); }

    void OnTestPartResult(const testing::TestPartResult& part) override {
        if (part.skipped()) {
            std::string reason = part.message();
            skip_reason_ = reason.substr(0, reason.find('\n'));
        } else if (part.failed()) {
            print_diagnostics(fmt::format("{}:{}: {}", part.file_name() != nullptr ? part.file_name() : "unknown file",
                                          part.line_number(), part.message()));
        }
    }

    void OnTestEnd(const testing::TestInfo& test) override {
        const auto& result = *test.result();
        const std::string skip = result.Skipped() ? " # SKIP " + skip_reason_ : "";
        print_diagnostics(fmt::format("{} ms", result.elapsed_time()));
        print(fmt::format("{} {} {}.{}{}", result.Failed() ? "not ok" : "ok", ++number_, test.test_suite_name(),
                          test.name(), skip));
    }

    void print_diagnostics(const std::string& text) {
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            print("# " + line);
        }
    }

    void print(const std::string& line) {
        fmt::print(out_, "  {}\n", line);
        std::fflush(out_);
    }

    std::FILE* out_;
    int number_ = 0;
    std::string skip_reason_;
};

}  // namespace

void report_as_ktap() {
    const char* path = std::getenv("KTAP_OUTPUT");
    if (path == nullptr) {
        return;
    }
    std::FILE* out = std::fopen(path, "we");
    if (out == nullptr) {
        std::perror(path);
        std::exit(1);
    }
    // googletest owns its listeners.
    testing::UnitTest::GetInstance()->listeners().Append(std::make_unique<KtapPrinter>(out).release());
}

}  // namespace podlane::test
