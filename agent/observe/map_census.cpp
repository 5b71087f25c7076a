// SPDX-License-Identifier: Apache-2.0
#include "agent/observe/map_census.h"

#include <array>
#include <utility>

#include "maps/typed_map.h"

namespace podlane {

std::span<const MapShape> MapCensus::maps() {
    static const auto shapes =
        std::to_array<MapShape>({shape_of<spec::flow_owners>(), shape_of<spec::nat_by_flow>(),
                                 shape_of<spec::nat_by_reply>(), shape_of<spec::nat_ports_by_destination>(),
                                 shape_of<spec::nat_flows_by_pod>(), shape_of<spec::nat_fragments>()});
    return shapes;
}

bool MapCensus::step() {
    count_page();
    if (!walk_) {
        index_ = (index_ + 1) % maps().size();
    }
    return !walk_ && index_ == 0;
}

void MapCensus::count_page() {
    const MapShape& shape = maps()[index_];
    if (!walk_) {
        // Anew each time: a map may have been made anew.
        auto map = MapHandle::open(map_pins_ / shape.name, shape, MapAccess::read_only);
        if (!map) {
            entries_.erase(shape.name);
            return;
        }
        const int fd = map->fd();
        walk_.emplace(std::move(*map), MapPages(fd, shape, entries_of_a_step));
    }
    const auto page = walk_->pages.next();
    if (!page) {
        walk_.reset();
        return;
    }
    walk_->counted += page->count;
    if (walk_->pages.at_end()) {
        entries_[shape.name] = walk_->counted;
        walk_.reset();
    }
}

}  // namespace podlane
