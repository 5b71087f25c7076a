// SPDX-License-Identifier: Apache-2.0
#include "maps/map_pages.h"

#include <bpf/bpf.h>

#include <cerrno>

namespace podlane {

Result<RawEntries> MapPages::next() {
    RawEntries page{.key_size = shape_.key_size, .value_size = shape_.value_size, .count = 0, .keys = {}, .values = {}};
    while (true) {
        page.keys.resize(room_ * page.key_size);
        page.values.resize(room_ * page.value_size);
        __u32 count = room_;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        const int failed = bpf_map_lookup_batch(fd_, started_ ? &bucket_ : nullptr, &bucket_, page.keys.data(),
                                                page.values.data(), &count, &options);
        if (failed == 0 || errno == ENOENT) {
            started_ = failed == 0;
            page.count = count;
            return page;
        }
        // The next bucket does not fit; nothing was read.
        if (errno != ENOSPC || room_ > shape_.capacity) {
            const int code = errno;
            started_ = false;
            return fail_errno(code, "read map {}", shape_.name);
        }
        room_ *= 2;
    }
}

}  // namespace podlane
