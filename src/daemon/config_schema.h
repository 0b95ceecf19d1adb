/* SPDX-License-Identifier: Apache-2.0 */
/* What may stand in the configuration. Only for config.c. */
#ifndef HULL_DAEMON_CONFIG_SCHEMA_H
#define HULL_DAEMON_CONFIG_SCHEMA_H

#include "codec/yaml_tree.h"

/* The members of struct daemon_config; ends with a NULL key. */
extern const struct yaml_field config_schema[];

#endif
