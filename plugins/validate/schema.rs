//! The JSON Schema of the options.

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "openapi": { "type": "string", "description": "An OpenAPI 3.1 document, JSON or YAML; read again when it changes." },
    "schema": { "type": "string", "description": "A JSON Schema for bodies, JSON or YAML; read again when it changes." },
    "base_path": { "type": "string", "description": "What stands before the paths of the OpenAPI document." },
    "unknown": { "enum": ["refuse", "pass"], "default": "refuse", "description": "What becomes of paths and methods that the OpenAPI document does not have." },
    "unknown_query": { "enum": ["refuse", "pass"], "default": "pass", "description": "What becomes of query parameters that the OpenAPI document does not have." },
    "methods": { "type": "array", "items": { "type": "string" }, "maxItems": 16, "default": ["POST", "PUT", "PATCH"], "description": "Methods whose bodies the schema is for." },
    "content_types": { "type": "array", "items": { "type": "string" }, "maxItems": 16, "default": ["application/json", "*/*+json"], "description": "Media types that a body may have where the schema holds." },
    "body_required": { "type": "boolean", "default": true, "description": "Where the schema holds there must be a body." },
    "report_only": { "type": "boolean", "default": false, "description": "Only count what would be refused." },
    "status": { "type": "integer", "minimum": 400, "maximum": 499, "default": 400, "description": "The status of requests that break a rule." },
    "max_errors": { "type": "integer", "minimum": 1, "maximum": 100, "default": 10, "description": "Faults that a reply names." },
    "max_body": { "type": "string", "default": "1MiB", "description": "Longest body that is checked, 1KiB to 64MiB." },
    "max_depth": { "type": "integer", "minimum": 1, "maximum": 100, "default": 32, "description": "Arrays and objects in one another." },
    "max_values": { "type": "integer", "minimum": 1, "maximum": 1000000, "default": 10000, "description": "Values of a body in all." },
    "duplicate_keys": { "enum": ["refuse", "last"], "default": "refuse", "description": "What a name means that stands twice in an object." },
    "formats": { "type": "boolean", "default": true, "description": "Texts must be of the format that the schema names." }
  }
}"#;
