/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_VERSION_H
#define PODLANE_SCHEMA_VERSION_H

/*
 * Version of everything in maps/schema, part of the pin path (<bpffs>/v1/...). Any change of a key,
 * a value, a meaning or a capacity bumps it; the loader then carries the old entries over or starts
 * empty, map by map.
 */
#define PODLANE_SCHEMA_VERSION 1

#endif
