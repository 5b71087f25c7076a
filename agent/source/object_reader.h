// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "agent/state/objects.h"
#include "agent/text/text_input.h"
#include "maps/base/result.h"

namespace podlane {

// What one text holds of the cluster.
struct ReadObjects {
    std::vector<NodeObject> nodes;  // in the order of the text; names may repeat
    std::vector<PodObject> pods;    // of this node only
    std::vector<ObjectWarning> warnings;
    std::size_t pods_elsewhere = 0;  // of other nodes, or of none yet: dropped as they were read
    std::size_t other_kinds = 0;
};

enum class TextFormat {
    json,
    yaml,
    // YAML, or JSON where the text begins with '{': kubectl's output under any name.
    detect,
};

struct ReadOptions {
    std::string name;       // of the text, for messages: "cluster.yaml"
    std::string node_name;  // whose pods are kept
    TextFormat format = TextFormat::detect;
    std::string kind = std::string();  // of an object that does not say: in the lists of the API server none does
};

// Reads Kubernetes objects from JSON or YAML as it streams by: memory grows with what is kept, not with the text.
// Takes kind List, NodeList and PodList, several documents, single objects; other kinds are skipped. An object with
// a wrong type in a field that podlane reads is left out with a warning. A broken text is an error that names file
// and line, and so is one that is no Kubernetes object, or that seems to be cut off.
[[nodiscard]] Result<ReadObjects> read_objects(std::string_view text, const ReadOptions& options);
// From the beginning of an open, seekable file. The caller keeps `fd`.
[[nodiscard]] Result<ReadObjects> read_objects_from_file(int fd, const ReadOptions& options);

}  // namespace podlane
