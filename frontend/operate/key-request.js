/** What is asked of the server for a key or a session token. Pure. */

export const SCOPES = Object.freeze(["speak", "transcribe", "chat", "recordings:read", "recordings:delete", "admin"]);
/** A session token never has `admin`. */
export const TOKEN_SCOPES = Object.freeze(SCOPES.filter((scope) => scope !== "admin"));

/**
 * The body of `POST /admin/keys`.
 * @param {{name: string, tenant: string, scopes: string[], days: string}} form @param {Date} now
 */
export function keyRequest({ name, tenant, scopes, days }, now) {
  const lifetime = Number(days);
  const expires = lifetime > 0 ? { expires: new Date(now.getTime() + lifetime * 86_400_000).toISOString() } : {};
  return { name: name.trim(), tenant: tenant.trim() || "default", scopes, ...expires };
}

/**
 * The body of `POST /auth/session-tokens`.
 * @param {{name: string, person: string, scopes: string[], minutes: string}} form
 */
export function tokenRequest({ name, person, scopes, minutes }) {
  return { scopes, ttl_s: Math.round(Math.min(60, Math.max(1, Number(minutes) || 10)) * 60), name: name.trim(), ...(person.trim() && { person: person.trim() }) };
}
