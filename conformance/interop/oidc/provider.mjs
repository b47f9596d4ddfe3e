// Two OpenID Connect providers and a forger, on free ports of 127.0.0.1, for oidc.rs. Prints the ports as JSON; then reads
// one line {"redirects": {"a": URI, "b": URI}} and prints "ready". Ends with its standard input.
//
// Whoever has the cookie `account` is signed in under that name without further questions.
import { createHmac, createSign, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const handlers = {};
const ports = {};
for (const name of ['a', 'b', 'forger']) {
  const server = createServer((request, response) => handlers[name](request, response));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  ports[name] = server.address().port;
}
console.log(JSON.stringify(ports));

function provider(name, redirect) {
  const oidc = new Provider(`http://127.0.0.1:${ports[name]}`, {
    clients: [
      {
        client_id: 'mesh',
        client_secret: `secret of ${name}: &=+%`,
        redirect_uris: [redirect],
        response_types: ['code'],
        grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
      },
    ],
    claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email'] },
    // Of b the cloud gets to know no name: it has to make one.
    conformIdTokenClaims: name === 'b',
    cookies: { keys: ['for tests'] },
    features: { devInteractions: { enabled: false }, deviceFlow: { enabled: true } },
    findAccount: (_, sub) => ({
      accountId: sub,
      claims: () => ({ sub, preferred_username: sub.toUpperCase(), email: `${sub}@example.org` }),
    }),
    interactions: { url: (_, interaction) => `/auto/${interaction.uid}` },
    async loadExistingGrant(ctx) {
      const grant = new oidc.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
    pkce: { required: () => true },
  });
  const callback = oidc.callback();
  return async (request, response) => {
    if (!request.url.startsWith('/auto/')) return callback(request, response);
    const account = /account=([a-z]+)/.exec(request.headers.cookie ?? '')?.[1];
    const result = account ? { login: { accountId: account } } : { error: 'access_denied' };
    return oidc.interactionFinished(request, response, result);
  };
}

// A provider whose ID tokens are wrong in the way that the code says: `kind:nonce`.
function forger() {
  const issuer = `http://127.0.0.1:${ports.forger}`;
  const [ours, theirs] = [0, 1].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));
  const jwk = { ...ours.publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'RS256', use: 'sig' };
  const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = (kind, nonce) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer, aud: 'mesh', sub: 'victim', iat: now, exp: now + 300, nonce };
    if (kind === 'other-issuer') claims.iss = 'https://id.example';
    if (kind === 'other-client') claims.aud = 'somebody-else';
    if (kind === 'other-party') Object.assign(claims, { aud: ['mesh', 'somebody-else'], azp: 'somebody-else' });
    if (kind === 'expired') claims.exp = now - 300;
    const alg = { none: 'none', symmetric: 'HS256' }[kind] ?? 'RS256';
    const signed = `${b64({ alg, kid: kind === 'unknown-key' ? 'other' : 'k', typ: 'JWT' })}.${b64(claims)}`;
    if (alg === 'none') return `${signed}.`;
    if (alg === 'HS256') {
      const pem = ours.publicKey.export({ type: 'spki', format: 'pem' });
      return `${signed}.${createHmac('sha256', pem).update(signed).digest('base64url')}`;
    }
    const key = (kind === 'wrong-key' ? theirs : ours).privateKey;
    return `${signed}.${createSign('sha256').update(signed).sign(key, 'base64url')}`;
  };
  return (request, response) => {
    const answer = (body) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(body));
    };
    if (request.url.startsWith('/.well-known/')) {
      return answer({
        issuer,
        authorization_endpoint: `${issuer}/auth`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`,
      });
    }
    if (request.url === '/jwks') return answer({ keys: [jwk] });
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    return request.on('end', () => {
      const [kind, nonce] = new URLSearchParams(body).get('code').split(':');
      answer({ access_token: 'x', token_type: 'Bearer', id_token: token(kind, nonce) });
    });
  };
}

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => {
  const { redirects } = JSON.parse(line);
  for (const name of ['a', 'b']) handlers[name] = provider(name, redirects[name]);
  handlers.forger = forger();
  console.log('ready');
});
lines.on('close', () => process.exit(0));
