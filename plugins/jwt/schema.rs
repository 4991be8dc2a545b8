//! The JSON Schema of the `jwt` kind.

pub(super) const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "required": ["providers"],
  "properties": {
    "providers": { "type": "array", "minItems": 1, "maxItems": 16, "items": { "$ref": "#/$defs/provider" }, "description": "Who may have issued a token; the claim iss chooses." },
    "from": { "type": "array", "minItems": 1, "maxItems": 8, "items": { "type": "string" }, "default": ["header:authorization"], "description": "Where a token may stand: header:NAME, cookie:NAME, query:NAME; the first place that has one counts." },
    "claims_to_headers": { "type": "object", "maxProperties": 32, "additionalProperties": { "type": "string" }, "description": "Claims that the origin gets as header fields; these fields are removed from what clients send." },
    "consumer": { "$ref": "#/$defs/consumer", "description": "Claims that name the consumer, its plan and its tags." },
    "required_claims": { "type": "array", "maxItems": 32, "items": { "type": "string" }, "description": "Claims that a token must have." },
    "claims": { "type": "object", "maxProperties": 32, "additionalProperties": { "type": ["string", "integer", "boolean", "array"] }, "description": "Claims that must have one of these values." },
    "scopes": { "type": "array", "maxItems": 32, "items": { "type": "string" }, "description": "Scopes that a token must all have, in scope or scp." },
    "optional": { "type": "boolean", "default": false, "description": "Let requests without any token pass, without identity." },
    "keep_credential": { "type": "boolean", "default": false, "description": "Leave the token in the request that goes to the origin." },
    "max_token": { "type": "string", "default": "8KiB", "description": "Longest token: 256 B to 64 KiB." },
    "wait": { "type": "string", "default": "500ms", "description": "Longest wait of a request for keys that are being fetched: up to 10 s, 0 for not at all." },
    "cache": { "type": "integer", "minimum": 0, "maximum": 1000000, "default": 10000, "description": "Verified tokens that are remembered; 0 verifies every time." },
    "realm": { "type": "string", "default": "api", "description": "The realm in WWW-Authenticate." }
  },
  "$defs": {
    "provider": {
      "type": "object",
      "additionalProperties": false,
      "required": ["issuer", "audiences"],
      "oneOf": [{ "required": ["jwks"] }, { "required": ["secret"] }],
      "properties": {
        "issuer": { "type": "string", "description": "What iss must be, to the byte." },
        "audiences": { "type": "array", "minItems": 1, "maxItems": 32, "items": { "type": "string" }, "description": "aud must hold one of them; [\"*\"] takes any token." },
        "algorithms": { "type": "array", "minItems": 1, "items": { "enum": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256", "HS384", "HS512"] }, "description": "What may have signed; default RS256, PS256, ES256, EdDSA and Ed25519, with secret HS256." },
        "jwks": { "$ref": "#/$defs/jwks", "description": "Where the public keys are." },
        "secret": { "type": "string", "description": "The secret that is shared with the provider, for HS256, HS384 and HS512." },
        "leeway": { "type": "string", "default": "60s", "description": "How far the clocks may differ: up to 10 min." },
        "types": { "type": "array", "maxItems": 8, "items": { "type": "string" }, "description": "What typ may be, as at+jwt; any if empty." },
        "require_exp": { "type": "boolean", "default": true, "description": "Refuse tokens that never expire." },
        "consumer_prefix": { "type": "string", "maxLength": 64, "default": "", "description": "Stands before the consumer's name." }
      }
    },
    "jwks": {
      "type": "object",
      "additionalProperties": false,
      "oneOf": [{ "required": ["url"] }, { "required": ["discovery"] }, { "required": ["file"] }, { "required": ["inline"] }],
      "properties": {
        "url": { "type": "string", "description": "Where the provider publishes its keys." },
        "discovery": { "const": true, "description": "Ask ISSUER/.well-known/openid-configuration for that URL." },
        "file": { "type": "string", "description": "A file with keys; read again when it changes." },
        "inline": { "type": "string", "description": "The keys themselves, as JSON." },
        "upstream": { "type": "string", "description": "Ask this upstream instead of the URL's host." },
        "insecure_http": { "type": "boolean", "default": false, "description": "Allow http:// to other machines." },
        "refresh": { "type": "string", "default": "5m", "description": "How often the keys are fetched: 1 s to 24 h." },
        "stale": { "type": "string", "default": "24h", "description": "How long keys are used after the provider confirmed them last: refresh to 30 days." },
        "refetch": { "type": "string", "default": "10s", "description": "Least time between two fetches that tokens with unknown keys cause: 1 s to 1 h." },
        "timeout": { "type": "string", "default": "5s", "description": "Longest time of one fetch: 10 ms to 60 s." }
      }
    },
    "consumer": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "name": { "type": "string", "default": "sub", "description": "The claim that is the consumer's name; when written, a token must have it." },
        "plan": { "type": "string", "description": "The claim that is its plan." },
        "tags": { "type": "string", "description": "The claim that holds its tags." }
      }
    }
  }
}"##;
