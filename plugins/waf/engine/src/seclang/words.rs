//! The directives, and what becomes of each.

/// What a directive means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Action,
    Arguments,
    ArgumentSeparator,
    ComponentSignature,
    CookieFormat,
    DefaultAction,
    Engine,
    Include,
    IncludeOptional,
    JsonDepth,
    Marker,
    MimeType,
    MimeTypesClear,
    RemoveById,
    RemoveByMsg,
    RemoveByTag,
    RequestBody,
    ResponseBody,
    Rule,
    UpdateActionById,
    UpdateTargetById,
    UpdateTargetByMsg,
    UpdateTargetByTag,
    /// Must be off; why.
    OnlyOff(&'static str),
    /// Read and of no meaning here: what it bounds or names does not exist.
    Moot,
    /// Read with a warning: this does its work.
    Elsewhere(&'static str),
    /// An error; why.
    Refused(&'static str),
}

use Word as W;

const AUDIT: W = W::Elsewhere("use `audit_log` of the plugin in TOML");
const DEBUG: W = W::Elsewhere("`farmgate explain` shows what rules do with a request");
const UPLOADS: W =
    W::Elsewhere("uploads stay in memory: `request_body.upload` in TOML bounds them");
const REQUEST_LIMIT: W = W::Elsewhere("use `request_body` of the plugin in TOML");
const RESPONSE_LIMIT: W = W::Elsewhere("use `response_body` of the plugin in TOML");
const PER_CLIENT: W = W::Elsewhere("use the plugin `rate_limit` or the listener's limits");
const NETWORK: W = W::Refused("rules ask nothing in the network");

/// All directives of ModSecurity v3.
pub(super) const WORDS: &[(Word, &str)] = &[
    (W::Include, "Include"),
    (W::IncludeOptional, "IncludeOptional"),
    (W::Action, "SecAction"),
    (W::ArgumentSeparator, "SecArgumentSeparator"),
    (W::Arguments, "SecArgumentsLimit"),
    (AUDIT, "SecAuditEngine"),
    (AUDIT, "SecAuditLog"),
    (AUDIT, "SecAuditLog2"),
    (AUDIT, "SecAuditLogDirMode"),
    (AUDIT, "SecAuditLogFileMode"),
    (AUDIT, "SecAuditLogFormat"),
    (AUDIT, "SecAuditLogParts"),
    (AUDIT, "SecAuditLogPrefix"),
    (AUDIT, "SecAuditLogRelevantStatus"),
    (AUDIT, "SecAuditLogStorageDir"),
    (AUDIT, "SecAuditLogType"),
    (
        W::OnlyOff("plans are cached anyway"),
        "SecCacheTransformations",
    ),
    (
        W::Refused("chroot is the service's: see systemd/README.md"),
        "SecChrootDir",
    ),
    (W::Moot, "SecCollectionTimeout"),
    (W::ComponentSignature, "SecComponentSignature"),
    (PER_CLIENT, "SecConnEngine"),
    (PER_CLIENT, "SecConnReadStateLimit"),
    (PER_CLIENT, "SecConnWriteStateLimit"),
    (W::OnlyOff("bodies are not changed"), "SecContentInjection"),
    (W::CookieFormat, "SecCookieFormat"),
    (
        W::Refused("only version 0 of cookies exists, which has no other separator"),
        "SecCookieV0Separator",
    ),
    (W::Moot, "SecDataDir"),
    (DEBUG, "SecDebugLog"),
    (DEBUG, "SecDebugLogLevel"),
    (W::DefaultAction, "SecDefaultAction"),
    (
        W::OnlyOff("bodies are decoded by the proxy"),
        "SecDisableBackendCompression",
    ),
    (
        W::Elsewhere("name the database in the operator: `@geoLookup`"),
        "SecGeoLookupDb",
    ),
    (NETWORK, "SecGsbLookupDb"),
    (AUDIT, "SecGuardianLog"),
    (W::OnlyOff("links are not changed"), "SecHashEngine"),
    (NETWORK, "SecHttpBlKey"),
    (W::Moot, "SecInterceptOnError"),
    (W::Marker, "SecMarker"),
    (
        W::OnlyOff("XML gives no arguments: rules look at `XML:/*`"),
        "SecParseXmlIntoArgs",
    ),
    (W::Moot, "SecPcreMatchLimit"),
    (W::Moot, "SecPcreMatchLimitRecursion"),
    (
        W::OnlyOff("performance is in the metrics"),
        "SecRulePerfTime",
    ),
    (PER_CLIENT, "SecReadStateLimit"),
    (NETWORK, "SecRemoteRules"),
    (
        W::Refused("rules that are missing are an error"),
        "SecRemoteRulesFailAction",
    ),
    (W::RequestBody, "SecRequestBodyAccess"),
    (REQUEST_LIMIT, "SecRequestBodyInMemoryLimit"),
    (W::JsonDepth, "SecRequestBodyJsonDepthLimit"),
    (REQUEST_LIMIT, "SecRequestBodyLimit"),
    (REQUEST_LIMIT, "SecRequestBodyLimitAction"),
    (REQUEST_LIMIT, "SecRequestBodyNoFilesLimit"),
    (W::ResponseBody, "SecResponseBodyAccess"),
    (RESPONSE_LIMIT, "SecResponseBodyLimit"),
    (RESPONSE_LIMIT, "SecResponseBodyLimitAction"),
    (W::MimeType, "SecResponseBodyMimeType"),
    (W::MimeTypesClear, "SecResponseBodyMimeTypesClear"),
    (W::Rule, "SecRule"),
    (W::Engine, "SecRuleEngine"),
    (
        W::Refused("rules inherit nothing: each instance of the plugin names its files"),
        "SecRuleInheritance",
    ),
    (W::RemoveById, "SecRuleRemoveById"),
    (W::RemoveByMsg, "SecRuleRemoveByMsg"),
    (W::RemoveByTag, "SecRuleRemoveByTag"),
    (W::Refused("rules run no scripts"), "SecRuleScript"),
    (W::UpdateActionById, "SecRuleUpdateActionById"),
    (W::UpdateTargetById, "SecRuleUpdateTargetById"),
    (W::UpdateTargetByMsg, "SecRuleUpdateTargetByMsg"),
    (W::UpdateTargetByTag, "SecRuleUpdateTargetByTag"),
    (
        W::Elsewhere("use the plugin `headers`"),
        "SecServerSignature",
    ),
    (W::Moot, "SecStatusEngine"),
    (
        W::OnlyOff("bodies are inspected as they flow"),
        "SecStreamInBodyInspection",
    ),
    (
        W::OnlyOff("bodies are inspected as they flow"),
        "SecStreamOutBodyInspection",
    ),
    (W::Moot, "SecTmpDir"),
    (W::Moot, "SecTmpSaveUploadedFiles"),
    (W::Moot, "SecUnicodeCodePage"),
    (W::Moot, "SecUnicodeMapFile"),
    (UPLOADS, "SecUploadDir"),
    (UPLOADS, "SecUploadFileLimit"),
    (UPLOADS, "SecUploadFileMode"),
    (UPLOADS, "SecUploadKeepFiles"),
    (W::Moot, "SecWebAppId"),
    (PER_CLIENT, "SecWriteStateLimit"),
    (
        W::OnlyOff("entities of XML are never expanded and never fetched"),
        "SecXmlExternalEntity",
    ),
];

/// The directive of this name.
pub(super) fn find(name: &[u8]) -> Option<(Word, &'static str)> {
    WORDS
        .iter()
        .find(|(_, word)| word.as_bytes().eq_ignore_ascii_case(name))
        .copied()
}
