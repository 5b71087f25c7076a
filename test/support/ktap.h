// SPDX-License-Identifier: Apache-2.0
#pragma once

// Test results as kernel selftests print them (Documentation/dev-tools/ktap.rst): for the virtual machines, where a
// console is all that comes out.
namespace podlane::test {

// When the environment names a file in KTAP_OUTPUT, results are written there as well, line by line, as a nested test:
// indented by two spaces. Called once, before RUN_ALL_TESTS; ends the process when the file cannot be opened.
void report_as_ktap();

}  // namespace podlane::test
