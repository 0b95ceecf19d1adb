/* SPDX-License-Identifier: Apache-2.0 */
/* The annotations by which Kubernetes limits a pod's traffic ("Network Plugins": traffic shaping), for
 * plugins with the capability bandwidth. Values are quantities as Kubernetes writes them: "10M", "1.5G",
 * "64Ki". */
#include <string.h>

#include "cri/sandbox.h"

#define RATE_MIN 1000.0 /* bits a second; the bounds of Kubernetes' own check */
#define RATE_MAX 1e15
#define BURST UINT32_MAX /* what the other runtimes give: no bound that would be felt */

static double unit_of(const char *suffix)
{
	static const struct {
		const char *suffix;
		double factor;
	} units[] = {
		{ "", 1 },     { "k", 1e3 },	 { "M", 1e6 },	   { "G", 1e9 },     { "T", 1e12 },
		{ "P", 1e15 }, { "Ki", 0x1p10 }, { "Mi", 0x1p20 }, { "Gi", 0x1p30 }, { "Ti", 0x1p40 },
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_eq(suffix, units[i].suffix))
			return units[i].factor;
	return 0;
}

static int parse(const char *key, const char *text, uint64_t *ret_rate, struct error *e)
{
	size_t len = strspn(text, "0123456789."), digits = strspn(text, "0123456789");
	double rate = 0, place = 1;

	for (size_t i = 0; i < len && len <= 32; i++) {
		if (text[i] == '.')
			continue;
		if (i > digits)
			place /= 10;
		rate = i > digits ? rate + place * (text[i] - '0') : rate * 10 + (text[i] - '0');
	}
	rate *= unit_of(text + len);
	if (digits == 0 || len > 32 || strchr(text + digits, '.') != strrchr(text, '.') || rate < RATE_MIN ||
	    rate > RATE_MAX)
		return err_new(
			e, ERR_INVALID,
			"config.annotations[\"%s\"]: \"%.64s\" is not a rate from 1k to 1P bits a second",
			key, text);
	*ret_rate = (uint64_t)rate;
	return 0;
}

int sandbox_bandwidth(const PB(PodSandboxConfig) *c, struct cni_bandwidth *ret, struct error *e)
{
	struct cni_bandwidth b = { 0 };

	for (size_t i = 0; i < c->n_annotations; i++) {
		const char *key = c->annotations[i]->key;
		bool in = str_eq(key, "kubernetes.io/ingress-bandwidth");
		int r = 0;

		if (in || str_eq(key, "kubernetes.io/egress-bandwidth"))
			r = parse(key, c->annotations[i]->value, in ? &b.ingress_rate : &b.egress_rate, e);
		if (r < 0)
			return r;
	}
	b.ingress_burst = b.ingress_rate ? BURST : 0;
	b.egress_burst = b.egress_rate ? BURST : 0;
	*ret = b;
	return 0;
}
