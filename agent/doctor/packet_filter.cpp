// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor/packet_filter.h"

#include <algorithm>

namespace podlane::doctor {
namespace {

using netfilter::Act;
using netfilter::Chain;
using netfilter::Condition;
using netfilter::Field;
using netfilter::Rule;
using netfilter::Table;

// The kernel refuses loops; a table that was read while it changed might have one.
constexpr int deepest = 32;

// For how many of the traffic's packets something holds; smaller ones win when conditions meet.
enum class Share : std::uint8_t { none, unknown, some, all };

Share flipped(Share share) {
    return share == Share::all ? Share::none : share == Share::none ? Share::all : share;
}

Share of_interface(const Condition& condition, const std::string& name) {
    const bool covered =
        std::ranges::any_of(condition.interfaces, [&](const auto& one) { return !name.empty() && one.covers(name); });
    return covered ? Share::all : Share::none;
}

Share of_range(const Condition& condition, const netfilter::Range& ours) {
    Share share = Share::none;
    for (const auto& range : condition.ranges) {
        if (range.first <= ours.first && ours.last <= range.last) {
            return Share::all;
        }
        if (range.first <= ours.last && ours.first <= range.last) {
            share = Share::some;
        }
    }
    return share;
}

Share of_number(const Condition& condition, const std::optional<std::uint32_t>& number) {
    return number ? of_range(condition, {*number, *number}) : Share::some;
}

Share of_field(const Condition& condition, const Traffic& traffic) {
    switch (condition.field) {
        case Field::in_interface:
            return of_interface(condition, traffic.in);
        case Field::out_interface:
            return of_interface(condition, traffic.out);
        case Field::source:
            return of_range(condition, netfilter::Range::of(traffic.source));
        case Field::destination:
            return of_range(condition, netfilter::Range::of(traffic.destination));
        case Field::family:
            return Share::all;
        case Field::protocol:
            return of_number(condition,
                             traffic.port.transform([](Traffic::Port port) { return std::uint32_t{port.protocol}; }));
        case Field::port:
            return of_number(condition,
                             traffic.port.transform([](Traffic::Port port) { return std::uint32_t{port.number}; }));
        case Field::translated:
            return Share::none;
        case Field::state:
            return (condition.states & netfilter::state_new) != 0 ? Share::all : Share::none;
        case Field::other:
            return Share::some;
        case Field::unreadable:
            break;
    }
    return Share::unknown;
}

Share share_of(const Rule& rule, const Traffic& traffic) {
    Share share = Share::all;
    for (const auto& condition : rule.conditions) {
        const auto one = of_field(condition, traffic);
        share = std::min(share, condition.sense == netfilter::Sense::is_not ? flipped(one) : one);
    }
    return share;
}

enum class Fate : std::uint8_t { accepted, refused, onward };

class Walk {
public:
    Walk(const Table& table, const Traffic& traffic) : table_(table), traffic_(traffic) {}

    std::optional<Refusal> from(const Chain& base) {
        const auto fate = through(base, Share::all, 0);
        if (fate == Fate::onward && base.base->policy == Act::drop) {
            refused_ = Refusal{.chain = &base};
        }
        if (fate == Fate::accepted || !refused_) {
            return perhaps_;
        }
        if (doubt_ != nullptr) {
            refused_->certainty = Refusal::Certainty::unless_accepted;
            refused_->doubt = doubt_;
            refused_->doubt_chain = doubt_chain_;
        }
        return refused_;
    }

private:
    // `share`: of the traffic that comes to this chain.
    Fate through(const Chain& chain, Share share, int depth) {
        for (const auto& rule : chain.rules) {
            const auto met = std::min(share, share_of(rule, traffic_));
            if (met == Share::none) {
                continue;
            }
            if (rule.act == Act::leave) {
                if (share_of(rule, traffic_) == Share::all) {
                    return Fate::onward;
                }
                share = met;
                continue;
            }
            const auto fate = meet(chain, rule, met, depth);
            if (fate != Fate::onward || (rule.act == Act::go_to && met == share)) {
                return fate;
            }
        }
        return Fate::onward;
    }
    Fate meet(const Chain& chain, const Rule& rule, Share met, int depth) {
        switch (rule.act) {
            case Act::accept:
                note_doubt(chain, rule, met);
                return met == Share::all ? Fate::accepted : Fate::onward;
            case Act::drop:
            case Act::reject:
                return refuse(chain, rule, met);
            case Act::jump:
            case Act::go_to: {
                const auto* target = table_.find(rule.target);
                return target == nullptr || depth == deepest ? Fate::onward : through(*target, met, depth + 1);
            }
            case Act::unknown:
                note_doubt(chain, rule, Share::unknown);
                return Fate::onward;
            case Act::proceed:
            case Act::leave:
                break;
        }
        return Fate::onward;
    }
    Fate refuse(const Chain& chain, const Rule& rule, Share met) {
        if (met == Share::all) {
            refused_ = Refusal{.chain = &chain, .rule = &rule};
            return Fate::refused;
        }
        if (met == Share::unknown && !perhaps_) {
            perhaps_ = Refusal{.chain = &chain, .rule = &rule, .certainty = Refusal::Certainty::perhaps};
        }
        return Fate::onward;
    }
    void note_doubt(const Chain& chain, const Rule& rule, Share met) {
        if (met == Share::unknown && doubt_ == nullptr) {
            doubt_ = &rule;
            doubt_chain_ = &chain;
        }
    }

    const Table& table_;
    const Traffic& traffic_;
    std::optional<Refusal> refused_;
    std::optional<Refusal> perhaps_;
    const Rule* doubt_ = nullptr;
    const Chain* doubt_chain_ = nullptr;
};

}  // namespace

std::optional<Refusal> refusal_of(const Table& table, const Chain& base, const Traffic& traffic) {
    return Walk(table, traffic).from(base);
}

}  // namespace podlane::doctor
