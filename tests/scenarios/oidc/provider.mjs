// oidc-provider with one client that may have tokens for the audience `api`.
//   node provider.mjs MODULES IP:PORT FOLDER KID:ALG...
// Keys are made once and kept in FOLDER; the first one signs, all are published. Says `ready` when it serves.
import { createRequire } from 'node:module'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { generateKeyPairSync } from 'node:crypto'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [modules, address, folder, ...names] = process.argv.slice(2)
const entry = createRequire(path.join(modules, 'x.js')).resolve('oidc-provider')
const { default: Provider } = await import(pathToFileURL(entry))

const kinds = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }]
}

const keys = names.map(name => {
  const [kid, alg] = name.split(':')
  const file = path.join(folder, `${kid}.json`)
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync(...kinds[alg])
    const key = { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' }
    writeFileSync(file, JSON.stringify(key), { mode: 0o600 })
  }
  return JSON.parse(readFileSync(file, 'utf8'))
})

const resource = {
  scope: 'orders',
  audience: 'api',
  accessTokenFormat: 'jwt',
  accessTokenTTL: 3600,
  jwt: { sign: { alg: keys[0].alg } }
}

const provider = new Provider(`http://${address}`, {
  clients: [{
    client_id: 'robot',
    client_secret: 'only-for-tests',
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: keys[0].alg
  }],
  scopes: ['orders'],
  jwks: { keys },
  extraTokenClaims: () => ({ tenant: 'acme' }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:farmgate:api',
      getResourceServerInfo: () => resource
    }
  }
})

const [host, port] = address.split(':')
provider.listen(Number(port), host, () => console.log('ready'))
