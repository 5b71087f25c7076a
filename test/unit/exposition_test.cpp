// SPDX-License-Identifier: Apache-2.0
#include "agent/observe/exposition.h"

#include <limits>

#include <gtest/gtest.h>

#include "agent/observe/pass_times.h"
#include "agent/observe/process_use.h"

namespace podlane {
namespace {

using Type = Exposition::Type;

TEST(ExpositionTest, Family_IsHelpTypeAndSamples) {
    Exposition out;
    out.family("podlane_things_total", Type::counter, "Things.");
    out.sample({{"kind", "a"}, {"way", "b"}}, 3);
    out.sample(4);
    out.family("podlane_level", Type::gauge, "A level.");
    out.sample(-0.25);
    EXPECT_EQ(out.text(),
              "# HELP podlane_things_total Things.\n# TYPE podlane_things_total counter\n"
              "podlane_things_total{kind=\"a\",way=\"b\"} 3\npodlane_things_total 4\n"
              "# HELP podlane_level A level.\n# TYPE podlane_level gauge\npodlane_level -0.25\n");
}

TEST(ExpositionTest, Histogram_HasPartsOfOneFamily) {
    Exposition out;
    out.family("podlane_wait_seconds", Type::histogram, "Waiting.");
    out.part("_bucket", {{"le", "+Inf"}}, 2);
    out.part("_sum", {}, 0.5);
    EXPECT_EQ(out.text(),
              "# HELP podlane_wait_seconds Waiting.\n# TYPE podlane_wait_seconds histogram\n"
              "podlane_wait_seconds_bucket{le=\"+Inf\"} 2\npodlane_wait_seconds_sum 0.5\n");
}

std::string value_text(double value) {
    Exposition out;
    out.sample(value);
    return out.text().substr(1, out.text().size() - 2);
}

TEST(ExpositionTest, LargeCounters_AreToldToTheLastPacket) {
    EXPECT_EQ(value_text(123456789012345.0), "123456789012345");
    EXPECT_EQ(value_text(9007199254740991.0), "9007199254740991");
    EXPECT_EQ(value_text(18446744073709551615.0), "1.8446744073709552e+19");
    EXPECT_EQ(value_text(0.1), "0.1");
    EXPECT_EQ(value_text(1e-9), "1e-09");
    EXPECT_EQ(value_text(std::numeric_limits<double>::infinity()), "+Inf");
}

TEST(ExpositionTest, LabelsWithAnyBytes_StayWithinTheirQuotes) {
    Exposition out;
    out.family("x", Type::gauge, "X.");
    out.sample({{"peer", "a\"} 1\nevil{b=\"\\\xff"}}, 1);
    EXPECT_EQ(out.text(), "# HELP x X.\n# TYPE x gauge\nx{peer=\"a\\\"} 1\\nevil{b=\\\"\\\\?\"} 1\n");
}

TEST(PassTimesTest, Pass_CountsInItsBucketAndAllLargerOnes) {
    PassTimes times;
    times.add(std::chrono::milliseconds(1));  // the bound itself belongs to the bucket
    times.add(std::chrono::milliseconds(30));
    times.add(std::chrono::seconds(60));
    EXPECT_EQ(times.up_to(0), 1U);
    EXPECT_EQ(times.up_to(4), 1U);
    EXPECT_EQ(times.up_to(5), 2U);
    EXPECT_EQ(times.up_to(PassTimes::bounds.size() - 1), 2U);
    EXPECT_EQ(times.count(), 3U);
    EXPECT_DOUBLE_EQ(times.sum(), 60.031);
}

TEST(ProcessUseTest, ThisProcess_UsesMemoryAndTimeAndBeganBeforeNow) {
    const auto use = process_use();
    EXPECT_GT(use.resident_bytes, 1U << 20U);
    EXPECT_GT(use.cpu_seconds, 0);
    const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    EXPECT_LE(use.started, now);
    EXPECT_GT(use.started, now - 3600);
}

}  // namespace
}  // namespace podlane
