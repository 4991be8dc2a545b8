//! The JSON Schema of the options.

pub(super) const SCHEMA: &str = r##"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "limits": {
      "type": "array", "maxItems": 8, "items": { "$ref": "#/$defs/limit" },
      "description": "Rates for everybody. All of them must have room for a request; if one has none, none is charged."
    },
    "concurrency": {
      "type": "array", "maxItems": 4, "items": { "$ref": "#/$defs/gate" },
      "description": "Limits of requests in flight for everybody."
    },
    "plans": {
      "type": "object",
      "description": "What holds for consumers of these plans, beside what holds for everybody.",
      "additionalProperties": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "limits": { "type": "array", "items": { "$ref": "#/$defs/limit" }, "description": "Rates of this plan." },
          "concurrency": { "type": "array", "items": { "$ref": "#/$defs/gate" }, "description": "Limits of requests in flight of this plan." }
        }
      }
    },
    "default_plan": { "type": "string", "description": "The plan of requests without a consumer, of consumers without a plan, and of plans that are not listed." },
    "exempt": {
      "type": "object",
      "additionalProperties": false,
      "description": "Requests that no limit counts.",
      "properties": {
        "cidrs": { "type": "array", "items": { "type": "string" }, "maxItems": 64, "description": "From these networks." },
        "consumers": { "type": "array", "items": { "type": "string" }, "maxItems": 1000, "description": "Of these consumers." },
        "header": { "type": "string", "description": "The request field that holds the secret; it never reaches the upstream." },
        "secret": { "type": "string", "description": "Its value, 16 bytes or more: a text, ${NAME} or file:PATH." }
      }
    },
    "max_delay": { "type": "string", "description": "A request over a rate waits for up to this long instead of being refused; 1ms to 60s." },
    "max_waiting": { "type": "integer", "minimum": 1, "maximum": 100000, "default": 1000, "description": "Requests that wait at the same time, at most." },
    "top": { "type": "integer", "minimum": 0, "maximum": 1000, "default": 100, "description": "Keys in the list of those that are limited most; 0 keeps none." },
    "status": { "type": "integer", "minimum": 400, "maximum": 599, "default": 429, "description": "The status of refused requests." },
    "headers": { "type": "boolean", "default": true, "description": "Send RateLimit-Policy and RateLimit with every response." },
    "dry_run": { "type": "boolean", "default": false, "description": "Only count what would be refused." },
    "max_keys": { "type": "integer", "minimum": 1, "maximum": 10000000, "default": 100000, "description": "Keys that one limit remembers." }
  },
  "$defs": {
    "limit": {
      "type": "object",
      "additionalProperties": false,
      "required": ["key", "rate", "per"],
      "properties": {
        "key": { "type": "string", "description": "The source whose values are counted apart." },
        "rate": { "type": "integer", "minimum": 1, "maximum": 4294967295, "description": "Requests per time." },
        "per": { "type": "string", "description": "The time, with its unit." },
        "burst": { "type": "integer", "minimum": 1, "maximum": 4294967295, "description": "Requests allowed at once; without it as many as rate." },
        "reveal": { "type": "boolean", "default": false, "description": "Show values of this field, query parameter or cookie in the list of the most limited: they are no secrets." }
      }
    },
    "gate": {
      "type": "object",
      "additionalProperties": false,
      "required": ["key", "most"],
      "properties": {
        "key": { "type": "string", "description": "The source whose values are counted apart." },
        "most": { "type": "integer", "minimum": 1, "maximum": 1000000, "description": "Requests in flight at once." }
      }
    }
  }
}"##;
