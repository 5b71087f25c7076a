/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef PODLANE_SCHEMA_VERSION_H
#define PODLANE_SCHEMA_VERSION_H

/*
 * Version of everything in maps/schema, part of the pin path (<bpffs>/v1/...). A change of meaning
 * that the kernel cannot see bumps it. A map whose type, sizes or capacity changed is made anew and
 * filled before the programs that use it replace the old ones (loader/load_object.h). Counters and
 * flow owners start empty then, which is harmless. So do translations, all of their maps at once:
 * connections to the outside end.
 */
#define PODLANE_SCHEMA_VERSION 1

#endif
