// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/completion.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "maps/catalog.h"

namespace podlane::ctl {
namespace {

enum class Help { with, without };

std::string option_names(const CLI::App& command, Help help) {
    std::string names;
    for (const CLI::Option* option : command.get_options()) {
        if (help == Help::without && option == command.get_help_ptr()) {
            continue;
        }
        for (const std::string& name : option->get_lnames()) {
            names += fmt::format(" --{}", name);
        }
        for (const std::string& name : option->get_snames()) {
            names += fmt::format(" -{}", name);
        }
    }
    return names;
}

std::string map_names() {
    std::string names;
    for (const CatalogMap& map : map_catalog()) {
        names += fmt::format(" {}", map.shape.name);
    }
    return names;
}

// One case of the script for `command`, whose words so far are `path`, and those of its subcommands.
void add_cases(const CLI::App& command, const std::string& path, std::string& cases, std::string& known) {
    std::string words = option_names(command, Help::with);
    for (const CLI::App* child : command.get_subcommands([](const CLI::App*) { return true; })) {
        words += fmt::format(" {}", child->get_name());
        const std::string child_path = fmt::format("{} {}", path, child->get_name());
        known += fmt::format("{}\"{}\"", known.empty() ? "" : " | ", child_path);
        add_cases(*child, child_path, cases, known);
    }
    const bool takes_maps = path == " map dump" || path == " map get";
    cases += fmt::format("    \"{}\") words=\"{}{}\" ;;\n", path, words, takes_maps ? map_names() : "");
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
    std::string cases;
    std::string known;
    add_cases(app, "", cases, known);
    return fmt::format(R"(# bash completion for agentctl: source <(agentctl completion bash)
_agentctl() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} path="" words="" word
  case "$previous" in
    -o | --output) mapfile -t COMPREPLY < <(compgen -W "table wide json yaml" -- "$current"); return ;;
    --run-dir | --bpffs | --root) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --config | --record) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --timeout | --flannel-device | --bridge) return ;;
  esac
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$path $word" in
      {}) path="$path $word" ;;
    esac
  done
  case "$path" in
{}  esac
  if [[ -n $path ]]; then
    words+="{}"
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -F _agentctl agentctl
)",
                       known, cases, option_names(app, Help::without));
}

}  // namespace podlane::ctl
