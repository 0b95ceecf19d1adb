/* SPDX-License-Identifier: Apache-2.0 */
/* Getting let in: the challenges of RFC 7235 and the token flow of the distribution spec. */
#ifndef HULL_IMAGE_AUTH_H
#define HULL_IMAGE_AUTH_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "image/http.h"
#include "image/registries.h"

/* A parsed WWW-Authenticate header. */
struct auth_challenge {
	bool is_bearer;		       /* otherwise Basic */
	char *realm, *service, *scope; /* NULL when absent */
};
/* Fails: UNSUPPORTED (another scheme, by name), INVALID. */
int auth_challenge_parse(const char *header, struct auth_challenge *ret, struct error *e) MUST_USE;
void auth_challenge_done(struct auth_challenge *c);
DEFINE_CLEANUP_VALUE(struct auth_challenge, auth_challenge_done)

/* "user:password" of base64. Returns 0 with two new strings, or -ERR_INVALID. */
int auth_decode(const char *base64, char **ret_user, char **ret_password);

/* Credentials and the tokens got with them; shared by the fetcher's threads. Strings are its own and are
 * wiped by auth_done(). */
struct auth {
	char *username, *password, *server, *identity_token, *registry_token;
	struct auth_token *tokens;
	pthread_mutex_t lock;
};
/* fields: username, password, auth, server_address, identity_token, registry_token; "" is absent.
 * Fails: INVALID (auth is not base64 of user:password). */
#define AUTH_FIELDS 6
int auth_init(struct auth *a, const char *const fields[AUTH_FIELDS], struct error *e) MUST_USE;
void auth_done(struct auth *a);

/* The Authorization value to begin with for this endpoint and scope: a token that is known, or NULL. The
 * caller wipes and frees it. */
char *auth_known(struct auth *a, const struct registry_endpoint *endpoint, const char *scope) MUST_USE;

/* Answer a 401: ret gets the Authorization value to try once more with. `used` is the value that was refused
 * (NULL: none). Fails: AUTH (no credentials, or they were refused), UNAVAILABLE (the token service). */
int auth_answer(struct auth *a, struct http *h, const struct registry_endpoint *endpoint, const char *scope,
		const char *header, const char *used, char **ret, struct error *e) MUST_USE;

void auth_wipe(char *secret); /* zero and free; NULL is fine */

#endif
