//! The words as a JSON Schema.

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["engine", "rules"],
  "properties": {
    "engine": { "enum": ["on", "detection_only", "off"], "description": "Whether rules refuse, only report, or do not run." },
    "rules": { "type": "array", "items": { "type": "string" }, "minItems": 1, "description": "Rule files and patterns, in order; relative to this file's folder. A pattern that finds no file is an error." },
    "paranoia": { "type": "integer", "minimum": 1, "maximum": 4, "description": "The paranoia level that blocks; wins over the files." },
    "detection_paranoia": { "type": "integer", "minimum": 1, "maximum": 4, "description": "Rules up to this level report, those above paranoia without counting; at least paranoia." },
    "anomaly": {
      "type": "object",
      "additionalProperties": false,
      "description": "The scores that refuse; they win over the files.",
      "properties": {
        "inbound": { "type": "integer", "minimum": 1, "maximum": 100000, "description": "The score of a request." },
        "outbound": { "type": "integer", "minimum": 1, "maximum": 100000, "description": "The score of a response." }
      }
    },
    "request_body": {
      "type": "object",
      "additionalProperties": false,
      "description": "How much of request bodies is looked at.",
      "properties": {
        "inspect": { "type": "string", "default": "128KiB", "description": "Most bytes that rules look at, the content of uploaded files not counted; 0B for none." },
        "upload": { "type": "string", "default": "100MiB", "description": "Most bytes of a multipart body, the content of its files included." },
        "over_limit": { "enum": ["reject", "partial"], "default": "reject", "description": "A longer body is refused with 413, or what follows is not seen." },
        "compressed": { "enum": ["inspect", "refuse"], "default": "inspect", "description": "Compressed bodies are decoded and looked at, or refused with 415." }
      }
    },
    "response_body": {
      "type": "object",
      "additionalProperties": false,
      "description": "How much of response bodies is looked at.",
      "properties": {
        "inspect": { "type": "string", "default": "512KiB", "description": "Most bytes that rules look at; 0B for none." },
        "over_limit": { "enum": ["partial", "reject"], "default": "partial", "description": "Of a longer body the rest is not seen, or the response is refused." },
        "hold": { "type": "boolean", "default": false, "description": "Keep the answer back until it was looked at; without it a late match resets the answer." }
      }
    },
    "cpu_budget": { "type": "string", "default": "50ms", "description": "Most work of one request, in time of an idle core of this machine; from 1ms to 10s." },
    "over_budget": { "enum": ["block", "pass"], "default": "block", "description": "A request beyond the budget is refused with 503, or goes on unseen." },
    "audit_log": { "type": "string", "description": "A file that gets a JSON line for every request with a match." },
    "exclude": {
      "type": "array", "maxItems": 1000,
      "description": "Rules, or what they look at, that are left out.",
      "items": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "rule": { "type": "integer", "minimum": 1, "description": "The rule of this id." },
          "rule_range": { "type": "string", "description": "The rules with ids from the first to the last, as 942000-942999." },
          "tag": { "type": "string", "description": "The rules with this tag." },
          "target": { "type": "string", "description": "Only this is not looked at, as ARGS:q; without it the rules do not run." },
          "paths": { "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }], "description": "Only on these paths; a segment in braces stands for any, a closing * for the rest." },
          "routes": { "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }], "description": "Only on these routes." }
        }
      }
    },
    "redact": {
      "type": "object",
      "additionalProperties": false,
      "description": "Whose values the audit log and explain hide.",
      "properties": {
        "names": { "type": "array", "items": { "type": "string" }, "description": "Parts of names of arguments and header fields, besides the built-in ones." },
        "defaults": { "type": "boolean", "default": true, "description": "Use the built-in list as well." }
      }
    }
  }
}"#;
