/* SPDX-License-Identifier: Apache-2.0 */
/* The node: all state of the CRI services. Made once by the daemon; handlers (cri/service.h) run on
 * any number of worker threads. */
#ifndef HULL_CRI_NODE_H
#define HULL_CRI_NODE_H

#include "base/error.h"
#include "cri/config.h"

struct node;

/* Open the directories, the database, the images; connect to the monitors of pods that live on, undo
 * what an earlier hulld left half done. The caller holds the locks of root and state directory: nobody
 * else is in them. config is borrowed until node_close().
 * Fails: CORRUPT (the database), SYS. */
int node_open(const struct node_config *config, struct node **ret_node, struct error *e) MUST_USE;

/* Use what can be changed while running: registries, handlers' policies, defaults of new pods. Names what
 * cannot, in the log. Requests that run go on with the old one: both are borrowed until node_close(). */
int node_reload(struct node *node, const struct node_config *config, struct error *e) MUST_USE;

/* Stop the threads and close; pods go on. */
void node_close(struct node *node);

#endif
