/* SPDX-License-Identifier: Apache-2.0 */
/* The generated messages of CRI v1 and of our records, under shorter names. */
#ifndef HULL_CRI_API_H
#define HULL_CRI_API_H

#include "api.pb-c.h"
#include "codec/pb.h"
#include "record.pb-c.h"

/* PB(PodSandboxConfig) is runtime.v1.PodSandboxConfig; REC(Sandbox) is hull.record.Sandbox. */
#define PB(name) Runtime__V1__##name
#define REC(name) Hull__Record__##name

/* A message is empty until pb_init(): a zeroed one lacks its descriptor. */
#define PB_INIT(msg, desc) pb_init((desc), (msg))

#endif
