/* SPDX-License-Identifier: Apache-2.0 */
/* The generated messages of CRI v1 and of our records, under shorter names. */
#ifndef HULL_CRI_API_H
#define HULL_CRI_API_H

/* Fields that the proto marks as deprecated still come from old clients. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#include "api.pb-c.h"
#include "codec/pb.h"
#include "record.pb-c.h"

/* PB(PodSandboxConfig) is runtime.v1.PodSandboxConfig; REC(Sandbox) is hull.record.Sandbox. */
#define PB(name) Runtime__V1__##name
#define REC(name) Hull__Record__##name

/* An empty message for an answer: PB_ANSWER(call, Image, image) is a PB(Image) * in the call's arena. */
#define PB_ANSWER(call, ctype, name) PB_NEW((call)->arena, PB(ctype), runtime__v1__##name)

#endif
