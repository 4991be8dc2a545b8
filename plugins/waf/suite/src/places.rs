//! Where rules, tests and corpora are.

use std::path::{Path, PathBuf};

/// Names the folder of a Core Rule Set: `crs-setup.conf.example`, `rules/` and, below `tests/`, its
/// regression tests.
pub const CRS_VARIABLE: &str = "FARMGATE_CRS_DIR";

/// The folder that [`CRS_VARIABLE`] names; none where it is not set.
///
/// # Errors
/// It is set, and there is no rule set.
pub fn crs() -> Result<Option<PathBuf>, String> {
    let Some(folder) = std::env::var_os(CRS_VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let folder = std::path::absolute(&folder).map_err(|error| error.to_string())?;
    for name in ["crs-setup.conf.example", "rules", "tests"] {
        if !folder.join(name).exists() {
            return Err(format!(
                "{CRS_VARIABLE}: {} has no {name}; give the folder of a Core Rule Set",
                folder.display()
            ));
        }
    }
    Ok(Some(folder))
}

/// `tests/waf` of this repository.
pub fn ours() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().nth(3).unwrap_or(package);
    root.join("tests/waf")
}

/// What the regression tests of the Core Rule Set expect beside its defaults: everything is looked at
/// (paranoia 4), nothing is refused, the optional limits are set, and no address is known as bad.
pub fn crs_test_settings() -> String {
    let settings = [
        "blocking_paranoia_level=4",
        "detection_paranoia_level=4",
        "crs_validate_utf8_encoding=1",
        "arg_name_length=100",
        "arg_length=400",
        "total_arg_length=64000",
        "max_num_args=255",
        "max_file_size=64100",
        "combined_file_sizes=65535",
    ];
    text_of(&settings)
}

/// What the project's own tests expect: everything is looked at, nothing is refused.
pub fn own_test_settings() -> String {
    text_of(&["blocking_paranoia_level=4", "detection_paranoia_level=4"])
}

fn text_of(settings: &[&str]) -> String {
    let settings: Vec<String> = settings
        .iter()
        .map(|each| format!("setvar:'tx.{each}'"))
        .collect();
    format!(
        "SecRuleEngine DetectionOnly\n\
         SecAction \"id:900005,phase:1,pass,nolog,ctl:ruleEngine=DetectionOnly,\
         ctl:ruleRemoveById=910000,{}\"\n",
        settings.join(",")
    )
}
